"""Graphs of all cells in torch: outputs and gradients are MXNet's."""
import random

import numpy as np
import pytest

from .. import rnn
from ..cases import TYPICAL, each
from ..running import flat, inputs, quiet
from .compare import assert_equal, run_both
from .compositions import WIDTH, composition
from .forms import BOUND, exists, unrolled

pytestmark = pytest.mark.filterwarnings('ignore:.*(time-major|not applied in training)')

#: Cells of programs that draw by themselves, so that gradients don't repeat.
DRAWING = ('own_reset', 'own_in_stack')


@pytest.mark.parametrize('case, form, layout', [
    pytest.param(case, form, layout, id='%s-%s-%s' % (case, form, layout), marks=[
        pytest.mark.nightly] * (case.name not in TYPICAL and (form, layout) != ('whole', 'NTC')))
    for case in BOUND for form, layout in [('whole', 'TNC'), *[(form, 'NTC') for form in (
        'whole', 'fuse', 'lengths', 'fuse_lengths', 'loop', 'loop_lengths')]]
    if exists(case, form)])
def test_like_mxnet(case, form, layout):
    shapes = {'data': ((3, 4) if layout == 'NTC' else (4, 3)) + case.step}
    values = {}
    if form.endswith('lengths'):
        shapes['lengths'], values['lengths'] = (3,), np.array([2, 4, 1.])
    # Convolutions in float32 are 8e-7 from those in float64 in either library.
    outputs = flat(unrolled(quiet(case.make(rnn)), form, layout, 4))
    assert_equal(run_both(outputs, shapes, values=values, fixed=['lengths'],
                          train=case.name not in DRAWING,
                          # Without a recurrence, nothing tells that there are steps.
                          typed=None if case.make(rnn).state_info else {'data': shapes['data']}),
                 2e-6 if case.name.startswith('conv') else 1e-6)


@each([case for case in BOUND if case.can_step][:12])
def test_steps_as_a_list(case):
    """Two steps; of more steps one input is made (test_one_input.py)."""
    outputs, states = quiet(case.make(rnn)).unroll(2, inputs('list', 2), merge_outputs=False)
    assert_equal(run_both([*outputs, *flat(states)], {
        'data_t%d' % t: (2, *case.step) for t in range(2)}))


#: Norms of few units multiply the last bit.
SEEDS = [seed for seed in range(150) if 'LayerNorm' not in repr(composition(seed)[0])]


@pytest.mark.parametrize('seed', SEEDS)
def test_random_compositions(seed):
    cell, options = composition(seed)
    draw, cell = random.Random(seed), quiet(cell)
    length, batch = draw.randint(1, 5), draw.randint(1, 3)
    shapes = {'data': tuple({'N': batch, 'T': length, 'C': WIDTH}[axis]
                            for axis in options['layout'])}
    values = {}
    form = draw.choice(['whole', 'fuse', 'lengths', 'fuse_lengths', 'loop'])
    if form.endswith('lengths'):
        shapes['lengths'] = (batch,)
        values['lengths'] = np.array([draw.randint(1, length) for _ in range(batch)])
    if form == 'loop' and not all(each.can_step for each in cell._all_cells_()):
        form = 'whole'
    outputs = flat(unrolled(cell, form, options['layout'], length))
    assert_equal(run_both(outputs, shapes, values=values, fixed=['lengths']), 2e-6)
