"""The graph of a class that is trained: gradients of losses, and the shapes of labels."""
from __future__ import annotations

from typing import Any, Mapping, NamedTuple, Sequence

import numpy as np

from ..._graph import graph_editing, merge_rnn
from ..._graph.graph import Entry, Graph, Node
from ..._graph.graph_editing import with_variables_as_in
from ..._graph.operator_table import has
from ..._graph.shapes.constants import Sizes, with_ends_counted
from ..._graph.shapes.infer import infer
from ..._graph.shapes.sizes import Axis, add, axes_in, divide, product, same
from .array_types import Facts, Shape, inferred, survey
from .input_shapes import guarded
from .lengths import Settled

__all__ = ['Losses', 'with_losses', 'without_values']


class Losses(NamedTuple):
    """A graph that is written as a class with losses.

    Attributes
    ----------
    graph : Graph
        Its last `split` heads are no outputs: they are losses alone.
    facts : Facts
        Shapes and types of its arrays.
    shapes : dict
        Shapes of inputs and of labels; one axis for equal names.
    untold : list of str
        Labels whose shapes are not known.
    split : int
    inner : list of str
        Losses that the class has no part for, because other nodes read them.
    """

    graph: Graph
    facts: Facts
    shapes: dict[str, Shape]
    untold: Sequence[str]
    split: int
    inner: Sequence[str]

    @property
    def predictions(self) -> list[Entry]:
        """The heads that are predictions; all outputs if none is."""
        return without_values(self.graph, self.graph.heads[:len(self.graph.heads) - self.split])


def without_values(graph: Graph, heads: Sequence[Entry]) -> list[Entry]:
    """The heads that are no values of losses; all if none is."""
    return [head for head in heads if not has(graph.nodes[head.node].op, 'value')] or [*heads]


def with_losses(unrolled: Graph, found: Settled, arrays: Mapping[str, np.ndarray],
                given: Mapping[str, Sequence[int | str]], types: Mapping[str, Any]) -> Losses:
    """The graph `found` with its losses; `given` and `types` are those of inputs and labels."""
    graph, inner = _with_own_gradients(found.graph)
    needed = graph.needed_variables()
    labels = [name for name in graph.arguments if name not in {*needed, *arrays}]
    axes: dict[str, Axis] = {}

    def shape_of(shape: Sequence[int | str]) -> Shape:
        return tuple([size if isinstance(size, int) else axes.setdefault(size, Axis(label=size))
                      for size in shape])
    shapes = {name: shape_of(shape) for name, shape in found.shapes.items()}
    facts = survey(graph, arrays, shapes, types)
    shapes.update((name, shape_of([found.numbers.get(str(size), size) for size in given[name]]))
                  for name in labels if name in given)
    sizes = Sizes(found.own)
    _find_labels(graph, facts, shapes, labels, given, sizes)
    read = tuple([entry for node in graph.nodes for entry in node.inputs_of('label')])
    graph = with_ends_counted(graph, infer(graph._replace(heads=read), shapes), sizes)
    split = _split(graph, facts)
    graph = graph._replace(heads=(*graph.heads, *split))
    graph = with_variables_as_in(merge_rnn.merged(graph_editing.without_effectless(
        graph, facts.arrays, unrolled)), graph)
    outputs = {graph.nodes[head.node].name for head in graph.heads[len(graph.heads) - len(split):]}
    facts = survey(graph, arrays, shapes, types)._replace(
        limits=found.ranges, equal=guarded(found.graph.arguments, found.shapes))
    return Losses(graph, facts, shapes, [name for name in labels if name not in shapes],
                  len(split), [name for name in inner if name not in outputs])


def _find_labels(graph: Graph, facts: Facts, shapes: dict[str, Shape], labels: Sequence[str],
                 given: Mapping[str, Sequence[int | str]], sizes: Sizes) -> None:
    """Add labels whose shapes were not given to `shapes`, so that they fit the predictions. Refuse
    a number for an axis that may have any size in these."""
    for node in graph.nodes:
        for entry in node.inputs_of('label'):
            part = graph.ending_in([entry])
            names = [name for name in part.arguments if name in labels]
            if len(names) != 1:
                continue
            read = facts.arrays[node.inputs[0]].shape
            if names[0] in shapes:
                lacking = axes_in(product(read)) - axes_in(product(shapes[names[0]]))
                if names[0] in given and lacking and node.op != 'WarpCTC':
                    raise ValueError(
                        '%s must have the axes of the predictions that may have any size (%s), got '
                        '(%s): leave it out of inputs, or give the other inputs that number, too'
                        % (names[0], ', '.join(sorted(axis.label for axis in lacking)),
                           ', '.join(map(str, given[names[0]]))))
                continue
            shape = next((shape for shape in _candidates(
                shapes, read, node, len(part.nodes) > 1) if _fits(
                    node, part, {**shapes, names[0]: shape}, read, sizes)), None)
            if shape is not None:
                shapes[names[0]] = shape


def _candidates(shapes: Mapping[str, Shape], data: Shape, node: Node, reshaped: bool
                ) -> list[Shape]:
    """Possible shapes of a label for a loss of `data`, the most usual first."""
    inputs = list(shapes.values())
    pairs = [shape[:2] for shape in inputs if len(shape) > 1]
    if node.op == 'WarpCTC':
        return [(*shape[:1], node.label_length) for shape in inputs]
    several: list[Shape] = [(shape[0], part) for shape in pairs for part in [
        divide(data[0], shape[0])] if isinstance(part, int)]
    found = [*(pairs + several if reshaped else []), data[:-1], *pairs, data[:1],
             *[shape[:1] for shape in inputs], data[:1] + data[2:], data,
             *[shape[::-1] for shape in pairs], *several, *[(*pair, *data[1:]) for pair in pairs]]
    known = {axis for shape in inputs for size in shape for axis in axes_in(size)}
    return [shape for shape in found if shape and all(axes_in(size) <= known for size in shape)]


def _fits(node: Node, part: Graph, shapes: Mapping[str, Shape], data: Shape, sizes: Sizes) -> bool:
    """Whether a loss' label has as many elements as the loss reads."""
    table = inferred(with_ends_counted(part, infer(part, shapes), sizes), shapes)
    if table.faults or part.heads[0] not in table.axes:
        return False
    axes = [product(axis) for axis in table.axes[part.heads[0]]]
    count = product(axes)
    if node.op == 'WarpCTC':
        rows = divide(count, node.label_length)
        return rows is not None and divide(data[0], rows) is not None
    if node.op != 'SoftmaxOutput':
        return same(axes[0], data[0]) and count == (
            data[0] if node.op == 'SVMOutput' else product(data))
    if node.multi_output:
        return count == product(data[:1] + data[2:])
    return count == (product(data[:-1]) if node.preserve_shape else data[0])


def _with_own_gradients(graph: Graph) -> tuple[Graph, list[str]]:
    """The graph in which losses get no gradients from operators that read their outputs, and the
    names of such losses that are not outputs."""
    nodes: list[Node] = []
    places: dict[int, int] = {}
    blocked: dict[int, int] = {}
    for place, node in enumerate(graph.nodes):
        read = {} if node.op == 'BlockGrad' else blocked
        places[place] = len(nodes)
        nodes.append(node._replace(inputs=tuple([
            Entry(read.get(at, places[at]), output) for at, output in node.inputs])))
        if has(node.op, 'loss') and graph.consumers(place):
            blocked[place] = len(nodes)
            nodes.append(Node('BlockGrad', node.name + '_read', {}, (Entry(places[place], 0),)))
    heads = {head.node for head in graph.heads}
    return graph._replace(nodes=tuple(nodes), heads=tuple([
        Entry(places[head.node], head.output) for head in graph.heads])) if blocked else graph, [
            graph.nodes[place].name for place in blocked if place not in heads]


def _split(graph: Graph, facts: Facts) -> list[Entry]:
    """Losses that are no outputs, but whose parts are: together these have all elements, as if each
    step has a loss and all are computed at once. `graph` is one of `_with_own_gradients`."""
    found = []
    for place, node in enumerate(graph.nodes):
        if node.op != 'BlockGrad' or node.inputs[0] in graph.heads:
            continue
        loss = graph.nodes[node.inputs[0].node]
        if has(loss.op, 'loss') and not (loss.op == 'SoftmaxOutput' and loss.out_grad):
            sizes = [product(facts.arrays[head].shape) for head in _parts(graph, place)]
            if sizes and same(add(*sizes), product(facts.arrays[node.inputs[0]].shape)):
                found.append(node.inputs[0])
    return found


def _parts(graph: Graph, place: int) -> list[Entry]:
    """The outputs that are parts of a node's output; none if other operators read it."""
    readers = [at for at, node in enumerate(graph.nodes)
               if any(entry.node == place for entry in node.inputs)]
    if any(not has(graph.nodes[at].op, 'moves') or graph.nodes[at].op == 'BlockGrad'
           for at in readers):
        return []
    return [head for head in graph.heads if head.node == place] + [
        head for at in readers for head in _parts(graph, at)]
