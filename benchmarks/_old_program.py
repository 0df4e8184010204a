"""Train ordinary cells with mx.rnn; prints the seconds of its shortest step. Knows no mxrnn.

`old_programs.py` runs it as it stands. The last argument, `edited`, is the edit to compare with:
the stack goes through `fuse`.
"""
import sys
import time

import mxnet as mx

mode, steps, batch, layers, units, rounds = sys.argv[1], *map(int, sys.argv[2:7])
stack = mx.rnn.SequentialRNNCell()
for layer in range(layers):
    kind = {'lstm': mx.rnn.LSTMCell, 'gru': mx.rnn.GRUCell}[mode]
    stack.add(kind(units, prefix='l%d_' % layer))
if sys.argv[7:] == ['edited']:
    stack = mx.rnn.fuse(stack)
outputs, _ = stack.unroll(steps, mx.sym.Variable('data'), layout='TNC', merge_outputs=True)
bound = outputs.simple_bind(mx.cpu(), data=(steps, batch, units))
mx.random.seed(1)
for array in bound.arg_dict.values():
    array[:] = mx.nd.random.uniform(-.1, .1, array.shape)
head = mx.nd.ones(bound.outputs[0].shape)
seconds = []
for _ in range(rounds + 1):
    mx.nd.waitall()
    start = time.perf_counter()
    bound.forward(is_train=True)
    bound.backward(head)
    mx.nd.waitall()
    seconds.append(time.perf_counter() - start)
print(min(seconds[1:]))
