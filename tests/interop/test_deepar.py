"""An archive of SageMaker's DeepAR becomes ONNX and source without an option, and draws as in
MXNet."""
import functools

import numpy as np
import pytest

import mxrnn

from .. import mx, rnn, running
from .deepar import LIKELIHOODS, Form, archive, data_of, forecast, network
from .sources import read
from .test_commands import told

torch = pytest.importorskip('torch')
runtime = pytest.importorskip('onnxruntime')
pytestmark = pytest.mark.skipif(rnn is not mxrnn, reason='mxnet.rnn reads no archives')

#: Of this likelihood, a forecast is no draw.
EXACT = 'deterministic-L1'
#: The most lines that are printed, and those of a source.
MESSAGES, LINES = 8, 250


@functools.lru_cache(maxsize=None)
def weights_of(form):
    """Random weights."""
    return {name: .4 * array for name, array in running.weights_of(
        network(form), **form.shapes(24)).items()}


def from_onnx(path, data):
    runtime.set_seed(1)
    session = runtime.InferenceSession(str(path), providers=['CPUExecutionProvider'])
    given = {each.name: data[each.name].astype('int64' if 'int64' in each.type else 'float32')
             for each in session.get_inputs()}
    session.run(None, given)  # whose nodes' first draws are similar
    return session.run(None, given)[0]


def from_source(path, data):
    torch.manual_seed(1)
    model = read(path.read_text(encoding='utf-8'))()
    model.load_state_dict(torch.load(str(path.with_suffix('.pt')), weights_only=True))
    with torch.no_grad():
        return model.eval()(**{name: torch.tensor(each) for name, each in data.items()}).numpy()


FORMATS = {'onnx': ('--onnx', 'model.onnx', from_onnx),
           'source': ('--source', 'model.py', from_source)}


def exported(form, way, tmp_path):
    """What `export` says of an archive, the exported file, and MXNet's samples and the file's."""
    option, name, run = FORMATS[way]
    weights, data = weights_of(form._replace(samples=1)), data_of(form, 4)
    said = told('export', archive(form, weights, tmp_path / 'model.tar.gz'), option,
                tmp_path / name)
    mx.random.seed(1)
    return said, tmp_path / name, forecast(form, weights, data), run(tmp_path / name, data)


def assert_alike(expected, found):
    """The shares of samples below MXNet's quantiles are within four standard errors."""
    count = expected.shape[1]
    for share in (.1, .5, .9):
        quantile = np.quantile(expected, share, axis=1, keepdims=True)
        quantile = quantile + 1e-4 * np.abs(quantile) * np.array([-1, 1]).reshape(2, 1, 1, 1)
        error = 4 * np.sqrt(share * (1 - share) * 2 / count)
        assert ((found < quantile[0]).mean(1) <= share + error).all()
        assert ((found <= quantile[1]).mean(1) >= share - error).all()


@pytest.mark.parametrize('way', FORMATS)
@pytest.mark.parametrize('form', [Form(each, layers=4, samples=400) for each in (
    'gaussian', 'student-T')], ids=lambda form: form.likelihood)
def test_an_archive_is_exported_as_it_lies(form, way, tmp_path):
    said, path, expected, found = exported(form, way, tmp_path)
    assert len(said.splitlines()) <= MESSAGES
    assert 'note' not in said and 'time' not in said.replace('timeFeatures', '')
    assert found.shape == expected.shape == (4, form.samples, 12)
    assert_alike(expected, found)
    if way == 'source':
        lines = path.read_text(encoding='utf-8').splitlines()
        assert len(lines) <= LINES
        assert sum(line.startswith('        for ') for line in lines) == 2  # 12 steps each


HOURS = (1, 2, 3, 4, 5, 6, 7, 23, 24, 25, 47, 48, 49)
FORMS = {'as in the archives': {}, 'short history': {'context': 5}, 'hours': {
    'context': 24, 'steps': 24, 'lags': HOURS}, 'long history': {
        'context': 30, 'steps': 6, 'lags': HOURS}, 'one step': {'steps': 1},
    'as many as the lag and one': {'context': 13, 'steps': 13}, 'no early lag': {'lags': (2, 3, 7)},
    'four layers': {'layers': 4}, 'one category': {'cardinality': (5,)}}


@pytest.mark.parametrize('name, way', [*[(name, 'source') for name in FORMS], *[
    (name, 'onnx') for name in ('as in the archives', 'long history', 'one step')]])
def test_without_draws_the_numbers_are_the_same(name, way, tmp_path):
    form = Form(EXACT, samples=2, **FORMS[name])
    said, path, expected, found = exported(form, way, tmp_path)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert '(3 sizes)' in said and 'do not fit' not in said
    if way == 'source' and name not in ('one step', 'no early lag'):
        lines = path.read_text(encoding='utf-8').splitlines()
        assert sum(line.startswith('        for ') for line in lines) == 2 and 'note' not in said


@pytest.mark.nightly
@pytest.mark.parametrize('way', FORMATS)
@pytest.mark.parametrize('likelihood', LIKELIHOODS)
def test_quantiles_are_those_of_mxnet(likelihood, way, tmp_path):
    _, _, expected, found = exported(Form(likelihood, samples=2000), way, tmp_path)
    assert_alike(expected, found)


def test_shapes_are_asked_for_without_a_config(tmp_path):
    """The graph alone takes padding for all units of a series at once, or for each."""
    form = Form(lags=(1, 2, 38), layers=1)
    place = archive(form, weights_of(form), tmp_path / 'model.tar.gz', config=False)

    def asked(*typed, status=2):
        return ' '.join(told('export', place, '--onnx', tmp_path / 'x.onnx', *typed,
                             status=status).split())
    said = asked()
    assert 'axis 1 of isPaddedTrain needs a number' in said
    line = '--input isPaddedTrain=batch,50'
    assert said.endswith('Type the shape of your data; this fits the graph: ' + line)
    assert asked('--input', 'trainTarget=batch,50').endswith(line)
    for wrong in 'batch,40', '4,40', 'batch,64', 'batch,100':
        assert 'axis 1 of isPaddedTrain cannot be %s:' % wrong.partition(',')[2] in asked(
            '--input', 'isPaddedTrain=' + wrong)
    assert 'axis 1 of trainTarget must be 50, got 40' in asked(
        *line.split(), '--input', 'trainTarget=batch,40')
    assert 'isPaddedTrain=batch,50' in asked(*line.split(), status=0)
