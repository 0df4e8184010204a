"""Comparisons of results: numbers that are close, arrays that are the same."""
from typing import Mapping

import numpy as np


def plain(array):
    return array.asnumpy() if hasattr(array, 'asnumpy') else np.asarray(array)


def assert_close(got, want, tolerance=1e-6, what='it'):
    """Require numbers that differ by `tolerance` at most, and by that part of the one wanted.

    Arrays may be in lists, tuples and dicts, which must be as long and have the same keys.
    """
    if isinstance(want, Mapping):
        assert got.keys() == want.keys(), what
        for name, value in want.items():
            assert_close(got[name], value, tolerance, name)
    elif isinstance(want, (list, tuple)):
        assert len(got) == len(want), what
        for i, pair in enumerate(zip(got, want)):
            assert_close(*pair, tolerance, '%s[%d]' % (what, i))
    else:
        np.testing.assert_allclose(plain(got), plain(want), rtol=tolerance, atol=tolerance,
                                   err_msg=what)


def assert_agree(got, want, tolerance=1e-5, without=()):
    """Require of two runs close outputs, states and gradients, but for those `without`."""
    assert_close(got.outputs, want.outputs, tolerance, 'outputs')
    assert_close(got.states, want.states, tolerance, 'states')
    assert got.grads.keys() == want.grads.keys()
    assert_close({name: grad for name, grad in got.grads.items() if name not in without},
                 {name: grad for name, grad in want.grads.items() if name not in without},
                 tolerance, 'gradients')


def same(ours, theirs):
    """Whether two dictionaries of arrays have the same names, types and elements."""
    return sorted(ours) == sorted(theirs) and all(
        np.dtype(ours[name].dtype) == np.dtype(theirs[name].dtype)
        and ours[name].shape == theirs[name].shape
        and np.array_equal(plain(ours[name]), plain(theirs[name])) for name in ours)
