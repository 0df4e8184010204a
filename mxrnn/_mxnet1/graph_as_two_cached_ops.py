"""A whole graph as operators of MXNet 2 (CachedOp), with little memory."""
from __future__ import annotations

import contextlib
from typing import Iterable, Mapping, Sequence

from mxnet.ndarray import CachedOp

from .._graph.graph import Entry, Graph, Node
from .._graph.operator_table import has
from .._graph.symbol_json import graph_to_json
from . import mx
from .cure_gradients import cured
from .load_json_and_infer_shapes import infer_shapes, load_json

__all__ = ['Run']

#: Operators that contain graphs. With static memory MXNet 2 computes wrong gradients for them.
_LOOPS = {'_foreach', '_while_loop', '_cond'}
#: How many operators at the end of a graph have dynamic memory, unless an RNN is among them, which
#: would take a third longer.
_LAST = 30


class Run:
    """Computes a graph's outputs from the arrays of its variables.

    Static memory is faster for many operators, but MXNet 2 does not share it between graphs. So the
    last operators, including the loss with the largest arrays, have dynamic memory, which they
    return.

    Parameters
    ----------
    graph : Graph
    shapes : dict of str to tuple
        Shapes of its variables.
    static : bool
        Whether memory may be static.
    """

    def __init__(self, graph: Graph, shapes: Mapping[str, Sequence[int]], static: bool = True
                 ) -> None:
        static = static and not any(node.op in _LOOPS for node in graph.nodes)
        first, last = _halves(graph) if static else (None, graph)
        self._first = None if first is None else _GraphPart(first, True)
        if self._first is not None and not self._first.is_told(shapes):
            self._first, last = None, graph
        self._last = _GraphPart(last, static and self._first is None)
        #: If memory is dynamic, calls a function for everything that it computes.
        self.watch = self._last.operator._register_op_hook

    def __call__(self, values: Mapping[str, mx.nd.NDArray], ctx: mx.Context
                 ) -> list[mx.nd.NDArray]:
        if self._first is not None:
            passed = self._first(values, ctx)
            values = {**values, **{_passed(i): array for i, array in enumerate(passed)}}
        return self._last(values, ctx)


class _Operator(CachedOp):
    __slots__ = ()

    def __del__(self) -> None:
        if hasattr(self, 'handle'):  # not if MXNet 2 refused to make it
            super().__del__()


class _GraphPart:
    def __init__(self, graph: Graph, static: bool) -> None:
        symbol = load_json(graph_to_json(cured(graph)))
        self._symbol, self._names = symbol, symbol.list_inputs()
        self.operator = _Operator(
            symbol, [('static_alloc', True), ('static_shape', True)] if static else ())

    def __call__(self, values: Mapping[str, mx.nd.NDArray], ctx: mx.Context
                 ) -> list[mx.nd.NDArray]:
        found = self.operator(*[values[name] for name in self._names], default_device=ctx)
        return list(found) if isinstance(found, (list, tuple)) else [found]

    def is_told(self, shapes: Mapping[str, Sequence[int]]) -> bool:
        """Whether the variables tell all shapes; a state's may come from its first use."""
        with contextlib.suppress(ValueError):
            infer_shapes(self._symbol, shapes)
            return True
        return False


def _passed(number: int) -> str:
    """The name under which the second half of a graph reads an output of the first half."""
    return 'output %d of the first half' % number


def _halves(graph: Graph) -> tuple[Graph | None, Graph]:
    """The graph up to the last operators, if there are operators before them, and the rest."""
    operators = [i for i, node in enumerate(graph.nodes) if not node.is_variable]
    kept = max([len(operators) - _LAST, *(i + 1 for i, at in enumerate(operators)
                                          if has(graph.nodes[at].op, 'kernel'))])
    if kept <= 0 or kept == len(operators):
        return None, graph
    cut = operators[kept]
    read = sorted({entry for entries in (*(node.inputs for node in graph.nodes[cut:]), graph.heads)
                   for entry in entries if entry.node < cut})
    passed = [entry for entry in read if not graph.nodes[entry.node].is_variable]
    places = {entry: Entry(i, 0) for i, entry in enumerate(read)}

    def moved(entries: Iterable[Entry]) -> tuple[Entry, ...]:
        return tuple(places.get(entry) or entry._replace(node=entry.node - cut + len(read))
                     for entry in entries)
    nodes = [Node('', _passed(passed.index(entry)), {}, ()) if entry in passed
             else graph.nodes[entry.node] for entry in read]
    nodes += [node._replace(inputs=moved(node.inputs)) for node in graph.nodes[cut:]]
    return (graph._replace(nodes=graph.nodes[:cut], heads=tuple(passed)),
            graph._replace(nodes=tuple(nodes), heads=moved(graph.heads)))
