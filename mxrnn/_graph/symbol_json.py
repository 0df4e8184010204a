"""Reads graphs from the JSON of symbol files, and writes them.

The JSON of MXNet is a list of nodes, each behind the nodes that it reads. Anything else is refused.
Before 0.9 auxiliary states were no nodes, and the JSON told no version.
"""
from __future__ import annotations

import collections
import contextlib
import json
import re
from typing import Any, Counter, TypeVar

from .._files import OtherKindError, opened
from .attributes import AttributeValueError
from .graph import Entry, Graph, Node
from .operator_table import canonical, row

__all__ = ['graph_from_json', 'graph_to_json', 'json_text', 'read_graph', 'text_of']

_T = TypeVar('_T')

#: No graph's nodes have more outputs together; a file that says so is not MXNet's.
_MOST_OUTPUTS = 1 << 20

#: What is said of a text that is no graph.
_NO_GRAPH = 'It is either damaged or not a graph such as PREFIX-symbol.json'

#: Attributes of programs that versions before 0.9 wrote without underscores.
_HIDDEN = ('ctx_group', 'lr_mult', 'wd_mult', 'force_mirroring', 'mirror_stage')


def graph_from_json(text: str) -> Graph:
    """Read the JSON of a symbol.

    Parameters
    ----------
    text : str
        The result of ``Symbol.tojson`` of MXNet 0.5 to 1.9. Parameters of operators may be under
        'attrs', 'attr' or 'param'.

    Returns
    -------
    Graph

    Raises
    ------
    ValueError
        It is not JSON, or not a graph; the message names the node and its fault.
    """
    try:
        content = json.loads(text, strict=False)  # MXNet does not escape all characters
    except RecursionError:
        raise ValueError('the JSON is nested too deeply') from None
    except ValueError as error:
        raise OtherKindError('text', 'is not JSON: %s. %s' % (error, _NO_GRAPH)) from None
    if not isinstance(content, dict) or 'nodes' not in content:
        raise OtherKindError('text', 'has no nodes. ' + _NO_GRAPH)
    graph = _graph(content, 0)
    outputs = _count(graph)
    if outputs > _MOST_OUTPUTS:
        raise ValueError('its nodes have %d outputs' % outputs)
    return graph


def read_graph(path: str) -> Graph:
    """The graph in a file.

    Raises
    ------
    CheckpointError
        The file cannot be read, or is not a graph.
    """
    with opened(path) as stream:
        return graph_from_json(text_of(stream.read()))


def text_of(content: bytes) -> str:
    """The content of a file with a graph, as text."""
    try:
        return content.decode('utf-8')
    except UnicodeDecodeError:
        raise OtherKindError('the content', 'is not text. ' + _NO_GRAPH) from None


def _count(graph: Graph) -> int:
    """How many outputs the nodes have, including those that are only read."""
    counts = [node.num_outputs for node in graph.nodes]
    for entry in [*graph.heads, *(entry for node in graph.nodes for entry in node.inputs)]:
        counts[entry.node] = max(counts[entry.node], entry.output + 1)
    return sum(counts) + sum(_count(each) for node in graph.nodes for each in node.subgraphs)


def graph_to_json(graph: Graph, *, indent: int | None = 2) -> str:
    """The JSON of a graph, for MXNet 1.9; in one line, and faster, if `indent` is None.

    Examples
    --------
    >>> from mxrnn.interop import Entry, Graph, Node
    >>> node = Node('', 'data', {}, ())
    >>> graph_from_json(graph_to_json(Graph((node,), (Entry(0, 0),)))).outputs
    ['data']
    """
    return json_text(_content(graph), indent)


def json_text(content: Any, indent: int | None = 2) -> str:
    """JSON for MXNet, which does not read escapes of characters."""
    text = json.dumps(content, indent=indent, ensure_ascii=False)
    return _CODED.sub(lambda found: found.group(1) or json.loads('"%s"' % found.group()), text)


#: Characters that JSON may escape in a string; MXNet reads only escapes of the first group.
_CODED = re.compile(r'(\\[\\"nrt])|\\(?:[bf]|u[0-9a-f]{4})')


def _content(graph: Graph) -> dict[str, Any]:
    nodes, rows = [], [0]
    #: By place of an auxiliary state: how many operators have changed it so far.
    changes: Counter[int] = collections.Counter()
    for node in graph.nodes:
        changes.update(entry.node for entry in node.inputs_of('aux'))
        item: dict[str, Any] = {'op': node.op or 'null', 'name': node.name}
        if node.attrs:
            item['attrs'] = node.attrs
        item['inputs'] = [[*entry, changes[entry.node]] for entry in node.inputs]
        if node.subgraphs:
            item['subgraphs'] = [_content(each) for each in node.subgraphs]
        nodes.append(item)
        rows.append(rows[-1] + node.num_outputs)
    return {'nodes': nodes, 'node_row_ptr': rows,
            'arg_nodes': [i for i, node in enumerate(graph.nodes) if node.is_variable],
            'heads': [[*entry, 0] for entry in graph.heads],
            'attrs': {'mxnet_version': ['int', graph.version or 10901]}}


def _graph(content: Any, depth: int) -> Graph:
    if depth > 20:
        raise ValueError('loops are nested more than 20 deep')
    listed = _field(content, 'nodes', list, 'the graph')
    rows = content.get('node_row_ptr')
    if rows is not None and (not _integers(rows) or len(rows) != len(listed) + 1):
        raise ValueError('it has %d nodes and the outputs of %s'
                         % (len(listed), len(rows) - 1 if isinstance(rows, list) else rows))
    nodes: list[Node] = []
    for i, item in enumerate(listed):
        nodes.append(_node(item, i, nodes, rows[i + 1] - rows[i] if rows else 0, depth))
    heads = _entries(_field(content, 'heads', list, 'the graph'), nodes, 'the result')
    graph = Graph(tuple(nodes), heads, _version(content.get('attrs')))
    return graph if graph.version else _with_states(graph)


def _with_states(graph: Graph) -> Graph:
    """The graph with the auxiliary states that its operators lack, named as MXNet names them."""
    nodes: list[Node] = []
    places: list[int] = []
    for node in graph.nodes:
        known, inputs = row(node.op), [Entry(places[at], output) for at, output in node.inputs]
        states = [each.name for each in known.inputs if each.role == 'aux'] if (
            known is not None and known.positions('aux')[:1] == (len(inputs),)) else []
        for name in states:
            inputs.append(Entry(len(nodes), 0))
            nodes.append(Node('', '%s_%s' % (node.name, name), {}, ()))
        places.append(len(nodes))
        nodes.append(node._replace(inputs=tuple(inputs)))
    return graph._replace(nodes=tuple(nodes), heads=tuple(
        Entry(places[at], output) for at, output in graph.heads))


def _node(item: Any, place: int, before: list[Node], stated: int, depth: int) -> Node:
    what = 'node %d' % place
    op = _field(item, 'op', str, what)
    name = _field(item, 'name', str, what)
    what = 'node %d, %s,' % (place, name)
    attrs: dict[str, str] = {}
    for key in ('param', 'attr', 'attrs'):
        for attr, value in _field(item, key, dict, what).items() if key in item else ():
            if not isinstance(value, str):
                raise ValueError('%s has the attribute %s, which is not text: %r'
                                 % (what, attr, value))
            attrs['__%s__' % attr if attr in _HIDDEN else attr] = value
    inputs = _entries(_field(item, 'inputs', list, what), before, what)
    if op == 'null':
        if inputs:
            raise ValueError('%s is a variable but has inputs' % what)
        return Node('', name, attrs, ())
    subgraphs = tuple(_graph(each, depth + 1) for each in (
        _field(item, 'subgraphs', list, what) if 'subgraphs' in item else ()))
    node = _modern(Node(canonical(op), name, attrs, inputs, subgraphs, max(stated, 1)))
    known = row(node.op)
    if known is None:
        return node
    if len(subgraphs) != known.bodies:
        raise ValueError('%s %s, contains %d graphs, not %d'
                         % (what, node.op, len(subgraphs), known.bodies))
    count = known.num_outputs(node)
    if count < 1:
        raise ValueError('node %s, %s, has %d outputs' % (name, node.op, count))
    return node if count == node.num_outputs else node._replace(num_outputs=count)


def _modern(node: Node) -> Node:
    """A Reshape as it is written since 0.9: until then `target_shape` had 0 for the rest."""
    with contextlib.suppress(AttributeValueError):  # whoever reads the graph refuses it
        if node.op == 'Reshape' and node.target_shape and not node.shape:
            codes = [size or -1 for size in node.target_shape]
            if node.keep_highest:
                codes[0] = 0
            return node._replace(attrs={
                **{key: value for key, value in node.attrs.items()
                   if key not in ('target_shape', 'keep_highest', 'reverse')},
                'shape': str(tuple(codes))})
    return node


def _entries(listed: list[Any], before: list[Node], what: str) -> tuple[Entry, ...]:
    found = []
    for entry in listed:
        if not _integers(entry) or len(entry) not in (2, 3):
            raise ValueError('%s has the input %r, which is not a pair of node and output'
                             % (what, entry))
        place, output = entry[:2]
        if not 0 <= place < len(before):
            raise ValueError('%s refers to node %d of %d' % (what, place, len(before)))
        node = before[place]
        if not 0 <= output < node.num_outputs:
            # Files of old versions do not tell how many outputs an unknown operator has.
            if node.is_variable or row(node.op) is not None or not 0 <= output < _MOST_OUTPUTS:
                raise ValueError('%s refers to output %d of node %d, which has fewer'
                                 % (what, output, place))
        found.append(Entry(place, output))
    return tuple(found)


def _field(item: Any, key: str, kind: type[_T], what: str) -> _T:
    """``item[key]``, if `item` is a dict and the value of the type `kind`."""
    if not isinstance(item, dict):
        raise ValueError('%s is not a JSON object: %.60r' % (what, item))
    value = item.get(key)
    if not isinstance(value, kind):
        raise ValueError('%s has no %s' % (what, key) if value is None else
                         '%s has a %s that is a %s' % (what, key, type(value).__name__))
    return value


def _integers(value: Any) -> bool:
    return isinstance(value, list) and {*map(type, value)} <= {int}


def _version(attrs: Any) -> int:
    """From ``{'mxnet_version': ['int', 10901]}``."""
    try:
        return int(attrs['mxnet_version'][1])
    except (TypeError, KeyError, IndexError, ValueError, OverflowError):
        return 0
