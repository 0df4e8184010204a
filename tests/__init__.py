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

__all__ = ['differs', 'mx', 'rnn']
