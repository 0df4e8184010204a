"""Whose sym.RNN runs on CPUs here: oneDNN's, or MXNet's own, which has several defects."""
from __future__ import annotations

import os
import sys
import warnings
from typing import Any

import numpy as np

from .._runtime.mxnet import RELEASE, mx

__all__ = ['RELEASE', 'corrupts', 'cpu_build', 'disabled', 'onednn', 'warn_once']

#: Warnings that were given.
GIVEN: set[str] = set()


def _built_with(*features: str) -> bool:
    built = mx.runtime.Features()
    return any(built.is_enabled(name) for name in features if name in built)


#: Whether this MXNet has oneDNN's sym.RNN.
_ONEDNN = _built_with('MKLDNN', 'ONEDNN') and RELEASE >= (1, 7)


def cpu_build() -> bool:
    """Whether this MXNet has operators for CPUs alone."""
    return not _built_with('CUDA')


def _off(variable: str) -> bool:
    """Whether MXNet finds this variable off: it reads one as a number, the other as a word."""
    value = os.environ.get(variable, '').strip().lower()
    return value == 'false' or bool(value) and not value.strip('0')


def disabled(dtype: Any = np.float32) -> bool:
    """Whether sym.RNN cannot compute `dtype` on CPUs, because the environment turns off all of
    oneDNN but not its sym.RNN: memory is prepared for oneDNN's operator, and MXNet's own runs."""
    return (dtype != np.float64 and _ONEDNN and _off('MXNET_MKLDNN_ENABLED')
            and not _off('MXNET_USE_MKLDNN_RNN'))


def onednn(dtype: Any) -> bool:
    """Whether oneDNN's sym.RNN computes `dtype` on CPUs. MXNet's own does the rest, or may, if
    `dtype` is not known (None)."""
    return (dtype == np.float32 and _ONEDNN and not _off('MXNET_MKLDNN_ENABLED')
            and not _off('MXNET_USE_MKLDNN_RNN'))


def corrupts(units: int, dtype: Any = np.float32) -> bool:
    """Whether sym.RNN in one direction of so many `units` corrupts memory when it is trained on
    CPUs, as oneDNN's of MXNet 1.7 does."""
    return units == 1 and RELEASE == (1, 7) and cpu_build() and onednn(dtype)


def warn_once(message: str) -> None:
    """Warn, once in a process, of the line of the program that called this package."""
    if message in GIVEN:
        return
    GIVEN.add(message)
    package = __name__.partition('.')[0] + '.'
    frame, level = sys._getframe(1), 2
    while frame.f_back and frame.f_globals.get('__name__', '').startswith(package):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, stacklevel=level)
