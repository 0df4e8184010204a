"""rnn_unroll, which mxnet.rnn announces as deprecated and cannot run any more."""
import warnings

import pytest

from . import differs, mx, rnn

pytestmark = differs


def unrolled(**kwargs):
    """JSON of rnn_unroll's outputs and states."""
    with mx.name.NameManager(), pytest.warns(DeprecationWarning, match='unroll'):
        outputs, states = rnn.rnn_unroll(rnn.LSTMCell(3, 'cell_'), 2, **kwargs)
        outputs = outputs if isinstance(outputs, list) else [outputs]
        return mx.sym.Group(outputs + states)


def expected(**kwargs):
    """The same of the cell's method."""
    with mx.name.NameManager():
        outputs, states = rnn.LSTMCell(3, 'cell_').unroll(2, **kwargs)
        outputs = outputs if isinstance(outputs, list) else [outputs]
        return mx.sym.Group(outputs + states)


# differences.md: `rnn_unroll`
@pytest.mark.parametrize('layout', ['NTC', 'TNC'])
def test_gives_what_the_method_gives(layout):
    data = mx.sym.Variable('data')
    assert (unrolled(inputs=data, layout=layout).tojson()
            == expected(inputs=data, layout=layout).tojson())


def test_makes_missing_inputs():
    steps = [mx.sym.Variable('in_t0_data'), mx.sym.Variable('in_t1_data')]
    assert unrolled(input_prefix='in_').tojson() == expected(inputs=steps).tojson()
    assert unrolled().list_arguments()[0] == 't0_data'


# differences.md: `rnn_unroll`
def test_warns_once_for_each_call_site():
    cell, data = rnn.RNNCell(3), mx.sym.Variable('data')
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('default')
        for _ in range(3):
            rnn.rnn_unroll(cell, 2, data)
        rnn.rnn_unroll(cell, 2, data)
    assert [each.category for each in caught] == [DeprecationWarning] * 2
    assert all(each.filename == __file__ for each in caught)
