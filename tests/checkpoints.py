"""Shared by the tests of checkpoints: networks, data, training, files made by hand."""
import io
import pickle
import zlib
from typing import Any, NamedTuple

import numpy as np
import pytest

from . import mx, rnn
from .running import random_value

CELLS = {
    'fused': lambda: rnn.FusedRNNCell(3, 2, 'lstm', True, prefix='lstm_'),
    'unfused': lambda: rnn.FusedRNNCell(3, 2, 'lstm', True, prefix='lstm_').unfuse(),
}


def network(cell, length=3):
    """A classifier of each step over the cell, with a parameter of every kind."""
    with mx.name.NameManager():
        data = mx.sym.Embedding(mx.sym.Variable('data'), input_dim=7, output_dim=4, name='embed')
        outputs, _ = cell.unroll(length, data, layout='NTC', merge_outputs=True)
        hidden = mx.sym.BatchNorm(mx.sym.Reshape(outputs, shape=(-3, -2)), name='norm')
        label = mx.sym.Reshape(mx.sym.Variable('softmax_label'), shape=(-1,))
        hidden = mx.sym.FullyConnected(hidden, num_hidden=7, name='output')
        return mx.sym.SoftmaxOutput(hidden, label, name='softmax')


def parameters(symbol, seed=0, **shapes):
    """Random parameters and auxiliary states, by name."""
    shapes = shapes or {'data': (2, 3), 'softmax_label': (2, 3)}
    arguments, _, auxiliary = symbol.infer_shape(**shapes)

    def values(names, sizes):  # positive, for there is a variance among them
        return {name: mx.nd.array(abs(random_value(name, size, seed)))
                for name, size in zip(names, sizes) if name not in shapes}
    return (values(symbol.list_arguments(), arguments),
            values(symbol.list_auxiliary_states(), auxiliary))


class Saved(NamedTuple):
    """A checkpoint: what was saved, and where."""

    cell: Any
    prefix: str
    symbol: Any
    arg_params: Any
    aux_params: Any

    @property
    def model(self):
        """What callbacks get after the epoch."""
        return self[2:]

    def save(self, prefix, epoch=1, **changes):
        """Save it with some arguments changed."""
        given = {'cells': self.cell, 'symbol': self.symbol, 'arg_params': self.arg_params,
                 'aux_params': self.aux_params, **changes}
        rnn.save_rnn_checkpoint(prefix=str(prefix), epoch=epoch, **given)


def flipped(content, at, bit=2):
    """The bytes with another bit at a place."""
    return content[:at] + bytes([content[at] ^ 1 << bit]) + content[at + 1:]


def content(folder):
    """Bytes of each file of a folder, by name."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def without_checksum(content):
    """Bytes of a file of parameters as the original writes them."""
    return content[:8] + bytes(8) + content[16:] if content[12:16] == b'CRC1' else content


def reseal(path, change):
    """Replace the content of a sealed file by what `change` makes of it, and seal it again."""
    content, seal, sums = path.read_bytes().rpartition(b'\nmxrnn crc32 ')
    content = change(content)
    path.write_bytes(content + seal + b'%08x ' % zlib.crc32(content) + sums[-8:])


def change_extra(path, change):
    """Let `change` work on what mxrnn adds to a file of states."""
    def changed(content):
        stream = io.BytesIO(content)
        pickle.load(stream)
        states = content[:stream.tell()]
        extra = pickle.load(stream)
        change(extra)
        return states + pickle.dumps(extra, protocol=4)
    reseal(path, changed)


class Buckets(mx.io.DataIter):
    """Batches of random tokens, of the lengths given, in their order; the last one is longest."""

    def __init__(self, lengths=(2, 3, 2, 3), batch=4):
        super().__init__(batch)
        self.default_bucket_key = max(lengths)
        tokens = [random_value('tokens %d' % i, (batch, n)) for i, n in enumerate(lengths)]
        self.batches = [self.batch(mx.nd.array(np.floor((each + 0.8) * 4)), each.shape)
                        for each in tokens]
        self.provide_data = [mx.io.DataDesc('data', (batch, self.default_bucket_key))]
        self.provide_label = [mx.io.DataDesc('softmax_label', (batch, self.default_bucket_key))]
        self.reset()

    @staticmethod
    def batch(data, shape):
        return mx.io.DataBatch([data], [data], pad=0, bucket_key=shape[1],
                               provide_data=[mx.io.DataDesc('data', shape)],
                               provide_label=[mx.io.DataDesc('softmax_label', shape)])

    def reset(self):
        self.rest = list(self.batches)

    def next(self):
        if not self.rest:
            raise StopIteration
        return self.rest.pop(0)


def module_of(kind, cell, devices=1):
    """A module to train: a Module of length 3, or a BucketingModule; and its data."""
    context = [mx.cpu(i) for i in range(devices)]
    if kind == 'module':
        return mx.mod.Module(network(cell), context=context), Buckets((3, 3, 3))

    def generate(length):
        return network(cell, length), ['data'], ['softmax_label']
    return mx.mod.BucketingModule(generate, 3, context=context), Buckets((3, 2, 3, 2))


def untrained(folder, kind='module'):
    """The prefix of a checkpoint, a cell, a module to train, and its data."""
    cell = CELLS['fused']()
    return (str(folder / 'model'), cell, *module_of(kind, cell))


def fit(module, data, epochs, callback=None, loaded=None, optimizer='adam', **params):
    """Train from the checkpoint, or from the start, up to the epoch; returns the parameters."""
    given = {} if loaded is None else {'arg_params': loaded.arg_params,
                                       'aux_params': loaded.aux_params,
                                       'begin_epoch': loaded.epoch}
    mx.random.seed(3)
    np.random.seed(3)
    data.reset()
    params = {name: value() if callable(value) else value for name, value in params.items()}
    module.fit(data, num_epoch=epochs, optimizer=optimizer, epoch_end_callback=callback,
               eval_metric=mx.metric.Perplexity(None), initializer=mx.init.Uniform(0.3),
               optimizer_params=dict({'learning_rate': 0.02}, **params), **given)
    return module.get_params()


def resumed(prefix, epoch, end, optimizer='adam', kind='module', cells='fused', devices=1,
            **params):
    """The parameters of a training that goes on from an epoch up to `end`, and its module."""
    cell = CELLS[cells]()
    module, data = module_of(kind, cell, devices)
    loaded = rnn.load_rnn_checkpoint(cell, prefix, epoch, module=module)
    return fit(module, data, end, None, loaded, optimizer, **params), module


def refusal(cell, prefix, epoch=1, **kwargs):
    """The message of the error with which a checkpoint is refused."""
    with pytest.raises(rnn.CheckpointError) as caught:
        rnn.load_rnn_checkpoint(cell, prefix, epoch, **kwargs)
    assert isinstance(caught.value, (KeyError, mx.base.MXNetError))
    assert '\n' not in str(caught.value)
    return str(caught.value)
