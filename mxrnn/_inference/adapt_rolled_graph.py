"""Changes rolled-up graphs where MXNet would compute something else, or not infer shapes."""
from __future__ import annotations

import itertools
import math

from .._graph.graph import Entry, Graph, Node
from .._graph.graph_editing import Writer, with_variables_as_in
from .._graph.operator_table import has
from .._graph.rnn_vector_layout import GATES
from .._graph.rolling import computed, note_axes
from .._graph.shapes.axis_factors import Axes
from .._graph.shapes.sizes import product, same

__all__ = ['adapted', 'with_shapes']


def adapted(graph: Graph) -> Graph:
    """A rolled-up graph for MXNet."""
    graph = with_shapes(_counted(graph))
    return graph._replace(nodes=tuple([
        node._replace(subgraphs=tuple(map(_body, node.subgraphs))) for node in graph.nodes]))


def with_shapes(graph: Graph) -> Graph:
    """The graph in which weights of sym.RNN state their rows, so that MXNet infers the columns."""
    nodes = list(graph.nodes)
    for node in graph.nodes:
        joined = graph.nodes[node.inputs[1].node] if has(node.op, 'kernel') else None
        if joined is None or joined.op != '_rnn_param_concat':
            continue
        rows = len(GATES[node.mode]) * node.state_size
        shapes = (rows, 0), (rows, node.state_size), (rows,), (rows,)
        for entry, shape in zip(joined.inputs, shapes):
            place = entry.node
            if nodes[place].op == 'Reshape':
                place = nodes[place].inputs[0].node
            each = nodes[place]
            if each.is_variable and '__shape__' not in each.attrs:
                nodes[place] = each._replace(attrs={**each.attrs, '__shape__': str(shape)})
    return graph._replace(nodes=tuple(nodes))


def _body(body: Graph) -> Graph:
    """The body of a loop, without operators that MXNet gets wrong in loops.

    elemwise_add passes its gradient on unchanged, and MXNet adds up the wrong arrays if that
    reaches an input; add_n has a gradient for each input. oneDNN's softmax crashes if an array has
    one of oneDNN's own layouts; MXNet does not use it if a temperature is given.
    """
    def changed(node: Node) -> Node:
        if node.op == 'elemwise_add':
            return node._replace(op='add_n', attrs={'num_args': '2'})
        if node.op in ('softmax', 'log_softmax') and node.temperature is None:
            return node._replace(attrs={**node.attrs, 'temperature': '1.0'})
        return node
    return body._replace(nodes=tuple(map(changed, body.nodes)))


def _counted(graph: Graph) -> Graph:
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
