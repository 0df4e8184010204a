"""Forecasters of GluonTS: graphs of their forms, and the folders that GluonTS saves."""
import functools
import json
import re
import shutil
import subprocess
import sys
import tarfile
import types
from pathlib import Path

import numpy as np
import pytest

from mxrnn import interop
from mxrnn._graph.rolling import structure
from mxrnn.interop import gluonts
from mxrnn.interop import gluonts_lacking_transforms as lacking

from .. import mx
from .models import S, V, model_of
from .onnx_runs import bound, exported, outputs_of, session
from .sources import generate, outputs
from .test_commands import command, told
from .test_source_names import HOSTILE, check_text

torch = pytest.importorskip('torch')

BATCH, PAST, AHEAD, DRAWS = 3, 6, 3, 300
SHAPES = {'data0': (BATCH, PAST), 'data1': (BATCH, PAST, 2), 'data2': (BATCH, AHEAD, 2),
          'data3': (BATCH, 4), 'data4': (BATCH, PAST, 4)}


@functools.lru_cache(None)
def _variable(name):
    """One variable for all that read it."""
    return V(name)


@functools.lru_cache(None)
def _lstm():
    return mx.gluon.rnn.LSTMCell(4, prefix='lstm_')


def _unrolled(data, count, states=None):
    return _lstm().unroll(count, data, begin_state=states, layout='NTC', merge_outputs=True)


def _weights(name, *ends):
    return {end: _variable('%s_%s' % (name, end)) for end in ends or ('weight', 'bias')}


def _dense(data, units, name):
    return S.FullyConnected(data, num_hidden=units, flatten=False, name=name, **_weights(name))


def _convolution(data, layer):
    return S.relu(S.Convolution(data, num_filter=4, kernel=(2,), dilate=(2 ** layer,),
                                **_weights('conv%d' % layer)))


def _features():
    """The series in units of its mean, beside what is known of the past; and that mean."""
    scale = S.mean(S.abs(_variable('data0')), axis=1, keepdims=True) + 1
    scaled = S.expand_dims(S.broadcast_div(_variable('data0'), scale), axis=2)
    return S.Concat(scaled, _variable('data1'), dim=2), scaled, scale


def _student(features):
    """Student's t: a normal number of the deviation that a gamma number gives."""
    mean, size, half = (S.squeeze(_dense(features, 1, name), axis=-1)
                        for name in ('mean', 'size', 'half'))
    half, size = S.Activation(half, act_type='softrelu') + 3, S.sigmoid(size)
    deviation = S.rsqrt(S.sample_gamma(half, S.ones_like(half) / 3))
    noise = S.sample_normal(S.zeros_like(deviation), deviation)
    return S.broadcast_add(mean, S.broadcast_mul(noise, size))


def _low_rank(features, width):
    """Normal numbers of `width` series that a few common ones connect."""
    mean, size = _dense(features, width, 'mean'), S.sigmoid(_dense(features, width, 'size'))
    common = S.slice_axis(size, axis=-1, begin=0, end=1)
    noise = [S.sample_normal(S.zeros_like(each), S.ones_like(each)) for each in (size, common)]
    return mean + size * noise[0] + S.broadcast_mul(size, common * noise[1])


def deepar(draw=_student):
    """Each of many copies of a series goes on from what it has drawn itself, at two lags."""
    features, _, scale = _features()
    _, states = _unrolled(features, PAST)
    *states, past, scale, future = (S.repeat(each, repeats=DRAWS, axis=0) for each in (
        *states, _variable('data0'), scale, _variable('data2')))
    samples = []
    for step in range(AHEAD):
        lags = S.stack(*[S.slice_axis(past, axis=1, begin=-lag, end=1 - lag or None)
                         for lag in (1, 5)], axis=-1)
        lags = S.broadcast_div(lags, S.expand_dims(scale, axis=-1))
        known = S.slice_axis(future, axis=1, begin=step, end=step + 1)
        output, states = _unrolled(S.Concat(
            lags, S.sum(known, axis=2, keepdims=True), dim=2), 1, states)
        samples.append(S.broadcast_mul(draw(output), scale))
        past = S.Concat(past, samples[-1], dim=1)
    return S.reshape(S.Concat(*samples, dim=1), (-1, DRAWS, AHEAD))


def deepvar(width=3):
    features, _, _ = _features()
    copies = S.repeat(features, repeats=DRAWS, axis=0)
    output, _ = _unrolled(copies, PAST)
    last = S.slice_axis(output, axis=1, begin=-1, end=None)
    return S.reshape(_low_rank(last, width), (-1, DRAWS, width))


def gpvar(width=4):
    """Each step draws all series, beside what names them and in units of their means."""
    names = S.Embedding(_variable('data3'), input_dim=width, output_dim=1,
                        **_weights('names', 'weight'))
    past = _variable('data4')
    scale = S.mean(S.abs(past), axis=1, keepdims=True) + 1
    known = S.slice_axis(past, axis=1, begin=-2, end=None)
    before = S.reshape(S.repeat(S.expand_dims(names, axis=1), repeats=2, axis=1), (-1, 2, width))
    _, states = _unrolled(S.Concat(known, before, dim=2), 2)
    *states, past, scale, names = (S.repeat(each, repeats=DRAWS, axis=0)
                                   for each in (*states, past, scale, names))
    names = S.reshape(names, (-1, 1, width))
    samples = []
    for _ in range(AHEAD):
        lag = S.slice_axis(past, axis=1, begin=-5, end=-4)
        output, states = _unrolled(S.Concat(lag, names, dim=2), 1, states)
        samples.append(S.broadcast_mul(_low_rank(output, width), scale))
        past = S.Concat(past, samples[-1], dim=1)
    return S.reshape(S.Concat(*samples, dim=1), (-1, DRAWS, AHEAD, width))


def _ahead(*features):
    """What is known of the past and of each step ahead, the latter's part of an LSTM's output."""
    joined = S.Concat(_variable('data1'), _variable('data2'), dim=1)
    output, _ = _unrolled(S.Concat(joined, *features, dim=2), PAST + AHEAD)
    return S.slice_axis(output, axis=1, begin=-AHEAD, end=None)


def canonical():
    """Draws all steps at once, in units of the mean of the past."""
    scale = S.mean(S.abs(_variable('data0')), axis=1, keepdims=True) + 1
    samples = _student(S.repeat(_ahead(), repeats=DRAWS, axis=0))
    samples = S.broadcast_mul(samples, S.repeat(scale, repeats=DRAWS, axis=0))
    return S.reshape(samples, (-1, DRAWS, AHEAD))


def deepfactor():
    """A mean of common factors, and a deviation."""
    output = _ahead()
    mean = S.sum(S.broadcast_mul(_dense(output, 4, 'factors'), _dense(
        S.Embedding(_variable('data3'), input_dim=4, output_dim=2, **_weights('names', 'weight')),
        4, 'loadings').slice_axis(axis=1, begin=0, end=1)), axis=2)
    size = S.squeeze(S.sigmoid(_dense(output, 1, 'size')), axis=-1)
    mean, size = (S.repeat(each, repeats=DRAWS, axis=0) for each in (mean, size))
    return S.reshape(S.sample_normal(mean, size), (-1, DRAWS, AHEAD))


def wavenet():
    """Dilated convolutions over the last steps, which are classes; each step draws the next."""
    bins = 5
    past = S.repeat(S.clip(S.abs(_variable('data0')) * 2, 0, bins - 1), repeats=DRAWS, axis=0)
    samples = []
    for _ in range(AHEAD):
        found = S.transpose(S.Embedding(past, input_dim=bins, output_dim=4,
                                        **_weights('bins', 'weight')), (0, 2, 1))
        for layer in range(2):
            found = _convolution(found, layer)
        last = S.squeeze(S.slice_axis(found, axis=2, begin=-1, end=None), axis=2)
        drawn = S.sample_multinomial(S.softmax(_dense(last, bins, 'chances')))
        samples.append(S.expand_dims(S.cast(drawn, 'float32'), axis=1))
        past = S.slice_axis(S.Concat(past, samples[-1], dim=1), axis=1, begin=1, end=None)
    return S.reshape(S.Concat(*samples, dim=1), (-1, DRAWS, AHEAD))


def mqrnn(quantiles=3):
    """An encoder; what its last step gives is cut into steps, each with its quantiles."""
    features, _, _ = _features()
    hidden = _dense(_unrolled(features, PAST)[0], AHEAD * 4, 'decoded')
    steps = S.Concat(S.reshape(S.slice_axis(hidden, axis=1, begin=-1, end=None), (-1, AHEAD, 4)),
                     _variable('data2'), dim=2)
    return S.transpose(_dense(S.relu(_dense(steps, 4, 'mlp')), quantiles, 'quantiles'), (0, 2, 1))


def mqcnn():
    found = S.transpose(_features()[0], (0, 2, 1))
    for layer in range(2):
        zeros = S.zeros_like(S.slice_axis(found, axis=2, begin=0, end=2 ** layer))
        found = _convolution(S.Concat(zeros, found, dim=2), layer)
    last = S.slice_axis(found, axis=2, begin=-1, end=None)
    return S.reshape(_dense(S.flatten(last), 3 * AHEAD, 'quantiles'), (-1, 3, AHEAD))


each_form = pytest.mark.parametrize('form', [
    deepar, deepvar, gpvar, canonical, deepfactor, wavenet, mqrnn, mqcnn],
                                    ids=lambda form: form.__name__)


def forecaster(form):
    """Its Symbol, data for it, and an executor and a model with the same weights."""
    symbol, random = form(), np.random.RandomState(0)
    shapes = {name: SHAPES[name] for name in symbol.list_arguments() if name in SHAPES}
    data = {name: (random.randint(4, size=shape) if name == 'data3' else random.normal(
        size=shape)).astype('f') for name, shape in shapes.items()}
    executor = bound(symbol, shapes, {}, data)
    return symbol, data, executor, model_of(symbol, executor, shapes)


def by_torch(model, data):
    with torch.no_grad():
        return interop.to_torch(model)(**{
            name: torch.from_numpy(each) for name, each in data.items()})


@each_form
def test_graphs_of_forecasters_give_what_mxnet_gives(form, tmp_path):
    symbol, data, executor, model = forecaster(form)
    runs = [executor.forward()[0].asnumpy() for _ in range(2)]
    runs.append(by_torch(model, data).numpy())
    serving = session(exported(symbol, model.arg_params, {
        name: ('batch', *each.shape[1:]) for name, each in data.items()}, rolled=True))
    # onnxruntime seeds its samplers by the number of the node: their first numbers are much alike.
    runs.append([outputs_of(serving, data)[0] for _ in range(2)][1])
    if np.array_equal(runs[0], runs[1]):
        for run in runs[2:]:
            np.testing.assert_allclose(run, runs[0], atol=1e-5)
        return
    # The means of draws differ by six deviations of a mean once in 10 ** 9 elements.
    mean, spread = np.mean(runs[:2], (0, 2)), np.std(runs[:2], (0, 2)) + 1e-6
    for run in runs[2:]:
        assert run.shape == runs[0].shape
        assert (abs(run.mean(1) - mean) < 6 * spread * (1.5 / DRAWS) ** 0.5 + 1e-6).all()
        assert (abs(run.std(1) / spread - 1) < 0.6).all()


@each_form
def test_sources_of_forecasters(form):
    """With one seed they draw what the module draws."""
    _, data, _, model = forecaster(form)
    shapes = {name: ('batch', *each.shape[1:]) for name, each in data.items()}
    source, runs = generate(model, shapes), []
    for run in (by_torch, lambda *_: outputs(source, data)[0]):
        torch.manual_seed(0)
        with torch.no_grad():
            runs.append(run(model, data))
    torch.testing.assert_close(runs[1], runs[0], rtol=1e-5, atol=1e-5)


@each_form
@pytest.mark.parametrize('target', ['net.onnx', 'net.py'])
def test_by_the_prefix_a_network_is_exported_as_printed(target, form, tmp_path, capsys):
    """If the graph does not tell all sizes, the command says what to type."""
    *_, model = forecaster(form)
    interop.save(model, str(tmp_path / 'net'), 0)
    words = ['export', tmp_path / 'net', '--source' if target == 'net.py' else '--onnx',
             tmp_path / target, '--no-check']
    status, said = command(*words), capsys.readouterr()
    if status:
        typed = re.search('your data; this fits the graph: (.*)', said.err)[1]
        assert command(*words, *typed.split()) == 0, typed
    assert (tmp_path / target).exists()


def _mean(features):
    return S.squeeze(_dense(features, 1, 'mean'), axis=-1)


def side_by_side():
    """Cells of two series, which only meet in what a step adds to the past of both."""
    past, states, samples = _variable('data0'), [[S.zeros((BATCH, 4))] * 2] * 2, []
    for _ in range(AHEAD + 1):
        lags = S.Concat(*[S.slice_axis(past, axis=1, begin=-lag, end=1 - lag or None)
                          for lag in (1, 5)], dim=1)
        cells = [_lstm()(lags * factor, own) for factor, own in zip((1, 2), states)]
        states = [own for _, own in cells]
        samples.append(_dense(S.Concat(*[output for output, _ in cells], dim=1), 1, 'mean'))
        past = S.Concat(past, samples[-1], dim=1)
    return S.Concat(*samples, dim=1)


@pytest.mark.parametrize('form, findings', [
    (lambda: deepar(_mean), [(AHEAD, 'loop'), (PAST, 'kernel')]),
    (side_by_side, [(AHEAD + 1, 'loop')])], ids=['one', 'side by side'])
def test_decoders_with_features_and_lags_of_each_step_become_loops(form, findings):
    """Without draws they give MXNet's numbers."""
    _, data, executor, model = forecaster(form)
    assert [each[1:3] for each in structure(model.graph).findings] == findings
    np.testing.assert_allclose(by_torch(model, data), executor.forward()[0].asnumpy(), atol=1e-6)


def test_a_decoder_that_keeps_all_it_drew_is_left_as_it_is():
    """Its two layers and their states are one finding."""
    past, (future, zeros) = _variable('data0'), (_variable('data2'), S.zeros((BATCH, 4)))
    cells = [mx.gluon.rnn.LSTMCell(4, prefix='layer%d_' % at) for at in range(2)]
    states = [[zeros, zeros], [zeros, zeros]]
    for step in range(AHEAD):
        output = S.Concat(S.slice_axis(past, axis=1, begin=-3, end=None), S.reshape(
            S.slice_axis(future, axis=1, begin=step, end=step + 1), (0, -1)), dim=1)
        for at, cell in enumerate(cells):
            output, states[at] = cell(output, states[at])
        past = S.Concat(past, _dense(output, 1, 'mean'), dim=1)
    found, = structure(interop.graph_from_json(past.tojson())).findings
    assert found.kind == 'unrolled' and 'grows' in found.what


def test_sizes_of_which_the_weights_tell_only_the_product():
    """The first batch tells them, as of the features of each step that MQ-CNN forecasts. A file
    needs them typed."""
    symbol = _dense(S.Concat(_dense(_variable('data1'), 3, 'encoded'),
                             S.reshape(_variable('data2'), (0, 0, -1)), dim=2), 2, 'dense')
    shapes, random = {'data1': (4, 3, 2), 'data2': (4, 3, 5, 4)}, np.random.RandomState(0)
    data = {name: random.normal(size=shape).astype('f') for name, shape in shapes.items()}
    executor = bound(symbol, shapes, {}, data)
    model = model_of(symbol, executor, shapes)
    with pytest.raises(interop.ExportError, match='has 23.*data2=batch,data1_1,20,1'):
        generate(model)
    module = interop.to_torch(model).eval()
    wanted = executor.forward()[0].asnumpy()
    for rows in (4, 2):
        with torch.no_grad():
            found = module(**{name: torch.from_numpy(each[:rows]) for name, each in data.items()})
        np.testing.assert_allclose(found, wanted[:rows], atol=1e-6)


# ---- folders

PREDICTOR = 'gluonts.mx.model.predictor.SymbolBlockPredictor'


def _instance(path, *args, **kwargs):
    return {'__kind__': 'instance', 'class': path, 'args': list(args), 'kwargs': kwargs}


def _folder(path, transform, kind=PREDICTOR, form=0, generator='SampleForecastGenerator',
            **settings):
    """A folder as GluonTS writes it, of a network that gives two numbers for each series."""
    symbol = S.FullyConnected(_variable('data1'), num_hidden=2, flatten=False, name='dense_fwd',
                              **_weights('dense'))
    weights = {'dense_weight': np.ones((2, 3), 'f'), 'dense_bias': np.array([0, 1], 'f')}
    interop.save(interop.Model(interop.graph_from_json(symbol.tojson()), weights, {}),
                 str(path / 'prediction_net'), 0)
    (path / 'type.txt').write_text(kind)
    (path / 'prediction_net-in_out_format.json').write_text(json.dumps({'out_format': form}))
    (path / 'input_transform.json').write_text(json.dumps(transform))
    (path / 'parameters.json').write_text(json.dumps({
        'batch_size': 32, 'prediction_length': 2, 'lead_time': 1, 'freq': 'H',
        'ctx': _instance('mxnet.context.Context', 'cpu', 0),
        'dtype': {'__kind__': 'type', 'class': 'numpy.float32'},
        'input_names': ['feat_static_cat', 'past_target'],
        'forecast_generator': _instance('gluonts.model.forecast_generator.' + generator,
                                        **settings)}))
    return path


@pytest.fixture
def stand_in(monkeypatch):
    """Packages called gluonts whose classes only hold what they are given."""
    class Made:
        def __init__(self, *args, **kwargs):
            self.__dict__.update(args=args, **kwargs)
    homes = [types.ModuleType(path) for path in (
        'gluonts', 'gluonts.transform', 'gluonts.transform.sampler', 'gluonts.transform.split',
        'gluonts.time_feature', 'gluonts.model', 'gluonts.model.forecast_generator',
        'gluonts.torch', 'gluonts.torch.model', 'gluonts.torch.model.predictor')]
    for home in homes:
        monkeypatch.setitem(sys.modules, home.__name__, home)
        setattr(sys.modules[home.__name__.rpartition('.')[0] or 'gluonts'],
                home.__name__.rpartition('.')[2], home)
    for home, names in {
            'transform': 'AddTimeFeatures AdhocTransform Chain QuantizeMeanScaled SetField',
            'transform.split': 'TFTInstanceSplitter', 'time_feature': 'hour_of_day',
            'model.forecast_generator': 'QuantileForecastGenerator SampleForecastGenerator',
            'torch.model.predictor': 'PyTorchPredictor'}.items():
        for name in names.split():
            made = type(name, (Made,), {}) if name[0].isupper() else lambda index: index
            setattr(sys.modules['gluonts.' + home], name, made)


def test_a_folder_of_an_older_version_becomes_a_predictor_of_today(stand_in, tmp_path):
    hour = sys.modules['gluonts.time_feature'].hour_of_day
    transform = _instance('gluonts.transform._base.Chain', trans=[
        _instance('gluonts.transform.feature.AddTimeFeatures', pred_length=2, time_features=[
            _instance('gluonts.time_feature._base.HourOfDay'),
            {'__kind__': 'type', 'class': 'gluonts.time_feature._base.hour_of_day'}]),
        _instance('gluonts.transform.field.SetField', value=_instance(
            'numpy.array', [0], _instance('numpy.dtype', 'int32'))),
        _instance('gluonts.mx.model.tft._transform.TFTInstanceSplitter', past_length=3),
        _instance('gluonts.model.wavenet._estimator.QuantizeScaled', bin_edges=[1, 2],
                  past_target='past', future_target='future', scale='scale'),
        _instance('gluonts.model.tft._transform.BroadcastTo', field='f', ext_length=2,
                  target_field='target')])
    predictor = gluonts.load_predictor(_folder(tmp_path, transform), device='cpu')
    assert type(predictor).__name__ == 'PyTorchPredictor'
    assert (predictor.prediction_length, predictor.lead_time, predictor.batch_size) == (2, 1, 32)
    features, field, windows, bins, wide = predictor.input_transform.transformations
    assert features.time_features == [hour, hour] and features.pred_length == 2
    assert field.value.dtype == 'int32' and field.value.tolist() == [0]
    assert windows.past_length == 3 and bins.args == ([1, 2], 'past', '', 'future', 'scale')
    assert wide.args[0]({'f': np.ones((2, 1)), 'target': np.ones(3)})['f'].shape == (2, 5)
    batch = {'past_target': torch.ones(4, 3, dtype=torch.float64),
             'feat_static_cat': torch.ones(4, 1)}
    torch.testing.assert_close(predictor.prediction_net(**batch),
                               torch.tensor([[3., 4.]]).repeat(4, 1))


@pytest.mark.parametrize('name', [each for each in HOSTILE if each and each != '\ud800'], ids=ascii)
def test_names_of_a_folder_are_text(name, stand_in, tmp_path):
    """Whatever nodes and weights are called, the network only computes."""
    folder = _folder(tmp_path, {})
    model = interop.load(str(folder / 'prediction_net'))
    renamed = {'dense_weight': name, 'dense_bias': name + '_2', 'dense_fwd': name}
    nodes = [node._replace(name=renamed.get(node.name, node.name)) for node in model.graph.nodes]
    interop.save(interop.Model(model.graph._replace(nodes=tuple(nodes)), {
        renamed[key]: array for key, array in model.arg_params.items()}, {}),
        str(folder / 'prediction_net'), 0)
    network = gluonts.load_predictor(folder).prediction_net
    found = network(past_target=torch.ones(4, 3))
    torch.testing.assert_close(found, torch.tensor([[3., 4.]]).repeat(4, 1))
    check_text(network.network.source)


@pytest.mark.parametrize('form, wanted', [
    (0, ((3, 2, 1), None, None)), ([[0], -1, -1], ((3, 1, 2), None, None))],
    ids=['older', 'today'])
def test_quantiles_come_as_todays_generator_takes_them(form, wanted, stand_in):
    from mxrnn.interop.forecaster_module import of_quantiles
    (array,), *rest = of_quantiles(form, torch.zeros(3, 1, 2))
    assert (tuple(array.shape), *rest) == wanted


@pytest.mark.parametrize('transform, message', [
    (_instance('gluonts.transform._base.AdhocTransform'), 'AdhocTransform'),
    (_instance('os.system', 'true'), r'os\.system'),
    (_instance('evil.Chain'), r'evil\.Chain'),
    ([_instance('gluonts.transform.convert.CDFtoGaussianTransform')], 'CDFtoGaussianTransform'),
    ({'key': {'__kind__': 'type', 'class': 'builtins.eval'}}, r'builtins\.eval'),
    ({'__kind__': 'instance'}, 'must have __kind__'),
    ({'__kind__': 'stateful', 'class': 'gluonts.transform.Chain'}, 'must have __kind__'),
    ({'__kind__': 'instance', 'class': ['os.system'], 'kwargs': 3}, 'must have __kind__')])
def test_what_the_table_has_not_is_refused_by_name(transform, message, stand_in, tmp_path):
    _folder(tmp_path, {'made': transform})
    with pytest.raises(ValueError, match=message):
        gluonts.load_predictor(tmp_path)


def test_other_folders_are_refused(tmp_path):
    (tmp_path / 'type.txt').write_text('gluonts.torch.model.predictor.PyTorchPredictor')
    with pytest.raises(ValueError, match='PyTorchPredictor'):
        gluonts.network_of(tmp_path)
    with pytest.raises(interop.CheckpointError, match='neither gluonts-config.json nor type.txt'):
        gluonts.network_of(tmp_path / 'nowhere')
    path = tmp_path / 'model.tar.gz'
    with tarfile.open(path, 'w:gz') as archive:
        archive.add(tmp_path / 'type.txt', 'type.txt')
    with pytest.raises(interop.CheckpointError, match='unpack it: .* tar xf %s -C deepar' % path):
        gluonts.load_predictor(path)
    with pytest.raises(TypeError, match='folder must be a path'):
        gluonts.network_of(3)


def test_a_folder_without_weights_is_refused(stand_in, tmp_path):
    """GluonTS 0.8 writes such folders with MXNet 1.9."""
    model = interop.load(str(_folder(tmp_path, {}) / 'prediction_net'))
    interop.save(model._replace(arg_params={}), str(tmp_path / 'prediction_net'), 0)
    with pytest.raises(ValueError, match='no values for dense_weight, dense_bias'):
        gluonts.load_predictor(tmp_path)


def test_a_network_of_float64_stays_one(stand_in, tmp_path):
    folder = _folder(tmp_path, {})
    model = interop.load(str(folder / 'prediction_net'))
    nodes = [node._replace(attrs={'__shape__': '(0, 3)'}) if node.name == 'data1' else node
             for node in model.graph.nodes]
    interop.save(interop.Model(model.graph._replace(nodes=tuple(nodes)), {
        name: array.astype('float64') for name, array in model.arg_params.items()}, {}),
        str(folder / 'prediction_net'), 0)
    network = gluonts.load_predictor(folder).prediction_net
    assert network(past_target=torch.ones(1, 3)).dtype == torch.float64


def test_only_quantiles_need_their_form(stand_in, tmp_path):
    """GluonTS 0.4 does not write it."""
    for generator, settings in {'Sample': {}, 'Quantile': {'quantiles': ['0.5']}}.items():
        folder = _folder(tmp_path, {}, generator=generator + 'ForecastGenerator', **settings)
        (folder / 'prediction_net-in_out_format.json').unlink()
        if settings:
            with pytest.raises(interop.CheckpointError, match='prediction_net-in_out_format.json'):
                gluonts.load_predictor(folder)
        else:
            network = gluonts.load_predictor(folder).prediction_net
            assert network(past_target=torch.ones(1, 3)).shape == (1, 2)


@pytest.mark.parametrize('file, content, key', [
    ('parameters.json', None, 'input_names'), ('parameters.json', {}, 'input_names'),
    ('parameters.json', {'input_names': 'ab'}, 'input_names'),
    ('parameters.json', {'input_names': ['a']}, 'batch_size'),
    ('prediction_net-in_out_format.json', None, 'out_format')])
def test_a_damaged_folder_is_refused_with_its_file(file, content, key, stand_in, tmp_path):
    (_folder(tmp_path, {}) / file).write_text(json.dumps(content))
    said = '%s is damaged: it does not tell %s' % (tmp_path / file, key)
    with pytest.raises(interop.CheckpointError, match=re.escape(said)):
        gluonts.load_predictor(tmp_path)
    if key == 'input_names':
        assert said in told('inspect', tmp_path, status=2)


def test_the_commands_take_a_folder(tmp_path):
    folder = _folder(tmp_path, {})
    assert 'data1 is past_target' in told('export', folder, '--source', tmp_path / 'net.py')
    assert 'def forward(self, data1: Tensor)' in (tmp_path / 'net.py').read_text()
    with tarfile.open(tmp_path / 'model.tar.gz', 'w:gz') as archive:
        archive.add(folder, 'deepar')
    assert "GluonTS' folder is in this archive. Unpack it" in told(
        'export', tmp_path / 'model.tar.gz', '--onnx', tmp_path / 'net.onnx')


def test_windows_ahead_of_each_step():
    """ForkingSequenceSplitter, of two forks, for a series that is shorter than the encoder."""
    entry = {'target': np.array([1., 2.]), 'time': np.array([[10., 20., 30., 40.], [0, 0, 0, 0]]),
             'start': 5}
    found = lacking._forked(entry, enc_len=3, dec_len=2, num_forking=3,
                            encoder_series_fields=['time'], decoder_series_fields=['time'],
                            prediction_time_decoder_exclude=[], encoder_disabled_fields=None,
                            decoder_disabled_fields=None, target_field='target',
                            start_input_field='start', is_pad_out='is_pad')
    assert found['past_target'].tolist() == [[0], [1], [2]]
    assert found['past_time'][:, 0].tolist() == [0, 10, 20]
    assert found['future_time'][..., 0].tolist() == [[0, 0], [20, 30], [30, 40]]
    assert found['past_is_pad'].tolist() == [1, 0, 0] and found['forecast_start'] == 7
    assert entry.keys() == {'target', 'time', 'start'} and 'target' not in found


def test_features_of_the_calendar():
    index = types.SimpleNamespace(hour=[0, 1, 3])
    np.testing.assert_allclose(lacking._fourier(index, 'hour')[0], [1, 0, 0], atol=1e-9)
    with pytest.raises(ValueError, match='freq'):
        lacking._fourier(index, 'tolist')


# ---- the page, with GluonTS itself

ROOT = Path(__file__).parents[2]

DATA = '''
import sys
import numpy as np
from gluonts.dataset.common import ListDataset

def series(freq, cut):
    steps = np.arange(24 * 10)
    return ListDataset([{'start': '2021-01-04 00:00', 'item_id': 's%d' % i, 'target': (
        20 + 5 * i + (6 + i) * np.sin(2 * np.pi * (steps + 3 * i) / 24)
        + np.random.RandomState(i).randn(len(steps))).astype('float32')[:len(steps) - cut]}
        for i in range(4)], freq=freq)

def forecasts(predictor, dataset):
    found = predictor.predict(dataset, num_samples=1000)
    return {each.item_id: np.array([each.quantile(level) for level in ('0.1', '0.5', '0.9')])
            for each in found}
'''

TRAIN = DATA + '''
from gluonts.model.deepar import DeepAREstimator
from gluonts.model.seq2seq import MQRNNEstimator
from gluonts.mx.trainer import Trainer
from gluonts.evaluation import Evaluator, make_evaluation_predictions
for name, estimator in (('deepar', DeepAREstimator), ('mqrnn', MQRNNEstimator)):
    dataset = series('H', 12)
    predictor = estimator(freq='H', prediction_length=12, context_length=24, trainer=Trainer(
        epochs=2, num_batches_per_epoch=10)).train(dataset)
SAVING
    Path(name + '_plain').mkdir()
    predictor.serialize(Path(name + '_plain'))  # without its graph
    np.savez(name + '.npz', **forecasts(predictor, dataset))
'''

PREDICT = DATA + '''
from mxrnn.interop.gluonts import load_predictor
for name, bound in (('deepar', 0.1), ('mqrnn', 1e-5)):
    predictor = load_predictor(name + 'ENDING')
    wanted, found = np.load(name + '.npz'), forecasts(predictor, series('h', 12))
    assert wanted.files == list(found)
    for item, levels in found.items():
        difference = abs(levels - wanted[item]).mean() / abs(wanted[item]).mean()
        assert difference < bound, (name, item, difference)
assert 'mxnet' not in sys.modules or 'ENDING'
'''


@pytest.mark.nightly
@pytest.mark.skipif(shutil.which('python3.8') is None, reason='GluonTS 0.9 needs Python 3.8')
def test_models_of_gluonts_forecast_in_todays(tmp_path):
    page = (ROOT / 'docs' / 'gluonts.md').read_text(encoding='utf-8').partition('## GluonTS')[2]
    old, new, with_mxnet = (re.sub(' *#.*', '', each) for each in re.findall(
        r'^```sh\n(.*?)^```', page, re.M | re.S)[:3])
    saving = next(each for each in re.findall(r'^```py\n(.*?)^```', page, re.M | re.S))
    saving = ''.join('    %s\n' % line for line in saving.replace("'deepar'", 'name').splitlines())

    def run(python, *arguments):
        subprocess.run([str(python), *map(str, arguments)], cwd=tmp_path, check=True)
    for name, python, lines, program in (
            ('old', 'python3.8', old, TRAIN.replace('SAVING', saving)),
            ('new', sys.executable, new.replace('.[', '%s[' % ROOT), PREDICT.replace('ENDING', '')),
            ('new', sys.executable, with_mxnet, PREDICT.replace('ENDING', '_plain'))):
        run(python, '-m', 'venv', name)
        for line in lines.strip().splitlines():
            subprocess.run('%s/bin/%s' % (name, line), shell=True, cwd=tmp_path, check=True)
        run(tmp_path / name / 'bin' / 'python', '-c', program)
