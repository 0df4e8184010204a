"""The file formats without MXNet: what it reads and writes is what MXNet writes and reads."""
from pathlib import Path

import numpy as np
import pytest

from mxrnn._files import params as stored

from . import mx, rnn
from .array_files import CPU_FLOAT, DATA, OLD, V1, V2, array_list, u32, u64

KINDS = ['float32', 'float64', 'float16', 'uint8', 'int32', 'int8', 'int64', 'bool']


def read_arrays(path):
    return stored.read_sealed(path)[0]


def skip_without(kind):
    known = [np.dtype(each) for each in mx.nd.ndarray._DTYPE_NP_TO_MX if each is not None]
    if np.dtype(kind) not in known:
        pytest.skip('this MXNet has no %s' % kind)


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('shape', [(1,), (3, 4), (2, 1, 3, 5)], ids=str)
def test_dense_arrays_are_mxnets_bytes_both_ways(kind, shape, tmp_path):
    skip_without(kind)
    theirs, ours = str(tmp_path / 'theirs'), str(tmp_path / 'ours')
    values = (np.arange(np.prod(shape)).reshape(shape) % 3).astype(kind)
    arrays = {'arg:weight': values, 'arg:äöü': values[:1] + values[:1], 'aux:mean': values}
    mx.nd.save(theirs, {name: mx.nd.array(array, dtype=kind) for name, array in arrays.items()})
    stored.write_arrays(ours, arrays)
    assert Path(ours).read_bytes() == Path(theirs).read_bytes()
    read = read_arrays(theirs)
    assert list(read) == list(arrays)
    for name, array in arrays.items():
        assert read[name].dtype == array.dtype
        np.testing.assert_array_equal(read[name], array)


def test_bfloat16_is_the_type_that_mxnet_shows_numpy(tmp_path):
    skip_without(stored.BFLOAT16)
    theirs, ours = str(tmp_path / 'theirs'), str(tmp_path / 'ours')
    mx.nd.save(theirs, {'a': mx.nd.array([1, -2.5]).astype(stored.BFLOAT16)})
    read = read_arrays(theirs)
    assert read['a'].dtype == stored.BFLOAT16
    wide = read['a']['bfloat16'].astype('uint32') << 16
    assert wide.view('float32').tolist() == [1, -2.5]
    stored.write_arrays(ours, read)
    assert Path(ours).read_bytes() == Path(theirs).read_bytes()


@pytest.mark.parametrize('array, shape', [
    (OLD, (2, 3)), (V1 + u32(2) + u64(2, 3) + CPU_FLOAT + DATA, (2, 3)),
    (V2 + u32(0, 2) + u64(2, 3) + CPU_FLOAT + DATA, (2, 3)),
    (u32(0xF993FACA, 0, 0) + CPU_FLOAT + DATA[4:8], ())], ids=['0.9', '0.11', '1.x', 'NumPy'])
def test_files_of_every_version(array, shape, tmp_path):
    path = tmp_path / 'old'
    path.write_bytes(array_list(array))
    read = read_arrays(str(path))['arg:a']
    assert read.shape == shape and read.ravel().tolist() == (list(range(6)) if shape else [1])
    if shape:
        np.testing.assert_array_equal(mx.nd.load(str(path))['arg:a'].asnumpy(), read)


@pytest.mark.parametrize('array, error, said', [
    ([1.0], TypeError, 'list'), (np.array(1.0), ValueError, r'\(\)'),
    (np.zeros((2, 0)), ValueError, r'\(2, 0\)'), (np.zeros(2, 'complex64'), TypeError, 'complex64'),
    (np.zeros(2, 'U3'), TypeError, '<U3'), (np.zeros((1,) * 33) if np.__version__ >= '2' else
                                            np.array(1.0), ValueError, 'shape')])
def test_arrays_that_a_file_cannot_hold(array, error, said, tmp_path):
    path = tmp_path / 'model-0001.params'
    path.write_bytes(b'before')
    with pytest.raises(error, match='bad must .*' + said):
        stored.write_arrays(str(path), {'good': np.ones(2), 'bad': array})
    assert path.read_bytes() == b'before'


def test_big_endian_and_strided_arrays_are_written_alike(tmp_path):
    plain = np.arange(12, dtype='float32').reshape(3, 4)
    written = []
    for array in (plain, plain.astype('>f4'), np.asfortranarray(plain)):
        stored.write_arrays(str(tmp_path / 'a'), {'a': array})
        written.append((tmp_path / 'a').read_bytes())
    assert written[1:] == written[:1] * 2


@pytest.mark.parametrize('count', [0, 1])
def test_files_of_no_or_one_array_are_read_by_every_mxnet(count, tmp_path):
    prefix = str(tmp_path / 'model')
    params = {'a': mx.nd.ones(2)} if count else {}
    rnn.save_rnn_checkpoint([], prefix, 1, mx.sym.Variable('a'), params, {})
    loaded = rnn.load_rnn_checkpoint([], prefix, 1)
    assert list(loaded[1]) == ['a'] * count and loaded[2] == {}
