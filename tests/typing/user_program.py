"""A program of a user, for type checkers: test_typing.py has mypy read it. It is not run.

Each `reveal_type` is followed by what mypy has to print, short of the modules' names.
"""
from __future__ import annotations

from typing import TYPE_CHECKING

import mxrnn as rnn
from mxrnn import interop, mx

if TYPE_CHECKING:
    from typing_extensions import reveal_type

# Data
days = 'mon tue wed thu fri sat sun'.split() * 3
sentences, vocab = rnn.encode_sentences(
    [days[start:start + length] for start in range(7) for length in range(5, 13)],
    invalid_label=0, start_label=1)
reveal_type(sentences)  # list[list[int]]
data = rnn.BucketSentenceIter(sentences, batch_size=14, invalid_label=0, layout='NT')
stream = rnn.StreamIter([1, 2, 3] * 50, batch_size=2, bptt=5, last_batch='pad')
for batch in data:
    reveal_type(batch.data)  # list[NDArray]
words = rnn.decode_sentences(sentences, vocab)
corpus = rnn.write_tokens('corpus', sentences)
rnn.BucketSentenceIter('corpus', 14)

# Cells and graphs
cell = rnn.FusedRNNCell(32, mode='lstm', prefix='lstm_')
stack = rnn.SequentialRNNCell()
stack.add(rnn.LSTMCell(8, prefix='l0_'))
stack.add(rnn.ResidualCell(rnn.GRUCell(8, prefix='l1_')))
stack.add(rnn.ZoneoutCell(rnn.RNNCell(8), zoneout_outputs=0.1))
stack.add(rnn.DropoutCell(0.5))
images = rnn.ConvLSTMCell((0, 3, 8, 8), 4, conv_layout='NCHW')
x = mx.sym.Variable('data')
reveal_type(x)  # Symbol
merged, states = cell.unroll(5, x, merge_outputs=True)
reveal_type(merged)  # Symbol
steps, _ = stack.unroll(5, x, layout='TNC', merge_outputs=False)
reveal_type(steps)  # list[Symbol]
as_it_comes, _ = stack.unroll(5, [x] * 5)
reveal_type(as_it_comes)  # Symbol | list[Symbol]
reveal_type(stack.unroll(5, x, None, 'NTC', True)[0])  # Symbol
reveal_type(stack.unroll(5, x, None, 'NTC', False)[0])  # list[Symbol]
images.unroll(2, mx.sym.Variable('film'), layout='NTCHW', merge_outputs=True)
masked, _ = rnn.fuse(stack).unroll(5, x, valid_length=mx.sym.Variable('length'),
                                   merge_outputs=True, dtype='float16')
reveal_type(masked)  # Symbol
looped, _ = rnn.dynamic_unroll(stack, x, layout='TNC')
reveal_type(looped)  # Symbol
output, after = stack(x, stack.begin_state(mx.sym.Variable))
reveal_type(after)  # list[Symbol]
scores = mx.sym.FullyConnected(merged, num_hidden=8, flatten=False, name='score')
reveal_type(scores)  # Symbol
reveal_type(scores[0] * 2 + output)  # Symbol
step = mx.sym.Group([mx.sym.argmax(scores, axis=1), *after])
reveal_type(step.list_arguments())  # list[str]
reveal_type(cell.unfuse())  # SequentialRNNCell


def network(length: int) -> tuple[mx.sym.Symbol, list[str], list[str]]:
    outputs, _ = cell.unroll(length, x, merge_outputs=True)
    return mx.sym.SoftmaxOutput(outputs, mx.sym.Variable('softmax_label')), ['data'], [
        'softmax_label']


class Smooth(rnn.BaseRNNCell):
    @property
    def state_info(self) -> list[dict[str, object]]:
        return [{'shape': (0, 5), '__layout__': 'NC'}]

    def __call__(self, inputs: mx.sym.Symbol, states: list[mx.sym.Symbol]
                 ) -> tuple[mx.sym.Symbol, list[mx.sym.Symbol]]:
        mean = inputs / 2 + states[0] / 2
        return mean, [mean]


# Training and checkpoints
model = mx.mod.BucketingModule(network, data.default_bucket_key, context=mx.cpu())
model.fit(data, num_epoch=4, optimizer='adam', initializer=mx.init.Xavier(),
          epoch_end_callback=rnn.do_rnn_checkpoint(cell, 'days', module=model))
carried = rnn.carry_states(cell)
loaded = rnn.load_rnn_checkpoint(cell, 'days', module=model)
reveal_type(loaded.epoch)  # int | None
symbol, arg_params, aux_params = rnn.load_rnn_checkpoint(stack, 'days', 3)
reveal_type(symbol)  # Symbol
reveal_type(arg_params)  # dict[str, NDArray]
reveal_type(stack.pack_weights(cell.unpack_weights(arg_params)))  # dict[str, NDArray]
rnn.save_rnn_checkpoint(stack, 'days', 4, symbol, arg_params, aux_params)

# Inference
stepper = rnn.Stepper(stack, lambda run: run(mx.sym.Variable('data')), arg_params)
out, memory = stepper.step(stepper.begin(2), data=[1, 2])
reveal_type(out)  # NDArray | list[NDArray]
reveal_type(memory)  # list[NDArray]
predict = rnn.Predictor(network, arg_params, buckets=[5, 10], layout='NT')

# Away from MXNet
exported = interop.load('days')
reveal_type(exported.inputs)  # list[str]
reveal_type(interop.to_torch(exported))  # TorchModel
