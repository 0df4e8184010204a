"""to_onnx over whole graphs, in onnxruntime against MXNet."""
import os

import numpy as np
import pytest

from .. import mx, rnn
from ..cases import each
from ..comparing import assert_close
from ..processes import printed
from ..running import random_value
from . import forms
from .compositions import WIDTH, composition
from .forms import BOUND, EVERY
from .models import S, V, over, random_model
from .onnx_runs import bound, compare, exported, grouped, outputs_of, session
from .programs import PROGRAMS

onnx = pytest.importorskip('onnx')

from mxrnn import interop  # noqa: E402
from mxrnn.interop import ExportError, graph_from_json, to_onnx  # noqa: E402
from mxrnn.interop.registry import ONNX  # noqa: E402

#: How many random compositions are tried.
COMPOSITIONS = int(os.environ.get('MXRNN_COMPOSITIONS', 25))


def unrolled(cell, form, layout='NTC'):
    """The cell unrolled over `data` in a form, as one Symbol with its states."""
    return grouped(*forms.unrolled(cell, form, layout))


def serve(symbol, step, layout='NTC', free=None):
    """Compare at several batch sizes and, where the graph has none in it, lengths.

    `free` says whether it has none, None that either may be. Returns which it was.
    """
    def shapes(batch, time):
        data = (batch, time) if layout == 'NTC' else (time, batch)
        both = {'data': data + tuple(step), 'lengths': (batch,)}
        return {name: shape for name, shape in both.items() if name in symbol.list_arguments()}

    def value(name, shape, runs):
        if name == 'lengths':
            time = runs['data'][layout.index('T')]
            return np.random.RandomState(shape[0]).randint(0, time + 1, shape).astype('f')
        return None
    if free is not False:
        try:
            compare(symbol, shapes('batch', 'time'), [shapes(*pair) for pair in
                                                      [(2, 3), (5, 3), (1, 3), (4, 7), (3, 1)]],
                    values=value)
            return True
        except ExportError as error:
            if free or 'any size' not in str(error):
                raise
    compare(symbol, shapes('batch', 3), [shapes(*pair) for pair in [(2, 3), (5, 3), (1, 3)]],
            values=value)
    return False


@each(BOUND)
def test_every_cell_unrolled(case):
    serve(unrolled(case.make(rnn), 'whole'), case.step)


#: Cells of every kind, whose forms are not left to the slow tests.
TYPICAL = ('lstm', 'gru', 'rnn_relu', 'conv_lstm', 'stack_residual', 'zoneout_both',
           'fused_lstm_2_both_states')


@pytest.mark.parametrize('case, form', [
    pytest.param(case, form, id='%s-%s' % (case, form),
                 marks=[pytest.mark.nightly] * (case.name not in TYPICAL)) for case, form in EVERY])
def test_every_cell_in_every_form(case, form):
    serve(unrolled(case.make(rnn), form), case.step,
          free=True if form.startswith(('loop', 'any')) else None)


@pytest.mark.parametrize('seed', range(COMPOSITIONS))
def test_random_compositions(seed):
    cell, options = composition(seed)
    symbol = grouped(*cell.unroll(3, V('data'), **options))
    serve(symbol, (WIDTH,), options['layout'])
    if options['merge_outputs']:
        with mx.name.NameManager():
            serve(unrolled(cell, 'fuse', options['layout']), (WIDTH,), options['layout'])


def language_model():
    """Embedding, a fused LSTM, a projection and a loss, as most programs had it."""
    with mx.name.NameManager():
        return PROGRAMS['cudnn_lstm_bucketing'].build()


#: Shapes of its inputs.
TOKENS = {'data': (2, 3), 'softmax_label': (2, 3)}


def words(name, shape, shapes):
    return np.random.RandomState(shape[0]).randint(0, 11, shape).astype('f')


def parameters(symbol, shapes):
    return random_model(symbol, shapes).arg_params


def embedded(data):
    return S.Embedding(data, V('table'), input_dim=11, output_dim=4)


def first_step(data):
    return S.squeeze(S.slice_axis(data, axis=1, begin=0, end=1), axis=1)


DATA, OTHER = V('data'), V('other')

#: Graphs, and the type of `data` in the file.
with mx.name.NameManager():
    TYPES = {
        'an Embedding': (embedded(DATA), 'int64'),
        'behind what moves and converts': (embedded(S.Cast(S.Reshape(
            S.slice_axis(S.transpose(DATA), axis=0, begin=0, end=2), shape=(-1,)),
            dtype='int32')), 'int64'),
        'factors': (S.concat(*[
            S.Embedding(each, input_dim=11, output_dim=4)
            for each in S.split(DATA, num_outputs=3, axis=1)]), 'int64'),
        'one_hot and a shape': (
            S.slice_like(S.one_hot(DATA, depth=11), DATA, axes=(0, 1)), 'int64'),
        'take and pick': (S.pick(S.take(
            V('table', shape=(11, 4), dtype='f'), DATA), DATA), 'int64'),
        'joined with other words': (embedded(S.concat(DATA, OTHER, dim=1)), 'int64'),
        'a sum of words': (embedded(S.add_n(DATA, OTHER)), 'int64'),
        'a loop': (S.contrib.foreach(lambda each, state: (embedded(each), state),
                                          DATA, [])[0], 'int64'),
        'joined with numbers': (S.Group([
            embedded(S.concat(DATA, OTHER, dim=1)), OTHER * 2]), 'float32'),
        'numbers, too': (S.Group([embedded(DATA), DATA != 0]), 'float32'),
        'numbers behind a move': (S.Group([embedded(DATA), S.sum(S.transpose(DATA))]), 'float32'),
        'an output': (S.Group([embedded(DATA), S.transpose(DATA)]), 'float32'),
        'zeros of its type': (S.Group([embedded(DATA), S.zeros_like(DATA)]), 'float32'),
        'a loop that adds it': (S.contrib.foreach(
            lambda each, state: (embedded(each), state + each), DATA, first_step(DATA))[0],
            'float32'),
        'a loop that begins with it': (S.contrib.foreach(
            lambda each, state: (each, S.argmax(embedded(state), axis=-1)),
            S.zeros((2, 1)), DATA)[1], 'float32'),
        'a stated type': (embedded(V('data', dtype='int32')), 'int32')}


@pytest.mark.parametrize('name', TYPES)
def test_what_only_look_ups_read_are_integers(name):
    symbol, kind = TYPES[name]
    shapes = {key: (3, 3) for key in symbol.list_inputs() if key in ('data', 'other')}
    free = {key: ('batch' if name != 'a loop that adds it' else 3, 3) for key in shapes}
    serving = session(exported(symbol, parameters(symbol, shapes), free))
    assert serving.get_inputs()[0].type == 'tensor(%s)' % kind.replace('float32', 'float')

    def value(name, shape, _):
        return words(name, shape, _).astype(kind if kind == 'int32' else 'f')
    compare(symbol, free, [shapes], values=value)
    floats = session(exported(symbol, parameters(symbol, shapes), free,
                              types=dict.fromkeys(free, 'float32')))
    assert floats.get_inputs()[0].type == 'tensor(float)'


def test_a_type_that_a_layer_does_not_take_is_refused():
    symbol = S.Convolution(DATA, kernel=(1,), num_filter=2, name='conv')
    with pytest.raises(interop.ExportError, match=(
            r'other types than the weights, float32: data=int64 \(types, --type\)')):
        exported(symbol, parameters(symbol, {'data': (2, 3, 4)}), {'data': ('batch', 3, 4)},
                 types={'data': 'int64'})


def test_a_layer_over_constants():
    """The implementation of onnx, which computes what constants tell, lacks ReLU."""
    cell = rnn.FusedRNNCell(3, mode='rnn_relu', bidirectional=True, prefix='c_')
    compare(over(cell, 3, S.ones((3, 2, 4)), layout='TNC') + V('data'), {'data': (3, 2, 6)},
            [{'data': (3, 2, 6)}])


def test_lengths_of_the_operator_itself_and_begin_states_where_they_are_0():
    data, state, cell = map(V, ('data', 'state', 'cell'))
    symbol = S.RNN(S.swapaxes(data, dim1=0, dim2=1), V('parameters'), state, cell, V('lengths'),
                   use_sequence_length=True, state_size=3, num_layers=1, mode='lstm',
                   state_outputs=True, name='rnn')
    shapes = {'data': (4, 5, 2), 'state': (1, 4, 3), 'cell': (1, 4, 3), 'lengths': (4,)}
    params = parameters(symbol, shapes)
    values = {name: random_value(name, shape).astype('f') for name, shape in shapes.items()}
    serving = session(exported(symbol, params, {
        'data': ('batch', 'time', 2), 'state': (1, 'batch', 3), 'cell': (1, 'batch', 3),
        'lengths': ('batch',)}))
    values['lengths'] = np.array([5, 0, 1, 3], 'f')
    output, *final = outputs_of(serving, {each.name: values[each.name]
                                          for each in serving.get_inputs()})
    # MXNet ignores lengths on the CPU: each sequence is run alone, as long as it is.
    plain = S.RNN(S.swapaxes(data, dim1=0, dim2=1), V('parameters'), state, cell, state_size=3,
                  num_layers=1, mode='lstm', state_outputs=True)
    for i, length in enumerate([5, 0, 1, 3]):
        assert not output[length:, i].any()
        if length:
            own = {'data': values['data'][i:i + 1, :length], 'state': values['state'][:, i:i + 1],
                   'cell': values['cell'][:, i:i + 1]}
            executor = bound(plain, {name: each.shape for name, each in own.items()}, params, own)
            want = [each.asnumpy() for each in executor.forward()]
            np.testing.assert_allclose(output[:length, i:i + 1], want[0], atol=1e-6)
        else:
            want = [None, values['state'][:, i:i + 1], values['cell'][:, i:i + 1]]
        assert_close([each[:, i:i + 1] for each in final], want[1:])


# ---- refusals

def model_of(symbol, params=None):
    return interop.Model(graph_from_json(symbol.tojson()), params or {}, {})


def test_a_model_gives_the_same_file_in_each_process(tmp_path):
    """Hashes of strings differ."""
    graph, here, there = (tmp_path / name for name in ('graph.json', 'a.onnx', 'b.onnx'))
    graph.write_text(S.broadcast_mod(S.broadcast_hypot(V('a'), V('b')), V('c')).tojson())
    to_onnx(interop.Model(graph_from_json(graph.read_text()), {}, {}), here,
            dict.fromkeys('abc', (2, 3)))
    printed('-c', 'import sys; from mxrnn.interop import Model, graph_from_json, to_onnx; '
            'to_onnx(Model(graph_from_json(open(sys.argv[1]).read()), {}, {}), sys.argv[2], '
            'dict.fromkeys("abc", (2, 3)))', graph, there, PYTHONHASHSEED='1')
    assert here.read_bytes() == there.read_bytes()


def test_what_nodes_ask_for_is_refused_all_at_once(tmp_path):
    data = V('data')
    symbol = S.Group([S.Pooling(data, kernel=(2, 2), stride=(2, 2), pool_type='lp', p_value=2,
                                name='pool'), S.SoftmaxActivation(data, name='soft')])
    with pytest.raises(ExportError, match=r"(?s)node pool \(Pooling\): .*'lp'.*node soft"):
        to_onnx(model_of(symbol), tmp_path / 'a.onnx', {'data': (1, 2, 5, 5)})
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize('choose', [lambda x: x if x < 3 else -x, lambda x: x and -x,
                                    lambda x: max(x, x * 2)])
def test_converters_cannot_choose_by_the_numbers_of_an_array(choose, tmp_path, monkeypatch):
    monkeypatch.setattr(ONNX, 'maps', [{}, *ONNX.maps[1:]])
    interop.register('_contrib_quadratic', onnx=lambda builder, node, x: choose(x))
    symbol = S.contrib.quadratic(V('data'))
    with pytest.raises(TypeError, match='is an array of the ONNX file, .* with builder.where'):
        to_onnx(model_of(symbol), tmp_path / 'a.onnx', {'data': (2, 3)})
    assert not os.listdir(tmp_path)


def test_what_the_body_of_a_loop_asks_for_is_named():
    def body(step, state):
        name = 'in_the_loop'
        return S.SoftmaxActivation(S.expand_dims(step, axis=1), name=name), state + step
    outputs, states = S.contrib.foreach(body, V('data'), V('state'))
    after = S.FullyConnected(states, num_hidden=2)
    with pytest.raises(ExportError, match='^node in_the_loop .*Activation of 3 axes') as info:
        exported(S.Group([outputs, after]), {}, {'data': ('time', 'batch', 4), 'state': (
            'batch', 4), **{name: (2, 4) if name.endswith('weight') else (2,)
                            for name in after.list_arguments() if name.startswith('fully')}})
    assert str(info.value).count('\n') == 0


def test_missing_weights_and_wrong_ones_are_named():
    symbol = language_model()
    params = parameters(symbol, TOKENS)
    with pytest.raises(ExportError, match='shapes of lstm_parameters are missing'):
        exported(symbol, {name: array for name, array in params.items()
                          if name != 'lstm_parameters'}, {'data': ('batch', 'time')})
    params['lstm_parameters'] = params['lstm_parameters'][:-1]
    with pytest.raises(ExportError, match=r'parameters must have \d+ '):
        exported(symbol, params, {'data': ('batch', 'time')})
