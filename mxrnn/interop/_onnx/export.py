"""The conversion of a graph: its variables, its nodes in order, its outputs."""
from __future__ import annotations

from typing import Any, Iterator, Mapping, Sequence

import numpy as np

from ... import _check
from ..._graph.graph import Graph, Node
from ..._graph.sizes import Axis, Size, SizeError, Source
from . import creation, elementwise, layers, losses  # noqa: F401  (they fill the table)
from .builder import Builder, Record, Value
from .recurrent import foreach
from .sizes import ExportError, Unsupported
from .table import CONVERTERS, Attributes
from .writing import write_model

__all__ = ['exportable', 'unknown_operators']

#: MXNet's numbers for types, as variables have them in `__dtype__`.
_TYPES = ('float32', 'float64', 'float16', 'uint8', 'int32', 'int8', 'int64', 'bool')


def exportable(model: Any, inputs: Mapping[str, Sequence[Any]],
               types: Mapping[str, Any] | None = None) -> bytes:
    """What `to_onnx` writes, as bytes."""
    graph = model.graph
    params = {**model.arg_params, **model.aux_params}
    _check_inputs(graph, inputs, types or {})
    unknown = unknown_operators(graph)
    if unknown:
        raise ExportError('ONNX has no counterpart of %s' % '; '.join(
            '%s (%d times: %s)' % (op, len(nodes), _some(nodes)) for op, nodes in unknown.items()))
    names = [node.name for node in graph.nodes if node.is_variable]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ExportError('variables must have names of their own, but there are several called %s'
                          % ', '.join(twice))
    needed = graph.reached(_inputs)
    missing = [node.name for i, node in enumerate(graph.nodes) if i in needed
               and node.is_variable and node.name not in params and node.name not in inputs]
    if missing:
        raise ExportError('inputs must give a shape for each of %s, which are not among the '
                          'parameters' % ', '.join(missing))
    return _Conversion(graph, params, inputs, types or {}).run(needed)


def _check_inputs(graph: Graph, inputs: Any, types: Any) -> None:
    known = set(graph.arguments + graph.auxiliary)
    for name, mapping in (('inputs', inputs), ('types', types)):
        _check.instance(name, mapping, Mapping, 'a dict by names of inputs')
        for key in mapping:
            if key not in known:
                raise ValueError('%s must be of arguments of the model, such as %s; got %r'
                                 % (name, _some(graph.arguments), key))
    for key, shape in inputs.items():
        _check.instance('inputs[%r]' % key, shape, (tuple, list), 'a tuple of names and integers')
        for size in shape:
            if not isinstance(size, str) or not size:
                _check.integer('each axis of inputs[%r] that is no name' % key, size, 1)
    for key, dtype in types.items():
        _check.dtype('types[%r]' % key, dtype)


def _some(names: Sequence[str]) -> str:
    return ', '.join(names[:3]) + (', …' if len(names) > 3 else '')


def unknown_operators(graph: Graph) -> dict[str, list[str]]:
    """The names of nodes that have no converter, by operator."""
    unknown: dict[str, list[str]] = {}
    needed = graph.reached(_inputs)
    for i, node in enumerate(graph.nodes):
        if i in needed and not node.is_variable:
            if node.op == '_foreach' and len(node.subgraphs) == 1:
                for op, names in unknown_operators(node.subgraphs[0]).items():
                    unknown.setdefault(op, []).extend(names)
            elif node.op not in CONVERTERS:
                unknown.setdefault(node.op, []).append(node.name)
    return unknown


def _inputs(node: Node) -> Sequence[Any]:
    """What is converted of a node's inputs: no labels."""
    entry = CONVERTERS.get(node.op)
    return node.inputs if entry is None else node.inputs[:entry.uses]


class _Conversion:
    """One export."""

    def __init__(self, graph: Graph, params: Mapping[str, Any],
                 inputs: Mapping[str, Sequence[Any]], types: Mapping[str, Any]) -> None:
        self._graph, self._params, self._inputs = graph, params, inputs
        self._types = types
        self._builder = Builder()
        self._faults: list[str] = []
        self._axes: dict[str, Axis] = {}
        self._float = np.dtype('float32')

    def run(self, needed: set[int]) -> bytes:
        """The content of the file."""
        builder, graph = self._builder, self._graph
        variables = {i: node for i, node in enumerate(graph.nodes)
                     if i in needed and node.is_variable}
        for node in variables.values():
            if node.name in self._inputs:
                builder.name(node.name)
        floats = {np.dtype(self._params[node.name].dtype) for node in variables.values()
                  if node.name not in self._inputs} & {np.dtype('f%d' % size) for size in (2, 4, 8)}
        if len(floats) == 1:
            self._float = floats.pop()
        names = [builder.name(name + '_output' if head.node in variables else name)
                 for name, head in zip(graph.outputs, graph.heads)]
        values = {i: self._variable(node) for i, node in variables.items()}
        try:
            results = self._convert(graph, values)
            if self._faults or None in results:
                raise ExportError('\n'.join(self._faults))
            for name, value in zip(names, results):
                builder.scope.records.append(Record('Identity', name, [value.name], [name], {}))
                builder.scope.outputs.append(value._replace(name=name))
            return write_model(builder)
        except SizeError as error:
            raise ExportError('%s cannot be worked out: %s' % (builder.current, error)) from None

    def _variable(self, node: Node) -> Value:
        """An input of the file, or a parameter."""
        builder = self._builder
        if node.name not in self._inputs:
            return builder.constant(np.asarray(self._params[node.name]), name=node.name)
        if node.name in self._types:
            dtype = np.dtype(self._types[node.name])
        elif node.name in self._params:
            dtype = np.dtype(self._params[node.name].dtype)
        else:
            dtype = self._stated(node)
        shape: list[Size] = []
        for i, size in enumerate(self._inputs[node.name]):
            if isinstance(size, str):
                source = Source(node.name, i, builder.scope)
                size = self._axes.setdefault(size, Axis(source, size))
            shape.append(size if isinstance(size, Axis) else int(size))
        value = Value(node.name, tuple(shape), dtype)
        builder.scope.inputs.append(value)
        return value

    def _stated(self, node: Node) -> np.dtype:
        """The type of a variable that the graph states; else that of the parameters."""
        stated = node.get('__dtype__')
        if isinstance(stated, int) and 0 <= stated < len(_TYPES):
            return np.dtype(_TYPES[stated])
        return self._float

    def _convert(self, graph: Graph, values: Mapping[int, Value]) -> list[Any]:
        """The outputs of a graph, given its variables; None for what has no counterpart."""
        needed, results = graph.reached(_inputs), {}
        results.update({(i, 0): value for i, value in values.items()})
        for i, node in enumerate(graph.nodes):
            if i in needed and not node.is_variable:
                inputs = [results.get(entry) for entry in _inputs(node)]
                if None not in inputs:  # else what it reads is among the faults already
                    for output, value in enumerate(self._node(node, inputs)):
                        results[i, output] = value
        missing = [graph.outputs[at] for at, head in enumerate(graph.heads) if head not in results]
        if missing and not self._faults:
            self._faults.append('%s: outputs that ONNX does not have' % _some(missing))
        return [results.get(head) for head in graph.heads]

    def _node(self, node: Node, inputs: Sequence[Any]) -> Iterator[Value]:
        builder = self._builder
        builder.current = node.name or node.op
        attributes = Attributes(node.attrs)
        fault = ''
        try:
            if node.op == '_foreach':
                outputs = foreach(builder, attributes, inputs, node.subgraphs[0], self._convert)
            else:
                outputs = CONVERTERS[node.op].convert(builder, attributes, inputs)
            yield from [outputs] if isinstance(outputs, Value) else outputs
        except Unsupported as error:
            fault = 'ONNX has no counterpart of %s' % error
        except SizeError as error:
            fault = ('these sizes have to be equal: %s (a graph that was unrolled has its length '
                     'in it: give that number, or unroll through `fuse` with length=None)' % error)
        except (ValueError, TypeError, IndexError, KeyError, OverflowError, ZeroDivisionError,
                RuntimeError, NotImplementedError) as error:
            fault = 'its inputs of shapes %s do not fit it: %s' % (
                [tuple(value.shape) for value in inputs], error)
        if fault:
            self._faults.append('node %s (%s): %s' % (node.name, node.op, fault))
