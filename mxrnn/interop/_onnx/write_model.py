"""Writes a Builder's nodes as the bytes of an ONNX file: the needed ones, in order, with arrays."""
from __future__ import annotations

from typing import Dict, Sequence, Set, Tuple

import onnx
from onnx import helper, numpy_helper

from ..._graph.shapes.sizes import Axis, Size, parts, resolve
from ..._graph.shapes.unification import SizeError
from ..registry import ExportError
from .builder import IR_VERSION, OPSET, Builder, Record, Scope, Value, element_type

__all__ = ['write_model']

#: The largest protobuf message, in bytes.
_LARGEST = 2**31 - 1

#: By the name of a loop's node: its body, and the arrays that the body reads from outside.
_Bodies = Dict[str, Tuple[onnx.GraphProto, Set[str]]]


def write_model(builder: Builder) -> bytes:
    """The file for the nodes in `builder`, checked by onnx.

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
    try:
        onnx.checker.check_model(model, full_check=True)
    except Exception as error:  # onnx's error classes differ by version
        raise ExportError("the file does not pass ONNX's checks: %s" % error) from None
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


def _nodes(builder: Builder, scope: Scope, used: set[str]
           ) -> list[onnx.NodeProto]:
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
