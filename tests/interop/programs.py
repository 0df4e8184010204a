"""Small networks as programs of mx.rnn build them, for the way out without an option."""
from __future__ import annotations

from typing import Any, Callable, NamedTuple

from .. import mx, rnn

__all__ = ['PROGRAMS', 'Program']

S = mx.sym
V = S.Variable
WORDS, WIDTH, UNITS = 11, 5, 6


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
        unrolled and rolled up.
    """

    build: Callable[[], Any]
    shapes: dict[str, tuple[int | str, ...]]
    wanted: dict[str, tuple[int | str, ...]]
    rolled: dict[str, tuple[int | str, ...]]


PROGRAMS: dict[str, Program] = {}
TIME = 7
TOKENS = {'data': ('batch', TIME)}
FEATURES = {'data': ('batch', TIME, 4)}


def program(wanted: dict[str, tuple[int | str, ...]],
            rolled: dict[str, tuple[int | str, ...]] | None = None,
            **shapes: tuple[int | str, ...]) -> Any:
    """Enter a function that builds a network; `shapes` are of labels, and of data where `wanted`
    leaves an axis open that is none of batch or time. Rolled up, TIME is any number as a rule."""
    def enter(build: Callable[[], Any]) -> Callable[[], Any]:
        PROGRAMS[build.__name__] = Program(build, {**wanted, **shapes}, wanted, {
            **{name: tuple('time' if size == 7 else size for size in shape)
               for name, shape in wanted.items()}, **(rolled or {})})
        return build
    return enter


def words(name: str = 'data') -> Any:
    return S.Embedding(V(name), input_dim=WORDS, output_dim=WIDTH, name=name + '_embed')


def stack(*cells: Any) -> Any:
    result = rnn.SequentialRNNCell()
    for cell in cells:
        result.add(cell)
    return result


def softmax(outputs: Any, label: Any = None) -> Any:
    """The scores of each step and their loss, as in the examples of mx.rnn."""
    flat = S.Reshape(outputs, shape=(-1, UNITS))
    scores = S.FullyConnected(flat, num_hidden=WORDS, name='pred')
    label = V('softmax_label') if label is None else label
    return S.SoftmaxOutput(scores, S.Reshape(label, shape=(-1,)), name='softmax')


# ---- language models

@program(TOKENS, softmax_label=('batch', TIME))
def lstm_bucketing() -> Any:
    cell = stack(rnn.LSTMCell(UNITS, 'lstm_l0_'), rnn.LSTMCell(UNITS, 'lstm_l1_'))
    return softmax(cell.unroll(TIME, words(), merge_outputs=True)[0])


@program(TOKENS, softmax_label=('batch', TIME))
def gru_bucketing() -> Any:
    cell = stack(rnn.GRUCell(UNITS, 'gru_l0_'), rnn.DropoutCell(.3), rnn.GRUCell(UNITS, 'gru_l1_'))
    return softmax(cell.unroll(TIME, words(), merge_outputs=True)[0])


@program(TOKENS, softmax_label=('batch', TIME))
def rnn_relu_bucketing() -> Any:
    return softmax(rnn.RNNCell(UNITS, activation='relu').unroll(TIME, words(),
                                                                merge_outputs=True)[0])


@program({'data': ('batch', 'time')}, softmax_label=('batch', 'time'))
def cudnn_lstm_bucketing() -> Any:
    cell = rnn.FusedRNNCell(UNITS, 2, 'lstm', prefix='lstm_')
    return softmax(cell.unroll(TIME, words(), merge_outputs=True, layout='NTC')[0])


@program({'data': ('time', 'batch')}, softmax_label=('time', 'batch'))
def cudnn_lstm_time_major() -> Any:
    cell = rnn.FusedRNNCell(UNITS, 2, 'lstm', prefix='lstm_')
    return softmax(cell.unroll(TIME, words(), merge_outputs=True, layout='TNC')[0])


@program({'data': (TIME, 'batch')}, softmax_label=(TIME, 'batch'))
def lstm_time_major() -> Any:
    cell = rnn.LSTMCell(UNITS)
    return softmax(cell.unroll(TIME, words(), merge_outputs=True, layout='TNC')[0])


@program(TOKENS, softmax_label=('batch', TIME))
def lists_joined_by_hand() -> Any:
    outputs, _ = rnn.LSTMCell(UNITS).unroll(TIME, words(), merge_outputs=False)
    joined = S.Concat(*outputs, dim=0)
    label = S.transpose(V('softmax_label'))
    scores = S.FullyConnected(joined, num_hidden=WORDS, name='pred')
    return S.SoftmaxOutput(scores, S.Reshape(label, shape=(-1,)), name='softmax')


@program(TOKENS, softmax_label=('batch', TIME))
def predictions_and_states() -> Any:
    outputs, states = rnn.LSTMCell(UNITS).unroll(TIME, words(), merge_outputs=True)
    return S.Group([softmax(outputs), *map(S.BlockGrad, states)])


@program({**TOKENS, 'l0_init_c': ('batch', UNITS), 'l0_init_h': ('batch', UNITS)},
         softmax_label=('batch', TIME))
def begin_states_that_are_variables() -> Any:
    cell = rnn.LSTMCell(UNITS)
    begin = [V('l0_init_h'), V('l0_init_c')]
    return softmax(cell.unroll(TIME, words(), begin_state=begin, merge_outputs=True)[0])


@program({**TOKENS, **{'lstm_l%d_begin_%d' % (i, j): ('batch', UNITS)
                       for i in range(2) for j in range(2)}}, softmax_label=('batch', TIME))
def begin_states_with_a_shape() -> Any:
    cell = stack(rnn.LSTMCell(UNITS, 'lstm_l0_'), rnn.LSTMCell(UNITS, 'lstm_l1_'))
    names = iter('lstm_l%d_begin_%d' % (i, j) for i in range(2) for j in range(2))
    begin = [[V(next(names), shape=(0, UNITS)) for _ in range(2)] for _ in range(2)]
    return softmax(cell.unroll(TIME, words(), begin_state=[each for pair in begin for each in pair],
                               merge_outputs=True)[0])


@program({'data': (3, TIME)}, softmax_label=(3, TIME))
def begin_states_of_a_fixed_batch() -> Any:
    outputs, _ = rnn.GRUCell(UNITS).unroll(TIME, words(), begin_state=[S.zeros((3, UNITS))],
                                           merge_outputs=True)
    return softmax(outputs)


@program({'data': ('batch', 1), 'l0_c': ('batch', UNITS), 'l0_h': ('batch', UNITS)},
         softmax_label=('batch',))
def one_step_for_inference() -> Any:
    output, states = rnn.LSTMCell(UNITS)(S.Reshape(words(), shape=(0, -1)), [V('l0_h'), V('l0_c')])
    scores = S.FullyConnected(output, num_hidden=WORDS, name='pred')
    return S.Group([S.SoftmaxOutput(scores, name='softmax'), *states])


@program(TOKENS, softmax_label=('batch', TIME))
def tied_weights() -> Any:
    weight = V('embed_weight')
    data = S.Embedding(V('data'), weight=weight, input_dim=WORDS, output_dim=UNITS, name='embed')
    outputs, _ = rnn.LSTMCell(UNITS).unroll(TIME, data, merge_outputs=True)
    scores = S.FullyConnected(S.Reshape(outputs, shape=(-1, UNITS)), weight=weight,
                              num_hidden=WORDS, name='pred')
    return S.SoftmaxOutput(scores, S.Reshape(V('softmax_label'), shape=(-1,)), name='softmax')


@program(TOKENS, softmax_label=('batch', TIME))
def zoneout_and_variational_dropout() -> Any:
    cell = stack(rnn.ZoneoutCell(rnn.LSTMCell(UNITS, 'a_'), .2, .1), rnn.DropoutCell(.4),
                 rnn.ResidualCell(rnn.GRUCell(UNITS, 'b_')))
    return softmax(cell.unroll(TIME, words(), merge_outputs=True)[0])


@program({'data': ('batch', 'time')}, softmax_label=('batch', 'time'))
def fused_by_mxrnn() -> Any:
    cell = rnn.fuse(stack(rnn.LSTMCell(UNITS, 'a_'), rnn.LSTMCell(UNITS, 'b_')))
    return softmax(cell.unroll(None, words(), merge_outputs=True)[0])


@program({'data': ('batch', 'time')}, softmax_label=('batch', 'time'))
def dynamic() -> Any:
    return softmax(rnn.dynamic_unroll(rnn.GRUCell(UNITS), words(), layout='NTC')[0])


@program({'data': ('batch', 'time'), 'lengths': ('batch',)}, softmax_label=('batch', 'time'))
def fused_with_lengths() -> Any:
    cell = rnn.fuse(rnn.GRUCell(UNITS))
    return softmax(cell.unroll(None, words(), merge_outputs=True,
                               valid_length=V('lengths'))[0])


@program({**TOKENS, 'softmax_label': ('batch', TIME)})
def perplexity_by_hand() -> Any:
    outputs, _ = rnn.LSTMCell(UNITS).unroll(TIME, words(), merge_outputs=True)
    scores = S.FullyConnected(S.Reshape(outputs, shape=(-1, UNITS)), num_hidden=WORDS)
    label = S.Reshape(V('softmax_label'), shape=(-1,))
    loss = -S.pick(S.log_softmax(scores), label)
    return S.Group([S.BlockGrad(S.softmax(scores), name='chances'), S.MakeLoss(loss, name='loss')])


# ---- one answer for a sequence

@program(TOKENS, softmax_label=('batch',))
def sentiment_of_the_last_step() -> Any:
    outputs, _ = rnn.LSTMCell(UNITS).unroll(TIME, words())
    scores = S.FullyConnected(outputs[-1], num_hidden=2, name='fc')
    return S.SoftmaxOutput(scores, name='softmax')


@program(TOKENS, softmax_label=('batch',))
def mean_of_all_steps() -> Any:
    outputs, _ = rnn.GRUCell(UNITS).unroll(TIME, words(), merge_outputs=True)
    scores = S.FullyConnected(S.mean(outputs, axis=1), num_hidden=2, name='fc')
    return S.SoftmaxOutput(scores, name='softmax')


@program(TOKENS, softmax_label=('batch',))
def bidirectional() -> Any:
    cell = rnn.BidirectionalCell(rnn.LSTMCell(UNITS, 'l_'), rnn.LSTMCell(UNITS, 'r_'))
    outputs, states = cell.unroll(TIME, words(), merge_outputs=True)
    both = S.Concat(states[0][0], states[1][0], dim=1) if isinstance(
        states[0], list) else S.Concat(states[0], states[2], dim=1)
    return S.SoftmaxOutput(S.FullyConnected(both, num_hidden=2, name='fc'), name='softmax')


@program(TOKENS, softmax_label=('batch', TIME))
def tagger_of_stacked_directions() -> Any:
    cell = stack(*(rnn.BidirectionalCell(rnn.GRUCell(UNITS // 2, 'l%d_' % i),
                                         rnn.GRUCell(UNITS // 2, 'r%d_' % i)) for i in range(2)))
    return softmax(cell.unroll(TIME, words(), merge_outputs=True)[0])


@program({'data': ('batch', 'time')}, softmax_label=('batch',))
def fused_bidirectional() -> Any:
    cell = rnn.FusedRNNCell(UNITS, 1, 'gru', bidirectional=True, prefix='gru_')
    outputs, _ = cell.unroll(TIME, words(), merge_outputs=True)
    scores = S.FullyConnected(S.max(outputs, axis=1), num_hidden=2, name='fc')
    return S.SoftmaxOutput(scores, name='softmax')


@program({'data': ('batch', TIME), 'mask': ('batch', TIME)}, softmax_label=('batch',))
def mask_as_an_input() -> Any:
    outputs, _ = rnn.LSTMCell(UNITS).unroll(TIME, words(), merge_outputs=True)
    masked = S.broadcast_mul(outputs, S.expand_dims(V('mask'), axis=2))
    scores = S.FullyConnected(S.sum(masked, axis=1), num_hidden=2, name='fc')
    return S.SoftmaxOutput(scores, name='softmax')


@program({**TOKENS, 'softmax_label': ('batch', TIME), 'weights': ('batch', TIME)})
def mask_of_the_loss() -> Any:
    outputs, _ = rnn.LSTMCell(UNITS).unroll(TIME, words(), merge_outputs=True)
    scores = S.FullyConnected(S.Reshape(outputs, shape=(-1, UNITS)), num_hidden=WORDS)
    label = S.Reshape(V('softmax_label'), shape=(-1,))
    loss = S.MakeLoss(-S.pick(S.log_softmax(scores), label) * S.Reshape(V('weights'), shape=(-1,)),
                      name='loss')
    return S.Group([S.SoftmaxOutput(scores, label, name='softmax'), loss])


# ---- numbers over time

@program(FEATURES, label=('batch', 1))
def regression() -> Any:
    outputs, _ = rnn.LSTMCell(UNITS).unroll(TIME, V('data'), layout='NTC')
    return S.LinearRegressionOutput(S.FullyConnected(outputs[-1], num_hidden=1), V('label'))


@program({'data': (TIME, 'batch', 4)}, label=('batch', 1))
def regression_time_major() -> Any:
    outputs, _ = rnn.GRUCell(UNITS).unroll(TIME, V('data'), layout='TNC')
    return S.LinearRegressionOutput(S.FullyConnected(outputs[-1], num_hidden=1), V('label'))


@program({'t%d_data' % i: ('batch', 4) for i in range(TIME)}, label=('batch', 1))
def an_input_for_each_step() -> Any:
    outputs, _ = rnn.RNNCell(UNITS).unroll(TIME, [V('t%d_data' % i) for i in range(TIME)])
    return S.LinearRegressionOutput(S.FullyConnected(outputs[-1], num_hidden=1), V('label'))


@program({'data': ('time', 'batch', 4)}, label=('time', 'batch', 1))
def a_number_for_each_step() -> Any:
    cell = rnn.FusedRNNCell(UNITS, 1, 'rnn_tanh', prefix='rnn_')
    outputs, _ = cell.unroll(TIME, V('data'), layout='TNC', merge_outputs=True)
    scores = S.FullyConnected(outputs, num_hidden=1, flatten=False)
    return S.LinearRegressionOutput(scores, V('label'))


@program({'data': ('batch', TIME, 4)}, label=('batch', 4))
def norms_inside() -> Any:
    data = S.LayerNorm(V('data'), name='norm')
    outputs, _ = rnn.LSTMCell(UNITS).unroll(TIME, data)
    hidden = S.Activation(S.BatchNorm(S.FullyConnected(outputs[-1], num_hidden=8), name='bn'),
                          act_type='relu')
    return S.LogisticRegressionOutput(S.FullyConnected(hidden, num_hidden=4), V('label'))


@program({'data': ('batch', 24, 4)}, label=('batch', 4))
def lstnet() -> Any:
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
def encoder_and_decoder() -> Any:
    _, states = rnn.LSTMCell(UNITS, 'encoder_').unroll(TIME, words('source'))
    outputs, _ = rnn.LSTMCell(UNITS, 'decoder_').unroll(5, words('target'), begin_state=states,
                                                        merge_outputs=True)
    return softmax(outputs)


@program({'source': ('batch', 'source_time'), 'target': ('batch', 'target_time')},
         softmax_label=('batch', 'target_time'))
def fused_encoder_and_decoder() -> Any:
    encoder = rnn.FusedRNNCell(UNITS, 1, 'lstm', get_next_state=True, prefix='encoder_')
    _, states = encoder.unroll(TIME, words('source'), merge_outputs=True)
    decoder = rnn.FusedRNNCell(UNITS, 1, 'lstm', prefix='decoder_')
    outputs, _ = decoder.unroll(TIME, words('target'), begin_state=states, merge_outputs=True)
    return softmax(outputs)


@program(TOKENS, softmax_label=('batch',))
def attention_over_the_steps() -> Any:
    outputs, _ = rnn.GRUCell(UNITS).unroll(TIME, words(), merge_outputs=True)
    scores = S.FullyConnected(S.Activation(S.FullyConnected(outputs, num_hidden=4, flatten=False),
                                           act_type='tanh'), num_hidden=1, flatten=False)
    weights = S.softmax(scores, axis=1)
    context = S.sum(S.broadcast_mul(outputs, weights), axis=1)
    return S.SoftmaxOutput(S.FullyConnected(context, num_hidden=2), name='softmax')


@program({'source': ('batch', TIME), 'target': ('batch', 5)},
         rolled={'source': ('batch', 'source_time'), 'target': ('batch', 'target_time')},
         softmax_label=('batch', 5))
def attention_with_input_feeding() -> Any:
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
def two_sequences_compared() -> Any:
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
def memory_network() -> Any:
    tables, facts = [V('table%d_weight' % i) for i in range(2)], V('memory')
    memory, output = (S.sum(S.Embedding(facts, weight=each, input_dim=WORDS,
                                        output_dim=WIDTH), axis=2) for each in tables)
    question = S.sum(S.Embedding(V('question'), weight=tables[0], input_dim=WORDS,
                                 output_dim=WIDTH), axis=1)
    chances = S.softmax(S.Reshape(S.batch_dot(memory, S.expand_dims(question, axis=2)),
                                  shape=(0, -1)))
    answer = S.Reshape(S.batch_dot(S.expand_dims(chances, axis=1), output), shape=(0, -1))
    return S.SoftmaxOutput(S.FullyConnected(answer + question, num_hidden=WORDS), name='softmax')


# ---- speech and images

@program({'data': ('batch', TIME, 4)}, label=('batch', 2))
def speech_with_ctc() -> Any:
    cell = stack(rnn.BidirectionalCell(rnn.GRUCell(UNITS, 'l_'), rnn.GRUCell(UNITS, 'r_')))
    outputs, _ = cell.unroll(TIME, V('data'), merge_outputs=True)
    scores = S.FullyConnected(outputs, num_hidden=WORDS, flatten=False, name='scores')
    loss = S.ctc_loss(S.swapaxes(scores, dim1=0, dim2=1), V('label'))
    return S.Group([S.BlockGrad(S.softmax(scores), name='chances'), S.MakeLoss(loss, name='ctc')])


@program({'data': ('batch', 80)}, label=('batch', 4))
def captcha_with_ctc() -> Any:
    """As lstm_ocr: the image is cut into columns, all in a row."""
    columns = S.SliceChannel(V('data'), num_outputs=8, name='columns')
    cell = stack(rnn.LSTMCell(UNITS, 'l0_'), rnn.LSTMCell(UNITS, 'l1_'))
    outputs, _ = cell.unroll(8, [columns[i] for i in range(8)])
    hidden = S.Concat(*outputs, dim=0)
    scores = S.FullyConnected(hidden, num_hidden=WORDS, name='pred')
    loss = S.ctc_loss(S.Reshape(scores, shape=(8, -1, WORDS)), V('label'))
    return S.Group([S.MakeLoss(loss, name='ctc'), S.BlockGrad(S.softmax(scores), name='chances')])


@program({'data': ('batch', 1, 'data_2', 'data_3')}, data=('batch', 1, 8, 20), label=('batch', 4))
def text_of_images() -> Any:
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
def conv_lstm() -> Any:
    cell = rnn.ConvLSTMCell((1, 2, 6, 5), 8)
    outputs, _ = cell.unroll(TIME, V('data') / 255)
    return S.LinearRegressionOutput(outputs[-1], V('label'))


@program({'data': ('batch', TIME, 2, 6, 5)}, label=('batch', 8, 6, 5))
def conv_gru() -> Any:
    cell = rnn.ConvGRUCell((1, 2, 6, 5), 8)
    outputs, _ = cell.unroll(TIME, V('data') / 255)
    return S.LinearRegressionOutput(outputs[-1], V('label'))


@program({'data': ('batch', TIME, 20)},
         rolled={'data': ('batch', 7, 20)}, softmax_label=('batch',))
def text_cnn_and_rnn() -> Any:
    data = V('data')
    embed = S.expand_dims(data, axis=1)
    parts = []
    for size in (2, 3):
        conv = S.Convolution(embed, kernel=(size, 20), num_filter=4, name='conv%d' % size)
        pool = S.Pooling(conv, kernel=(TIME - size + 1, 1), pool_type='max', stride=(1, 1))
        parts.append(S.Flatten(pool))
    outputs, _ = rnn.LSTMCell(UNITS).unroll(TIME, data)
    scores = S.FullyConnected(S.Concat(*parts, outputs[-1], dim=1), num_hidden=2)
    return S.SoftmaxOutput(scores, name='softmax')


@program({'image': ('batch', 20), 'data': ('batch', TIME)}, softmax_label=('batch', TIME))
def caption_of_an_image() -> Any:
    first = S.FullyConnected(V('image'), num_hidden=UNITS, name='image_embed')
    cell = rnn.LSTMCell(UNITS)
    begin = [first, S.zeros_like(first)]
    return softmax(cell.unroll(TIME, words(), begin_state=begin, merge_outputs=True)[0])


# ---- characters, trees, other forms

@program({'chars': ('batch', 'chars_1', 4), 'data': ('batch', 5)},
         rolled={'chars': ('batch', 'chars_1', 'time')}, chars=('batch', 5, 4),
         softmax_label=('batch', 5))
def characters_and_words() -> Any:
    chars = S.Reshape(S.Embedding(V('chars'), input_dim=30, output_dim=3, name='char_embed'),
                      shape=(-3, 0, 0))
    _, states = rnn.LSTMCell(4, 'char_').unroll(4, chars)
    spelled = S.Reshape(states[0], shape=(-4, -1, 5, 0))
    cell = rnn.LSTMCell(UNITS, 'word_')
    return softmax(cell.unroll(5, S.Concat(words(), spelled, dim=2), merge_outputs=True)[0])


@program({'leaf%d' % i: ('batch', 'leaf%d_1' % i) for i in range(4)}, softmax_label=('batch',),
         **{'leaf%d' % i: ('batch', 4) for i in range(4)})
def tree_of_cells() -> Any:
    weights = V('tree_weight'), V('tree_bias')
    level = [V('leaf%d' % i) for i in range(4)]
    while len(level) > 1:
        level = [S.Activation(S.FullyConnected(S.Concat(one, other, dim=1), *weights,
                                               num_hidden=4), act_type='tanh')
                 for one, other in zip(level[::2], level[1::2])]
    return S.SoftmaxOutput(S.FullyConnected(level[0], num_hidden=2), name='softmax')


@program(TOKENS, softmax_label=('batch', TIME), other_label=('batch', 1))
def two_losses() -> Any:
    outputs, _ = rnn.LSTMCell(UNITS).unroll(TIME, words(), merge_outputs=True)
    main = softmax(outputs)
    other = S.LogisticRegressionOutput(S.FullyConnected(S.mean(outputs, axis=1), num_hidden=1),
                                       V('other_label'))
    return S.Group([main, other])


@program({'data': ('batch', TIME), 'lengths': ('batch',)}, softmax_label=('batch',))
def last_of_each_by_its_length() -> Any:
    outputs, _ = rnn.LSTMCell(UNITS).unroll(TIME, words(), merge_outputs=True)
    last = S.SequenceLast(S.swapaxes(outputs, dim1=0, dim2=1), V('lengths'),
                          use_sequence_length=True)
    return S.SoftmaxOutput(S.FullyConnected(last, num_hidden=2), name='softmax')


@program(TOKENS, softmax_label=('batch', TIME))
def handwritten_cell() -> Any:
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
        parts = S.SliceChannel(gates, num_outputs=4)
        memory = S.Activation(parts[2], act_type='sigmoid') * memory + S.Activation(
            parts[0], act_type='sigmoid') * S.Activation(parts[1], act_type='tanh')
        hidden = S.Activation(parts[3], act_type='sigmoid') * S.Activation(memory, act_type='tanh')
        outputs.append(hidden)
    scores = S.FullyConnected(S.Concat(*outputs, dim=0), num_hidden=WORDS, name='pred')
    label = S.Reshape(S.transpose(V('softmax_label')), shape=(-1,))
    return S.SoftmaxOutput(scores, label, name='softmax')


@program({'data': ('batch', TIME), 'user': ('batch', 'time')},
         rolled={'data': ('batch', 'data_time'), 'user': ('batch', 'user_time')},
         label=('batch', 1))
def recommender() -> Any:
    outputs, _ = rnn.GRUCell(UNITS).unroll(TIME, words())
    user = S.Embedding(V('user'), input_dim=9, output_dim=UNITS, name='user_embed')
    both = outputs[-1] * S.sum(user, axis=1)
    return S.LinearRegressionOutput(S.sum(both, axis=1, keepdims=True), V('label'))


@program({'data': ('batch', TIME, 4)}, label=('batch', TIME, 4))
def autoencoder() -> Any:
    _, states = rnn.GRUCell(UNITS, 'encoder_').unroll(TIME, V('data'))
    repeated = [states[0]] * TIME
    outputs, _ = rnn.GRUCell(UNITS, 'decoder_').unroll(TIME, repeated, merge_outputs=True)
    scores = S.FullyConnected(outputs, num_hidden=4, flatten=False)
    return S.LinearRegressionOutput(scores, V('label'))


@program({'data': ('batch', TIME, 'data_2'), 'noise': ('batch', 'noise_1')},
         rolled={'data': ('batch', 7, 'data_2')},
         data=('batch', TIME, 4), noise=('batch', 3), label=('batch', TIME, 4))
def noise_at_every_step() -> Any:
    noise = S.broadcast_axis(S.expand_dims(V('noise'), axis=1), axis=1, size=TIME)
    cell = rnn.LSTMCell(UNITS)
    outputs, _ = cell.unroll(TIME, S.Concat(V('data'), noise, dim=2), merge_outputs=True)
    return S.LinearRegressionOutput(S.FullyConnected(outputs, num_hidden=4, flatten=False),
                                    V('label'))


@program({**FEATURES, 'begin_h': ('batch', UNITS)}, label=('batch', 3))
def gates_of_joined_inputs() -> Any:
    """A GRU by hand: the weights' columns are those of the data and of the state."""
    weights = {key: V(key) for key in ('gates_weight', 'gates_bias', 'new_weight', 'new_bias')}

    def dense(name: str, count: int, *parts: Any) -> Any:
        return S.FullyConnected(S.Concat(*parts, dim=1), weights[name + '_weight'],
                                weights[name + '_bias'], num_hidden=count)
    state = V('begin_h', shape=(3, UNITS))
    for step in S.SliceChannel(V('data'), num_outputs=TIME, axis=1, squeeze_axis=True):
        gates = S.Activation(dense('gates', 2 * UNITS, step, state), act_type='sigmoid')
        reset, update = S.SliceChannel(gates, num_outputs=2, axis=1)
        new = S.Activation(dense('new', UNITS, step, reset * state), act_type='tanh')
        state = update * state + (1 - update) * new
    return S.LinearRegressionOutput(S.FullyConnected(state, num_hidden=3, name='out'), V('label'))
