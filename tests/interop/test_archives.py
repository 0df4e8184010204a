"""Archives as SageMaker's algorithms write them: what is in them is read, or refused by name."""
import gzip
import io
import os
import stat
import tarfile
import time
import zipfile

import numpy as np
import pytest

import mxrnn
from mxrnn import interop

from .. import mx, rnn
from .models import S, V
from .test_commands import told

pytestmark = pytest.mark.skipif(rnn is not mxrnn, reason='mxnet.rnn reads no archives')


def saved(path, arrays):
    """What MXNet writes for arrays: with names for a dict, without for a list."""
    mx.nd.save(str(path), arrays)
    return path.read_bytes()


def zipped(members, method=zipfile.ZIP_DEFLATED):
    """A zip; a member may be a ZipInfo."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, 'w', method) as archive:
        for name, content in members:
            archive.writestr(name, content, compress_type=method)
    return stream.getvalue()


def placed(form, files, folder):
    """The files in a folder, or in an archive of the form; its path."""
    place = folder / ('model' if form == 'folder' else 'model.' + form)
    if form == 'folder':
        place.mkdir()
        for name, content in files.items():
            (place / name).write_bytes(content)
    elif form == 'zip':
        place.write_bytes(zipped(files.items()))
    else:
        with tarfile.open(place, 'w:' + form.partition('.')[2]) as archive:
            for name, content in files.items():
                member = tarfile.TarInfo('./' + name)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    return place


def model_files(folder):
    """A graph and its weights, as the bytes of both files."""
    symbol = S.FullyConnected(V('data'), num_hidden=2, name='fc')
    return symbol.tojson().encode(), saved(folder / 'weights', {
        'arg:fc_weight': mx.nd.ones((2, 3)), 'arg:fc_bias': mx.nd.array([4, 5])})


#: By algorithm, the names of the graph and of the weights in the zip, and the epoch.
ALGORITHMS = {'Linear Learner': ('mx-mod-symbol.json', 'mx-mod-0000.params', 0),
              'NTM': ('symbol.json', 'params', None)}
FORMS = ['folder', 'tar', 'tar.gz', 'tgz', 'zip']


@pytest.mark.parametrize('form', [*FORMS[:-1], 'itself'])
@pytest.mark.parametrize('name', ALGORITHMS)
def test_the_zip_in_an_archive_is_read(name, form, tmp_path):
    graph_name, params_name, epoch = ALGORITHMS[name]
    graph, params = model_files(tmp_path)
    content = zipped([(graph_name, graph), ('manifest.json', b'{}'), (params_name, params)])
    if form == 'itself':
        place = tmp_path / 'model_algo-1'
        place.write_bytes(content)
    else:
        place = placed(form, {'model_algo-1': content, 'model_algo-2': content}, tmp_path)
    model = interop.load(place)
    assert model.epoch == epoch and model.inputs == ['data']
    np.testing.assert_array_equal(model.arg_params['fc_bias'], [4, 5])


@pytest.mark.parametrize('form', FORMS)
def test_a_graph_and_its_parameters_are_read(form, tmp_path):
    graph, params = model_files(tmp_path)
    model = interop.load(placed(form, {
        'model_algo-1-symbol.json': graph, 'model_algo-1-0000.params': params,
        'model_algo-1-config.json': b'{}'}, tmp_path))
    assert model.epoch == 0 and sorted(model.arg_params) == ['fc_bias', 'fc_weight']


#: What may lie beside a graph, and the shape that it states of data.
CONFIGS = [('{"data_shapes": [{"name": "data", "shape": [32, 3]}, {"name": "x", "shape": [1]}]}',
            '(0, 3)'),
           ('{"data_shapes": [{"name": "data"}]}', None), ('[]', None), ('{', None), ('', None),
           ('{"data_shapes": 3}', None), ('[' * 100_000, None)]


@pytest.mark.parametrize('config, stated', CONFIGS, ids=['DeepAR', *map(str, range(6))])
@pytest.mark.parametrize('form', ['folder', 'tar.gz', 'prefix'])
def test_the_shapes_beside_a_graph_are_its_inputs(form, config, stated, tmp_path):
    graph, params = model_files(tmp_path)
    place = placed(form.replace('prefix', 'folder'), {
        'net-symbol.json': graph, 'net-0000.params': params, 'net-config.json': config.encode()},
        tmp_path)
    model = interop.load(place / 'net' if form == 'prefix' else place)
    data, = [node for node in model.graph.nodes if node.name == 'data']
    assert data.attrs.get('__shape__') == stated


@pytest.mark.parametrize('form', ['folder', 'tar.gz'])
@pytest.mark.parametrize('named', [True, False])
def test_arrays_without_a_graph_are_listed(named, form, tmp_path):
    array = mx.nd.ones((4, 3))
    place = str(placed(form, {'model_algo-1': saved(
        tmp_path / 'x', {'mean': array} if named else [array])}, tmp_path))
    with pytest.raises(rnn.CheckpointError, match='model_algo-1 in .* no graph, .* nothing to exp'):
        interop.load(place)
    assert told('inspect', place).splitlines() == [
        'graph:      none, so there is nothing to export', 'parameters: 1, of 12 numbers',
        '  %s (4, 3) float32' % ('mean' if named else '0')]
    assert 'inspect lists the arrays' in told('export', place, '--onnx', 'x.onnx', status=2)


def test_models_that_differ_are_refused(tmp_path):
    graph, params = model_files(tmp_path)
    files = {'model_algo-%d' % i: zipped([('symbol.json', graph), ('params', params + b'x' * i)])
             for i in (1, 2)}
    with pytest.raises(rnn.CheckpointError, match='differ, model_algo-1, model_algo-2'):
        interop.load(placed('tar.gz', files, tmp_path))


def info(name, mode=0, flags=0):
    result = zipfile.ZipInfo(name)
    result.external_attr = mode << 16
    result.flag_bits = flags
    return result


def encrypted(content):
    """A zip of one file that is marked as encrypted in its directory."""
    at = content.index(b'PK\1\2')
    return content[:at + 8] + b'\1' + content[at + 9:]


#: Zips that are refused, and what the message says.
HOSTILE = {
    'bomb': (lambda: zipped([('symbol.json', b'{}'), ('params', bytes(80 << 20))]), 'larger than'),
    'two bombs': (lambda: zipped([('symbol.json', bytes(50 << 20)), ('params', bytes(50 << 20))]),
                  'larger than'),
    'lying size': (lambda: zipped([('symbol.json', bytes(9000))]).replace(
        (9000).to_bytes(4, 'little'), (9).to_bytes(4, 'little')), 'CRC|damaged'),
    'climbs': (lambda: zipped([('../symbol.json', b'{}')]), r'\.\./symbol.json in it leads out'),
    'climbs later': (lambda: zipped([('a/../../params', b'')]), 'params in it leads out'),
    'absolute': (lambda: zipped([('/tmp/symbol.json', b'{}')]), '/tmp/symbol.json in it leads out'),
    'link': (lambda: zipped([(info('symbol.json', stat.S_IFLNK | 0o777), b'/etc/passwd')]),
             'symbol.json in it is not a plain file'),
    'twice': (lambda: zipped([('symbol.json', b'{}'), ('a/symbol.json', b'{}')]), 'is in it twice'),
    'lzma': (lambda: zipped([('symbol.json', b'{}')], zipfile.ZIP_LZMA), 'another method'),
    'encrypted': (lambda: encrypted(zipped([('symbol.json', b'{}')])), 'encrypted'),
    'many': (lambda: zipped([('%d' % i, b'') for i in range(20_000)]), 'more than 10000 files'),
    'cut': (lambda: zipped([('symbol.json', b'{}')])[:-30], 'not a zip'),
    'neither': (lambda: b'no zip, no arrays', 'no graph')}


@pytest.mark.filterwarnings('ignore:Duplicate name')
@pytest.mark.parametrize('name', HOSTILE)
def test_a_hostile_zip_is_refused_by_name(name, tmp_path, monkeypatch):
    make, said = HOSTILE[name]
    (tmp_path / 'here').mkdir()
    place = placed('tar.gz', {'model_algo-1': make()}, tmp_path / 'here')
    monkeypatch.chdir(tmp_path / 'here')
    begun = time.perf_counter()
    with pytest.raises(rnn.CheckpointError, match=said) as caught:
        interop.load(place.name)
    assert 'model_algo-1 in model.tar.gz' in str(caught.value)
    assert time.perf_counter() - begun < 5
    assert [each.name for each in tmp_path.rglob('*')] == ['here', 'model.tar.gz']


def test_zips_share_one_bound(tmp_path):
    content = zipped([('symbol.json', b'{}'), ('params', bytes(50 << 20))])
    with pytest.raises(rnn.CheckpointError, match='model_algo-2 in .* larger than'):
        interop.load(placed('folder', {'model_algo-1': content, 'model_algo-2': content}, tmp_path))


def test_an_archive_of_many_files_is_refused(tmp_path):
    place = tmp_path / 'model.tar.gz'
    place.write_bytes(gzip.compress(tarfile.TarInfo('x').tobuf() * 200_000, 1))
    begun = time.perf_counter()
    with pytest.raises(rnn.CheckpointError, match='it has more than 10000 files'):
        interop.load(place)
    assert time.perf_counter() - begun < 5


def archived(path, *members):
    """A gzipped archive of members: a name, a size or bytes, and what else is set in its header."""
    with tarfile.open(path, 'w:gz') as archive:
        for name, content, fields in members:
            member = tarfile.TarInfo(name)
            content = content if isinstance(content, bytes) else bytes(content)
            member.size = len(content)
            for field, value in fields.items():
                setattr(member, field, value)
            archive.addfile(member, io.BytesIO(content))


@pytest.mark.parametrize('members, said', [
    ([('model-0000.params', 80 << 20, {})], 'larger than'),
    ([('words', 80 << 20, {}), ('symbol.json', 2, {})], 'larger than'),
    ([('symbol.json', 0, {'type': tarfile.SYMTYPE, 'linkname': '/etc/passwd'})], 'not a plain'),
    ([('a.params', 0, {'type': tarfile.LNKTYPE, 'linkname': 'symbol.json'})], 'not a plain'),
    ([('a.params', 0, {'type': tarfile.FIFOTYPE})], 'not a plain'),
    ([('symbol.json', 512, {'pax_headers': {
        'GNU.sparse.major': '0', 'GNU.sparse.minor': '1', 'GNU.sparse.map': '0,1',
        'GNU.sparse.size': str(1 << 50)}})], 'not a plain'),
    ([('a/symbol.json', b'{}', {}), ('symbol.json', b'{}', {})], 'symbol.json is in it twice'),
    ([('../symbol.json', b'{}', {})], r'\.\./symbol.json in it leads out of it'),
    ([('/tmp/symbol.json', b'{}', {})], '/tmp/symbol.json in it leads out of it'),
    ([], 'must have one graph')])
def test_an_archive_is_read_in_bounded_memory_and_never_unpacked(members, said, tmp_path,
                                                                 monkeypatch):
    monkeypatch.chdir(tmp_path)
    archived('model.tar.gz', *members)
    with pytest.raises(rnn.CheckpointError, match=said):
        interop.load('model.tar.gz')
    assert os.listdir() == ['model.tar.gz'] and not os.path.exists('../symbol.json')


def test_an_archive_that_is_cut_or_none_is_refused(tmp_path):
    path = tmp_path / 'model.tar.gz'
    archived(path, ('symbol.json', b'{"nodes": []}' * 9, {}), ('a.params', os.urandom(5000), {}))
    whole = path.read_bytes()
    for content in (b'', b'no archive', whole[:len(whole) // 2], whole[:-5],
                    whole[:300] + b'\x00' * 9 + whole[309:], gzip.compress(b'x' * 9000)):
        path.write_bytes(content)
        with pytest.raises(rnn.CheckpointError, match='model.tar.gz'):
            interop.load(path)
