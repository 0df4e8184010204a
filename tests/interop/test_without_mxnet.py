"""Without MXNet: files of old versions, read, run, trained and written.

`test_with_mxnet_blocked` runs the other tests of this module where MXNet cannot be imported.
"""
from pathlib import Path

import numpy as np
import pytest

from mxrnn import interop

from ..processes import printed

torch = pytest.importorskip('torch', reason='torch is not installed')

DATA = Path(__file__).parent / 'data'
#: Versions of files, and the numbers that their graphs have of it.
VERSIONS = {'0.10': 1000, '1.2': 10201, '1.5': 10501}


def stored(version, kind):
    """The model of an old version, its input and the outputs that MXNet gave."""
    model = interop.load(str(DATA / ('%s-%s' % (version, kind))), 1)
    with np.load(DATA / (version + '.npz')) as arrays:
        return model, torch.tensor(arrays['data']), arrays[kind]


@pytest.mark.parametrize('kind', ['cells', 'fused'])
@pytest.mark.parametrize('version', VERSIONS)
def test_files_of_old_versions(version, kind):
    model, data, expected = stored(version, kind)
    assert model.graph.version == VERSIONS[version]
    output = interop.to_torch(model)(data=data)
    output = output[0] if kind == 'fused' else output
    np.testing.assert_allclose(output.detach().numpy(), expected, atol=1e-6)


@pytest.mark.parametrize('version', ['1.2', '1.5'])
def test_old_files_are_written_as_they_were(version, tmp_path):
    for kind in ('cells', 'fused'):
        name = '%s-%s' % (version, kind)
        interop.save(interop.load(str(DATA / name), 1), str(tmp_path / name), 1)
        for end in ('-0001.params', '-symbol.json'):
            assert (tmp_path / (name + end)).read_bytes() == (DATA / (name + end)).read_bytes()


def test_other_modules_are_refused():
    model, _, _ = stored('1.2', 'cells')
    other, _, _ = stored('1.2', 'fused')
    for module in torch.nn.Linear(2, 2), interop.to_torch(other):
        with pytest.raises(ValueError, match='weights must come from the source of model'):
            interop.from_torch(module, model)


def test_bfloat16_goes_there_and_back(tmp_path):
    graph = interop.graph_from_json('''{"nodes": [
        {"op": "null", "name": "data", "inputs": []}, {"op": "null", "name": "a", "inputs": []},
        {"op": "elemwise_add", "name": "b", "inputs": [[0, 0], [1, 0]]}], "heads": [[2, 0]]}''')
    bits = np.array([0x3f80, 0xc000, 0x4049], '<u2').view([('bfloat16', '<u2')])
    model = interop.Model(graph, {'a': bits}, {})
    interop.save(model, str(tmp_path / 'm'), 1)
    model = interop.load(str(tmp_path / 'm'))
    module = interop.to_torch(model)
    assert module.get_parameter('a').tolist() == [1., -2., 3.140625]
    back = interop.from_torch(module, model).arg_params['a']
    assert back.dtype == bits.dtype and (back == bits).all()


def test_with_mxnet_blocked():
    said = printed('-m', 'pytest', '-q', '-p', 'no:cacheprovider', '--noconftest', '-k',
                   'not blocked', __file__, folder=Path(__file__).parents[2], hidden='mxnet')
    assert 'passed' in said and 'skipped' not in said
