"""Graphs of a program that runs with --fuse: bound with sym.RNN for their recurrences.

`unroll`, or a Python loop over `cell(x, states)` or over a program's own layers, leaves a graph of
steps. Its recurrences are recognised by what they compute. The executor has the arrays of the
program's graph, in their order. Recurrences stay steps if this MXNet would compute the operator
wrongly. A report at the end says what was fused.
"""
from __future__ import annotations

import atexit
import sys
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Sequence, Tuple, TypeVar, Union

import numpy as np

from .. import _check
from .._graph.graph import Entry, Graph, Node
from .._graph.graph_editing import Edit
from .._graph.merge_rnn import merged
from .._graph.rolling import Finding, Kernel, Values, structure
from .._graph.rolling.numbered_values import is_random
from .._graph.symbol_json import graph_to_json
from .._operator.rnn_defects import corrupts, cpu_build, disabled, onednn
from .._runtime import finder
from .._runtime.mxnet import mx
from .._runtime.symbol_graph import graph_of
from .fold_constants import is_sized

__all__ = ['bind', 'simple_bind']

Shapes = Dict[str, Tuple[int, ...]]
Types = Mapping[str, _check.DType]
#: By name, or in the arguments' order.
Arrays = Union[Mapping[str, mx.nd.NDArray], List[mx.nd.NDArray], None]
Requests = Union[str, Sequence[str], Mapping[str, str]]
Contexts = Union[Mapping[str, mx.Context], None]
Given = TypeVar('Given')


def _rolled_to_kernels(symbol: mx.sym.Symbol, float32: bool
                      ) -> tuple[mx.sym.Symbol, tuple[Finding, ...]]:
    """`symbol` for training, with sym.RNN for recurrences and without loops, which are slower than
    steps in MXNet; and a finding for each recurrence. `float32` says that all its numbers are known
    to be of that type."""
    before = graph_of(symbol)
    rolled = structure(before, training=True, loops=False,
                       reject_reason=lambda values, kernel: _fault(values, kernel, float32))
    if not rolled.is_rolled:
        return symbol, rolled.findings
    graph = merged(rolled.graph, for_mxnet=True)
    own = {node.name for node in before.nodes if node.op == 'RNN'}
    return mx.sym.load_json(graph_to_json(_for_mxnet(graph, [
        place for place, node in enumerate(graph.nodes)
        if node.op == 'RNN' and node.name not in own], float32))), rolled.findings


def _for_mxnet(graph: Graph, places: Sequence[int], float32: bool) -> Graph:
    """`graph` with the operators at `places` so that MXNet is fast and has right gradients."""
    edit = Edit(graph)
    for place in places:
        node = graph.nodes[place]
        join = graph.nodes[node.inputs[1].node]
        rows = [edit.writer.add('Reshape', join.name, {'shape': (-1, node.state_size)}, [each])
                for each in join.inputs]
        # With _rnn_param_concat, a step of two layers of 650 units takes a quarter longer.
        joined = edit.writer.join(rows, join.name + '_rows', 0)
        edit.replaced[node.inputs[1]] = edit.writer.add(
            'Reshape', join.name, {'shape': (-1,)}, [joined])
        if not (float32 and onednn(np.float32)):
            _mend_gradients(edit, node, place)
    return edit.graph()


def _mend_gradients(edit: Edit, node: Node, place: int) -> None:
    """`apart` and `wanted` in `flat_weight_symbols`."""
    write = edit.writer
    data, vector, *begin = node.inputs
    data = write.add('SequenceMask', node.name + '_apart', {}, [data])
    some = [write.add('slice_axis', node.name + '_some', {'axis': 0, 'begin': 0, 'end': 1}, [
        write.add('Reshape', node.name + '_flat', {'shape': (-1,)}, [each])])
        for each in (data, *begin)]
    total = write.add('add_n', node.name + '_total', {'num_args': len(some)}, some)
    zero = write.add('zeros_like', node.name + '_zero', {}, [total])
    nothing = write.add('where', node.name + '_nothing', {}, [zero, total, zero])
    vector = write.add('broadcast_add', node.name + '_wanted', {}, [vector, nothing])
    operator = write.copy(node, [data, vector, *begin])
    edit.replaced.update((Entry(place, output), operator._replace(output=output))
                         for output in range(node.num_outputs))


def _fault(values: Values, what: Kernel, float32: bool) -> str | None:
    """Why this MXNet cannot train a recurrence in this form; None if it can."""
    if any(values.are_one(each.by_step) and _of_any_batch(values, each.by_step[0])
           for each in what.data):
        return 'MXNet does not infer the batch of arrays that are repeated for each step'
    if disabled():
        return 'MXNET_MKLDNN_ENABLED=0 breaks sym.RNN'
    if corrupts(what.units):
        return 'MXNet 1.7 corrupts memory where it trains sym.RNN of one unit'
    if what.mode == 'rnn_relu' and cpu_build() and not float32:
        return 'sym.RNN may round to float32'
    return None


def _of_any_batch(values: Values, value: int) -> bool:
    """Whether only the reader of a value tells its batch: it reads zeros, but no data."""
    nodes = [values.node(each) for each in values.above(value)]
    return any(not node.inputs and not is_sized(node) for node in nodes) and not any(
        values.nodes[entry.node].is_variable for node in nodes
        for entry in {*node.inputs} - {*node.inputs_of('weight'), *node.inputs_of('aux')})


class _Executor(mx.executor.Executor):
    """An executor of a rolled-up graph, with the arrays of the original graph."""

    _rolled: mx.sym.Symbol
    _symbol: mx.sym.Symbol

    def reshape(self, partial_shaping: bool = False, allow_up_sizing: bool = False,
                **kwargs: tuple[int, ...]) -> mx.executor.Executor:
        found = self._symbol.infer_shape_partial(**kwargs)[0]
        # MXNet itself reports missing arrays.
        shapes = dict(zip(self.arg_dict, found)) if _known(found) else kwargs
        changed = [name for name, shape in shapes.items()
                   if name not in kwargs and shape != self.arg_dict[name].shape]
        if changed and not partial_shaping:
            raise ValueError('set partial_shaping=True to change the shapes of arguments that are '
                             'not given: %s' % ', '.join(changed))
        executor = super().reshape(partial_shaping, allow_up_sizing, **shapes)
        return _with_arrays_of(self._symbol, self._rolled, executor)


def _with_arrays_of(symbol: mx.sym.Symbol, rolled: mx.sym.Symbol,
                    executor: mx.executor.Executor) -> mx.executor.Executor:
    """`executor` of the graph `rolled`, with its arrays in the order of `symbol`."""
    for kind, names_of in (('arg_arrays', mx.sym.Symbol.list_arguments),
                           ('grad_arrays', mx.sym.Symbol.list_arguments),
                           ('aux_arrays', mx.sym.Symbol.list_auxiliary_states)):
        arrays = getattr(executor, kind)
        if arrays is not None:
            by_name = dict(zip(names_of(rolled), arrays))
            setattr(executor, kind, [by_name[name] for name in names_of(symbol)])
    executor.__class__ = _Executor
    assert isinstance(executor, _Executor)
    executor._rolled, executor._symbol = rolled, symbol
    return executor


def _known(shapes: Sequence[tuple[int, ...]]) -> bool:
    return all(each and min(each) > 0 for each in shapes)


class _FusedBind(NamedTuple):
    """A graph with kernels, and the known facts about its arguments, by name."""

    symbol: mx.sym.Symbol
    shapes: Shapes
    types: Types


def _found(symbol: mx.sym.Symbol, shapes: Mapping[str, tuple[int, ...]], types: Types
           ) -> _FusedBind | None:
    """The graph to bind in place of `symbol`, if there is a faster one that is as exact."""
    names = symbol.list_arguments()
    try:  # `bind` itself reports errors
        all_shapes = symbol.infer_shape_partial(**shapes)[0]
        all_types = _types(symbol, types)
        inner = symbol.get_internals().infer_type_partial(**all_types)[1]
    except (mx.base.MXNetError, ValueError, TypeError):
        return None
    if not _known(all_shapes) or None in inner or len(set(names)) != len(names):
        return None
    float32 = all(np.dtype(each) == np.float32 or np.dtype(each).kind != 'f' for each in inner)
    rolled, findings = _rolled_to_kernels(symbol, float32)
    found = _FusedBind(rolled, dict(zip(names, all_shapes)), all_types)
    reason = None if rolled is symbol else _reject_reason(symbol, found)
    for finding in findings:
        _note('%s, bound' % str(
            finding._replace(kind='unrolled', what=reason) if reason else finding))
    return None if rolled is symbol or reason else found


def _types(symbol: mx.sym.Symbol, types: Types) -> dict[str, _check.DType]:
    """The types of all arguments, as `simple_bind` infers them from the given ones."""
    names = symbol.list_arguments()
    try:
        found: list[_check.DType | None] = [*symbol.infer_type_partial(**types)[0]]
    except mx.base.MXNetError:  # an operator needs to know more
        found = [types.get(name) for name in names]
    return {name: np.float32 if each is None else each for name, each in zip(names, found)}


def _reject_reason(symbol: mx.sym.Symbol, found: _FusedBind) -> str | None:
    """Why `found` cannot replace `symbol`, or None."""
    rolled = found.symbol
    if any(sorted(names_of(symbol)) != sorted(names_of(rolled)) for names_of in (
            mx.sym.Symbol.list_arguments, mx.sym.Symbol.list_auxiliary_states)):
        return 'the fused graph would have other arguments'
    before, after = ([node.name for node in graph_of(each).nodes if is_random(node)]
                     for each in (symbol, rolled))
    # One Dropout over all steps has the name of the first step's.
    kept = {*before} & {*after}
    if [name for name in before if name in kept] != [name for name in after if name in kept]:
        return 'the fused graph would draw random numbers in another order'
    try:
        shapes = rolled.infer_shape(**found.shapes)[1]
    except mx.base.MXNetError:
        shapes = None
    return None if shapes else 'MXNet infers less of sequences than of their steps'


#: What became of recurrences, and how often.
_noted: dict[str, int] = {}


def _note(text: str) -> None:
    """Report at the end, if requested, what became of a recurrence."""
    if finder.reports and not _noted:
        atexit.register(_report)
    _noted[text] = _noted.get(text, 0) + 1


def _report() -> None:
    lines = ['%s %d time%s' % (text, count, 's' * (count > 1)) for text, count in _noted.items()]
    print('\n'.join(['mxrnn, run with --fuse:', *lines]), file=sys.stderr)


def _by_name(names: Sequence[str], values: Given) -> Given | dict[str, Any]:
    """Values in the order of `names` as a dict; anything but a list unchanged."""
    return dict(zip(names, values)) if isinstance(values, (list, tuple)) else values


_simple_bind: Callable[..., mx.executor.Executor] = mx.sym.Symbol.simple_bind
_bind: Callable[..., mx.executor.Executor] = mx.sym.Symbol.bind


def _fit(names: Sequence[str], *values: object) -> bool:
    """Whether lists, such as of arrays, have an item for each of `names`; others are by name."""
    return all(len(each) == len(names) for each in values if isinstance(each, (list, tuple)))


def simple_bind(self: mx.sym.Symbol, ctx: mx.Context, grad_req: Requests = 'write',
                type_dict: Types | None = None, stype_dict: Mapping[str, str] | None = None,
                group2ctx: Contexts = None, shared_arg_names: Sequence[str] | None = None,
                shared_exec: mx.executor.Executor | None = None,
                shared_buffer: dict[str, mx.nd.NDArray] | None = None,
                **kwargs: tuple[int, ...]) -> mx.executor.Executor:
    """`Symbol.simple_bind`."""
    options = dict(stype_dict=stype_dict, group2ctx=group2ctx, shared_arg_names=shared_arg_names,
                   shared_exec=shared_exec, shared_buffer=shared_buffer)
    found = None
    if (finder.fuses and not stype_dict and not group2ctx
            and _fit(self.list_arguments(), grad_req)):
        found = _found(self, kwargs, type_dict or {})
    if found is None:
        return _simple_bind(self, ctx, grad_req, type_dict, **options, **kwargs)
    executor = _simple_bind(found.symbol, ctx, _by_name(self.list_arguments(), grad_req),
                            found.types, **options, **found.shapes)
    return _with_arrays_of(self, found.symbol, executor)


def bind(self: mx.sym.Symbol, ctx: mx.Context, args: Arrays, args_grad: Arrays = None,
         grad_req: Requests = 'write', aux_states: Arrays = None, group2ctx: Contexts = None,
         shared_exec: mx.executor.Executor | None = None) -> mx.executor.Executor:
    """`Symbol.bind`."""
    names, auxiliary, found = self.list_arguments(), self.list_auxiliary_states(), None
    given: Any = _by_name(names, args)
    fits = (_fit(names, args, args_grad, grad_req) and _fit(auxiliary, aux_states)
            and isinstance(given, dict)
            and all(getattr(given.get(name), 'stype', '') == 'default' for name in names))
    if finder.fuses and fits and not group2ctx:
        found = _found(self, {name: given[name].shape for name in names},
                       {name: given[name].dtype for name in names})
    if found is None:
        return _bind(self, ctx, args, args_grad, grad_req, aux_states, group2ctx, shared_exec)
    gradients = args_grad
    if isinstance(args_grad, (list, tuple)):  # a list may contain None, a dict omits it
        gradients = {name: each for name, each in zip(names, args_grad) if each is not None}
    executor = _bind(found.symbol, ctx, given, gradients,
                     _by_name(names, grad_req), _by_name(auxiliary, aux_states), None,
                     shared_exec)
    return _with_arrays_of(self, found.symbol, executor)


mx.sym.Symbol.simple_bind = simple_bind  # type: ignore[method-assign, assignment]
mx.sym.Symbol.bind = bind  # type: ignore[method-assign, assignment]
