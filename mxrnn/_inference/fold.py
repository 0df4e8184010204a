"""fold: what a graph makes of its parameters alone, computed once."""
from __future__ import annotations

import json
from typing import Any, Dict, List, Mapping, Tuple

from .. import _check
from .._operator.vector import ADDS_NOTHING
from .._runtime.mxnet import mx
from . import graphs, mismatch

__all__ = ['fold']

#: One output of a node: the node's number and the output's.
_Entry = Tuple[int, int]
_Nodes = List[Dict[str, Any]]

#: Parts of the names of operators that draw random numbers or run a program's own code.
_IMPURE = ('random', 'sample', 'shuffle', 'dropout', 'custom', 'normal', 'uniform', 'multinomial',
           'rnn', 'print', 'subgraph', 'callback')

#: Operators without inputs that always give the same.
_CREATED = ('_zeros', '_ones', '_full', '_arange', '_eye', '_linspace')

#: What operators without inputs are told about the place they run in, which is where arrays lie.
_PLAIN = 'null'


def fold(symbol: mx.sym.Symbol, arg_params: Mapping[str, mx.nd.NDArray]
         ) -> tuple[mx.sym.Symbol, dict[str, mx.nd.NDArray]]:
    """Compute once what depends on parameters alone, for inference.

    Graphs of `fuse` bring the weights into the form of the fused operator at each call. Folded,
    they have them in that form, and cost what those of a FusedRNNCell do.

    Parameters
    ----------
    symbol : Symbol
        Any graph.
    arg_params : dict of str to NDArray
        Its parameters, or some of them. What has no value here counts as data. Those that the
        graph does not have are left out.

    Returns
    -------
    symbol : Symbol
        The graph with a Variable, called as the node was, in the place of each part that depends
        on parameters alone.
    arg_params : dict of str to NDArray
        The values of those Variables, and the arrays that the graph still takes as they are,
        which are not copied.

    Raises
    ------
    TypeError
        For arguments of another kind.
    ValueError
        The shapes of the parameters do not fit the graph.

    Notes
    -----
    Gradients and checkpoints belong to the graph as it was: fold what is only to predict. Random
    operators and operators written in Python stay in the graph.

    Examples
    --------
    >>> import mxnet as mx, mxrnn as rnn
    >>> cell = rnn.LSTMCell(8)
    >>> data = mx.sym.Variable('data', shape=(0, 3, 5))
    >>> outputs, _ = rnn.fuse(cell).unroll(3, data, merge_outputs=True)
    >>> shapes, _, _ = outputs.infer_shape(data=(1, 3, 5))
    >>> weights = {name: mx.nd.ones(shape)
    ...            for name, shape in zip(outputs.list_arguments(), shapes) if name != 'data'}
    >>> folded, arrays = rnn.fold(outputs, weights)
    >>> folded.list_arguments(), {name: array.shape for name, array in arrays.items()}
    (['data', 'lstm_fused_parameters'], {'lstm_fused_parameters': (480,)})
    """
    _check.instance('symbol', symbol, mx.sym.Symbol, 'a Symbol')
    graphs.check_weights('arg_params', arg_params)
    arguments = set(symbol.list_arguments())
    kept = {name: array for name, array in arg_params.items() if name in arguments}
    mismatch.check_fit(symbol, kept)
    graph = graphs.read(symbol)
    nodes: _Nodes = graph['nodes']
    _skip_hints(nodes, arg_params)
    constant, dependent = _constant(nodes, arg_params)
    wanted = _frontier(graph, constant, dependent)
    if wanted:
        names = _names(nodes, wanted)
        try:
            values = _values(graph, wanted, names, kept)
        except mx.base.MXNetError as error:
            mismatch.explain(symbol, kept)
            raise ValueError('arg_params must fit the graph, but %s' % graphs.brief(error)
                             ) from error
        symbol = _replaced(graph, names)
        kept.update(values)
    taken = symbol.list_arguments()
    return symbol, {name: kept[name] for name in taken if name in kept}


def _skip_hints(nodes: _Nodes, params: Mapping[str, Any]) -> None:
    """Give operators that take a value and a hint of its shape the value, which now has one.

    `_identity_with_attr_like_rhs` gives its first input; so does `reshape_like` where it replaces
    one axis by one, which then are equally long. What is there for gradients alone gives its first
    input, too.
    """
    same: dict[_Entry, _Entry] = {}
    from_params: set[_Entry] = set()
    for number, node in enumerate(nodes):
        node['inputs'] = [_follow(same, each) for each in node['inputs']]
        first = tuple(node['inputs'][0][:2]) if node['inputs'] else None
        if node['op'] == _PLAIN and node['name'] in params:
            from_params.add((number, 0))
        elif first in from_params and _hinted(node):
            same[number, 0] = first
            from_params.add((number, 0))


def _follow(same: dict[_Entry, _Entry], entry: list[int]) -> list[int]:
    return [*same.get((entry[0], entry[1]), entry[:2]), *entry[2:]]


def _hinted(node: dict[str, Any]) -> bool:
    attributes = node.get('attrs', {})
    if node['op'] == '_identity_with_attr_like_rhs' or ADDS_NOTHING in attributes:
        return True
    if node['op'] != 'reshape_like':
        return False
    ends = [attributes.get(key, 'None') for key in ('lhs_begin', 'lhs_end', 'rhs_begin', 'rhs_end')]
    if not all(end.lstrip('-').isdigit() for end in ends):
        return False
    begin, end, other_begin, other_end = map(int, ends)
    return end - begin == 1 and other_end - other_begin == 1


def _constant(nodes: _Nodes, params: Mapping[str, Any]) -> tuple[set[int], set[int]]:
    """The nodes that are the same at every call, and those among them that depend on parameters."""
    constant: set[int] = set()
    dependent: set[int] = set()
    for number, node in enumerate(nodes):
        sources = {entry[0] for entry in node['inputs']}
        if node['op'] == _PLAIN:
            is_constant, depends = node['name'] in params, node['name'] in params
        elif sources:
            is_constant, depends = sources <= constant, bool(sources & dependent)
        else:
            is_constant, depends = node['op'] in _CREATED and _sized(node), False
        if is_constant and not _impure(node):
            constant.add(number)
            if depends:
                dependent.add(number)
    return constant, dependent


def _impure(node: dict[str, Any]) -> bool:
    if node['op'] == 'Dropout':  # which gives its input where nothing is trained
        return node.get('attrs', {}).get('mode', 'training') != 'training'
    return any(part in node['op'].lower() for part in _IMPURE)


def _sized(node: dict[str, Any]) -> bool:
    """Whether an operator without inputs states all sizes of what it makes."""
    shape = node.get('attrs', {}).get('shape')
    return shape is None or all(part.strip() not in ('0', '-1')
                                for part in shape.strip('()[]').split(',') if part.strip())


def _frontier(graph: dict[str, Any], constant: set[int], dependent: set[int]) -> list[_Entry]:
    """What of the constant part the rest of the graph takes, other than parameters themselves."""
    nodes: _Nodes = graph['nodes']
    used = _used(graph)
    taken = [entry for number in sorted(used - constant) for entry in nodes[number]['inputs']]
    return sorted({(number, index) for number, index, *_ in taken + graph['heads']
                   if number in dependent and nodes[number]['op'] != _PLAIN})


def _used(graph: dict[str, Any]) -> set[int]:
    """The nodes that lead to an output."""
    found: set[int] = set()
    ahead = [entry[0] for entry in graph['heads']]
    while ahead:
        number = ahead.pop()
        if number not in found:
            found.add(number)
            ahead.extend(entry[0] for entry in graph['nodes'][number]['inputs'])
    return found


def _names(nodes: _Nodes, wanted: list[_Entry]) -> dict[_Entry, str]:
    """A name for each of the entries: that of its node, as far as it is free."""
    taken = {node['name'] for node in nodes if node['op'] == _PLAIN}
    names: dict[_Entry, str] = {}
    for number, index in wanted:
        stem = nodes[number]['name'] + ('' if index == 0 else '_%d' % index)
        name, count = stem, 0
        while name in taken:
            count += 1
            name = '%s_folded%d' % (stem, count)
        taken.add(name)
        names[number, index] = name
    return names


def _values(graph: dict[str, Any], wanted: list[_Entry], names: dict[_Entry, str],
            params: Mapping[str, Any]) -> dict[str, mx.nd.NDArray]:
    """The entries `wanted`, computed."""
    part = _written(graph, [[number, index, 0] for number, index in wanted])
    given = {name: params[name] for name in part.list_arguments()}
    context = graphs.common_context(given)
    given = {name: graphs.on(context, array) for name, array in given.items()}
    mismatch.check_half(part, given, context)
    with graphs.quiet(), mx.autograd.pause(train_mode=False):
        executor = part.bind(context, given, grad_req='null')
        results = [each.asnumpy() for each in executor.forward(is_train=False)]
    return {names[entry]: mx.nd.array(result, ctx=context, dtype=result.dtype)
            for entry, result in zip(wanted, results)}


def _replaced(graph: dict[str, Any], names: dict[_Entry, str]) -> mx.sym.Symbol:
    """The graph with Variables of these names in the place of entries."""
    nodes: _Nodes = graph['nodes']
    count = len(nodes)
    variables = {entry: [count + i, 0, 0] for i, entry in enumerate(names)}
    new = [{'op': _PLAIN, 'name': name, 'inputs': []} for name in names.values()]

    def moved(entries: list[list[int]]) -> list[list[int]]:
        return [variables.get((entry[0], entry[1]), entry) for entry in entries]

    changed = [dict(node, inputs=moved(node['inputs'])) for node in nodes]
    return _written(dict(graph, nodes=changed + new), moved(graph['heads']))


def _written(graph: dict[str, Any], heads: list[list[int]]) -> mx.sym.Symbol:
    """The part of the graph that leads to `heads`, as a Symbol."""
    nodes: _Nodes = graph['nodes']
    used = _used(dict(graph, heads=heads))
    order: list[int] = []  # the sources of a node come before it
    ahead = [(number, False) for number in sorted(used, reverse=True)]
    done: set[int] = set()
    while ahead:
        number, ready = ahead.pop()
        if number in done:
            continue
        if ready:
            done.add(number)
            order.append(number)
            continue
        ahead.append((number, True))
        ahead.extend((entry[0], False) for entry in reversed(nodes[number]['inputs'])
                     if entry[0] not in done)
    place = {number: i for i, number in enumerate(order)}
    kept = [dict(nodes[number], inputs=[[place[entry[0]], *entry[1:]]
                                        for entry in nodes[number]['inputs']])
            for number in order]
    return mx.sym.load_json(json.dumps({
        'nodes': kept, 'heads': [[place[entry[0]], *entry[1:]] for entry in heads],
        'arg_nodes': [i for i, node in enumerate(kept) if node['op'] == _PLAIN],
        'attrs': graph.get('attrs', {})}))
