"""The module under test, under one name, so that the suite can also run against mxnet.rnn."""
import importlib
import os

import pytest

# Small arrays, and often another process of the tests beside this one.
os.environ.setdefault('OMP_NUM_THREADS', '1')

try:
    from mxrnn._runtime.mxnet import mx
except ImportError:  # tests/interop/test_without_mxnet.py runs all the same, with --noconftest
    mx = None

rnn = importlib.import_module(os.environ.get('MXRNN_TEST_MODULE', 'mxrnn'))

#: Marks a test of a deviation: mxnet.rnn itself, as the module under test, must fail it.
differs = pytest.mark.xfail(rnn.__name__ == 'mxnet.rnn', strict=True,
                            reason='a documented difference from mxnet.rnn')

#: Marks a test that says nothing of mxnet.rnn, which may pass or fail it.
ours = pytest.mark.skipif(rnn.__name__ != 'mxrnn', reason='of mxrnn alone')

#: Whether the environment breaks sym.RNN in float32: fuse fuses nothing then, and FusedRNNCell,
#: which says so, gives zeros, what lay in memory, or an error.
OPERATOR_BROKEN = (os.environ.get('MXNET_MKLDNN_ENABLED') == '0'
                   and os.environ.get('MXNET_USE_MKLDNN_RNN') != '0')

#: Marks a test of what fuse has fused, or one that runs a FusedRNNCell in another process.
needs_operator = pytest.mark.skipif(
    OPERATOR_BROKEN, reason='MXNET_MKLDNN_ENABLED=0 breaks sym.RNN: fuse fuses nothing')

