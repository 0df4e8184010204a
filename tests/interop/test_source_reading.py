"""Generated sources as a reader wants them: names, and layers that are one."""
import re

import pytest

from .. import mx, ours, rnn
from ..running import random_value
from .sources import generate, source_of
from .test_source import program_of

pytestmark = ours


def test_data_without_a_batch_are_refused():
    import torch
    symbol = rnn.GRUCell(3, 'a_').unroll(4, mx.sym.Variable('data'), merge_outputs=True)[0]
    values = {'data': random_value('data', (2, 4, 5)).astype('float32')}
    module = source_of(symbol, values, {'data': ('batch', 'time', 5)}).module
    with pytest.raises(ValueError, match=r'must have the shape \(any, any, 5\), got \(4, 5\)'):
        module(torch.zeros(4, 5))


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
