"""All ways to unroll a cell compute the same: through sym.RNN, with inputs at once, as a loop."""
import warnings

import pytest

from . import differs, mx, rnn
from .cases import BOUND, OURS, each, each_way
from .comparing import assert_agree
from .running import WAYS, inputs, quiet, run, walk

pytestmark = [differs, pytest.mark.filterwarnings('ignore:FusedRNNCell')]

#: What `repr` says of a cell that goes this way.
SAID = {'fuse': 'sym.RNN(', 'at once': 'inputs at once'}


def goes(case, way):
    if way == 'loop':
        return case.loops and case.name != 'stack_empty'
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        return SAID[way] in repr(WAYS[way](case.make(rnn)))


PAIRS = [(case, way) for case in BOUND + OURS if case.binds for way in ('fuse', 'at once', 'loop')
         if rnn.__name__ != 'mxnet.rnn' and goes(case, way)]
each_pair = each_way(PAIRS or [(BOUND[0], 'fuse')])


# differences.md: ordinary cells at the operator's speed
# differences.md: one graph for every length (`foreach` ignores dropout)
# differences.md: wide cells that `sym.RNN` does not support, such as projections
@each_pair
@pytest.mark.parametrize('options', [
    {}, {'layout': 'TNC'}, {'begin': 'variable'}, {'layout': 'TNC', 'begin': 'variable'},
    {'length': 1}], ids=str)
def test_same_function_and_gradients(case, way, options):
    expected = run(quiet(case.make(rnn)), case.step, **options)
    for merge in (True,) if way == 'loop' else (True, False, *[None] * (not options)):
        found = run(WAYS[way](quiet(case.make(rnn))), case.step, merge_outputs=merge, **options)
        assert_agree(found, expected)


def form(nested):
    """The structure of nested lists of Symbols."""
    return [form(item) for item in nested] if isinstance(nested, (list, tuple)) else len(nested)


def afterwards(case, way, kind, merge):
    """The form of the results, and what the cell keeps: also the counters in the next names."""
    cell = case.make(rnn)
    results = WAYS[way](cell).unroll(3, inputs(kind, 3), merge_outputs=merge)
    return form(results), [(each._counter, each._init_counter, {*vars(each)})
                           for each in walk(cell)]


@each_pair
def test_prediction_draws_nothing_and_results_have_one_form(case, way):
    assert_agree(*(run(wrap(case.make(rnn)), case.step, train=False)
                   for wrap in (WAYS[way], WAYS['plain'])))
    for kind in ('symbol', 'list') if way != 'loop' else ():
        for merge in (True, False, None):
            assert afterwards(case, way, kind, merge) == afterwards(case, 'plain', kind, merge)


@each([case for case in OURS if case.binds])
@pytest.mark.parametrize('merge', [True, False])
def test_outputs_have_the_form_that_is_asked_for(case, merge):
    outputs, _ = case.make(rnn).unroll(3, inputs('symbol', 3), merge_outputs=merge)
    assert isinstance(outputs, mx.sym.Symbol) is merge and (merge or len(outputs) == 3)
