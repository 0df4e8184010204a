"""Inputs whose number of axes a graph does not tell, although outputs depend on it."""
from __future__ import annotations

import math
from typing import Mapping, Sequence

from ..._graph.graph import Graph
from ..._graph.shapes.missing_shapes import Named
from ..._graph.shapes.ties import STEPS
from ..registry import ExportError

__all__ = ['refuse_guesses']


def refuse_guesses(graph: Graph, shapes: Mapping[str, Named], names: Sequence[str]) -> None:
    """Refuse inputs among `names` that may have two or three axes; name the shapes to type."""
    for name in names:
        shape = shapes[name]
        ways = [*_steps_of_rows(graph, name, shape), *_groups_of_words(graph, name, shape)]
        if ways:
            raise ExportError(
                '%s may have %d or %d axes in the graph. Type them: --input %s=%s or --input %s=%s'
                % (name, len(shape), len(shape) + 1, name, ','.join(map(str, shape)), name,
                   ','.join(map(str, ways[0]))))


def _steps_of_rows(graph: Graph, name: str, shape: Named) -> list[Named]:
    """The other shape of an input that only Reshapes to rows of a batch and its steps read."""
    read = {node.op == 'Reshape' and node.shape for node in graph.nodes
            if name in [graph.nodes[entry.node].name for entry in node.inputs]}
    codes = next(iter(read)) if len(read) == 1 else False
    steps = {node.get(STEPS, 0) for node in graph.nodes} - {0, 1}
    return [(codes[0] // each, each, *codes[1:]) for each in sorted(steps)
            if codes and len(codes) == len(shape) and min(codes) > 0 and codes[0] % each == 0]


def _groups_of_words(graph: Graph, name: str, shape: Named) -> list[Named]:
    """The other shape of an input that only look-ups read, if a Reshape joins groups of their
    vectors, such as the letters of each word."""
    found: list[Named] = []
    for node in graph.nodes:
        vectors = graph.nodes[node.inputs[0].node] if node.op == 'Reshape' else node
        if vectors.op != 'Embedding' or node is vectors or node.shape[0] != -1 or (
                graph.nodes[vectors.inputs[0].node].name != name or len(shape) != 2):
            continue
        size, rest = divmod(math.prod(node.shape[1:]), vectors.output_dim)
        batch, count = shape
        groups, left = divmod(count, size) if isinstance(count, int) and size else (count, 0)
        if size > 1 and not rest and not left and groups != 1:
            found.append((batch, groups, size))
    return found
