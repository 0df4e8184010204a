"""Unrolled graphs, rolled up: the same outputs and gradients, at any length and batch size."""
import pytest

from mxrnn import interop
from mxrnn._graph.rolling import structure

from .. import rnn
from ..cases import CASES, OURS, each
from ..running import quiet, stack
from .compare import assert_equal, bind
from .compositions import composition
from .models import S, V
from .rolling import assert_same, check_rolled, run_rolled, unrolled, values_of

pytestmark = pytest.mark.filterwarnings('ignore:.*(time-major|not applied in training)')

#: Cells that are no operator or draw by themselves, so that gradients don't repeat.
DRAWING = ('own_reset', 'own_in_stack')


BOUND = [case for case in CASES + OURS if case.binds and case.make(rnn).state_info]
RECURRENT = [case for case in BOUND if not case.fused]


def tolerance(case):
    """Convolutions in float32 are 8e-7 from those in float64 in either library; one unit gives
    values near 0."""
    return 3e-6 if case.name.startswith('conv') or case.name == 'lstm_one_unit' else 1e-6


def data_shape(case, layout, batch, length):
    first = (batch, length) if layout == 'NTC' else (length, batch)
    return {'data': (*first, *case.step)}


# differences.md: an unrolled graph at another length
@pytest.mark.parametrize('layout', ['NTC', 'TNC'])
@each(BOUND)
def test_outputs_at_any_length(case, layout):
    check_rolled(unrolled(quiet(case.make(rnn)), 4), training=case.name not in DRAWING)
    rolled = check_rolled(unrolled(case.make(rnn), 4, layout=layout))
    if case in RECURRENT:
        assert rolled.findings and len(rolled.graph.nodes) < 120
    for batch, length in ((2, 4), (3, 7), (1, 2)):
        if case.fused and length != 4:
            continue
        shapes = data_shape(case, layout, batch, length)
        bound = bind(unrolled(case.make(rnn), length, layout=layout), shapes)
        assert_equal(run_rolled(rolled, bound, shapes), tolerance(case))


@pytest.mark.parametrize('seed', [seed for seed in range(50) if seed != 27])
def test_random_compositions(seed):
    """Composition 27 has a LayerNorm of two units, which multiplies the last bit by thousands."""
    cell, options = composition(seed)
    rolled = check_rolled(unrolled(cell, 3 + seed % 3, **options))
    for length in {3 + seed % 3, 2 + seed % 5} if options['merge_outputs'] else {3 + seed % 3}:
        symbol = unrolled(composition(seed)[0], length, **options)
        shape = (2, length, 4) if options['layout'] == 'NTC' else (length, 2, 4)
        assert_same(rolled.graph, interop.graph_from_json(symbol.tojson()),
                    values_of(symbol, {'data': shape}))


def test_one_step_of_what_is_drawn_for_all_steps():
    """The residual of the last step needs that step of the dropped sequence."""
    def last(length, p):
        cell = stack(rnn, rnn.LSTMCell(4, 'a_'), rnn.DropoutCell(p, 'drop_'),
                     rnn.ResidualCell(rnn.GRUCell(4, 'b_')))
        return cell.unroll(length, V('data'))[0][-1]
    rolled = check_rolled(last(4, .5), training=True)
    assert [node.op for node in rolled.graph.nodes].count('Dropout') == 1
    whole = rolled.graph._replace(nodes=tuple([
        node._replace(attrs={'p': '0'}) if node.op == 'Dropout' else node
        for node in rolled.graph.nodes]))
    for length in (4, 7):
        bound = bind(last(length, 1e-9), {'data': (2, length, 3)}, train=True)
        assert_equal(run_rolled(rolled._replace(graph=whole), bound, {'data': (2, length, 3)}))


def test_graph_without_recurrences_stays_as_it_is():
    data = V('data')
    symbol = S.Group([S.FullyConnected(data, num_hidden=3, name='fc'),
                      S.Dropout(data, name='drop')])
    rolled = check_rolled(symbol)
    assert not rolled.findings and len(rolled.graph.nodes) == 5


def test_attributes_that_mean_nothing_are_left_to_who_reads_the_graph():
    symbol = unrolled(rnn.LSTMCell(3), 3)
    graph = interop.graph_from_json(symbol.tojson().replace('"act_type": "tanh"',
                                                            '"act_type": "than"'))
    assert structure(graph).graph is graph


def test_deep_graphs_need_no_recursion():
    rolled = check_rolled(unrolled(rnn.RNNCell(2), 1500))
    assert len(rolled.graph.nodes) < 25
