"""The initialiser of the fused vector: as if its arrays were parameters of their own."""
import sys
import warnings

import numpy as np
import pytest

from . import differs, mx, rnn

pytestmark = differs


def initial(cell, initializer, width=4):
    """The weights of a Module over the cell as `initializer` sets them, unpacked."""
    outputs, _ = cell.unroll(3, mx.sym.Variable('data'), merge_outputs=True)
    module = mx.mod.Module(outputs, label_names=None)
    module.bind([('data', (2, 3, width))], for_training=False)
    mx.random.seed(1)
    module.init_params(initializer)
    return {name: value.asnumpy()
            for name, value in cell.unpack_weights(module.get_params()[0]).items()}


@pytest.fixture
def registered(monkeypatch):
    """Has MXNet find the initialiser of the module under test, of the two that are registered."""
    if rnn.__name__ == 'mxnet.rnn':
        registry = sys.modules['mxnet.registry']._REGISTRY[mx.init.Initializer]
        monkeypatch.setitem(registry, 'fusedrnn', mx.init.FusedRNN)


FUSED_RNN = getattr(rnn, 'init', mx.init).FusedRNN


# differences.md: `mx.init.Mixed`, `mx.init.Load` and others on the fused vector
@pytest.mark.parametrize('original', [False, True], ids=['ours', 'original'])
def test_a_fused_initialiser_for_the_model_or_in_mixed(original, registered):
    kind = mx.init.FusedRNN if original else FUSED_RNN
    fused = kind(mx.init.Xavier(), 3, 2, 'lstm')
    expected = initial(rnn.FusedRNNCell(3, 2), mx.init.Xavier())
    for initializer in (fused, mx.init.Mixed(['.*parameters', '.*'], [fused, mx.init.One()])):
        found = initial(rnn.FusedRNNCell(3, 2), initializer)
        for name, value in found.items():
            np.testing.assert_array_equal(value, expected[name])


# differences.md: `mx.init.Mixed`, `mx.init.Load` and others on the fused vector
# differences.md: initialisers' names for parts of the fused vector
def test_mixed_tells_the_arrays_of_a_vector_apart(registered):
    mixed = mx.init.Mixed(['.*h2h.*weight', 'x_l1.*weight', '.*'],
                          [mx.init.One(), mx.init.Constant(2), mx.init.Constant(3)])
    found = initial(rnn.FusedRNNCell(3, 2, 'gru', prefix='x_'), FUSED_RNN(mixed, 3, 2, 'gru'))
    for name, value in found.items():
        expected = (0 if name.endswith('bias') else
                    1 if 'h2h' in name else 2 if name.startswith('x_l1') else 3)
        assert set(value.flat) == {expected}, name


# differences.md: `mx.init.Mixed`, `mx.init.Load` and others on the fused vector
def test_a_vector_initialises_without_the_attributes_of_its_variable(registered):
    """As in FeedForward, and in programs that call the initialiser with each name."""
    vector = mx.nd.zeros((204,))
    for name in (mx.init.InitDesc('lstm_parameters'), 'lstm_parameters'):
        initializer = mx.init.Mixed(['.*_parameters', '.*'],
                                    [FUSED_RNN(mx.init.One(), 3, 2, 'lstm'), mx.init.Zero()])
        with warnings.catch_warnings():
            warnings.simplefilter('ignore', DeprecationWarning)  # of names that are no InitDesc
            initializer(name, vector)
        assert vector.asnumpy().sum() == 204 - 48 + 12


# differences.md: initialising the fused vector
def test_initialising_a_vector_does_not_use_mxnet_rnn(monkeypatch, registered):
    monkeypatch.setitem(sys.modules, 'mxnet.rnn', None)
    monkeypatch.delitem(sys.modules, 'mxnet.rnn.rnn_cell', raising=False)
    assert len(initial(rnn.FusedRNNCell(3), mx.init.Xavier())) == 16
