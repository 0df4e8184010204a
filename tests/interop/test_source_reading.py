"""Generated sources as a reader wants them: names, and layers that are one."""
from __future__ import annotations

import ast
import re

import pytest

from .. import mx, ours, rnn
from ..running import random_value
from .sources import check, generate, model_of, run_mxnet
from .test_source import program_of

pytestmark = ours


def test_a_loop_has_the_names_of_its_cell():
    """Gates are called after what reads them, and what all steps read after its layer."""
    text = generate(program_of('attention_with_input_feeding')[1]).text
    for line in ('i2h_r, i2h_z, i2h_h = self.decoder_i2h(x_3).chunk(3, 1)',
                 'z = torch.sigmoid(i2h_z + h2h_z)',
                 'state = self.step(row, state, encoder_out)',
                 '"""One step of decoder, query."""'):
        assert '        %s\n' % line in text


def test_a_step_takes_what_it_reads():
    """A sequence that gives shapes alone goes into no step of cells with norms."""
    cell = rnn.LayerNormLSTMCell(3, 'a_')
    symbol = cell.unroll(4, mx.sym.Variable('data'), merge_outputs=True)[0]
    values = {'data': random_value('data', (2, 4, 5)).astype('float32')}
    text = generate(model_of(symbol, run_mxnet(symbol, values, {}), values),
                    {'data': ('batch', 'time', 5)}).text
    steps = [each for each in ast.walk(ast.parse(text)) if isinstance(each, ast.FunctionDef)
             and each.name == 'step']
    assert steps
    for step in steps:
        read = {each.id for each in ast.walk(step) if isinstance(each, ast.Name)}
        assert {each.arg for each in step.args.args[1:]} <= read


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


@pytest.mark.parametrize('kind', ['stacks', 'states', 'sum'])
def test_directions_in_other_graphs(kind):
    """Two stacks side by side stay two; states and sums of both directions are MXNet's."""
    data = mx.sym.Variable('data')
    ahead, back = ([rnn.GRUCell(4, '%s%d_' % (side, at)) for at in range(2)] for side in 'lr')

    def read(cells, x, backwards):
        x = mx.sym.reverse(x, axis=1) if backwards else x
        for cell in cells:
            x, states = cell.unroll(3, x, merge_outputs=True)
        return (mx.sym.reverse(x, axis=1) if backwards else x), states[0]
    cells = [ahead, back] if kind == 'stacks' else [ahead[:1], back[:1]]
    (one, state), (other, final) = (read(each, data, at) for at, each in enumerate(cells))
    symbol = {'stacks': mx.sym.concat(one, other, dim=2), 'sum': one + other,
              'states': mx.sym.Group([one, state - final])}[kind]
    values = {'data': random_value('data', (2, 3, 5)).astype('float32')}
    source = generate(model_of(symbol, run_mxnet(symbol, values, {}), values),
                      {'data': ('batch', 3, 5)})
    check(source, symbol, values)
    assert source.text.count('= nn.GRU') == {'stacks': 2, 'states': 2, 'sum': 1}[kind]
