"""Small networks as programs of mx.rnn build them, for the way out without an option."""
from __future__ import annotations

import functools
import json
import re
from typing import Any, Callable, NamedTuple

from .. import mx, rnn, running
from .encoders import UNITS, WIDTH, WORDS, Weights, words
from .encoders import sockeye as graph_of_sockeye
from .models import S, V

stack = functools.partial(running.stack, rnn)


class Program(NamedTuple):
    """A network and the data that it is trained on.

    Attributes
    ----------
    build : callable
        Gives the Symbol.
    shapes : dict
        Of data and labels, with 'batch' and 'time' for sizes that may change.
    wanted, rolled : dict
        Shapes of the inputs that the ONNX file gets without an option, with cells as they were
        unrolled and rolled up. For `UNTOLD` they have to be given.
    """

    build: Callable[[], Any]
    shapes: dict[str, tuple[int | str, ...]]
    wanted: dict[str, tuple[int | str, ...]]
    rolled: dict[str, tuple[int | str, ...]]


PROGRAMS = {}
#: Those whose graphs take inputs of other numbers of axes, too: `wanted` has to be given.
ASKED = {}
#: Those whose graphs tell only the sum of two widths.
UNTOLD = 'tree_of_cells', 'noise_at_every_step', 'columns_before_rows'
#: Those with an input for each step, which exports make one: tests/interop/test_one_input.py.
EACH_STEP = 'an_input_for_each_step', 'an_input_and_a_label_for_each_step'
TIME = 7
TOKENS = {'data': ('batch', TIME)}
FEATURES = {'data': ('batch', TIME, 4)}


def program(wanted, rolled=None, entries=PROGRAMS, **shapes):
    """Enter a function that builds a network; `shapes` are of labels, and of data where `wanted`
    leaves an axis open that is none of batch or time. Rolled up, TIME is any number unless
    something ties it."""
    def enter(build):
        entries[build.__name__] = Program(build, {**wanted, **shapes}, wanted, {
            **{name: tuple('time' if size == 7 else size for size in shape)
               for name, shape in wanted.items()}, **(rolled or {})})
        return build
    return enter


def lstm_of_gates(gates, memory):
    """Memory and state of an LSTM of before mx.rnn, from the sum that holds its gates."""
    enter, change, forget, show = S.SliceChannel(gates, num_outputs=4)
    memory = S.Activation(forget, act_type='sigmoid') * memory + S.Activation(
        enter, act_type='sigmoid') * S.Activation(change, act_type='tanh')
    return memory, S.Activation(show, act_type='sigmoid') * S.Activation(memory, act_type='tanh')


def softmax(outputs, label=None):
    """The scores of each step and their loss, as in the examples of mx.rnn."""
    flat = S.Reshape(outputs, shape=(-1, UNITS))
    scores = S.FullyConnected(flat, num_hidden=WORDS, name='pred')
    label = V('softmax_label') if label is None else label
    return S.SoftmaxOutput(scores, S.Reshape(label, shape=(-1,)), name='softmax')


def answer(values, classes=2, name='fc'):
    """The class of a sequence."""
    return S.SoftmaxOutput(S.FullyConnected(values, num_hidden=classes, name=name), name='softmax')


def words_of_steps(scores, name='softmax'):
    """The loss of scores whose rows are those of the first step, then of the second one."""
    label = S.Reshape(S.transpose(V('softmax_label')), shape=(-1,))
    return S.SoftmaxOutput(scores, label, name=name)


# ---- language models

def over(cell, data=None, **options):
    """The outputs of a cell over all steps."""
    options = {'length': TIME, 'merge_outputs': True, **options}
    return cell.unroll(inputs=words() if data is None else data, **options)[0]


def lstms(*prefixes):
    return stack(*[rnn.LSTMCell(UNITS, prefix) for prefix in prefixes])


def fused_lstms(**options):
    return rnn.FusedRNNCell(UNITS, 2, 'lstm', prefix='lstm_', **options)


#: Axes of the data: of so many steps, and of any.
OWN, ANY = ('batch', TIME), ('batch', 'time')
#: Programs of one recurrence: what it gives, and the axes of words and labels.
LANGUAGE_MODELS = {
    'lstm_bucketing': (lambda: over(lstms('lstm_l0_', 'lstm_l1_')), OWN),
    'gru_bucketing': (lambda: over(stack(rnn.GRUCell(UNITS, 'gru_l0_'), rnn.DropoutCell(.3),
                                         rnn.GRUCell(UNITS, 'gru_l1_'))), OWN),
    'rnn_relu_bucketing': (lambda: over(rnn.RNNCell(UNITS, activation='relu')), OWN),
    'cudnn_lstm_bucketing': (lambda: over(fused_lstms()), ANY),
    'cudnn_lstm_time_major': (lambda: over(fused_lstms(), layout='TNC'), ('time', 'batch')),
    'lstm_time_major': (lambda: over(rnn.LSTMCell(UNITS), layout='TNC'), (TIME, 'batch')),
    'begin_states_of_a_fixed_batch': (lambda: over(
        rnn.GRUCell(UNITS), begin_state=[S.zeros((3, UNITS))]), (3, TIME)),
    'zoneout_and_variational_dropout': (lambda: over(stack(
        rnn.ZoneoutCell(rnn.LSTMCell(UNITS, 'a_'), .2, .1), rnn.DropoutCell(.4),
        rnn.ResidualCell(rnn.GRUCell(UNITS, 'b_')))), OWN),
    'fused_by_mxrnn': (lambda: over(rnn.fuse(lstms('a_', 'b_')), length=None), ANY),
    'dynamic': (lambda: rnn.dynamic_unroll(rnn.GRUCell(UNITS), words(), layout='NTC')[0], ANY),
    'tagger_of_stacked_directions': (lambda: over(stack(*[rnn.BidirectionalCell(*[
        rnn.GRUCell(UNITS // 2, '%s%d_' % (way, i)) for way in 'lr']) for i in range(2)])), OWN),
    'characters_by_their_numbers': (lambda: over(
        rnn.LSTMCell(UNITS), S.one_hot(V('data'), depth=26)), OWN)}


def _enter():
    for name, (made, axes) in LANGUAGE_MODELS.items():
        def build(made=made):
            return softmax(made())
        build.__name__ = name
        program({'data': axes}, softmax_label=axes)(build)


_enter()


@program(TOKENS, softmax_label=('batch', TIME))
def lists_joined_by_hand():
    outputs, _ = rnn.LSTMCell(UNITS).unroll(TIME, words(), merge_outputs=False)
    return words_of_steps(S.FullyConnected(S.Concat(*outputs, dim=0), num_hidden=WORDS,
                                           name='pred'))


@program(TOKENS, softmax_label=('batch', TIME))
def predictions_and_states():
    outputs, states = rnn.LSTMCell(UNITS).unroll(TIME, words(), merge_outputs=True)
    return S.Group([softmax(outputs), *map(S.BlockGrad, states)])


@program({**TOKENS, 'l0_init_c': ('batch', UNITS), 'l0_init_h': ('batch', UNITS)},
         softmax_label=('batch', TIME))
def begin_states_that_are_variables():
    return softmax(over(rnn.LSTMCell(UNITS), begin_state=[V('l0_init_h'), V('l0_init_c')]))


@program({'data': ('batch', 1), 'l0_c': ('batch', UNITS), 'l0_h': ('batch', UNITS)},
         softmax_label=('batch',))
def one_step_for_inference():
    output, states = rnn.LSTMCell(UNITS)(S.Reshape(words(), shape=(0, -1)), [V('l0_h'), V('l0_c')])
    scores = S.FullyConnected(output, num_hidden=WORDS, name='pred')
    return S.Group([S.SoftmaxOutput(scores, name='softmax'), *states])


@program(TOKENS, softmax_label=('batch', TIME))
def tied_weights():
    weight = V('embed_weight')
    data = S.Embedding(V('data'), weight=weight, input_dim=WORDS, output_dim=UNITS, name='embed')
    outputs = over(rnn.LSTMCell(UNITS), data)
    scores = S.FullyConnected(S.Reshape(outputs, shape=(-1, UNITS)), weight=weight,
                              num_hidden=WORDS, name='pred')
    return S.SoftmaxOutput(scores, S.Reshape(V('softmax_label'), shape=(-1,)), name='softmax')


@program({'data': ('batch', 'time'), 'lengths': ('batch',)}, softmax_label=('batch', 'time'))
def fused_with_lengths():
    return softmax(over(rnn.fuse(rnn.GRUCell(UNITS)), length=None, valid_length=V('lengths')))


@program({**TOKENS, 'softmax_label': ('batch', TIME)})
def perplexity_by_hand():
    outputs = over(rnn.LSTMCell(UNITS))
    scores = S.FullyConnected(S.Reshape(outputs, shape=(-1, UNITS)), num_hidden=WORDS)
    label = S.Reshape(V('softmax_label'), shape=(-1,))
    loss = -S.pick(S.log_softmax(scores), label)
    return S.Group([S.BlockGrad(S.softmax(scores), name='chances'), S.MakeLoss(loss, name='loss')])


# ---- one answer for a sequence

@program(TOKENS, softmax_label=('batch',))
def sentiment_of_the_last_step():
    outputs, _ = rnn.LSTMCell(UNITS).unroll(TIME, words())
    return answer(outputs[-1])


@program(TOKENS, softmax_label=('batch',))
def bidirectional():
    cell = rnn.BidirectionalCell(rnn.LSTMCell(UNITS, 'l_'), rnn.LSTMCell(UNITS, 'r_'))
    outputs, states = cell.unroll(TIME, words(), merge_outputs=True)
    both = S.Concat(states[0][0], states[1][0], dim=1) if isinstance(
        states[0], list) else S.Concat(states[0], states[2], dim=1)
    return answer(both)


@program({'data': ('batch', TIME), 'mask': ('batch', TIME)}, softmax_label=('batch',))
def mask_as_an_input():
    outputs = over(rnn.LSTMCell(UNITS))
    masked = S.broadcast_mul(outputs, S.expand_dims(V('mask'), axis=2))
    return answer(S.sum(masked, axis=1))


# ---- numbers over time

@program(FEATURES, label=('batch', 1))
def regression():
    outputs, _ = rnn.LSTMCell(UNITS).unroll(TIME, V('data'), layout='NTC')
    return S.LinearRegressionOutput(S.FullyConnected(outputs[-1], num_hidden=1), V('label'))


@program({'t%d_data' % i: ('batch', 4) for i in range(TIME)}, label=('batch', 1))
def an_input_for_each_step():
    outputs, _ = rnn.RNNCell(UNITS).unroll(TIME, [V('t%d_data' % i) for i in range(TIME)])
    return S.LinearRegressionOutput(S.FullyConnected(outputs[-1], num_hidden=1), V('label'))


@program({'data': ('batch', TIME, 4)}, label=('batch', 4))
def norms_inside():
    data = S.LayerNorm(V('data'), name='norm')
    outputs, _ = rnn.LSTMCell(UNITS).unroll(TIME, data)
    hidden = S.Activation(S.BatchNorm(S.FullyConnected(outputs[-1], num_hidden=8), name='bn'),
                          act_type='relu')
    return S.LogisticRegressionOutput(S.FullyConnected(hidden, num_hidden=4), V('label'))


@program({'data': ('batch', 24, 4)}, label=('batch', 4))
def lstnet():
    """Convolution, GRU, skips, and an autoregression, as in the example of time series."""
    data = V('data')
    image = S.Reshape(data, shape=(0, 1, 24, 4))
    padded = S.Pad(image, mode='constant', constant_value=0, pad_width=(0, 0, 0, 0, 5, 0, 0, 0))
    conv = S.Activation(S.Convolution(padded, kernel=(6, 4), num_filter=UNITS), act_type='relu')
    conv = S.Dropout(S.reshape(S.transpose(conv, axes=(0, 2, 1, 3)), shape=(0, 0, 0)), p=.2)
    outputs, _ = rnn.GRUCell(UNITS, prefix='gru_').unroll(24, conv, merge_outputs=False)
    skipped, _ = rnn.GRUCell(UNITS, prefix='skip_').unroll(24, conv, merge_outputs=False)
    joined = S.Concat(outputs[-1], skipped[-1], skipped[-7], dim=1)
    series = S.split(data, num_outputs=4, axis=2)
    linear = S.Concat(*(S.FullyConnected(S.slice_axis(each, axis=1, begin=16, end=24),
                                         num_hidden=1) for each in series), dim=1)
    return S.LinearRegressionOutput(S.FullyConnected(joined, num_hidden=4) + linear, V('label'))


# ---- encoders and decoders, attention

@program({'source': ('batch', TIME), 'target': ('batch', 5)},
         rolled={'source': ('batch', 'source_time'), 'target': ('batch', 'target_time')},
         softmax_label=('batch', 5))
def encoder_and_decoder():
    _, states = rnn.LSTMCell(UNITS, 'encoder_').unroll(TIME, words('source'))
    outputs, _ = rnn.LSTMCell(UNITS, 'decoder_').unroll(5, words('target'), begin_state=states,
                                                        merge_outputs=True)
    return softmax(outputs)


@program({'source': ('batch', 'source_time'), 'target': ('batch', 'target_time')},
         softmax_label=('batch', 'target_time'))
def fused_encoder_and_decoder():
    encoder = rnn.FusedRNNCell(UNITS, 1, 'lstm', get_next_state=True, prefix='encoder_')
    _, states = encoder.unroll(TIME, words('source'), merge_outputs=True)
    decoder = rnn.FusedRNNCell(UNITS, 1, 'lstm', prefix='decoder_')
    outputs, _ = decoder.unroll(TIME, words('target'), begin_state=states, merge_outputs=True)
    return softmax(outputs)


@program(TOKENS, softmax_label=('batch',))
def attention_over_the_steps():
    outputs = over(rnn.GRUCell(UNITS))
    scores = S.FullyConnected(S.Activation(S.FullyConnected(outputs, num_hidden=4, flatten=False),
                                           act_type='tanh'), num_hidden=1, flatten=False)
    weights = S.softmax(scores, axis=1)
    context = S.sum(S.broadcast_mul(outputs, weights), axis=1)
    return answer(context, 2, None)


@program({'source': ('batch', TIME), 'target': ('batch', 5)},
         rolled={'source': ('batch', 'source_time'), 'target': ('batch', 'target_time')},
         softmax_label=('batch', 5))
def attention_with_input_feeding():
    encoded, states = rnn.GRUCell(UNITS, 'encoder_').unroll(TIME, words('source'),
                                                            merge_outputs=True)
    cell, outputs = rnn.GRUCell(UNITS, 'decoder_'), []
    steps = S.split(words('target'), num_outputs=5, axis=1, squeeze_axis=True)
    query = V('query_weight')
    for i in range(5):
        asked = S.FullyConnected(states[0], weight=query, no_bias=True, num_hidden=UNITS)
        scores = S.batch_dot(encoded, S.expand_dims(asked, axis=2))
        context = S.Reshape(S.batch_dot(S.softmax(scores, axis=1), encoded, transpose_a=True),
                            shape=(0, -1))
        output, states = cell(S.Concat(steps[i], context, dim=1), states)
        outputs.append(S.expand_dims(output, axis=1))
    return softmax(S.Concat(*outputs, dim=1))


@program({'question': ('batch', TIME), 'answer': ('batch', 5)},
         rolled={'question': ('batch', 'question_time'), 'answer': ('batch', 'answer_time')},
         label=('batch', 1))
def two_sequences_compared():
    cell, data = rnn.LSTMCell(UNITS, 'shared_'), []
    weight = V('embed_weight')
    for name, time in (('question', TIME), ('answer', 5)):
        embed = S.Embedding(V(name), weight=weight, input_dim=WORDS, output_dim=WIDTH)
        cell.reset()
        data.append(cell.unroll(time, embed)[0][-1])
    match = S.sum(data[0] * data[1], axis=1, keepdims=True)
    return S.LogisticRegressionOutput(match, V('label'))


@program({'memory': ('batch', 'memory_time', 'memory_2'), 'question': ('batch', 'question_time')},
         softmax_label=('batch',))
def memory_network():
    tables, facts = [V('table%d_weight' % i) for i in range(2)], V('memory')
    memory, output = (S.sum(S.Embedding(facts, weight=each, input_dim=WORDS,
                                        output_dim=WIDTH), axis=2) for each in tables)
    question = S.sum(S.Embedding(V('question'), weight=tables[0], input_dim=WORDS,
                                 output_dim=WIDTH), axis=1)
    chances = S.softmax(S.Reshape(S.batch_dot(memory, S.expand_dims(question, axis=2)),
                                  shape=(0, -1)))
    found = S.Reshape(S.batch_dot(S.expand_dims(chances, axis=1), output), shape=(0, -1))
    return answer(found + question, WORDS, None)


# ---- speech and images


@program({'data': ('batch', 1, 'data_2', 'data_3')}, data=('batch', 1, 8, 20), label=('batch', 4))
def text_of_images():
    """Convolutions, columns as steps, both directions: a CRNN."""
    image = V('data')
    for i, filters in enumerate((4, 8)):
        image = S.Activation(S.Convolution(image, kernel=(3, 3), pad=(1, 1), num_filter=filters,
                                           name='conv%d' % i), act_type='relu')
        image = S.Pooling(image, kernel=(2, 2), stride=(2, 2), pool_type='max')
    columns = S.Reshape(S.transpose(image, axes=(3, 0, 1, 2)), shape=(0, 0, -1))
    cell = rnn.FusedRNNCell(UNITS, 1, 'lstm', bidirectional=True, prefix='lstm_')
    outputs, _ = cell.unroll(5, columns, layout='TNC', merge_outputs=True)
    scores = S.FullyConnected(outputs, num_hidden=WORDS, flatten=False, name='scores')
    return S.Group([S.BlockGrad(S.softmax(scores), name='chances'),
                    S.MakeLoss(S.ctc_loss(scores, V('label')), name='ctc')])


@program({'data': ('batch', TIME, 2, 6, 5)}, label=('batch', 8, 6, 5))
def conv_lstm():
    cell = rnn.ConvLSTMCell((1, 2, 6, 5), 8)
    outputs, _ = cell.unroll(TIME, V('data') / 255)
    return S.LinearRegressionOutput(outputs[-1], V('label'))


@program({'data': ('batch', TIME, 20)}, rolled={'data': ('batch', 7, 20)}, softmax_label=('batch',))
def text_cnn_and_rnn():
    data = V('data')
    embed = S.expand_dims(data, axis=1)
    parts = []
    for size in (2, 3):
        conv = S.Convolution(embed, kernel=(size, 20), num_filter=4, name='conv%d' % size)
        pool = S.Pooling(conv, kernel=(TIME - size + 1, 1), pool_type='max', stride=(1, 1))
        parts.append(S.Flatten(pool))
    outputs, _ = rnn.LSTMCell(UNITS).unroll(TIME, data)
    return answer(S.Concat(*parts, outputs[-1], dim=1), name=None)


@program({'image': ('batch', 20), 'data': ('batch', TIME)}, softmax_label=('batch', TIME))
def caption_of_an_image():
    first = S.FullyConnected(V('image'), num_hidden=UNITS, name='image_embed')
    return softmax(over(rnn.LSTMCell(UNITS), begin_state=[first, S.zeros_like(first)]))


# ---- characters, trees, other forms

@program({'chars': ('batch', 5, 4), 'data': ('batch', 5)},
         rolled={'chars': ('batch', 5, 'time')}, chars=('batch', 5, 4),
         softmax_label=('batch', 5))
def characters_and_words():
    chars = S.Reshape(S.Embedding(V('chars'), input_dim=30, output_dim=3, name='char_embed'),
                      shape=(-3, 0, 0))
    _, states = rnn.LSTMCell(4, 'char_').unroll(4, chars)
    spelled = S.Reshape(states[0], shape=(-4, -1, 5, 0))
    cell = rnn.LSTMCell(UNITS, 'word_')
    return softmax(cell.unroll(5, S.Concat(words(), spelled, dim=2), merge_outputs=True)[0])


@program({'leaf%d' % i: ('batch', 4) for i in range(4)}, softmax_label=('batch',))
def tree_of_cells():
    weights = V('tree_weight'), V('tree_bias')
    level = [V('leaf%d' % i) for i in range(4)]
    while len(level) > 1:
        level = [S.Activation(S.FullyConnected(S.Concat(one, other, dim=1), *weights,
                                               num_hidden=4), act_type='tanh')
                 for one, other in zip(level[::2], level[1::2])]
    return answer(level[0], 2, None)


@program(TOKENS, softmax_label=('batch', TIME), other_label=('batch', 1))
def two_losses():
    outputs = over(rnn.LSTMCell(UNITS))
    main = softmax(outputs)
    other = S.LogisticRegressionOutput(S.FullyConnected(S.mean(outputs, axis=1), num_hidden=1),
                                       V('other_label'))
    return S.Group([main, other])


@program({'data': ('batch', TIME), 'lengths': ('batch',)}, softmax_label=('batch',))
def last_of_each_by_its_length():
    outputs = over(rnn.LSTMCell(UNITS))
    last = S.SequenceLast(S.swapaxes(outputs, dim1=0, dim2=1), V('lengths'),
                          use_sequence_length=True)
    return answer(last, 2, None)


@program(TOKENS, softmax_label=('batch', TIME))
def handwritten_cell():
    """LSTM of before mx.rnn: its gates are cut by SliceChannel from one sum."""
    weights = {name: V('l0_' + name) for name in ('i2h_weight', 'i2h_bias', 'h2h_weight',
                                                  'h2h_bias')}
    steps = S.SliceChannel(words(), num_outputs=TIME, squeeze_axis=1)
    hidden = memory = S.zeros((0, UNITS))
    outputs = []
    for i in range(TIME):
        gates = S.FullyConnected(steps[i], weights['i2h_weight'], weights['i2h_bias'],
                                 num_hidden=UNITS * 4) + S.FullyConnected(
            hidden, weights['h2h_weight'], weights['h2h_bias'], num_hidden=UNITS * 4)
        memory, hidden = lstm_of_gates(gates, memory)
        outputs.append(hidden)
    return words_of_steps(S.FullyConnected(S.Concat(*outputs, dim=0), num_hidden=WORDS,
                                           name='pred'))


@program({'data': ('batch', TIME), 'user': ('batch', 'time')},
         rolled={'data': ('batch', 'data_time'), 'user': ('batch', 'user_time')},
         label=('batch', 1))
def recommender():
    outputs, _ = rnn.GRUCell(UNITS).unroll(TIME, words())
    user = S.Embedding(V('user'), input_dim=9, output_dim=UNITS, name='user_embed')
    both = outputs[-1] * S.sum(user, axis=1)
    return S.LinearRegressionOutput(S.sum(both, axis=1, keepdims=True), V('label'))


@program({'data': ('batch', TIME, 4)}, {'data': ('batch', 7, 4)}, label=('batch', TIME, 4))
def autoencoder():
    _, states = rnn.GRUCell(UNITS, 'encoder_').unroll(TIME, V('data'))
    repeated = [states[0]] * TIME
    outputs, _ = rnn.GRUCell(UNITS, 'decoder_').unroll(TIME, repeated, merge_outputs=True)
    scores = S.FullyConnected(outputs, num_hidden=4, flatten=False)
    return S.LinearRegressionOutput(scores, V('label'))


@program({'data': ('batch', TIME, 4), 'noise': ('batch', 3)}, {'data': ('batch', 7, 4)},
         label=('batch', TIME, 4))
def noise_at_every_step():
    noise = S.broadcast_axis(S.expand_dims(V('noise'), axis=1), axis=1, size=TIME)
    cell = rnn.LSTMCell(UNITS)
    outputs, _ = cell.unroll(TIME, S.Concat(V('data'), noise, dim=2), merge_outputs=True)
    return S.LinearRegressionOutput(S.FullyConnected(outputs, num_hidden=4, flatten=False),
                                    V('label'))


@program({**FEATURES, 'begin_h': ('batch', UNITS)}, label=('batch', 3))
def gates_of_joined_inputs():
    """A GRU by hand: the weights' columns are those of the data and of the state."""
    weights = {key: V(key) for key in ('gates_weight', 'gates_bias', 'new_weight', 'new_bias')}

    def dense(name, count, *parts):
        return S.FullyConnected(S.Concat(*parts, dim=1), weights[name + '_weight'],
                                weights[name + '_bias'], num_hidden=count)
    state = V('begin_h', shape=(3, UNITS))
    for step in S.SliceChannel(V('data'), num_outputs=TIME, axis=1, squeeze_axis=True):
        gates = S.Activation(dense('gates', 2 * UNITS, step, state), act_type='sigmoid')
        reset, update = S.SliceChannel(gates, num_outputs=2, axis=1)
        new = S.Activation(dense('new', UNITS, step, reset * state), act_type='tanh')
        state = update * state + (1 - update) * new
    return S.LinearRegressionOutput(S.FullyConnected(state, num_hidden=3, name='out'), V('label'))


# ---- published models, as their programs built them from 2015 on

def _lstm_of_2015(weights, name, step, memory, hidden, units=UNITS):
    return lstm_of_gates(weights.dense(step, name + '_i2h', 4 * units) + weights.dense(
        hidden, name + '_h2h', 4 * units), memory)


def _over(weights, name, steps, units=UNITS):
    """The LSTM over steps, its begin states being inputs."""
    memory, hidden, found = weights[name + '_init_c'], weights[name + '_init_h'], []
    for step in steps:
        memory, hidden = _lstm_of_2015(weights, name, step, memory, hidden, units)
        found.append(hidden)
    return found


def _inits(*names, units=UNITS):
    return {'%s_init_%s' % (name, state): ('batch', units) for name in names for state in 'ch'}


def _features_of_images(image, height):
    """Convolutions that leave one row of a quarter of the columns."""
    for i, pool in enumerate(((2, 2), (2, 2), (height // 4, 1))):
        image = S.Convolution(image, kernel=(3, 3), pad=(1, 1), num_filter=4 + i, name='conv%d' % i)
        image = S.Activation(S.BatchNorm(image, name='norm%d' % i), act_type='relu')
        image = S.Pooling(image, pool_type='max', kernel=pool, stride=pool)
    return image


COLUMNS = 4 * TIME
#: Programs whose images may have any number of columns once their steps are rolled up.
WIDER = ('crnn_of_three_axes', 'deep_speech_by_hand', 'keyword_spotting', 'columns_joined_again')


@program({'data': ('batch', 3, 'data_2', 'data_3')}, data=('batch', 3, 8, COLUMNS),
         label=('batch', 4))
def crnn_of_three_axes():
    """Each step is cut from (batch, channels, columns)."""
    image = _features_of_images(V('data'), 8)
    columns = S.Reshape(image, shape=(0, -3, -2))
    columns = S.SliceChannel(columns, axis=2, num_outputs=TIME, squeeze_axis=1)
    cell = stack(*(rnn.BidirectionalCell(rnn.LSTMCell(UNITS, prefix='f%d_' % i),
                                         rnn.LSTMCell(UNITS, prefix='b%d_' % i)) for i in range(2)))
    outputs, _ = cell.unroll(TIME, list(columns), merge_outputs=False)
    scores = S.FullyConnected(S.concat(*outputs, dim=0), num_hidden=WORDS, name='pred')
    scores = S.Reshape(scores, shape=(-4, TIME, -1, 0))
    loss = S.contrib.ctc_loss(data=scores, label=V('label'))
    return S.Group([S.BlockGrad(S.softmax(scores, axis=2)), S.MakeLoss(loss)])


@program({'data': ('batch', 'data_1', 'data_2'), 'forward_init_h': ('batch', UNITS),
          'back_init_h': ('batch', UNITS)}, data=('batch', 2 * TIME, 9), label=('batch', 4))
def deep_speech_by_hand():
    """Convolution over time and frequencies, GRUs in both directions, norms, CTC."""
    weights = Weights()
    image = S.Reshape(weights['data'], shape=(-4, -1, 1, -2))
    image = S.Convolution(image, kernel=(3, 3), stride=(2, 2), pad=(1, 1), num_filter=3, name='c')
    image = S.clip(S.BatchNorm(image, fix_gamma=False, name='n'), 0, 20)
    hidden = S.Reshape(S.transpose(image, axes=(0, 2, 1, 3)), shape=(0, 0, -3))

    def gru(name, steps):
        state, found = weights[name + '_init_h'], []
        for step in steps:
            own, other = (S.SliceChannel(weights.dense(each, '%s_%s' % (name, group), 2 * UNITS),
                                         num_outputs=2) for group, each in (('i2h', step),
                                                                            ('h2h', state)))
            update, reset = (S.Activation(own[i] + other[i], act_type='sigmoid') for i in range(2))
            new = S.Activation(weights.dense(step, name + '_trans_i2h', UNITS) + weights.dense(
                reset * state, name + '_trans_h2h', UNITS), act_type='tanh')
            state = state + update * (new - state)
            found.append(state)
        return found
    steps = list(S.SliceChannel(hidden, num_outputs=TIME, axis=1, squeeze_axis=True))
    back = gru('back', steps[::-1])[::-1]
    steps = [S.Concat(*pair, dim=1) for pair in zip(gru('forward', steps), back)]
    scores = weights.dense(S.BatchNorm(S.Concat(*steps, dim=0), fix_gamma=False, name='last'),
                    'pred', WORDS)
    loss = S.ctc_loss(S.Reshape(scores, shape=(-4, TIME, -1, 0)), weights['label'])
    return S.Group([S.softmax(scores), S.MakeLoss(loss)])


@program({'data': ('batch', TIME), 'l0_init_h': ('batch', UNITS)}, {'data': ('batch', 7)},
         softmax_label=('batch', TIME))
def rnn_with_norms_of_2016():
    weights, hidden = Weights(), V('l0_init_h')
    words = S.Embedding(weights['data'], weight=weights['embed_weight'], input_dim=WORDS,
                        output_dim=WIDTH)
    outputs = []
    for t, step in enumerate(S.SliceChannel(words, num_outputs=TIME, squeeze_axis=1)):
        hidden = S.Activation(weights.dense(step, 'i2h', UNITS) + weights.dense(
            hidden, 'h2h', UNITS), act_type='tanh')
        hidden = S.BatchNorm(hidden, name='norm%d' % t)
        outputs.append(hidden)
    return words_of_steps(weights.dense(S.Concat(*outputs, dim=0), 'cls', WORDS))


@program({'data': ('batch', 2, TIME)}, {'data': ('batch', 2, 7)}, softmax_label=('batch', TIME))
def dilated_convolutions_before_a_cell():
    hidden = S.Convolution(V('data'), kernel=(1,), num_filter=4, name='in')
    for i in range(2):
        padded = S.Concat(S.zeros_like(S.slice_axis(hidden, axis=2, begin=0, end=2 ** i)), hidden,
                          dim=2)
        both = [S.Convolution(padded, kernel=(2,), dilate=(2 ** i,), num_filter=4,
                              name='d%d_%s' % (i, name)) for name in ('filter', 'gate')]
        hidden = hidden + S.tanh(both[0]) * S.sigmoid(both[1])
    steps = S.SliceChannel(hidden, num_outputs=TIME, axis=2, squeeze_axis=True)
    outputs, _ = rnn.GRUCell(UNITS).unroll(TIME, list(steps), merge_outputs=True)
    scores = S.FullyConnected(outputs, num_hidden=WORDS, flatten=False, name='pred')
    return S.SoftmaxOutput(scores, V('softmax_label'), preserve_shape=True, name='softmax')


@program({'data': ('batch', 1, 'data_2', 'data_3')}, data=('batch', 1, 2 * TIME, 10),
         softmax_label=('batch',))
def keyword_spotting():
    """Convolution with a stride over time and frequencies, both directions, one answer."""
    image = S.Convolution(V('data'), kernel=(4, 5), stride=(2, 3), pad=(1, 1), num_filter=4)
    image = S.Activation(image, act_type='relu')
    steps = list(S.SliceChannel(image, num_outputs=TIME, axis=2, squeeze_axis=True))
    cell = rnn.BidirectionalCell(rnn.GRUCell(UNITS, 'l_'), rnn.GRUCell(UNITS, 'r_'))
    outputs, states = cell.unroll(TIME, steps)
    scores = S.FullyConnected(S.Concat(outputs[-1], outputs[0], dim=1), num_hidden=5, name='fc1')
    scores = S.FullyConnected(S.Activation(scores, act_type='relu'), num_hidden=4, name='fc2')
    return S.SoftmaxOutput(scores, name='softmax')


@program({'data': ('time', 3)}, softmax_label=('time', 3))
def graph_of_r():
    """rnn.graph: the operator, whose vector and begin states are weights."""
    embed = S.Embedding(V('data'), weight=V('embed.weight'), input_dim=WORDS, output_dim=WIDTH)
    outputs = S.RNN(embed, V('rnn.params.weight'), V('rnn.state', shape=(2, 3, UNITS)),
                    V('rnn.state.cell', shape=(2, 3, UNITS)), mode='lstm', state_size=UNITS,
                    num_layers=2, state_outputs=True, p=.1, name='rnn')
    hidden = S.reshape(outputs[0], shape=(-1, UNITS))
    decode = S.FullyConnected(hidden, weight=V('cls.weight'), bias=V('cls.bias'),
                              num_hidden=WORDS, name='decode')
    label = S.reshape(V('softmax_label'), shape=(-1,))
    return S.SoftmaxOutput(decode, label, use_ignore=True, name='loss')


@program({'data': (3, TIME)}, softmax_label=(3, TIME))
def lstm_of_r():
    """mx.lstm: begin states are weights, as many rows as the batch had."""
    embed = S.Embedding(V('data'), weight=V('embed.weight'), input_dim=WORDS, output_dim=WIDTH)
    names = {key: V('l1.%s' % key) for key in ('i2h.weight', 'i2h.bias', 'h2h.weight', 'h2h.bias')}
    memory, hidden = (V('l1.init.%s' % key, shape=(3, UNITS)) for key in 'ch')
    outputs = []
    for t, step in enumerate(S.SliceChannel(embed, num_outputs=TIME, squeeze_axis=1)):
        i2h, h2h = (S.FullyConnected(value, weight=names[key + '.weight'], num_hidden=4 * UNITS,
                                     bias=names[key + '.bias'], name='t%d.l1.%s' % (t + 1, key))
                    for key, value in (('i2h', step), ('h2h', hidden)))
        memory, hidden = lstm_of_gates(i2h + h2h, memory)
        outputs.append(hidden)
    scores = S.FullyConnected(S.Concat(*outputs, dim=0), weight=V('cls.weight'),
                              bias=V('cls.bias'), num_hidden=WORDS)
    return words_of_steps(scores, 'sm')


def _gluon(unroll, make):
    """Words, a recurrence, scores of each step."""
    recurrence = make()
    steps = mx.gluon.nn.Embedding(WORDS, WIDTH, prefix='embed_')(V('data'))
    if unroll:
        steps, _ = recurrence.unroll(TIME, steps, layout='NTC', merge_outputs=True)
    else:
        steps = S.swapaxes(recurrence(S.swapaxes(steps, dim1=0, dim2=1)), dim1=0, dim2=1)
    return mx.gluon.nn.Dense(3, flatten=False, prefix='scores_')(steps)


@program({'data': ('batch', TIME)})
def gluon_stack_of_cells():
    def make():
        cells = mx.gluon.rnn.HybridSequentialRNNCell(prefix='')
        cells.add(mx.gluon.rnn.LSTMCell(UNITS, prefix='l0_'))
        cells.add(mx.gluon.rnn.DropoutCell(.3, prefix='drop_'))
        cells.add(mx.gluon.rnn.ResidualCell(mx.gluon.rnn.GRUCell(UNITS, prefix='l1_')))
        cells.add(mx.gluon.rnn.RNNCell(UNITS, activation='relu', prefix='l2_'))
        return cells
    return _gluon(True, make)


@program({'data': ('batch', 'time')})
def gluon_lstm_layer():
    return _gluon(False, lambda: mx.gluon.rnn.LSTM(UNITS, 2, bidirectional=True, dropout=.2,
                                                   input_size=WIDTH, prefix='lstm_'))


@program({'data': ('time', 'batch', 4), 'state': ('batch', UNITS)})
def gluon_foreach():
    cell = mx.gluon.rnn.GRUCell(UNITS, prefix='gru_')
    outputs, states = S.contrib.foreach(cell, V('data'), [V('state')])
    return S.Group([outputs, *states])


# ---- what sources refused: read losses, computed weights

@program(TOKENS, softmax_label=('batch', TIME))
def weights_that_are_normed():
    weight = V('h2h_v', shape=(UNITS, UNITS))
    size = S.sqrt(S.sum(S.square(weight), axis=1, keepdims=True))
    weight = S.broadcast_mul(V('h2h_g', shape=(UNITS, 1)), S.broadcast_div(weight, size))
    weights, state, outputs = Weights(), S.zeros((0, UNITS)), []
    for step in S.SliceChannel(words(), num_outputs=TIME, axis=1, squeeze_axis=True):
        state = S.Activation(weights.dense(step, 'i2h', UNITS) + S.FullyConnected(
            state, weight=weight, bias=weights['h2h_bias'], num_hidden=UNITS), act_type='relu')
        outputs.append(S.expand_dims(state, axis=1))
    return softmax(S.Concat(*outputs, dim=1))


@program(TOKENS, softmax_label=('batch',))
def answer_behind_a_loss():
    outputs, _ = rnn.LSTMCell(UNITS).unroll(TIME, words())
    chances = answer(outputs[-1], 4)
    return S.Group([chances, S.argmax(chances, axis=1, name='answer')])


@program({'data': ('batch', 1, 'data_2', 'data_3')}, data=('batch', 1, 8, COLUMNS),
         softmax_label=('batch', 3))
def columns_joined_again():
    """Columns are cut, reshaped and joined before the cells cut them once more."""
    image = _features_of_images(V('data'), 8)
    columns = [S.Reshape(each, shape=(0, 1, -1)) for each in S.SliceChannel(
        image, num_outputs=TIME, axis=3, squeeze_axis=True)]
    stacked = stack(rnn.LSTMCell(UNITS, 'l0_'), rnn.LSTMCell(UNITS, 'l1_'))
    outputs, _ = stacked.unroll(TIME, S.Concat(*columns, dim=1), merge_outputs=True)
    scores = [S.FullyConnected(S.mean(outputs, axis=1), num_hidden=5, name='digit%d' % i)
              for i in range(3)]
    return words_of_steps(S.Concat(*scores, dim=0))


@program({'data': ('batch', 1, COLUMNS, 16)}, label=('batch', 4))
def columns_before_rows():
    """The image is turned: (batch, channels, columns, 1), and steps keep both axes of size 1."""
    weights = Weights()
    image = S.transpose(_features_of_images(S.swapaxes(weights['data'], 2, 3), 16), (0, 1, 3, 2))
    steps = S.SliceChannel(image, num_outputs=TIME, axis=2)
    state, outputs = S.zeros((0, UNITS)), []
    for step in steps:
        state = S.tanh(weights.dense(state, 'h2h', UNITS) + weights.dense(step, 'i2h', UNITS))
        outputs.append(state)
    scores = weights.dense(S.stack(*outputs, axis=0), 'pred', WORDS, flatten=False)
    return S.Group([S.SoftmaxActivation(S.Reshape(scores, (-3, 0)), name='chances'),
                    S.MakeLoss(S.ctc_loss(scores, weights['label']))])


@program({'chars': ('batch', TIME, 6), 'data': ('batch', TIME)},
         {'chars': ('batch', 7, 6), 'data': ('batch', 7)}, softmax_label=('batch', TIME))
def tagger_with_characters():
    """Characters of each word by convolution, words in both directions."""
    chars = S.Embedding(S.Reshape(V('chars'), shape=(-3, 0)), input_dim=30, output_dim=3,
                        name='chars_embed')
    image = S.Reshape(chars, shape=(0, 1, 6, 3))
    parts = [S.Pooling(S.Activation(S.Convolution(image, kernel=(size, 3), num_filter=3,
                                                  name='conv%d' % size), act_type='tanh'),
                       pool_type='max', kernel=(6 - size + 1, 1)) for size in (2, 3)]
    spelled = S.Reshape(S.Concat(*parts, dim=1), shape=(-1, TIME, 6))
    cell = rnn.BidirectionalCell(rnn.LSTMCell(3, 'l_'), rnn.LSTMCell(3, 'r_'))
    outputs, _ = cell.unroll(TIME, S.Concat(words(), spelled, dim=2), merge_outputs=True)
    scores = S.FullyConnected(S.Reshape(outputs, shape=(-3, 6)), num_hidden=WORDS)
    return S.SoftmaxOutput(S.Reshape(scores, shape=(-1, TIME, WORDS)), V('softmax_label'),
                           preserve_shape=True, name='softmax')


@program({'source': ('batch', TIME, 1), 'target': ('batch', 5)},
         rolled={'source': ('batch', 'source_time', 1), 'target': ('batch', 'target_time')},
         target_label=('batch', 5))
def sockeye():
    """Encoder in both directions over lengths, attention of an MLP, one decoder step each."""
    return graph_of_sockeye(TIME, 5)


# ---- MXNet's Scala and Perl packages

def _texts(symbol, true):
    """The graph with texts of attributes as other languages write them: no spaces in tuples, no
    comma behind a single number, and another word for True."""
    graph = json.loads(symbol.tojson())
    for node in graph['nodes']:
        node['attrs'] = {key: {'True': true}.get(text, re.sub(
            ',[)]', ')', text.replace(', ', ',')) if text[:1] == '(' else text)
            for key, text in node.get('attrs', {}).items()}
    return S.load_json(json.dumps(graph))


@program({'data': ('batch', TIME), **{'l%d_init_%s_beta' % (layer, key): ('batch', UNITS)
                                      for layer in (0, 1) for key in 'ch'}},
         softmax_label=('batch', TIME))
def lstm_of_scala():
    """lstmUnroll: begin states are inputs, labels are reshaped as before 0.9."""
    weights, outputs = Weights(), []
    states = [[weights['l%d_init_%s_beta' % (layer, key)] for key in 'ch'] for layer in (0, 1)]
    embed = S.Embedding(weights['data'], weight=weights['embed_weight'], input_dim=WORDS,
                        output_dim=WIDTH, name='embed')
    for step in S.SliceChannel(embed, num_outputs=TIME, squeeze_axis=True):
        for layer, state in enumerate(states):
            step = S.Dropout(step, p=.2) if layer else step
            state[:] = _lstm_of_2015(weights, 'l%d' % layer, step, *state)
            step = state[1]
        outputs.append(S.Dropout(step, p=.2))
    scores = weights.dense(S.Concat(*outputs, dim=0), 'cls', WORDS)
    label = S.Reshape(S.transpose(weights['softmax_label']), target_shape=(0,))
    return _texts(S.SoftmaxOutput(scores, label, name='softmax'), 'true')


@program({'data': ('batch',), **_inits('l0', 'l1')}, softmax_label=('batch',))
def lstm_of_scala_for_inference():
    """lstmInferenceSymbol: the word of one step has no axis of steps; the states are outputs."""
    weights, states = Weights(), []
    hidden = S.Embedding(weights['data'], weight=weights['embed_weight'], input_dim=WORDS,
                         output_dim=WIDTH, name='embed')
    for name in ('l0', 'l1'):
        states += _lstm_of_2015(weights, name, hidden, weights[name + '_init_c'],
                                weights[name + '_init_h'])
        hidden = states[-1]
    scores = weights.dense(hidden, 'cls', WORDS)
    return _texts(S.Group([S.SoftmaxOutput(scores, name='softmax'), *states]), 'true')


@program({**{'data/%d' % t: ('batch', 4) for t in range(TIME)}, **_inits('l0')},
         **{'label/%d' % t: ('batch',) for t in range(TIME)})
def an_input_and_a_label_for_each_step():
    """The first LSTMs of Python and Scala: each step's loss is an output."""
    weights = Weights()
    hidden = _over(weights, 'l0', weights.steps('data/%d', TIME))
    return _texts(S.Group([S.SoftmaxOutput(weights.dense(each, 'cls', WORDS), weights[
        'label/%d' % t], name='t%d_sm' % t) for t, each in enumerate(hidden)]), 'true')


def characters_of_2015(steps, layers=3):
    """The LSTM of the first character models: each step has its own word, label and loss."""
    weights = Weights()
    below = [S.Embedding(weights['data/%d' % t], weight=weights['embed_weight'], input_dim=WORDS,
                         output_dim=WIDTH, name='t%d_embed' % t) for t in range(steps)]
    for layer in range(layers):
        below = [S.Dropout(each, p=.2) for each in _over(weights, 'l%d' % layer, below)]
    return S.Group([S.SoftmaxOutput(weights.dense(each, 'cls', WORDS), weights['label/%d' % t],
                               name='t%d_sm' % t) for t, each in enumerate(below)])


@program(TOKENS, softmax_label=('batch', TIME))
def lstm_of_perl():
    cell = stack(rnn.LSTMCell(UNITS, 'lstm_l0_'), rnn.DropoutCell(.3), rnn.ResidualCell(
        rnn.LSTMCell(UNITS, 'lstm_l1_')))
    return _texts(softmax(over(cell)), '1')


# ---- raw features: frames, series of numbers, images, characters


@program({'data': ('batch', 2 * TIME, 13)}, {'data': ('batch', 'time', 13)},
         softmax_label=('batch',))
def pyramid_of_frames():
    """Listen, attend and spell: the second layer reads the first in pairs of steps."""
    low, _ = rnn.BidirectionalCell(rnn.LSTMCell(3, 'l_'), rnn.LSTMCell(3, 'r_')).unroll(
        2 * TIME, V('data'), merge_outputs=True)
    high, _ = rnn.LSTMCell(UNITS, 'h_').unroll(TIME, S.Reshape(low, shape=(0, -1, 12)))
    return answer(high[-1], 5, None)


@program({'values': ('batch', TIME), 'covariates': ('batch', TIME, 3)}, label=('batch', TIME, 2))
def deep_ar():
    """A mean and a deviation for each step, of the number before and what is known of the day."""
    both = S.Concat(S.expand_dims(V('values'), axis=2), V('covariates'), dim=2)
    outputs, _ = rnn.LSTMCell(UNITS).unroll(TIME, both, merge_outputs=True)
    scores = S.FullyConnected(outputs, num_hidden=2, flatten=False, name='distribution')
    mean, spread = S.SliceChannel(scores, num_outputs=2, axis=2)
    both = S.Concat(mean, S.Activation(spread, act_type='softrelu'), dim=2)
    return S.LinearRegressionOutput(both, V('label'))


@program({'data': ('batch', TIME, 4)}, label=('batch', 5, 4))
def forecast_of_five_steps():
    """The decoder reads what it gave one step before."""
    weights, cell, found = Weights(), rnn.GRUCell(UNITS, 'decoder_'), []
    _, states = rnn.GRUCell(UNITS, 'encoder_').unroll(TIME, weights['data'])
    value = S.SequenceLast(S.swapaxes(weights['data'], dim1=0, dim2=1))
    for _ in range(5):
        output, states = cell(value, states)
        value = weights.dense(output, 'out', 4)
        found.append(value)
    return S.LinearRegressionOutput(S.stack(*found, axis=1), V('label'))


@program({'data': ('batch', 2 * TIME, 3)}, {'data': ('batch', 'time', 3)}, label=('batch', 3))
def series_without_its_trend():
    """Cells read the differences of neighbours; the last number is added again."""
    data = V('data')
    before = S.slice_axis(data, axis=1, begin=0, end=-1)
    after = S.slice_axis(data, axis=1, begin=1, end=None)
    outputs, _ = rnn.LSTMCell(UNITS).unroll(2 * TIME - 1, after - before)
    last = S.SequenceLast(S.swapaxes(data, dim1=0, dim2=1))
    return S.LinearRegressionOutput(S.FullyConnected(outputs[-1], num_hidden=3) + last, V('label'))


@program({'data': ('batch', 1, TIME, 10)}, softmax_label=('batch',))
def rows_of_images():
    """Row by row."""
    rows = S.squeeze(V('data'), axis=1)
    outputs, _ = rnn.LSTMCell(UNITS).unroll(TIME, rows)
    return answer(outputs[-1], 5, None)


@program({'data': ('batch', TIME, 3, 'data_3', 'data_4')},
         {'data': ('batch', 7, 3, 'data_3', 'data_4')},
         data=('batch', TIME, 3, 8, 8), softmax_label=('batch',))
def frames_of_films():
    """Convolutions over all images of a batch at once."""
    images = S.Reshape(V('data'), shape=(-3, -2))
    images = S.Activation(S.Convolution(images, kernel=(3, 3), num_filter=2, name='conv'),
                          act_type='relu')
    pooled = S.Pooling(images, global_pool=True, kernel=(2, 2), pool_type='avg')
    steps = S.Reshape(S.Flatten(pooled), shape=(-4, -1, TIME, 0))
    outputs, _ = rnn.GRUCell(UNITS).unroll(TIME, steps)
    return answer(outputs[-1], 5, None)


@program({'data': ('batch', TIME, 6)}, {'data': ('batch', 7, 6)}, ASKED, softmax_label=('batch',))
def characters_of_each_word():
    """A GRU over the characters of all words, then one over words."""
    embed = S.Embedding(S.Reshape(V('data'), shape=(-1, 6)), input_dim=26, output_dim=4,
                        name='characters')
    outputs, _ = rnn.GRUCell(UNITS, prefix='spelling_').unroll(6, embed)
    sequence = S.Reshape(outputs[-1], shape=(-1, TIME, UNITS))
    outputs, _ = rnn.GRUCell(UNITS, prefix='words_').unroll(TIME, sequence)
    return answer(outputs[-1], 5, None)
