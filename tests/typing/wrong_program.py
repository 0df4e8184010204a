"""Mistakes that a type checker has to find: one in each line that says so. It is not run."""
from __future__ import annotations

import mxrnn as rnn
from mxrnn import mx

x = mx.sym.Variable('data')
cell = rnn.LSTMCell(8)
rnn.FusedRNNCell(8, mode='ltsm')  # wrong
rnn.ConvLSTMCell((0, 3, 8, 8), 4, conv_layout='NCWH')  # wrong
cell.unroll(3, x, layout='CNT')  # wrong
cell.unroll(3, 'data')  # wrong
steps: mx.sym.Symbol = cell.unroll(3, x, merge_outputs=False)[0]  # wrong
one: list[mx.sym.Symbol] = cell.unroll(3, x, merge_outputs=True)[0]  # wrong
rnn.StreamIter([1, 2, 3], 1, 2, last_batch='keep')  # wrong
rnn.BucketSentenceIter([[1, 2]], 1, layout='CN')  # wrong
rnn.dynamic_unroll(cell, x, layout='CNT')  # wrong
rnn.fuse(rnn.LSTMCell)  # wrong
rnn.LTSMCell(8)  # wrong
cell.unroll(3, x, dtype=32)  # wrong
