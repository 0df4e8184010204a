"""Computes in advance, for inference, what depends only on parameters.

Graphs of `fuse` convert the weights to the fused operator's form in each call. Folded graphs have
them in that form, and are as fast as those of a FusedRNNCell.
"""
from __future__ import annotations

from typing import Mapping, Sequence

from .._files import reason_of
from .._graph.graph import Entry, Graph, Node
from .._graph.graph_editing import Edit
from .._graph.operator_table import has, row
from .._graph.rnn_vector_layout import ADDS_NOTHING
from .._graph.symbol_json import graph_to_json
from .._runtime.mxnet import mx
from .._runtime.symbol_graph import graph_of
from . import bind_errors, device_arrays

__all__ = ['fold', 'is_sized']


def fold(symbol: mx.sym.Symbol, arg_params: device_arrays.Weights
         ) -> tuple[mx.sym.Symbol, dict[str, mx.nd.NDArray]]:
    """The graph in which a Variable replaces each part that depends only on `arg_params`, and the
    arrays that it needs.

    A Variable has the name of its part's last node. Arrays that the graph still uses are not
    copied. Random operators and operators written in Python stay in the graph. Raises a ValueError
    or TypeError if the parameters do not fit it.
    """
    arguments = set(symbol.list_arguments())
    kept = {name: array for name, array in arg_params.items() if name in arguments}
    bind_errors.check_fit(symbol, kept)
    graph = _without_hints(graph_of(symbol), arg_params)
    constant, dependent = _constant(graph, arg_params)
    wanted = _frontier(graph, constant, dependent)
    if wanted:
        names = _names(graph, wanted)
        try:
            values = _values(graph.ending_in(wanted), list(names.values()), kept)
        except mx.base.MXNetError as error:
            raise ValueError('arg_params must fit the graph, but %s' % reason_of(error)) from None
        symbol = _symbol(_replaced(graph, names))
        kept.update(values)
    taken = symbol.list_arguments()
    return symbol, {name: kept[name] for name in taken if name in kept}


def _without_hints(graph: Graph, params: device_arrays.Weights) -> Graph:
    """Bypass operators that take a value and a hint of its shape, now that the value has a shape.

    `_identity_with_attr_like_rhs` returns its first input. So does `reshape_like` if it replaces
    one axis by one axis, because both are equally long. Operators that are there only for gradients
    return their first input too.
    """
    edit = Edit(graph)
    from_params: set[Entry] = set()
    for number, node in enumerate(graph.nodes):
        output = Entry(number, 0)
        if node.is_variable and node.name in params:
            from_params.add(output)
        elif node.inputs[:1] and node.inputs[0] in from_params and _hinted(node):
            edit.replaced[output] = node.inputs[0]
            from_params.add(output)
    return edit.graph()


def _hinted(node: Node) -> bool:
    if node.op == '_identity_with_attr_like_rhs' or ADDS_NOTHING in node.attrs:
        return True
    if node.op != 'reshape_like':
        return False
    ends = node.lhs_begin, node.lhs_end, node.rhs_begin, node.rhs_end
    return None not in ends and ends[1] - ends[0] == 1 and ends[3] - ends[2] == 1


def _constant(graph: Graph, params: device_arrays.Weights) -> tuple[set[int], set[int]]:
    """The nodes that never change between calls, and those among them that depend on parameters."""
    constant: set[int] = set()
    dependent: set[int] = set()
    for number, node in enumerate(graph.nodes):
        sources = {entry.node for entry in node.inputs}
        if node.is_variable:
            is_constant, depends = node.name in params, node.name in params
        elif sources:
            is_constant, depends = sources <= constant, bool(sources & dependent)
        else:
            is_constant, depends = is_sized(node), False
        if is_constant and not _impure(node):
            constant.add(number)
            if depends:
                dependent.add(number)
    return constant, dependent


def _impure(node: Node) -> bool:
    if node.op == 'Dropout':  # returns its input in inference
        return bool(node.mode != 'training')
    # An unknown operator may draw random numbers, print, or run a program's own code.
    return not node.is_variable and any(row(each.op) is None or has(each.op, 'draws')
                                        for each in Graph((node,), ()).walk() if each.op)


def is_sized(node: Node) -> bool:
    """Whether an operator without inputs states all sizes of its output."""
    return node.is_variable or not {0, -1} & set(getattr(node, 'shape', ()) or ())


def _frontier(graph: Graph, constant: set[int], dependent: set[int]) -> list[Entry]:
    """Outputs of the constant part, except parameters, that the rest of the graph reads."""
    used = graph.reached(lambda node: node.inputs)
    taken = [entry for number in used - constant for entry in graph.nodes[number].inputs]
    return sorted({entry for entry in [*taken, *graph.heads]
                   if entry.node in dependent and not graph.nodes[entry.node].is_variable})


def _names(graph: Graph, wanted: Sequence[Entry]) -> dict[Entry, str]:
    """A name for each entry: its node's name, if that is not used."""
    taken = {node.name for node in graph.nodes if node.is_variable}
    names: dict[Entry, str] = {}
    for entry in wanted:
        stem = graph.nodes[entry.node].name + ('' if entry.output == 0 else '_%d' % entry.output)
        name, count = stem, 0
        while name in taken:
            count += 1
            name = '%s_folded%d' % (stem, count)
        taken.add(name)
        names[entry] = name
    return names


def _values(graph: Graph, names: Sequence[str], params: device_arrays.Weights
            ) -> dict[str, mx.nd.NDArray]:
    """Computed outputs of a graph, under these names."""
    part = _symbol(graph)
    given = {name: params[name] for name in part.list_arguments()}
    context = device_arrays.common_context(given)
    given = {name: device_arrays.on(context, array) for name, array in given.items()}
    bind_errors.check_half(part, given, context)
    with device_arrays.quiet(), mx.autograd.pause(train_mode=False):
        executor = part.bind(context, given, grad_req='null')
        results = [each.asnumpy() for each in executor.forward(is_train=False)]
    return {name: mx.nd.array(result, ctx=context, dtype=result.dtype)
            for name, result in zip(names, results)}


def _replaced(graph: Graph, names: Mapping[Entry, str]) -> Graph:
    """The graph in which Variables with these names replace entries."""
    edit = Edit(graph)
    for entry, name in names.items():
        edit.replaced[entry] = edit.writer.named(edit.writer.add('', name, {}, []), name)
    return edit.graph()


def _symbol(graph: Graph) -> mx.sym.Symbol:
    return mx.sym.load_json(graph_to_json(graph))
