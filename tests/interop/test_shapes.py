"""The rules of shapes, held against MXNet: sizes of all values, and axes that are kept."""
import random
import re
import sys

import numpy as np
import pytest

from mxrnn import interop
from mxrnn._graph.graph import Entry, output_name
from mxrnn._graph.rolling import structure
from mxrnn._graph.shapes import missing_shapes
from mxrnn._graph.shapes.infer import infer
from mxrnn._graph.shapes.missing_shapes import ShapesError, found_shapes
from mxrnn._graph.shapes.rule_api import RULES
from mxrnn._graph.shapes.sizes import Axis, axes_in, number_for, product, resolve
from mxrnn._graph.stepping.axis_propagation import follow
from mxrnn._model_commands import shapes_of as typed_shapes
from mxrnn.interop import graph_from_json
from mxrnn.interop.prepare import prepare
from mxrnn.interop.prepare.array_types import survey
from mxrnn.interop.prepare.input_shapes import without_number
from mxrnn.interop.registry import TORCH

from .. import mx, rnn
from ..running import bound, random_value
from .models import S, V, over, random_model
from .operator_cases import OPS, each_name
from .programs import UNITS, WIDTH, WORDS, characters_of_2015

#: The number of axes of their outputs depends on sizes of their inputs.
DEPENDING = ('squeeze', 'gather_nd')


def shapes_of(case):
    return {name: value if isinstance(value, tuple) else np.shape(value)
            for name, value in case.inputs.items()}


def inferred(case):
    """The graph of a case with all values as outputs, its table, and the axes of its inputs."""
    symbol = case.build()
    graph = graph_from_json(symbol.get_internals().tojson())
    given = shapes_of(case)
    table = infer(graph, {name: [Axis(free=True) if size > 1 else size for size in shape]
                          for name, shape in given.items()})
    return symbol, graph, table, {
        node.name: table.axes[Entry(place, 0)] for place, node in enumerate(graph.nodes)
        if node.is_variable and node.name in given and Entry(place, 0) in table.axes}


def inferred_by_mxnet(symbol, shapes):
    internals = symbol.get_internals()
    try:
        found = internals.infer_shape(**shapes)[1]
    except mx.MXNetError:
        return None
    return dict(zip(internals.list_outputs(), found))


@each_name()
def test_sizes(name):
    """Those of all values are MXNet's, for three random assignments of what is open in inputs."""
    case = OPS[name]
    symbol, graph, table, axes = inferred(case)
    assert not table.faults
    given, draw = shapes_of(case), random.Random(name)
    open_ = {axis: size for key, each in axes.items() for sizes, size in zip(each, given[key])
             for axis in [product(sizes)] if isinstance(axis, Axis)}
    every = dict.fromkeys(axis for each in axes.values() for sizes in each
                          for axis in axes_in(product(sizes)))
    labels = graph_from_json(symbol.tojson()).labels()
    tried = 0
    for attempt in range(60):
        numbers = {axis: open_.get(axis, 2) for axis in every}
        if attempt:
            numbers = {axis: size * draw.randint(1, 3) if attempt % 2 else size + draw.randint(0, 4)
                       for axis, size in numbers.items()}
        shapes = {key: tuple(number_for(product(sizes), numbers) for sizes in each)
                  for key, each in axes.items() if key not in labels}
        wanted = inferred_by_mxnet(symbol, shapes)
        if wanted is None:
            continue
        for place, node in enumerate(graph.nodes):
            for at in range(node.num_outputs if node.name not in labels else 0):
                made = table.axes.get(Entry(place, at))
                shape = wanted.get(output_name(node, at))
                assert made is not None or node.op in DEPENDING or at or node.is_variable
                if shape is not None and made is not None:
                    assert all(axes_in(product(axis)) <= every.keys() for axis in made), node.op
                    assert tuple(number_for(product(axis), numbers) for axis in made) == shape, (
                        node.op, node.attrs, shapes)
        tried += 1
        if tried == 4:
            break
    assert tried == 4


# ---- axes that are kept

#: Their outputs are random numbers.
DRAWN = ('_shuffle', '_sample_', '_random_')


def values_of(symbol, case):
    """Values for all variables of a case."""
    known = zip([*symbol.list_arguments(), *symbol.list_auxiliary_states()],
                sum([each or [] for each in symbol.infer_shape(**shapes_of(case))[::2]], []))
    return {name: case.inputs[name] if isinstance(case.inputs.get(name), np.ndarray)
            else random_value(name, shape) for name, shape in known}


def outputs_of(symbol, values):
    given = {name: value.astype('int32' if value.dtype.kind == 'i' else 'float32')
             for name, value in values.items()}
    executor = bound(symbol, {name: given[name].shape for name in symbol.list_arguments()},
                     given, given)
    return [each.asnumpy() for each in executor.forward(is_train=False)]


def kept(graph, values, name, at):
    """By output, its axes of which one is that of an input, taken apart, and the place of that."""
    axis = Axis(label='steps', free=True)
    found = follow(graph, {place: [
        (axis,) if (node.name, i) == (name, at) else (size,)
        for i, size in enumerate(np.shape(values[node.name]))]
        for place, node in enumerate(graph.nodes) if node.is_variable and node.name in values})
    for number, head in enumerate(graph.heads):
        value = found.get(head)
        factors = [size for sizes in value.axes or () for size in sizes] if value else []
        if axis in factors and axis not in map(resolve, value.used):
            sizes = [number_for(size, {axis: np.shape(values[name])[at]}) for size in factors]
            yield number, sizes, factors.index(axis)


@each_name()
def test_kept_axes(name):
    """Another step of an input changes that step alone of the axes that are kept."""
    case = OPS[name]
    symbol = case.build()
    graph = graph_from_json(symbol.tojson())
    if any(node.op.startswith(DRAWN) or node.op == 'Dropout' for node in graph.nodes):
        return
    values = values_of(symbol, case)
    wanted = outputs_of(symbol, values)
    for key, value in values.items():
        for at, size in enumerate(value.shape):
            for number, sizes, place in kept(graph, values, key, at) if size > 1 else ():
                for step in {0, size - 1}:
                    changed, chosen = value.copy(), [slice(None)] * value.ndim
                    chosen[at] = step
                    changed[tuple(chosen)] = value.take(size - 1 - step, at)[..., ::-1] if (
                        value.ndim > 1) else value[size - 1 - step]
                    got = outputs_of(symbol, {**values, key: changed})[number]
                    differ = ~np.isclose(got, wanted[number], 1e-5, 1e-6, equal_nan=True)
                    others = np.delete(differ.reshape(sizes), step, place)
                    assert not others.any(), (key, at, number)


# ---- shapes of inputs



def with_its_loss():
    """A language model of (time, batch) data that picks the chances of its labels."""
    words = S.Embedding(V('data'), input_dim=11, output_dim=4)
    scores = S.FullyConnected(S.Reshape(over(rnn.GRUCell(6, 'g_'), 5, words, layout='TNC'),
                                        shape=(-1, 6)), num_hidden=11)
    return S.MakeLoss(0 - S.pick(S.log_softmax(scores), S.Reshape(V('label'), shape=(-1,))))


def with_lengths():
    """Lengths as Sockeye computes them."""
    lengths = S.sum(S.broadcast_not_equal(V('data'), S.zeros((1,))), axis=1)
    words = S.Embedding(V('data'), input_dim=11, output_dim=4)
    return S.SequenceLast(S.swapaxes(over(rnn.GRUCell(6, 'g_'), 5, words), 0, 1), lengths,
                          use_sequence_length=True)


def read_twice():
    """Two encoders of sequences that are added have one number of steps."""
    return S.elemwise_add(*(over(rnn.GRUCell(6, name), 4, V(name)) for name in 'ab'))


def joined():
    """What each step looks ahead at, as MQ-CNN joins it."""
    past = S.FullyConnected(V('past'), num_hidden=2, flatten=False)
    ahead = S.Reshape(V('data'), shape=(0, 0, -1))
    return S.FullyConnected(S.Concat(past, ahead, dim=2), num_hidden=3, flatten=False)


def observed():
    """DeepVAR's series, of which padding is not observed."""
    seen = S.broadcast_minimum(V('data'), 1 - S.expand_dims(V('pad'), axis=-1))
    return S.FullyConnected(seen, num_hidden=3, flatten=False)


def scaled():
    """WaveNet's scale is a channel, and what the others are multiplied by."""
    scale = S.repeat(S.expand_dims(V('scale'), axis=2), repeats=6, axis=2)
    found = S.Convolution(S.Concat(V('data'), scale, dim=1), num_filter=4, kernel=(1,))
    return S.broadcast_mul(S.sum(found, axis=1), V('scale'))


def in_pairs():
    """Pairs of steps behind a cell: any even number of steps fits, not only 2."""
    scores = S.FullyConnected(S.Reshape(over(rnn.GRUCell(3, 'r_'), 6), shape=(-1, 3)), num_hidden=5)
    return S.mean(S.Reshape(scores, shape=(-4, -1, 2, 0)), axis=1)


def ctc():
    """Lengths that MXNet does not infer: its operator asks for vectors."""
    scores = S.FullyConnected(V('data'), num_hidden=6, flatten=False)
    return S.CTCLoss(scores, V('label'), V('steps'), V('letters'), use_data_lengths=True,
                     use_label_lengths=True)


def beside_a_word(static=True):
    """One word for each sequence, beside numbers if `static`, is told to each step."""
    about = S.Embedding(V('word'), input_dim=6, output_dim=4)
    if static:
        about = S.Concat(about, V('static'), dim=1)
    about = S.expand_dims(S.FullyConnected(about, num_hidden=6), axis=1)
    steps = S.Concat(V('data'), S.broadcast_axis(about, axis=1, size=5), dim=2)
    return over(rnn.FusedRNNCell(3, mode='gru', prefix='r_'), 5, steps)


def with_a_word_alone():
    return beside_a_word(static=False)


def words_in_a_window():
    return S.FullyConnected(S.Embedding(V('data'), input_dim=6, output_dim=4), num_hidden=3)


def pixels_in_blocks():
    return S.depth_to_space(V('data'), block_size=2)


def beside_a_stated_shape():
    """The first input is tried with two axes before the second one tells that it has three."""
    return V('data') * 2 + V('other', shape=(0, 0, 5))


def masked():
    return S.broadcast_lesser(S.Reshape(S.arange(5), shape=(1, -1)),
                              S.Reshape(V('length'), shape=(-1, 1)))


def of_products():
    """A cell whose weights are read by dot."""
    weights, state = [V(name, shape=(6, 6)) for name in ('x_weight', 'h_weight')], V('begin')
    words = S.Embedding(V('data'), input_dim=11, output_dim=6)
    for step in S.split(words, num_outputs=7, axis=1, squeeze_axis=True):
        state = S.tanh(S.dot(step, weights[0]) + S.dot(state, weights[1])) * state
    return state


def with_an_axis_of_one_put_in():
    return S.Convolution(S.reshape(S.swapaxes(V('data'), 1, 2), (0, 1, 4, 9)), kernel=(4, 2),
                         num_filter=3)


def of_a_padded_image():
    image = S.Pad(V('data'), mode='constant', pad_width=(0, 0, 0, 0, 0, 0, 1, 1))
    columns = S.reshape(S.transpose(S.Convolution(
        image, kernel=(8, 3), num_filter=4), axes=(3, 0, 1, 2)), (0, 0, -3))
    return over(rnn.GRUCell(6, 'g_'), 7, columns, layout='TNC')


def one_series():
    return rnn.LSTMCell(3).unroll(5, V('data'))[0][-1]


def widened_by_the_program():
    return S.FullyConnected(S.reshape(V('data'), (0, 0, -1)), num_hidden=5, flatten=False)


def with_a_picked_class():
    """The class was taken to have an axis more, of any size."""
    return S.pick(S.FullyConnected(V('data'), num_hidden=4), V('label'), axis=1)


def behind_differences_and_their_places():
    """Beside (1, 4, 1), data of two axes would do, too."""
    data = S.swapaxes(V('data'), dim1=0, dim2=1)
    steps = S.slice_axis(data, axis=1, begin=1, end=None) - S.slice_axis(
        data, axis=1, begin=0, end=-1)
    steps = S.broadcast_add(steps, S.Reshape(S.arange(4), shape=(1, -1, 1)))
    return rnn.dynamic_unroll(rnn.GRUCell(3, 'g_'), steps, layout='NTC')[0]


INPUTS = [
    (behind_differences_and_their_places, {'data': (5, 2, 6)}, {'data': (5, 'data_1', 6)}),
    (with_a_picked_class, {'data': (2, 3), 'label': (2,)}, {
        'data': ('batch', 3), 'label': ('batch',)}),
    (of_products, {'data': (2, 7), 'begin': (2, 6)}, {
        'data': ('batch', 'time'), 'begin': ('batch', 6)}),
    (with_an_axis_of_one_put_in, {'data': (2, 9, 4)}, {'data': ('batch', 9, 4)}),
    (of_a_padded_image, {'data': (2, 1, 8, 7)}, {'data': ('batch', 1, 8, 'time')}),
    (widened_by_the_program, {'data': (3, 5)}, {'data': ('batch', 'data_1')}),
    (one_series, {'data': (2, 5, 1)}, {'data': ('batch', 'time', 1)}),
    (masked, {'length': (3,)}, {'length': ('batch',)}),
    (beside_a_stated_shape, {'data': (2, 3, 5), 'other': (2, 3, 5)}, {
        'data': ('batch', 'data_1', 5), 'other': ('batch', 'data_1', 5)}),
    (pixels_in_blocks, {'data': (2, 8, 3, 3)}, {'data': ('batch', 'data_1', 'data_2', 'data_3')}),
    *((beside_a_word, {'data': (3, 5, 2), 'word': (3,), 'static': (3, width)}, {
        'data': ('batch', 5, 2), 'word': ('batch',), 'static': ('batch', width)})
      for width in (2, 4)),
    (with_a_word_alone, {'data': (3, 5, 2), 'word': (3,)},
     {'data': ('batch', 5, 2), 'word': ('batch',)}),
    (words_in_a_window, {'data': (3, 5)}, {'data': ('batch', 5)}),
    (ctc, {'data': (5, 3, 4), 'label': (3, 2), 'steps': (3,), 'letters': (3,)}, {
        'data': ('time', 'batch', 4), 'label': ('batch', 'label_1'),
        'steps': ('batch',), 'letters': ('batch',)}),
    (in_pairs, {'data': (2, 6, 4)}, {'data': ('batch', 'time', 4)}),
    (joined, {'past': (3, 5, 2), 'data': (3, 5, 4, 2)}, {
        'past': ('batch', 'past_1', 2), 'data': ('batch', 'past_1', 'data_2', 'data_3')}),
    (observed, {'data': (3, 5, 4), 'pad': (3, 5)},
     {'data': ('batch', 'data_1', 4), 'pad': ('batch', 'data_1')}),
    (scaled, {'data': (3, 4, 6), 'scale': (3, 1)},
     {'data': ('batch', 4, 6), 'scale': ('batch', 1)}),
    (with_its_loss, {'data': (5, 3), 'label': (5, 3)},
     {'data': ('time', 'batch'), 'label': ('time', 'batch')}),
    (with_lengths, {'data': (3, 5)}, {'data': ('batch', 'time')}),
    (read_twice, {'a': (3, 4, 5), 'b': (3, 4, 5)},
     {'a': ('batch', 'time', 5), 'b': ('batch', 'time', 5)})]


@pytest.mark.parametrize('build, shapes, wanted', INPUTS)
def test_inputs(build, shapes, wanted):
    model = random_model(build(), shapes)
    assert found_shapes(structure(model.graph).graph, {
        name: array.shape for name, array in model.arg_params.items()}, {}, list(shapes)
        ).shapes == wanted


@pytest.mark.parametrize('shape, wanted', [
    (('batch', 'time', 5), 'axis 1 of data must be 20, got the name time'),
    (('batch', 20, 7), 'axis 2 of data must be 5, got 7')])
def test_a_size_that_the_graph_states_is_said_to_be_stated(shape, wanted):
    scores = S.FullyConnected(V('data', shape=(0, 20, 5)), num_hidden=3, flatten=False, name='fc')
    with pytest.raises(interop.ExportError, match=wanted + (
            r'.*: the graph states the shape \(0, 20, 5\) of data')):
        prepare(random_model(scores, {'data': (2, 20, 5)}), {'data': shape})


def test_a_typed_1_is_taken_where_it_is_repeated():
    """It was refused beside an input whose number of steps the graph ties."""
    first = S.split(V('data'), num_outputs=4, axis=1, squeeze_axis=True)[0]
    model = random_model(S.broadcast_sub(V('y'), S.FullyConnected(first, num_hidden=3)), {
        'data': (2, 4, 5), 'y': (2, 1)})
    assert prepare(model, {'y': ('batch', 1)}).shapes == {
        'y': ('batch', 1), 'data': ('batch', 4, 5)}
    with pytest.raises(interop.ExportError, match='axis 1 of y must be 3, got 2'):
        prepare(model, {'y': ('batch', 2)})


def documents():
    """Sentences of four words, documents of three sentences."""
    words = S.Embedding(S.Reshape(V('data'), shape=(-1, 4)), input_dim=9, output_dim=3)
    last = S.slice_axis(over(rnn.GRUCell(5, 'w_'), 4, words), axis=1, begin=-1, end=None)
    return over(rnn.GRUCell(5, 's_'), 3, S.Reshape(last, shape=(-1, 3, 5)))


def words_and_letters():
    """Words of four letters, of which windows of two are read."""
    letters = S.Embedding(V('letters'), input_dim=9, output_dim=2)
    words = S.Convolution(S.Reshape(letters, shape=(-1, 1, 4, 2)), kernel=(4, 2), num_filter=3)
    tags = S.Embedding(V('tags'), input_dim=9, output_dim=2)
    return over(rnn.GRUCell(5), 6, S.Concat(tags, S.Reshape(words, shape=(-1, 6, 3)), dim=2))


@pytest.mark.parametrize('build, shapes, typed, said, wanted', [
    (documents, {'data': (2, 3, 4)}, {}, 'data with 1 or more axes', ['data=batch,3,4']),
    (documents, {'data': (2, 3, 4)}, {'data': ('batch', 'n', 4)},
     'axis 1 of data cannot be any size', ['data=batch,3,4']),
    (words_and_letters, {'letters': (2, 6, 4), 'tags': (2, 6)}, {},
     'letters may have 2 or 3 axes', ['letters=batch,24', 'letters=batch,6,4'])])
def test_a_question_prints_what_can_be_typed(build, shapes, typed, said, wanted):
    model = random_model(build(), shapes)
    with pytest.raises(interop.ExportError, match=said) as asked:
        prepare(model, typed)
    options = re.findall(r'--input (\S+)', str(asked.value))
    assert options == wanted and '…' not in str(asked.value)
    for option in options:
        prepare(model, typed_shapes([option]))


def test_axes_of_two_numbers_have_two_names():
    with pytest.raises(ValueError, match='axes of 12 and 9 steps names of their own, got time'):
        without_number({'source': ('batch', 'time:12'), 'target': ('batch', 'time:9', 5)})


@pytest.mark.parametrize('shapes', [{}, {'lengths': (2,)}], ids=['whole', 'lengths'])
def test_a_direction_that_goes_back_cannot_be_stepped(shapes):
    cell = rnn.BidirectionalCell(rnn.LSTMCell(4, 'a_'), rnn.GRUCell(3, 'b_'))
    model = random_model(over(cell, 3, valid_length=V('lengths') if shapes else None),
                         {'data': (2, 3, 5), **shapes})
    with pytest.raises(interop.ExportError, match='b_ cannot be stepped: it reads sequences back'):
        prepare(model, states=True)


def test_shapes_are_found_without_the_package_onnx(tmp_path, monkeypatch):
    pytest.importorskip('torch')
    model = random_model(over(rnn.LSTMCell(3), 5,
                              S.Embedding(V('data'), input_dim=7, output_dim=4)), {'data': (2, 5)})
    monkeypatch.setitem(sys.modules, 'onnx', None)
    for name in [each for each in sys.modules if each.startswith('mxrnn.interop._onnx')]:
        monkeypatch.delitem(sys.modules, name)
    interop.to_torch(model, inputs={'data': ('batch', 'time:5')})
    interop.to_source(model, tmp_path / 'a.py', states=True)


def test_operators_of_programs():
    """Their shapes are told by the program, or are not known."""
    def build(op):
        scores = S.FullyConnected(S.identity(V('data'), name='own'), num_hidden=3, flatten=False)
        graph = graph_from_json(scores.tojson())
        return graph._replace(nodes=tuple(node._replace(op=op) if node.name == 'own' else node
                                          for node in graph.nodes))
    params = {'fullyconnected0_weight': (3, 8), 'fullyconnected0_bias': (3,)}
    interop.register('_own_halves', lambda node: lambda x: x, shape=lambda node, data: (
        *data[:-1], 8))
    try:
        with mx.name.NameManager():
            graph = build('_own_halves')
        table = infer(graph, {'data': ('batch', 4, 5)})
        batch, *others = table.axes[graph.heads[0]]
        assert [size.label for size in axes_in(product(batch))] == ['batch'] and [
            product(axis) for axis in others] == [4, 3] and not table.faults
    finally:
        del TORCH['_own_halves'], RULES['_own_halves']
    with mx.name.NameManager(), pytest.raises(ShapesError, match='a shape rule in mxrnn read data'):
        found_shapes(build('_own_halves'), params, {}, ['data'])


def test_the_same_axes_give_the_same_answer():
    """Axes that are given stay as they are."""
    data = S.FullyConnected(V('data'), num_hidden=3, name='fc')
    graph = graph_from_json(data.tojson())
    axes = [Axis(free=True), Axis(free=True)]
    answers = [[product(axis) for axis in infer(graph, {
        'data': axes, 'fc_weight': (3, width)}).axes[Entry(0, 0)]][1] for width in (4, 5, 4)]
    assert answers == [4, 5, 4] and axes[0].bound is axes[1].bound is None and not axes[0].hint


@pytest.mark.parametrize(('axes', 'message'), [
    ((0, 1), 'its inputs must have the same number of axes, but one has 2, other has 1'),
    ((1, 1), 'its axis 1 has to be among the axes, but other has 1')])
def test_a_join_says_which_input_has_how_many_axes(axes, message):
    data = S.FullyConnected(V('data'), num_hidden=3)
    parts = [S.sum(data, axis=at, keepdims=not at, name=name)
             for at, name in zip(axes, ('one', 'other'))]
    graph = graph_from_json(S.Concat(*parts, name='joined').tojson())
    fault, = infer(graph, {}).faults
    assert str(fault) == 'node joined (Concat): ' + message


def test_a_norm_along_an_axis_that_is_not_there_is_refused():
    norm = mx.sym.LayerNorm(mx.sym.Variable('data'), axis=2, name='norm')
    fault, = infer(graph_from_json(norm.tojson()), {'data': (2, 3), 'norm_gamma': (3,)}).faults
    assert str(fault).startswith('node norm (LayerNorm): its axis 2 has to be among the axes')


# ---- inputs that are read alike

@pytest.mark.parametrize('rolled', [False, True])
def test_inputs_that_are_read_alike_are_searched_together(monkeypatch, rolled):
    """A graph with an input for each step takes no more searches if it has more steps."""
    calls = []
    monkeypatch.setattr(missing_shapes, 'infer', lambda graph, *given, **options: calls.append(
        graph) or infer(graph, *given, **options))

    def searches(steps):
        graph = graph_from_json(characters_of_2015(steps, layers=2).tojson())
        graph = structure(graph).graph if rolled else graph
        params = {'embed_weight': (WORDS, WIDTH), 'cls_weight': (WORDS, UNITS), **{
            'l%d_%s_weight' % (layer, part): (4 * UNITS, WIDTH if part + str(layer) == 'i2h0' else (
                UNITS)) for layer in (0, 1) for part in ('i2h', 'h2h')}}
        missing = [name for name in graph.needed_variables()
                   if not name.endswith(('weight', 'bias'))]
        calls.clear()
        assert found_shapes(graph, params, {}, missing).shapes == {
            name: ('batch',) if name.startswith('data') else ('batch', UNITS) for name in missing}
        return len(calls)
    assert searches(12) == searches(24)


def test_inputs_that_are_read_alike_up_to_a_node_may_have_other_axes():
    """Two texts with one table of words, of which one has a word for each row."""
    weight = V('weight')
    text, word = (S.Embedding(V(name), weight, input_dim=7, output_dim=4)
                  for name in ('text', 'word'))
    text = rnn.LSTMCell(4).unroll(3, text)[0][-1]
    graph = graph_from_json((text + S.tanh(word)).tojson())
    params = {'weight': (7, 4), 'lstm_i2h_weight': (16, 4), 'lstm_h2h_weight': (16, 4)}
    for each in (graph, structure(graph).graph):
        shapes = found_shapes(each, params, {}, ['text', 'word']).shapes
        assert {name: len(shape) for name, shape in shapes.items()} == {'text': 2, 'word': 1}


def test_a_survey_leaves_the_axes_that_it_is_given_as_they_are():
    """It noted in them which numbers the graph makes of them."""
    time = Axis(label='time')
    pooled = S.Pooling(V('data'), kernel=(4,), stride=(4,), pool_type='max')
    graph = graph_from_json(S.FullyConnected(pooled, num_hidden=2, no_bias=True).tojson())
    weights = {name: np.zeros((2, 9), 'f') for name in graph.arguments if name != 'data'}
    facts = survey(graph, weights, {'data': (2, 3, time)}, {})
    assert facts.arrays[Entry(0, 0)].shape[2] is time and time.believed == ()
