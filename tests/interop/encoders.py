"""Encoders and decoders, as programs of mx.rnn build them: every kind of each."""
from typing import Any, Callable, Dict

from .. import mx, rnn
from .models import S, V, over

WORDS, WIDTH, UNITS = 11, 5, 6
SOURCE, TARGET = 5, 7
Dense = Callable[..., Any]

CELLS = {'lstm': lambda prefix: rnn.LSTMCell(UNITS, prefix),
         'gru': lambda prefix: rnn.GRUCell(UNITS, prefix),
         'normalised': lambda prefix: rnn.LayerNormLSTMCell(UNITS, prefix)}

#: By name: whether it reads both directions, lengths, and how it is unrolled.
ENCODERS = {'plain': (False, False, 'cells'), 'lengths': (False, True, 'cells'),
            'fuse': (False, False, 'fuse'), 'fuse lengths': (False, True, 'fuse'),
            'directions': (True, False, 'cells'), 'directions lengths': (True, True, 'cells'),
            'fuse directions': (True, False, 'fuse'),
            'fuse directions lengths': (True, True, 'fuse')}

ATTENTIONS = ('dot', 'mlp', 'none')


def words(name='data'):
    return S.Embedding(V(name), input_dim=WORDS, output_dim=WIDTH, name=name + '_embed')


class Weights(Dict[str, Any]):
    """Variables by name, each made once."""

    def __missing__(self, name):
        self[name] = V(name)
        return self[name]

    def steps(self, name, count):
        """The variables whose names have the number of a step."""
        return [self[name % t] for t in range(count)]

    def dense(self, data, name, units, **options):
        """A layer, whose weights all steps share."""
        return S.FullyConnected(data, weight=self[name + '_weight'], bias=self[name + '_bias'],
                                num_hidden=units, **options)


def _encoded(encoder, cell, layout, dense):
    """Outputs of the encoder, batch first, its states, and lengths."""
    both, with_lengths, how = ENCODERS[encoder]
    how = 'cells' if cell == 'normalised' else how  # which fuse leaves as they are
    one = CELLS[cell]('e_')
    if both:
        one = rnn.BidirectionalCell(one, CELLS[cell]('b_'))
    lengths = V('source_length') if with_lengths else None
    outputs, states = (rnn.fuse(one) if how == 'fuse' else one).unroll(
        None if how == 'fuse' else SOURCE, words('source'), layout=layout,
        merge_outputs=True, **({'valid_length': lengths} if with_lengths else {}))
    if both:  # of each direction a list
        states = [S.Activation(dense(S.Concat(*pair, dim=1), 'bridge%d' % at, UNITS),
                               act_type='tanh') for at, pair in enumerate(zip(*states))]
    return (outputs if layout == 'NTC' else S.swapaxes(outputs, dim1=0, dim2=1)), states, lengths


def _context(attention, query, encoded, lengths, units, dense):
    """What a step attends to, of the shape (batch, units)."""
    if attention == 'dot':
        scores = S.batch_dot(encoded, S.expand_dims(dense(query, 'query', units), axis=2))
    else:
        hidden = S.broadcast_add(dense(encoded, 'keys', UNITS, flatten=False), S.expand_dims(
            dense(query, 'query', UNITS), axis=1))
        scores = dense(S.Activation(hidden, act_type='tanh'), 'scores', 1, flatten=False)
    if lengths is not None:
        scores = S.SequenceMask(scores, lengths, use_sequence_length=True, axis=1, value=-1e9)
    return S.Reshape(S.batch_dot(encoded, S.softmax(scores, axis=1), transpose_a=True),
                     shape=(0, 0))


def translator(encoder, cell, attention, layout):
    """The symbol of a translator whose decoder is unrolled by hand, and the shapes of its data."""
    with mx.name.NameManager():
        dense = Weights().dense
        encoded, states, lengths = _encoded(encoder, cell, layout, dense)
        decoder, units = CELLS[cell]('d_'), UNITS * (1 + ENCODERS[encoder][0])
        time = layout.index('T')
        steps = S.SliceChannel(words('target'), num_outputs=TARGET, axis=time, squeeze_axis=True)
        fed, hidden = S.zeros_like(states[0]), []  # what a step predicts from goes into the next
        for step in range(TARGET):
            if attention == 'none':
                fed, states = decoder(steps[step], states)
            else:
                output, states = decoder(S.Concat(steps[step], fed, dim=1), states)
                context = _context(attention, output, encoded, lengths, units, dense)
                fed = S.Activation(dense(S.Concat(output, context, dim=1), 'hidden', UNITS),
                                   act_type='tanh')
            hidden.append(fed)
        scores = dense(S.Reshape(S.stack(*hidden, axis=time), shape=(-3, 0)), 'score', WORDS)
        symbol = S.SoftmaxOutput(scores, S.Reshape(V('softmax_label'), shape=(-1,)), name='softmax')
    order = (3, SOURCE) if layout == 'NTC' else (SOURCE, 3)
    target = (3, TARGET) if layout == 'NTC' else (TARGET, 3)
    shapes = {'source': order, 'target': target, 'source_length': (3,), 'softmax_label': target}
    return symbol, {name: shape for name, shape in shapes.items()
                    if name in symbol.list_arguments()}


def sockeye(source_steps, target_steps, coverage=False, tied=False, ratio=False):
    """A graph like those that Sockeye 1.18 trains, of source (batch, time, factors) and target
    (batch, time). With `coverage` it names the source's number of steps. If `tied`, the weights of
    both embeddings also predict, from each step beside the encoder's last one. With `ratio` it also
    learns how much longer a translation is."""
    with mx.name.NameManager():
        dense = Weights().dense
        factors = S.split(V('source'), num_outputs=1, axis=2, squeeze_axis=True)
        lengths = S.sum(S.broadcast_not_equal(factors, S.zeros((1,))), axis=1)
        target = V('target')
        options = {'weight': V('shared_weight')} if tied else {}
        embed = S.Embedding(factors, input_dim=WORDS, output_dim=WIDTH, name='source_embed',
                            **options)
        embed = S.swapaxes(embed, dim1=0, dim2=1)
        ahead = over(rnn.LSTMCell(UNITS // 2, 'encoder_forward_'), source_steps, embed,
                     layout='TNC')
        back = over(rnn.LSTMCell(UNITS // 2, 'encoder_reverse_'), source_steps,
                    S.SequenceReverse(embed, lengths, use_sequence_length=True), layout='TNC')
        encoded = S.concat(ahead, S.SequenceReverse(back, lengths, use_sequence_length=True), dim=2)
        encoded = S.swapaxes(encoded, dim1=0, dim2=1)
        last = S.SequenceLast(encoded, lengths, axis=1, use_sequence_length=True)
        states = [S.Activation(dense(last, 'init%d' % at, UNITS), act_type='tanh') for at in (0, 1)]
        hidden = S.tile(S.expand_dims(S.zeros_like(lengths), axis=1), reps=(1, UNITS))
        covered = S.broadcast_to(S.reshape(S.zeros_like(lengths), shape=(-1, 1, 1)), shape=(
            0, source_steps, 1))
        decoder, stacked = rnn.LSTMCell(UNITS, 'decoder_'), []
        keys = dense(encoded, 'keys', UNITS, flatten=False)
        given = S.Embedding(target, input_dim=WORDS, output_dim=WIDTH, name='target_embed',
                            **options)
        for word in S.split(given, num_outputs=target_steps, axis=1, squeeze_axis=True):
            output, states = decoder(S.concat(word, hidden, dim=1), states)
            seen = S.broadcast_add(keys, S.expand_dims(dense(output, 'query', UNITS), axis=1))
            if coverage:
                seen = seen + dense(covered, 'covered', UNITS, flatten=False)
            scores = dense(S.Activation(seen, act_type='tanh'), 'scores', 1, flatten=False)
            scores = S.softmax(S.SequenceMask(scores, lengths, use_sequence_length=True, axis=1,
                                              value=-1e8), axis=1)
            covered = covered + scores
            context = S.reshape(S.batch_dot(encoded, scores, transpose_a=True), shape=(0, 0))
            hidden = S.Activation(dense(S.concat(output, context, dim=1), 'hidden', UNITS),
                                  act_type='tanh')
            stacked.append(S.concat(hidden, last, dim=1) if tied else hidden)
        scores = S.reshape(S.stack(*stacked, axis=1), shape=(-3, 0))
        scores = S.FullyConnected(
            dense(scores, 'narrow', WIDTH), options['weight'], num_hidden=WORDS, no_bias=True
        ) if tied else dense(scores, 'logits', WORDS)
        scores = S.SoftmaxOutput(scores, S.reshape(V('target_label'), shape=(-1,)),
                                 name='softmax', use_ignore=True, ignore_label=0)
        if not ratio:
            return scores
        found = S.reshape(dense(S.mean(encoded, axis=1), 'ratio', 1), shape=(-1,))
        count = S.sum(S.broadcast_not_equal(target, S.zeros((1,))), axis=1)
        return S.Group([scores, S.MakeLoss(S.square(found - count / lengths), name='ratio_loss'),
                        S.BlockGrad(found, name='ratio')])
