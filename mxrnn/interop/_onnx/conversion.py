"""Converts a plan to the content of its files: variables, nodes in order, outputs, metadata."""
from __future__ import annotations

import contextlib
import json
from dataclasses import replace
from typing import Dict, Mapping, Sequence, Set, Tuple

import numpy as np
import onnx
from onnx import helper, numpy_helper

from ... import _check
from ..._files.params import BFLOAT16, TYPES
from ..._graph.graph import Graph, Node
from ..._graph.shapes.axis_factors import Axes
from ..._graph.shapes.infer import Fault, axes_of
from ..._graph.shapes.missing_shapes import Place
from ..._graph.shapes.rule_api import UnknownAxes
from ..._graph.shapes.sizes import Axis, Size, Source, axes_in, parts, product, resolve
from ..._graph.shapes.unification import SizeError, unify
from ..._graph.stepping import Stepped
from ..prepare import Prepared
from ..prepare.input_shapes import other_types
from ..prepare.steps import KEY
from ..registry import ONNX, ExportError, Unsupported
from . import arrays, elementwise, layers, samplers, sequences  # noqa: F401  (fill it)
from .builder import IR_VERSION, OPSET, Builder, Record, Scope, Value, element_type

__all__ = ['Conversion', 'contents']


#: The largest protobuf message, in bytes.
_LARGEST = 2**31 - 1

#: By the name of a loop's node: its body, and the arrays that the body reads from outside.
_Bodies = Dict[str, Tuple[onnx.GraphProto, Set[str]]]


def contents(plan: Prepared, encoder_name: str = '') -> tuple[bytes, bytes | None]:
    """The content of a plan's file, and that of the file of its encoder, if it has one."""
    if plan.steps is None:
        return Conversion(plan.graph, plan.model.params, plan.shapes, plan.types, plan.guarded,
                          plan.ranges).write(plan.graph.outputs), None
    steps, types, encoder = plan.steps, plan.types, None

    def conversion(graph: Graph) -> Conversion:
        return Conversion(graph, plan.model.params, {
            name: steps.shapes[name] for name in graph.needed_variables() if name in steps.shapes
            }, types)
    if steps.encoder is not None:
        first = conversion(steps.encoder)
        encoder = first.write(steps.captured)
        types = {**types, **first.types}
    return conversion(steps.graph).write(
        steps.outputs, steps, encoder_name if encoder else ''), encoder


class _CheckError(ExportError):
    """ONNX's own checks refuse a file."""


class Conversion:
    """One export."""

    def __init__(self, graph: Graph, params: Mapping[str, np.ndarray],
                 inputs: Mapping[str, Sequence[int | str]], types: Mapping[str, str],
                 guarded: Mapping[str, Sequence[int]] = {}, ranges: Mapping[Place, range] = {}
                 ) -> None:
        self._graph, self._params, self._inputs, self._types = graph, params, inputs, types
        self._builder = Builder(self._convert)
        self._faults: list[str] = []
        self._axes: dict[str, Axis] = {}
        self._float = np.dtype('float32')
        #: Types of the outputs, by name, once they are written.
        self.types: dict[str, str] = {}
        #: By input, axes that must be as long as others, and axes with some sizes only.
        self._guarded, self._ranges = guarded, ranges

    def write(self, names: Sequence[str], stepped: Stepped | None = None, encoder: str = ''
              ) -> bytes:
        """The content of the file, whose outputs are called `names`, as far as these are unused. A
        file of a step has the table of its states in its metadata.

        Raises
        ------
        ExportError
            ONNX cannot express some nodes, or shapes do not fit; all are named.
        """
        graph, builder = self._graph, self._builder
        needed = graph.needed()
        variables = {i: node for i, node in enumerate(graph.nodes)
                     if i in needed and node.is_variable}
        for node in variables.values():
            if node.name in self._inputs:
                builder.name(node.name)
        floats = {np.dtype(self._params[node.name].dtype) for node in variables.values()
                  if node.name not in self._inputs} & {np.dtype('f%d' % size) for size in (2, 4, 8)}
        if len(floats) == 1:
            self._float = floats.pop()
        given = [builder.name(name + '_output' if head.node in variables else name)
                 for name, head in zip(names, graph.heads)]
        results = self._convert(graph, {i: self._variable(node) for i, node in variables.items()})
        if self._faults:
            raise ExportError('\n'.join(self._faults))
        for name, value in zip(given, results):
            if value is not None:  # none is missing, since there are no faults
                builder.give(builder.scope, value, name)
                self.types[name] = value.dtype.name
        try:
            return write_model(builder, {} if stepped is None else {
                KEY: json.dumps(table_of_states(builder.scope, stepped, encoder))})
        except SizeError as error:
            raise ExportError('%s cannot be computed: %s' % (builder.current, error)) from None
        except _CheckError as error:
            error.args = ('\n'.join(filter(None, [str(error), other_types(
                self._types, self._float.name)])),)
            raise

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
            source = Source(node.name, i, builder.scope)
            shape.append(size if isinstance(size, int) else self._axes.setdefault(
                size, Axis(source, size)))
        value = Value(builder, node.name, tuple(shape), dtype)
        builder.scope.inputs.append(value)
        for axis in self._guarded.get(node.name, ()):
            builder.current = '%s_axis_%d_as_others' % (node.name, axis)
            value = self._guard(value, axis, builder.vector([value.shape[axis]]))
        for (name, axis), sizes in self._ranges.items():
            if name == node.name:
                builder.current = '%s_axis_%d_in_range' % (node.name, axis)
                own = builder.node('Shape', [value], (1,), 'int64', start=axis, end=axis + 1)
                value = self._guard(value, axis, own.of(
                    'Max', builder.constant([sizes[0]], 'int64')).of(
                        'Min', builder.constant([sizes[-1]], 'int64')))
        return value

    def _guard(self, value: Value, axis: int, right: Value) -> Value:
        """`value`, guarded by a look-up that fails unless its axis has the `right` size.

        The look-up returns the shape for a Reshape that copies all sizes. If the shape stated a
        size, onnxruntime would remove the look-up.
        """
        builder = self._builder
        own = builder.node('Shape', [value], (1,), 'int64', start=axis, end=axis + 1)
        apart = (own - right).of('Abs')
        zeros = builder.constant([[0] * value.rank], 'int64')
        shape = builder.node('Gather', [zeros, builder.reshape(apart, ())], (value.rank,))
        return builder.node('Reshape', [value, shape], value.shape)

    def _stated(self, node: Node) -> np.dtype:
        """The type that the graph states for a variable; otherwise the parameters' type."""
        stated = TYPES.get(node.get('__dtype__'), self._float)
        return self._float if stated == BFLOAT16 else stated

    def _convert(self, graph: Graph, values: Mapping[int, Value]) -> list[Value | None]:
        """A graph's outputs, given its variables; None for outputs that ONNX cannot express."""
        needed = graph.needed()
        results = {(i, 0): value for i, value in values.items()}
        for i, node in enumerate(graph.nodes):
            if i in needed and not node.is_variable:
                entries = node.needed_inputs
                inputs = [results[entry] for entry in entries if entry in results]
                if len(inputs) == len(entries):  # otherwise an input is already among the faults
                    for output, value in enumerate(self._node(node, inputs)):
                        results[i, output] = value
        missing = [graph.outputs[at] for at, head in enumerate(graph.heads) if head not in results]
        if missing and not self._faults:
            self._faults.append('%s: outputs that ONNX does not have' % _check.some(missing))
        return [results.get(head) for head in graph.heads]

    def _node(self, node: Node, inputs: Sequence[Value]) -> list[Value]:
        """A node's outputs; none, with a fault noted, if ONNX cannot express it."""
        builder, scope = self._builder, self._builder.scope
        builder.current = node.name or node.op
        try:
            axes: list[Axes] = []
            with contextlib.suppress(UnknownAxes, IndexError):
                axes = axes_of(node, [[(size,) for size in value.shape] for value in inputs])
            before = {axis for value in inputs for size in value.shape for axis in axes_in(size)}
            builder.made = [tuple([None if any(
                each.unknown and each not in before for each in axes_in(product(axis)))
                else product(axis) for axis in each]) for each in axes]
            outputs = ONNX[node.op](builder, node, *inputs)
            values = [outputs] if isinstance(outputs, Value) else list(outputs)
            return [_as_inferred(*pair) for pair in zip(values, axes)] + values[len(axes):]
        except (Unsupported, SizeError, ExportError) as error:
            text = ('ONNX does not have %s' if isinstance(error, Unsupported) else '%s') % error
            self._faults.append(str(Fault(node, str(error))) if isinstance(error, SizeError) else
                                'node %s: %s' % (node.title, text))
        finally:
            builder.scope = scope
        return []


def _as_inferred(value: Value, axes: Axes) -> Value:
    """A value with its inferred shape, as far as the file can read the sizes."""
    if len(axes) != value.rank:
        return value
    return replace(value, shape=tuple([
        size if all(each.source for each in axes_in(size)) else unify(own, size)
        for own, size in zip(value.shape, map(product, axes))]))


# ---- files

def table_of_states(scope: Scope, stepped: Stepped, encoder: str) -> dict[str, object]:
    """What `load_stepper` reads of the file of a step: states, axes, and the encoder's name."""
    inputs = {value.name: value for value in scope.inputs}

    def state(at: int) -> dict[str, object]:
        each = stepped.states[at]
        sizes = [size if isinstance(size, int) else None
                 for size in map(resolve, inputs[each.given].shape)]
        return {'in': each.given, 'out': each.after,
                'shape': sizes[:each.batch_axis] + sizes[each.batch_axis + 1:],
                'dtype': inputs[each.given].dtype.name,
                'batch_axis': each.batch_axis, 'begin': each.begin or 'zeros'}
    # An output that occurs twice, or is an input, has another name in the file.
    own = {**dict(zip(inputs, inputs)),
           **dict(zip([value.name for value in scope.outputs], stepped.outputs))}
    return {'states': [state(at) for at in range(len(stepped.states))],
            'axes': {name: stepped.axes[known] for name, known in own.items()
                     if known in stepped.axes},
            'captured': [name for name in stepped.captured if name in inputs
                         and name not in [each.given for each in stepped.states]],
            'encoder': encoder or None}


def write_model(builder: Builder, properties: dict[str, str]) -> bytes:
    """The file for the nodes in `builder`, checked by onnx; `properties` are its metadata.

    Raises
    ------
    SizeError
        The graph does not tell a needed size.
    ValueError
        The parameters are larger than 2 GiB.
    """
    used: set[str] = set()
    nodes = _nodes(builder, builder.scope, used)
    constants = {name: array for name, array in builder.constants.items() if name in used}
    size = sum(array.nbytes for array in constants.values())
    if size > _LARGEST:
        raise ValueError('an ONNX file can have 2 GiB, but the parameters have %d bytes' % size)
    graph = helper.make_graph(
        nodes, 'mxrnn', _infos(builder.scope.inputs), _infos(builder.scope.outputs),
        [numpy_helper.from_array(array, name) for name, array in constants.items()])
    model = helper.make_model(graph, producer_name='mxrnn', ir_version=IR_VERSION,
                              opset_imports=[helper.make_opsetid('', OPSET)])
    helper.set_model_props(model, properties)
    try:
        onnx.checker.check_model(model, full_check=True)
    except Exception as error:  # onnx's error classes differ by version
        raise _CheckError("the file does not pass ONNX's checks: %s" % error) from None
    return bytes(model.SerializeToString())


def _infos(values: Sequence[Value]) -> list[onnx.ValueInfoProto]:
    return [helper.make_tensor_value_info(value.name, element_type(value.dtype), [
        size if isinstance(size, int) else _name_of(size) for size in map(resolve, value.shape)])
        for value in values]


def _name_of(size: Size) -> str | None:
    """The file's name for an open size, such as 'batch*time' for rows of steps of a batch."""
    factor, axes = parts(size)
    names = [axis.label if isinstance(axis, Axis) else '' for axis in axes]
    return '*'.join([str(factor)] * (factor != 1) + names) if all(names) else None


def _nodes(builder: Builder, scope: Scope, used: set[str]) -> list[onnx.NodeProto]:
    """The nodes that the scope's outputs need, each behind the nodes that it reads.

    Names of arrays that the nodes read are added to `used`.
    """
    builder.finish(scope)
    makers = {name: record for record in scope.records for name in record.outputs}
    bodies: _Bodies = {}
    done: set[str] = set()
    open_: set[str] = set()
    ordered: list[Record] = []
    pending = [makers[value.name] for value in scope.outputs]
    while pending:
        record = pending[-1]
        if record.name in done:
            pending.pop()
            continue
        if record.body is not None and record.name not in bodies:
            bodies[record.name] = _body(builder, record.body)
        # Sorted, so that a model always gives the same file.
        reads = dict.fromkeys([*record.inputs, *(
            sorted(bodies[record.name][1]) if record.body else ())])
        before = [makers[name] for name in reads if name in makers
                  and makers[name].name not in done]
        if not before:
            pending.pop()
            open_.discard(record.name)
            done.add(record.name)
            ordered.append(record)
            used.update(reads)
        elif record.name in open_:
            raise SizeError('a size that depends on itself')
        else:
            open_.add(record.name)
            pending.extend(before)
    return [_node(record, bodies) for record in ordered]


def _body(builder: Builder, scope: Scope) -> tuple[onnx.GraphProto, set[str]]:
    """The graph of a loop's body, and the names of the arrays that it reads from outside."""
    reads: set[str] = set()
    nodes = _nodes(builder, scope, reads)
    made = {name for record in nodes for name in record.output}
    made.update(value.name for value in scope.inputs)
    graph = helper.make_graph(nodes, 'body', _infos(scope.inputs), _infos(scope.outputs))
    return graph, reads - made


def _node(record: Record, bodies: _Bodies) -> onnx.NodeProto:
    attributes = dict(record.attributes)
    if record.body is not None:
        attributes['body'] = bodies[record.name][0]
    return helper.make_node(record.op, record.inputs, record.outputs, record.name, **attributes)
