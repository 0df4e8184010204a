"""Finds out whose sym.RNN runs on CPUs, oneDNN's or MXNet's own, and warns of its defects."""
from __future__ import annotations

import os

import numpy as np

from .._cells.known_shapes import Kind
from .._check import warn_once
from .._graph.rnn_vector_layout import FusedLayout
from .._runtime.mxnet import RELEASE, mx

__all__ = ['corrupts', 'cpu_build', 'disabled', 'onednn', 'warn_of_defects']


def _built_with(feature: str) -> bool:
    built = mx.runtime.Features()
    return feature in built and built.is_enabled(feature)


#: Whether this MXNet has oneDNN's sym.RNN.
_ONEDNN = _built_with('MKLDNN') and RELEASE >= (1, 7)


def cpu_build() -> bool:
    """Whether this MXNet is built only for CPUs."""
    return not _built_with('CUDA')


def _off(variable: str) -> bool:
    """Whether this variable is off for MXNet, which reads one as a number and others as words."""
    value = os.environ.get(variable, '').strip().lower()
    return value == 'false' or bool(value) and not value.strip('0')


def disabled(dtype: Kind = np.float32) -> bool:
    """Whether sym.RNN cannot compute `dtype` on CPUs, because the environment disables oneDNN but
    not its sym.RNN: memory is then prepared for oneDNN's operator, but MXNet's own runs."""
    return (dtype != np.float64 and _ONEDNN and _off('MXNET_MKLDNN_ENABLED')
            and not _off('MXNET_USE_MKLDNN_RNN'))


def onednn(dtype: Kind) -> bool:
    """Whether oneDNN's sym.RNN computes `dtype` on CPUs. MXNet's own computes other types, and may
    compute an unknown type (None)."""
    return (dtype == np.float32 and _ONEDNN and not _off('MXNET_MKLDNN_ENABLED')
            and not _off('MXNET_USE_MKLDNN_RNN'))


def corrupts(units: int, dtype: Kind = np.float32) -> bool:
    """Whether sym.RNN in one direction with this many `units` corrupts memory in training on CPUs,
    as oneDNN's in MXNet 1.7 does."""
    return units == 1 and RELEASE == (1, 7) and cpu_build() and onednn(dtype)


def warn_of_defects(dtype: Kind, layout: FusedLayout, dropout: float, parted: bool) -> None:
    """Warn of errors on CPUs. Most occur only if one operator has all layers, as in mxnet.rnn, and
    not if they are `parted`."""
    if not cpu_build():
        return
    if disabled(dtype):
        warn_once('MXNET_MKLDNN_ENABLED=0 breaks FusedRNNCell in float32: outputs are zeros or '
                  'random memory, or there is an error. Set MXNET_USE_MKLDNN_RNN=0 as well, or use '
                  'unfuse()')
    elif corrupts(layout.num_hidden, dtype) and (parted or not layout.bidirectional):
        warn_once('MXNet 1.7 corrupts memory, and may crash, if it trains a FusedRNNCell of one '
                  'unit on a CPU: use unfuse(), two units or a later MXNet')
    elif not onednn(dtype) and (not parted or layout.mode == 'rnn_relu' and dtype == np.float64):
        warn_once("MXNet's own CPU operator, which computes float64, and float32 without oneDNN, "
                  'has defects in a FusedRNNCell, which docs/mxnet-defects.md lists: gradients are '
                  "wrong in several layers, with frozen weights and with grad_req 'add', dropout "
                  "is applied also in inference, 'rnn_relu' rounds to float32. Use unfuse(), which "
                  'is right')
    elif dropout > 0 and layout.num_layers > 1 and not parted:
        warn_once("FusedRNNCell's dropout is not applied in training by oneDNN's CPU operator, "
                  'which computes float32. Use unfuse(), which has DropoutCells between the '
                  'layers')
