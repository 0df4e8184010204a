"""Rolls up the recurrences of Symbols' graphs, in forms that this MXNet computes correctly."""
from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np

from .._graph.graph import Entry, Graph, Node
from .._graph.graph_editing import Writer, with_variables_as_in
from .._graph.rolling import Finding, Kernel, Loop, Values, computed, note_axes, roll
from .._graph.shapes.axis_factors import Axes
from .._graph.shapes.sizes import product, same
from .._graph.symbol_json import graph_to_json
from .._operator.rnn_build_and_defects import corrupts, cpu_build, disabled, onednn
from .._runtime.mxnet import mx
from .._runtime.symbol_to_json_and_graph import graph_of
from .fold import is_sized

__all__ = ['rolled_for_inference', 'rolled_to_kernels']


def rolled_for_inference(graph: Graph, length: int | None) -> Graph:
    """A Symbol's graph rolled up, or unchanged if nothing can be; `length` is its number of steps,
    if sizes in the graph that equal it mean that number. Reshapes refuse other lengths."""
    rolled = roll(graph, length=length,
                  reject_reason=lambda values, what: _fault(values, what, False)).graph
    return graph if rolled is graph else _refusing(rolled)


def rolled_to_kernels(symbol: mx.sym.Symbol, float32: bool
                      ) -> tuple[mx.sym.Symbol, tuple[Finding, ...]]:
    """`symbol` for training, with sym.RNN for recurrences and without loops, and a finding for each
    recurrence; `float32` says that all its numbers are known to be of that type."""
    graph = graph_of(symbol)

    def reject_reason(values: Values, what: Kernel | Loop) -> str | None:
        if isinstance(what, Loop):
            return 'loops of MXNet are slower than steps'
        return _fault(values, what, True, float32)
    rolled, findings = roll(graph, training=True, reject_reason=reject_reason)
    return symbol if rolled is graph else mx.sym.load_json(graph_to_json(rolled)), findings


def _fault(values: Values, what: Kernel | Loop, training: bool, float32: bool = False
           ) -> str | None:
    """Why this MXNet cannot run a recurrence in this form; None if it can."""
    if any(values.are_one(each.by_step) and _of_any_batch(values, each.by_step[0])
           for each in what.data):
        return 'MXNet does not infer the batch of arrays that are repeated for each step'
    if isinstance(what, Loop):
        if what.spreads_a_row:
            return 'the states of an MXNet loop must keep their shape'
        return 'MXNet ignores dropout in loops' if 'Dropout' in what.operators else None
    if disabled():
        return 'MXNET_MKLDNN_ENABLED=0 breaks sym.RNN'
    if corrupts(what.units):
        return 'MXNet 1.7 corrupts memory where it trains sym.RNN of one unit'
    types = [np.float32 if float32 else _type(values, begin) for begin in what.begin]
    if cpu_build() and not all(map(onednn, types)) and (
            training or what.mode == 'rnn_relu'):
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


def _refusing(graph: Graph) -> Graph:
    """The graph in which Reshapes that state all sizes refuse arrays with more or fewer elements.

    MXNet's Reshape cuts off the others, or reads beyond the array. It checks only an axis that it
    splits in two, so such a split comes before it.
    """
    writer, places = Writer(), computed(graph)
    axes: dict[Entry, Axes] = {}
    note_axes(graph.nodes, 0, axes)
    moved: list[int] = []
    for place, node in enumerate(graph.nodes):
        inputs = [Entry(moved[entry.node], entry.output) for entry in node.inputs]
        if place in places and _states_all(node) and not _fits(
                axes.get(node.inputs[0], []), axes.get(Entry(place, 0), [])):
            node, inputs = _checked(writer, node, inputs[0])
        moved.append(writer.copy(node, inputs).node)
    return with_variables_as_in(writer.graph([
        Entry(moved[head.node], head.output) for head in graph.heads], graph.version), graph)


def _states_all(node: Node) -> bool:
    codes = node.shape if node.op == 'Reshape' and not node.reverse else ()
    return max(codes, default=0) > 0 and {-1, -4}.isdisjoint(codes) and (
        -2 not in codes[:-1])


def _fits(data: Axes, made: Axes) -> bool:
    """Whether these axes are known to have as many elements, whatever their sizes."""
    return bool(data and made) and same(product(sum(data, ())), product(sum(made, ())))


def _checked(writer: Writer, node: Node, data: Entry) -> tuple[Node, list[Entry]]:
    """A Reshape that states all sizes, and the input with which it refuses others."""
    kept = tuple(itertools.takewhile(lambda code: code < 1, node.shape))
    rest = node.shape[len(kept):]
    if min(rest) > 0:
        number, made = math.prod(rest), (*kept, -1)
    else:  # axes behind the first number are kept: one number follows from the other sizes
        number, made = rest[0], (*kept, -1, *rest[1:])
    data = writer.add('Reshape', node.name + '_open', {'shape': made}, [data])
    ahead = (0,) * len(kept)
    data = writer.add('Reshape', node.name + '_fixed', {
        'shape': (*ahead, -4, number, 1, -2)}, [data])
    return node._replace(attrs={'shape': str((*ahead, *rest) if min(rest) > 0 else (
        *ahead, -3, -2))}), [data]
