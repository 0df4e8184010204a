"""What the operators for CPUs get wrong, said before a program meets it."""
from __future__ import annotations

from typing import Any

from .environment import cpu_build, disabled, onednn, warn_once

__all__ = ['warn_of_defects']

#: What MXNet runs where oneDNN does not.
_OWN = "MXNet's own CPU operator, which computes float64, and float32 without oneDNN,"


def warn_of_defects(dtype: Any, num_layers: int, dropout: float, parted: bool) -> None:
    """Say what CPUs get wrong, most of it only where layers are not `parted`, but one operator
    as in mxnet.rnn."""
    if not cpu_build():
        return
    if disabled(dtype):
        warn_once('MXNET_MKLDNN_ENABLED=0 breaks FusedRNNCell in float32: outputs are zeros or '
                  'what lay in memory, or there is an error. Set MXNET_USE_MKLDNN_RNN=0 as '
                  'well, or use unfuse()')
    elif parted:
        return
    elif not onednn(dtype):
        warn_once("%s overwrites gradients of a FusedRNNCell's weights that are to be added "
                  "(grad_req 'add'), and, but for mode 'lstm', those of its inputs are wrong "
                  "where its weights are frozen (grad_req 'null'); unfuse() gives cells with "
                  'right ones' % _OWN)
        if num_layers > 1:
            warn_once("%s has wrong gradients of all layers but the last if the inputs of a "
                      'FusedRNNCell need no gradient, as in a Module without '
                      'inputs_need_grad=True; unfuse() gives cells with right ones' % _OWN)
        if dropout > 0 and num_layers > 1:
            warn_once("%s applies a FusedRNNCell's dropout in inference, too, if gradients are "
                      'bound, and gradients of lower layers are then wrong; unfuse() gives '
                      'cells with DropoutCells between them, which are right' % _OWN)
    elif dropout > 0 and num_layers > 1:
        warn_once("FusedRNNCell's dropout is not applied in training by oneDNN's CPU operator, "
                  'which computes float32; unfuse() gives cells with DropoutCells between '
                  'them, which apply it')
