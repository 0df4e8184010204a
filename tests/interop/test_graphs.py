"""Graphs of all cells in torch: outputs and gradients are MXNet's."""
from __future__ import annotations

import functools
import random

import numpy as np
import pytest

from mxrnn import interop

from .. import mx, rnn
from ..cases import CASES, OURS, each
from ..running import begin_state, flat, inputs, quiet
from .compare import assert_equal, run_both, torch

pytestmark = pytest.mark.filterwarnings('ignore:.*(time-major|not applied in training)')

ALL = CASES + OURS
BOUND = [case for case in ALL if case.binds]

#: Cells of programs that draw by themselves, so that gradients don't repeat.
DRAWING = ('own_reset', 'own_in_stack')


def build(case, form, layout='NTC', length=4):
    """Outputs and states of a cell in one of the forms in which a graph can be."""
    cell = quiet(case.make(rnn))
    options = {'layout': layout}
    if form.endswith('valid_length'):
        options['valid_length'] = mx.sym.Variable('lengths')
    if form.startswith('dynamic'):
        outputs, states = rnn.dynamic_unroll(cell, mx.sym.Variable('data'), **options)
    else:
        cell = rnn.fuse(cell) if form.startswith('fuse') else cell
        outputs, states = cell.unroll(length, mx.sym.Variable('data'), merge_outputs=True,
                                      **options)
    return [outputs, *flat(states)]


def check(case, form, layout='NTC'):
    shapes = {'data': (3, 4) if layout == 'NTC' else (4, 3)}
    shapes['data'] += case.step
    values = {}
    if form.endswith('valid_length'):
        shapes['lengths'], values['lengths'] = (3,), np.array([2, 4, 1.])
    # Convolutions in float32 are 8e-7 from those in float64 in either library.
    assert_equal(run_both(build(case, form, layout), shapes, values=values, fixed=['lengths'],
                          train=case.name not in DRAWING),
                 2e-6 if case.name.startswith('conv') else 1e-6)


@pytest.mark.parametrize('layout', ['NTC', 'TNC'])
@each(BOUND)
def test_unrolled(case, layout):
    check(case, 'unroll', layout)


@pytest.mark.parametrize('form', ['fuse', 'valid_length', 'fuse valid_length'])
@each(BOUND)
def test_fuse_and_valid_length(case, form):
    check(case, form)


@each([case for case in BOUND if not case.fused and case.begins and
                                  case.name.startswith('conv')])
def test_convolutions_in_float64(case):
    cell = quiet(case.make(rnn))
    outputs, states = cell.unroll(3, mx.sym.Variable('data'), merge_outputs=True,
                                  begin_state=begin_state(cell, 'default', dtype='float64'))
    assert_equal(run_both([outputs, *flat(states)], {'data': (2, 3, *case.step)},
                          dtype='float64'), 1e-7, 1e-7)  # the slope of LeakyReLU has 32 bits


@pytest.mark.parametrize('form', ['dynamic', 'dynamic valid_length'])
@each([case for case in BOUND if case.loops])
def test_dynamic_unroll(case, form):
    check(case, form)


@each([case for case in BOUND if case.can_step][:12])
def test_steps_as_a_list(case):
    outputs, states = quiet(case.make(rnn)).unroll(3, inputs('list', 3), merge_outputs=False)
    assert_equal(run_both([*outputs, *flat(states)], {
        'data_t%d' % t: (2, *case.step) for t in range(3)}))


@pytest.mark.parametrize('kind', ['RNN', 'LSTM', 'GRU'])
def test_convolutions_with_channels_last(kind):
    """MXNet has no such convolutions on the CPU: against channels first."""
    make = getattr(rnn, 'Conv%sCell' % kind)
    data = torch.rand(2, 3, 2, 5, 6)
    results = []
    for layout, shape in (('NCHW', (1, 2, 5, 6)), ('NHWC', (1, 5, 6, 2))):
        cell = make(shape, 3, conv_layout=layout, prefix='c_')
        outputs, _ = cell.unroll(3, mx.sym.Variable('data'), merge_outputs=True)
        graph = interop.graph_from_json(outputs.tojson())
        torch.manual_seed(0)
        gates = {'RNN': 1, 'LSTM': 4, 'GRU': 3}[kind]
        params = {}
        for group, width in (('i2h', 2), ('h2h', 3)):
            weight = torch.rand(3 * gates, width, 3, 3)
            params['c_%s_weight' % group] = (weight if layout == 'NCHW'
                                             else weight.movedim(1, -1)).numpy()
            params['c_%s_bias' % group] = torch.rand(3 * gates).numpy()
        module = interop.to_torch(interop.Model(graph, params, {}))
        result = module(data=data if layout == 'NCHW' else data.movedim(2, -1))
        results.append(result if layout == 'NCHW' else result.movedim(-1, 2))
    torch.testing.assert_close(*results)


def composition(seed):
    """A random stack of random cells, their modifiers, widths and directions."""
    draw = random.Random(seed)
    count = iter(range(100))

    def plain(units):
        prefix = 'c%d_' % next(count)
        return draw.choice([
            functools.partial(rnn.LSTMCell, units, prefix),
            functools.partial(rnn.GRUCell, units, prefix),
            functools.partial(rnn.RNNCell, units, draw.choice(['tanh', 'relu', 'sigmoid']),
                              prefix)])()

    def fused(units):
        return rnn.FusedRNNCell(units, draw.randint(1, 3),
                                draw.choice(['lstm', 'gru', 'rnn_tanh', 'rnn_relu']),
                                draw.random() < .5, get_next_state=True,
                                prefix='c%d_' % next(count))

    def modified(units, width):
        cell = plain(units)
        kind = draw.randrange(6)
        if kind == 0:
            cell = rnn.ZoneoutCell(cell, 0., 0.)
        if kind in (1, 2) and units == width:
            cell = rnn.ResidualCell(cell)
        if kind == 3:
            cell = rnn.VariationalDropoutCell(cell, 0., 0., 0.)
        return cell

    width = draw.randint(1, 5)
    step, stack = (width,), rnn.SequentialRNNCell()
    for _ in range(draw.randint(1, 3)):
        units, kind = draw.choice([width, draw.randint(1, 5)]), draw.randrange(4)
        if kind == 0:
            stack.add(rnn.BidirectionalCell(modified(units, width), modified(units, width),
                                            output_prefix='c%d_' % next(count)))
            width = 2 * units
        elif kind == 1:
            cell = fused(units)
            stack.add(cell)
            width = units * (2 if cell._bidirectional else 1)
        else:
            stack.add(modified(units, width))
            width = units
        if draw.random() < .2:
            stack.add(rnn.DropoutCell(0.))
    return stack, step, draw


@pytest.mark.parametrize('seed', range(500))
def test_random_compositions(seed):
    cell, step, draw = composition(seed)
    length, batch, layout = draw.randint(1, 5), draw.randint(1, 3), draw.choice(['NTC', 'TNC'])
    form = draw.choice(['unroll', 'fuse', 'valid_length', 'fuse', 'dynamic'])
    options, values = {'layout': layout}, {}
    shapes = {'data': ((batch, length) if layout == 'NTC' else (length, batch)) + step}
    if draw.random() < .3 and form != 'unroll' or form == 'valid_length':
        options['valid_length'] = mx.sym.Variable('lengths')
        shapes['lengths'] = (batch,)
        values['lengths'] = np.array([draw.randint(1, length) for _ in range(batch)])
    if form == 'dynamic' and all(each.can_step for each in cell._all_cells_()):
        outputs, states = rnn.dynamic_unroll(cell, mx.sym.Variable('data'), **options)
    else:
        cell = rnn.fuse(cell) if form == 'fuse' else cell
        outputs, states = cell.unroll(length, mx.sym.Variable('data'), merge_outputs=True,
                                      **options)
    assert_equal(run_both([outputs, *flat(states)], shapes, values=values, fixed=['lengths']))
