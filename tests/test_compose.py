"""SequentialRNNCell and BidirectionalCell where mxnet.rnn has no counterpart."""
from __future__ import annotations

import numpy as np
import pytest

from . import differs, mx, reference, rnn
from .running import stack

ZEROS = [np.zeros((2, 3))] * 2


def lstm(args, prefix, reverse=False):
    return reference.unroll(reference.lstm, args, prefix, ZEROS, np.tanh, reverse=reverse)


@differs
@pytest.mark.parametrize('lengths', [False, True])
def test_both_directions_of_nhwc_are_joined_along_the_channels(lengths):
    cell = rnn.BidirectionalCell(
        rnn.ConvRNNCell((1, 4, 3, 2), 2, prefix='l_', conv_layout='NHWC'),
        rnn.ConvRNNCell((1, 4, 3, 2), 5, prefix='r_', conv_layout='NHWC'))
    options = {'valid_length': mx.sym.Variable('n')} if lengths else {}
    outputs, _ = cell.unroll(3, mx.sym.Variable('data'), merge_outputs=True, **options)
    shapes = {'data': (6, 3, 4, 3, 2), **({'n': (6,)} if lengths else {})}
    assert outputs.infer_shape(**shapes)[1] == [(6, 3, 4, 3, 7)]


@differs
def test_a_stack_is_counted_and_indexed():
    cells = [rnn.LSTMCell(3, 'a_'), rnn.GRUCell(4, 'b_'), rnn.RNNCell(5, prefix='c_')]
    outer = stack(rnn, *cells)
    assert len(outer) == 3 and list(outer) == cells and outer[-1] is cells[2]
    assert outer[1:] == cells[1:]
    with pytest.raises(IndexError):
        outer[3]
    assert rnn.SequentialRNNCell() and not len(rnn.SequentialRNNCell())  # as in mxnet.rnn, true


def consistent(prefix):
    """MXNet infers the shapes of its later outputs from what comes after them."""
    return rnn.ZoneoutCell(rnn.GRUCell(2, prefix), 0.1, 0.1, consistent=True)


@differs
@pytest.mark.parametrize('make', [
    lambda: stack(rnn, rnn.GRUCell(2, 'a_'), rnn.ResidualCell(consistent('b_'))),
    lambda: stack(rnn, rnn.GRUCell(2, 'a_'), consistent('b_'), rnn.FusedRNNCell(2, prefix='c_')),
    lambda: stack(rnn, rnn.LayerNormGRUCell(2, 'a_'), rnn.ResidualCell(consistent('b_')))])
@pytest.mark.parametrize('merge_outputs', [True, False])
def test_shapes_that_are_known_in_part_are_not_refused(make, merge_outputs):
    outputs, _ = make().unroll(3, mx.sym.Variable('x'), merge_outputs=merge_outputs)
    shapes = mx.sym.Group(list(outputs)).infer_shape(x=(4, 3, 2))[1]
    assert shapes == ([(4, 3, 2)] if merge_outputs else [(4, 2)] * 3)
