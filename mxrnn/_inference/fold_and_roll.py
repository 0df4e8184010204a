"""Rewrites Symbols: `fold` computes values that only parameters decide, `roll` rolls up steps."""
from __future__ import annotations

import warnings
from typing import Any, Mapping, Sequence

import numpy as np

from .. import _check
from .._files import reason_of
from .._graph.graph import Entry, Graph, Node
from .._graph.operator_table import has, row
from .._graph.rnn_vector_layout import ADDS_NOTHING
from .._graph.rolling import Finding, Kernel, Loop, Values, made_of, note_axes, wrong_at_others
from .._graph.rolling import roll as roll_graph
from .._graph.shapes.axis_factors import Axes
from .._graph.symbol_json import graph_to_json
from .._operator.rnn_build_and_defects import corrupts, cpu_build, disabled, onednn
from .._runtime.mxnet import mx
from .._runtime.symbol_to_json_and_graph import graph_of
from . import context_and_weights, shape_and_type_errors
from .adapt_rolled_graph import adapted, with_shapes
from .quiet_and_single_calls import quiet

__all__ = ['fold', 'roll', 'rolled_graph', 'rolled_to_kernels']


def fold(symbol: mx.sym.Symbol, arg_params: Mapping[str, mx.nd.NDArray]
         ) -> tuple[mx.sym.Symbol, dict[str, mx.nd.NDArray]]:
    """Compute in advance, for inference, everything that depends only on parameters.

    Graphs of `fuse` convert the weights to the fused operator's form in each call. Folded graphs
    have them in that form, and are as fast as those of a FusedRNNCell.

    Parameters
    ----------
    symbol : Symbol
        Any graph.
    arg_params : dict of str to NDArray
        Its parameters, or some of them. Variables without a value count as data. Names that the
        graph lacks are ignored.

    Returns
    -------
    symbol : Symbol
        The graph in which a Variable replaces each part that depends only on parameters. It has the
        name of the part's last node.
    arg_params : dict of str to NDArray
        The values of those Variables, and the arrays that the graph still uses unchanged, which are
        not copied.

    Raises
    ------
    TypeError
        An argument has a wrong type.
    ValueError
        The shapes of the parameters do not fit the graph.

    Notes
    -----
    Gradients and checkpoints belong to the original graph, so fold only for inference. Random
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
    context_and_weights.check_weights('arg_params', arg_params)
    arguments = set(symbol.list_arguments())
    kept = {name: array for name, array in arg_params.items() if name in arguments}
    shape_and_type_errors.check_fit(symbol, kept)
    graph = _without_hints(graph_of(symbol), arg_params)
    constant, dependent = _constant(graph, arg_params)
    wanted = _frontier(graph, constant, dependent)
    if wanted:
        names = _names(graph, wanted)
        try:
            values = _values(graph.ending_in(wanted), list(names.values()), kept)
        except mx.base.MXNetError as error:
            shape_and_type_errors.explain(symbol, kept)
            raise ValueError('arg_params must fit the graph, but %s' % reason_of(error)
                             ) from None
        symbol = _symbol(_replaced(graph, names))
        kept.update(values)
    taken = symbol.list_arguments()
    return symbol, {name: kept[name] for name in taken if name in kept}


def _without_hints(graph: Graph, params: context_and_weights.Weights) -> Graph:
    """Bypass operators that take a value and a hint of its shape, now that the value has a shape.

    `_identity_with_attr_like_rhs` returns its first input. So does `reshape_like` if it replaces
    one axis by one axis, because both are equally long. Operators that are there only for gradients
    return their first input too.
    """
    same: dict[Entry, Entry] = {}
    from_params: set[Entry] = set()
    nodes = []
    for number, node in enumerate(graph.nodes):
        node = node._replace(inputs=tuple(same.get(entry, entry) for entry in node.inputs))
        nodes.append(node)
        output = Entry(number, 0)
        if node.is_variable and node.name in params:
            from_params.add(output)
        elif node.inputs[:1] and node.inputs[0] in from_params and _hinted(node):
            same[output] = node.inputs[0]
            from_params.add(output)
    return graph._replace(nodes=tuple(nodes))


def _hinted(node: Node) -> bool:
    if node.op == '_identity_with_attr_like_rhs' or ADDS_NOTHING in node.attrs:
        return True
    if node.op != 'reshape_like':
        return False
    ends = node.lhs_begin, node.lhs_end, node.rhs_begin, node.rhs_end
    return None not in ends and ends[1] - ends[0] == 1 and ends[3] - ends[2] == 1


def _constant(graph: Graph, params: context_and_weights.Weights) -> tuple[set[int], set[int]]:
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
            is_constant, depends = _sized(node), False
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


def _sized(node: Node) -> bool:
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


def _values(graph: Graph, names: Sequence[str], params: context_and_weights.Weights
            ) -> dict[str, mx.nd.NDArray]:
    """Computed outputs of a graph, under these names."""
    part = _symbol(graph)
    given = {name: params[name] for name in part.list_arguments()}
    context = context_and_weights.common_context(given)
    given = {name: context_and_weights.on(context, array) for name, array in given.items()}
    shape_and_type_errors.check_half(part, given, context)
    with quiet(), mx.autograd.pause(train_mode=False):
        executor = part.bind(context, given, grad_req='null')
        results = [each.asnumpy() for each in executor.forward(is_train=False)]
    return {name: mx.nd.array(result, ctx=context, dtype=result.dtype)
            for name, result in zip(names, results)}


def _replaced(graph: Graph, names: Mapping[Entry, str]) -> Graph:
    """The graph in which Variables with these names replace entries."""
    variables = {entry: Entry(number, 0) for number, entry in enumerate(names)}

    def moved(entries: Sequence[Entry]) -> tuple[Entry, ...]:
        return tuple(variables.get(entry) or entry._replace(node=entry.node + len(names))
                     for entry in entries)
    nodes = [Node('', name, {}, ()) for name in names.values()]
    nodes += [node._replace(inputs=moved(node.inputs)) for node in graph.nodes]
    return graph._replace(nodes=tuple(nodes)).ending_in(moved(graph.heads))


def _symbol(graph: Graph) -> mx.sym.Symbol:
    return mx.sym.load_json(graph_to_json(graph))


def roll(symbol: mx.sym.Symbol, *, training: bool = True, length: int | None = None
         ) -> mx.sym.Symbol:
    """Roll up the recurrences of `symbol`: for any length, and mostly as fast as sym.RNN.

    Parameters
    ----------
    symbol : Symbol
        A graph, for instance from the checkpoint of a program that is lost.
    training : bool
        False: only for inference. Dropout and zoneout are removed, so more can be rolled up.
    length : int, optional
        The number of steps that `symbol` was unrolled for, if the graph contains this number as a
        size, as with ``Reshape(shape=(-1, 35, 8))`` and ``unroll(35, valid_length=...)``. Every
        such number then means the number of steps.

    Returns
    -------
    Symbol
        With the arguments that the outputs of `symbol` need, perhaps in another order, and with the
        same outputs and names. `symbol` itself if nothing can be rolled up.

    Notes
    -----
    LSTM, GRU and simple recurrences are recognised by what they compute. They run through sym.RNN
    where this MXNet computes it correctly, as with `fuse`; other recurrences become loops of
    `contrib.foreach`. Parts that differ between steps stay unrolled. So do steps with dropout,
    which MXNet ignores in loops. ``python -m mxrnn inspect`` reports on each recurrence. If gates
    have another order than in sym.RNN, or weights are dropped, MXNet cannot infer the shapes of
    weights: bind with them, as `Predictor` does.

    Raises
    ------
    TypeError, ValueError
        `symbol` is not a Symbol, `training` not a bool, or `length` not a number of steps, or one
        that a Reshape before a recurrence states for any number of rows. Without `length`
        there is a warning that other lengths give wrong results. There also is one if the graph
        divides a sum over steps by their number.

    Examples
    --------
    >>> import mxrnn as rnn
    >>> x = rnn.mx.sym.Variable('x')
    >>> outputs, _ = rnn.LSTMCell(16, prefix='lstm_').unroll(20, x, merge_outputs=True)
    >>> rolled = rnn.roll(outputs)
    >>> len(outputs.get_internals()), len(rolled.get_internals())
    (368, 19)
    >>> rolled.infer_shape(x=(8, 35, 5))[1]
    [(8, 35, 16)]
    """
    _check.instance('symbol', symbol, mx.sym.Symbol, 'a Symbol')
    _check.flag('training', training)
    _check.integer('length', 1 if length is None else length, 1)
    graph = graph_of(symbol)
    rolled, findings = rolled_graph(graph, training, length)
    for name, steps in [each[:2] for each in findings if each.kind == 'stated']:
        text = 'node %s makes sequences of %d steps, whatever data it gets' % (name, steps)
        if steps == length:
            raise ValueError('length must be a number that can become any, got %d: %s. Leave out '
                             'length, and give sequences of %d steps' % (length, text, steps))
        warnings.warn('%s: other lengths give wrong results' % text, stacklevel=2)
    axes: dict[Entry, Axes] = {}
    note_axes(rolled.nodes, 0, axes)
    for steps in sorted({length or 0, *(each.steps for each in findings)}):
        for node in made_of(rolled, steps, axes) if rolled is not graph else ():
            warnings.warn(wrong_at_others(node, steps), stacklevel=2)
    return symbol if rolled is graph else _symbol(rolled)


def rolled_graph(graph: Graph, training: bool, length: int | None, keep: bool = False
                 ) -> tuple[Graph, tuple[Finding, ...]]:
    """`roll` for a Symbol's graph and this MXNet; `graph` itself if nothing can be rolled up. With
    `keep`, numbers of steps in Reshapes are treated as in exports."""
    rolled, findings = roll_graph(
        graph, training=training, length=length, keep=keep,
        reject_reason=lambda values, what: _fault(values, what, training))
    return graph if rolled is graph else adapted(rolled), findings


def rolled_to_kernels(symbol: mx.sym.Symbol, float32: bool
                      ) -> tuple[mx.sym.Symbol, tuple[Finding, ...]]:
    """`symbol` for training, with sym.RNN for recurrences and without loops, and a finding for each
    recurrence; `float32` says that all its numbers are known to be of that type."""
    graph = graph_of(symbol)

    def reject_reason(values: Values, what: Kernel | Loop) -> str | None:
        if isinstance(what, Loop):
            return 'loops of MXNet are slower than steps'
        return _fault(values, what, True, float32)
    rolled, findings = roll_graph(graph, training=True, reject_reason=reject_reason)
    return symbol if rolled is graph else _symbol(with_shapes(rolled)), findings


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
    return any(not node.inputs and not _sized(node) for node in nodes) and not any(
        values.nodes[entry.node].is_variable for node in nodes
        for entry in {*node.inputs} - {*node.inputs_of('weight'), *node.inputs_of('aux')})


def _type(values: Values, value: int) -> Any:
    """The type of a begin state, as far as its node says."""
    node = values.node(value)
    return np.dtype(node.dtype) if node.op in ('_zeros', '_ones', '_full') else None
