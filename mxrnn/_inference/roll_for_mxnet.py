"""Rolls up the recurrences of Symbols' graphs, in forms that this MXNet computes correctly."""
from __future__ import annotations

from typing import Any

import numpy as np

from .._graph.rolling import Finding, Kernel, Loop, Values, structure
from .._graph.symbol_json import graph_to_json
from .._operator.rnn_defects import corrupts, cpu_build, disabled, onednn
from .._runtime.mxnet import mx
from .._runtime.symbol_graph import graph_of
from .fold import is_sized

__all__ = ['rolled_to_kernels']


def rolled_to_kernels(symbol: mx.sym.Symbol, float32: bool
                      ) -> tuple[mx.sym.Symbol, tuple[Finding, ...]]:
    """`symbol` for training, with sym.RNN for recurrences and without loops, and a finding for each
    recurrence; `float32` says that all its numbers are known to be of that type."""
    graph = graph_of(symbol)

    def reject_reason(values: Values, what: Kernel | Loop) -> str | None:
        if isinstance(what, Loop):
            return 'loops of MXNet are slower than steps'
        return _fault(values, what, float32)
    rolled = structure(graph, training=True, reject_reason=reject_reason)
    return mx.sym.load_json(graph_to_json(rolled.graph)) if rolled.is_rolled else symbol, (
        rolled.findings)


def _fault(values: Values, what: Kernel, float32: bool) -> str | None:
    """Why this MXNet cannot train a recurrence in this form; None if it can."""
    if any(values.are_one(each.by_step) and _of_any_batch(values, each.by_step[0])
           for each in what.data):
        return 'MXNet does not infer the batch of arrays that are repeated for each step'
    if disabled():
        return 'MXNET_MKLDNN_ENABLED=0 breaks sym.RNN'
    if corrupts(what.units):
        return 'MXNet 1.7 corrupts memory where it trains sym.RNN of one unit'
    types = [np.float32 if float32 else _type(values, begin) for begin in what.begin]
    if cpu_build() and not all(map(onednn, types)):
        return 'sym.RNN has wrong gradients, or rounds, in types that it may have to compute'
    return None


def _of_any_batch(values: Values, value: int) -> bool:
    """Whether only the reader of a value tells its batch: it reads zeros, but no data."""
    nodes = [values.node(each) for each in values.above([value])]
    return any(not node.inputs and not is_sized(node) for node in nodes) and not any(
        values.nodes[entry.node].is_variable for node in nodes
        for entry in {*node.inputs} - {*node.inputs_of('weight'), *node.inputs_of('aux')})


def _type(values: Values, value: int) -> Any:
    """The type of a begin state, as far as its node says."""
    node = values.node(value)
    return np.dtype(node.dtype) if node.op in ('_zeros', '_ones', '_full') else None
