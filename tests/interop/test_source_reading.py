"""Generated sources as a reader wants them: names, and layers that are one."""
import re

import pytest

from .. import ours, rnn
from ..running import random_value
from .models import S, V, over
from .sources import check, generate, source_of
from .test_source import program_of

pytestmark = ours


def test_data_without_a_batch_are_refused():
    import torch
    symbol = over(rnn.GRUCell(3, 'a_'), 4)
    values = {'data': random_value('data', (2, 4, 5)).astype('float32')}
    module = source_of(symbol, values, {'data': ('batch', 'time', 5)}).module
    with pytest.raises(ValueError, match=r'must have the shape \(batch, time, 5\), got \(4, 5\)'):
        module(torch.zeros(4, 5))


def test_numbers_of_the_graph_are_explained_by_their_nodes():
    """A reader asked what 255 was. 1, and what keeps a divisor from 0, explain themselves. Names of
    nodes stand behind their statement, or nowhere. '__0' is a name, and like words for numbers."""
    x = V('data') / 255 - 3
    x = S.clip(10 / (over(rnn.LSTMCell(4, 'l_'), 5, x) + 2), 0, 20) * .125 + 1
    x = x / (x * x + 1e-5)
    text = source_of(x, {'data': random_value('data', (2, 5, 3)).astype('f')}, {
        'data': ('batch', '__0', 3)}).text
    assert text.endswith('''
        check_shape('data', data, 'batch', '__0', 3)
        x, _ = self.l(data / 255 - 3)  # _divscalar0, _minusscalar0 of MXNet
        l = (10 / (x + 2)).clamp(0, 20) * 0.125 + 1
        return l / (l * l + 1e-05)
''')


def test_a_number_that_is_used_twice_is_explained_by_its_own_node():
    """Also a factor of 0.001, beside an offset of 0.001."""
    x = S.FullyConnected(V('data') * 3, num_hidden=4, name='fc')
    x = S.relu(S.concat(x * 3, S.clip(x, -3, 1), dim=1))
    x = S.sum(x * .001 + .001, axis=1) * -2
    text = source_of(x, {'data': random_value('data', (2, 3)).astype('f')}, {
        'data': ('batch', 3)}).text
    assert text.endswith('''
        fc = self.fc(data * 3)  # _mulscalar0 of MXNet
        x = torch.relu(torch.cat((fc * 3, fc.clamp(-3, 1)), 1))  # _mulscalar1, clip0 of MXNet
        return (x * 0.001 + 0.001).sum(1) * (-2)  # _mulscalar2, _mulscalar3 of MXNet
''')


def test_tied_weights_are_called_after_their_own_layers():
    text = generate(program_of('tied_weights')[1]).text
    assert 'self.pred = nn.Linear(6, 11)  # embed, pred of MXNet\n' in text
    assert 'self.pred.weight = self.embed.weight\n' in text


@pytest.mark.parametrize('name, layer', [
    ('tagger_of_stacked_directions', '''        # l0, r0, l1, r1 of MXNet
        self.bi = nn.GRU(5, 3, num_layers=2, batch_first=True, bidirectional=True)
'''),
    ('bidirectional', 'self.lstm = nn.LSTM(5, 6, batch_first=True, bidirectional=True)  # l, r of'),
    ('fused_by_mxrnn', 'self.lstm = nn.LSTM(5, 6, num_layers=2, batch_first=True)  # a, b of')])
def test_directions_and_layers_are_one_layer(name, layer):
    """Also where a layer reads both directions, and where only final states are read."""
    text = generate(program_of(name)[1]).text
    assert layer in text and text.count('self.%s(' % re.search(r'self\.(\w+) =', layer)[1]) == 1
    assert 'flip' not in text


def unrolled(order, data, weights):
    """An LSTM by hand, of four steps and two units, whose gates have an order."""
    state, cell, outputs = S.zeros((0, 2)), S.zeros((0, 2)), []
    for x in S.SliceChannel(data, num_outputs=4, axis=1, squeeze_axis=True):
        gates = [S.FullyConnected(each, *weights[at:at + 2], num_hidden=8)
                 for at, each in ((0, x), (2, state))]
        parts = S.SliceChannel(gates[0] + gates[1], num_outputs=4, axis=1)
        i, f, c, o = (parts[at] for at in order)
        cell = S.sigmoid(f) * cell + S.sigmoid(i) * S.tanh(c)
        state = S.sigmoid(o) * S.tanh(cell)
        outputs.append(S.expand_dims(state, axis=1))
    return S.concat(*outputs, dim=1)


@pytest.mark.parametrize('reader, layers', [
    (lambda *given: unrolled((0, 1, 2, 3), *given), 1),
    (lambda _, weights: S.MakeLoss(S.square(weights[0])), 0)], ids=['layer', 'penalty'])
def test_weights_whose_gates_have_two_orders_are_written(reader, layers):
    """A layer has its own order; another reader of the same numbers needs theirs."""
    names = 'i2h_weight', 'i2h_bias', 'h2h_weight', 'h2h_bias'
    given = V('data'), [V(name) for name in names]
    symbol = S.Group([unrolled((0, 2, 1, 3), *given), reader(*given)])
    data = {'data': random_value('data', (3, 4, 5)).astype('float32')}
    source = source_of(symbol, data, {'data': ('batch', 'time', 5)})
    assert source.text.count('nn.LSTM(') == layers
    check(source, symbol, data)


def decoder(steps=5):
    """A program of attention by hand, which names its nodes by step."""
    memory, cell = V('memory'), rnn.RNNCell(4, 'softsign', prefix='dec_')
    state, outputs = S.sum(memory, axis=1), []
    for step in range(steps):
        score = S.batch_dot(memory, S.expand_dims(state, axis=2), name='score_t%d' % step)
        look = S.softmax(S.Reshape(score, shape=(0, 0)) / 2, name='look_t%d' % step)
        seen = S.batch_dot(S.expand_dims(look, axis=1), memory)
        state = cell(S.Reshape(seen, shape=(-1, 4)), [state])[0]
        outputs.append(state)
    return outputs


def test_arrays_have_the_names_that_the_program_gave_with_the_step():
    data = {'memory': random_value('memory', (2, 3, 4)).astype('float32')}
    text = source_of(S.stack(*decoder(), axis=1), data, {'memory': ('batch', 3, 4)}).text
    assert 'look = torch.softmax((x @ ' in text and 'x_' not in text


def test_what_a_method_returns_has_its_name():
    """It was x_2, if the method returns much."""
    text = generate(program_of('predictions_and_states')[1]).text
    assert 'pred = self.pred(x.flatten(0, 1))\n        return pred, ' in text


def test_steps_are_stacked_along_the_axis_that_is_read():
    outputs, _ = rnn.RNNCell(4, 'softsign').unroll(5, V('data'))
    data = {'data': random_value('data', (2, 5, 3)).astype('float32')}
    source = source_of(S.stack(*outputs, axis=0), data, {'data': ('batch', 'time', 3)})
    assert 'torch.stack(outs)' in source.text and 'transpose' not in source.text


def test_rows_of_two_sequences_have_plain_names():
    steps = V('data')
    for layer in 'ab':
        cell = rnn.ZoneoutCell(rnn.LSTMCell(3, layer + '_'), .1, .1)
        steps = over(cell, 5, steps)
    data = {'data': random_value('data', (2, 5, 3)).astype('float32')}
    text = source_of(steps, data, {'data': ('batch', 'time', 3)}).text
    assert text.count(' in zip(') > 1 and not re.search(r'x_\d_\d', text)
