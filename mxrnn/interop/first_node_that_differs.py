"""Finds the first node whose output differs between a checkpoint and its export."""
from __future__ import annotations

from typing import Callable, Optional, Sequence

from .._graph.graph import Entry
from .comparison import difference, tolerance
from .file_runners import ExportedFile
from .model import Model
from .model_runners import Data
from .reference import Reference

__all__ = ['Exporter', 'first_different']

#: Exports a model with other outputs; None if nothing can.
Exporter = Optional[Callable[[Model], ExportedFile]]


def first_different(checkpoint: Reference, again: Exporter, data: Data, own: bool, at: int
                    ) -> str:
    """The first node, in the graph's order, on which output `at` depends and which differs: that
    of the output itself if the graph cannot be run with all nodes as outputs. `own` says whether
    the data have the sizes of the checkpoint's own graph."""
    graph = checkpoint.model.graph
    head = graph.heads[at]
    inner = [Entry(place, 0) for place in sorted(graph._replace(heads=(head,)).needed())
             if not graph.nodes[place].is_variable and place != head.node]
    found = _differing(checkpoint, again, data, own, inner)
    node = graph.nodes[(found or [head])[0].node]
    return '%s (%s)' % (node.name, node.op or 'an input')


def _differing(checkpoint: Reference, again: Exporter, data: Data, own: bool,
               heads: Sequence[Entry]) -> list[Entry]:
    """The entries that differ when they are outputs; none if that cannot be found out."""
    if again is None or not heads:
        return []
    model = checkpoint.model
    part = model._replace(graph=model.graph.ending_in(heads))
    try:
        got = again(part).outputs(data, [])
        wanted = checkpoint.of(part).outputs({
            name: array for name, array in data.items() if name in part.graph.arguments}, own)
    except (ValueError, NotImplementedError):
        return []
    allowed = tolerance([*wanted, *model.arg_params.values()])
    return [head for head, one, other in zip(heads, got, wanted)
            if difference(one, other) > allowed]
