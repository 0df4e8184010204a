"""rnn_unroll, which mxnet.rnn announces as deprecated and cannot run any more."""
import warnings

import pytest

from . import differs, mx, rnn
from .running import text_of

pytestmark = differs


def unrolled(**kwargs):
    """JSON of rnn_unroll's outputs and states."""
    with pytest.warns(DeprecationWarning, match='unroll'):
        return text_of(lambda: rnn.rnn_unroll(rnn.LSTMCell(3, 'cell_'), 2, **kwargs))


def expected(**kwargs):
    """The same of the cell's method."""
    return text_of(lambda: rnn.LSTMCell(3, 'cell_').unroll(2, **kwargs))


# differences.md: `rnn_unroll`
@pytest.mark.parametrize('layout', ['NTC', 'TNC'])
def test_gives_what_the_method_gives(layout):
    data = mx.sym.Variable('data')
    assert unrolled(inputs=data, layout=layout) == expected(inputs=data, layout=layout)


def test_makes_missing_inputs():
    steps = [mx.sym.Variable('in_t0_data'), mx.sym.Variable('in_t1_data')]
    assert unrolled(input_prefix='in_') == expected(inputs=steps)
    assert mx.sym.load_json(unrolled()).list_arguments()[0] == 't0_data'


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
