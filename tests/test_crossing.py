"""Training that one version of MXNet has begun goes on in another, states of optimisers included.

    python -m tests.test_crossing       # writes tests/golden/crossing-VERSION.npz anew

A file has checkpoints after 5 updates by each optimiser, and the weights after 5 more.
"""
import tempfile
from pathlib import Path

import numpy as np
import pytest

from . import mx, ours, rnn

GOLDEN = Path(__file__).parent / 'golden'
OPTIMIZERS = {
    'sgd': ('sgd', {'momentum': .9, 'wd': 1e-3}), 'sgd_alone': ('sgd', {'learning_rate': .1}),
    'nag': ('nag', {'momentum': .9, 'wd': 1e-3}), 'adam': ('adam', {'wd': 1e-3}),
    'rmsprop': ('rmsprop', {}), 'rmsprop_centered': ('rmsprop', {'centered': True}),
    'adagrad': ('adagrad', {}), 'adadelta': ('adadelta', {}), 'ftrl': ('ftrl', {})}


class Data(mx.io.DataIter):
    """The same 5 batches in each epoch."""

    def __init__(self):
        super().__init__(4)
        self.provide_data, self.provide_label = [('data', (4, 2, 3))], [('label', (4, 2))]

    def reset(self):
        random = np.random.RandomState(1)
        self.batches = iter([mx.io.DataBatch(
            [mx.nd.array(random.rand(4, 2, 3))], [mx.nd.array(random.rand(4, 2))], pad=0)
            for _ in range(5)])

    def next(self):
        return next(self.batches)


def trained(prefix, kind, epochs, loaded):
    """The weights after `epochs`, of a training that saves each or goes on from the first."""
    optimizer, options = OPTIMIZERS[kind]
    cell = rnn.RNNCell(3, prefix='rnn_')
    hidden, _ = cell.unroll(2, mx.sym.Variable('data'), merge_outputs=True)
    symbol = mx.sym.LinearRegressionOutput(
        mx.sym.FullyConnected(hidden, num_hidden=2, name='out'), mx.sym.Variable('label'))
    module = mx.mod.Module(symbol, label_names=['label'])
    options, callback = dict(options), None
    if kind == 'sgd_alone':
        options['lr_scheduler'] = mx.lr_scheduler.FactorScheduler(3, .5)
    np.random.seed(0)
    mx.random.seed(0)
    data, weights = Data(), {}
    data.reset()
    if loaded:
        found = rnn.load_rnn_checkpoint(cell, prefix, 1, module=module)
        weights = dict(arg_params=found.arg_params, aux_params=found.aux_params, begin_epoch=1)
    else:
        callback = rnn.do_rnn_checkpoint(cell, prefix, module=module)
    module.fit(data, eval_metric='mse', initializer=mx.init.Xavier(), num_epoch=epochs,
               optimizer=optimizer, optimizer_params=options, epoch_end_callback=callback,
               **weights)
    return {name: array.asnumpy() for name, array in module.get_params()[0].items()}


def write():
    found = {}
    for kind in OPTIMIZERS:
        with tempfile.TemporaryDirectory() as folder:
            weights = trained(folder + '/model', kind, 2, loaded=False)
            found.update(('%s|%s' % (kind, name), value) for name, value in weights.items())
            for name in ('model-symbol.json', 'model-0001.params', 'model-0001.states'):
                content = (Path(folder) / name).read_bytes()
                found['%s/%s' % (kind, name)] = np.frombuffer(content, np.uint8)
    np.savez_compressed(GOLDEN / ('crossing-%s.npz' % mx.__version__), **found)


@ours
@pytest.mark.parametrize('version', ['1.9.1', '2.0.0beta1'])
@pytest.mark.parametrize('kind', OPTIMIZERS)
def test_training_goes_on_from_the_files_of_another_version(kind, version, tmp_path):
    with np.load(GOLDEN / ('crossing-%s.npz' % version)) as golden:
        for key in golden.files:
            if key.startswith(kind + '/'):
                (tmp_path / key.partition('/')[2]).write_bytes(golden[key].tobytes())
        weights = trained(str(tmp_path / 'model'), kind, 2, loaded=True)
        for name, value in weights.items():
            np.testing.assert_allclose(value, golden['%s|%s' % (kind, name)], rtol=0, atol=1e-6)


if __name__ == '__main__':
    write()
