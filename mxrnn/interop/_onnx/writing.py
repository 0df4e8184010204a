"""From what a `Builder` has collected to the bytes of a file."""
from __future__ import annotations

from typing import Any, Sequence

import onnx
from onnx import helper, numpy_helper

from ..._graph.sizes import Axis, SizeError, resolve
from .builder import IR_VERSION, OPSET, Builder, Record, Scope, Value, element_type
from .table import ExportError

__all__ = ['write_model']

#: What a message of protobuf may have in bytes.
_LARGEST = 2**31 - 1


def write_model(builder: Builder) -> bytes:
    """The file for the nodes in `builder`, checked.

    Raises
    ------
    SizeError
        A size that is needed is told by nothing in the graph.
    ValueError
        The parameters have more than 2 GiB.
    """
    used: set[str] = set()
    nodes = _nodes(builder, builder.scope, used)
    constants = {name: array for name, array in builder.constants.items() if name in used}
    size = sum(array.nbytes for array in constants.values())
    if size > _LARGEST:
        raise ValueError('an ONNX file can have 2 GiB, the parameters have %d bytes' % size)
    graph = helper.make_graph(
        nodes, 'mxrnn', _infos(builder.scope.inputs), _infos(builder.scope.outputs),
        [numpy_helper.from_array(array, name) for name, array in constants.items()])
    model = helper.make_model(graph, producer_name='mxrnn', ir_version=IR_VERSION,
                              opset_imports=[helper.make_opsetid('', OPSET)])
    try:
        onnx.checker.check_model(model, full_check=True)
    except Exception as error:  # onnx has classes of its own, by version
        raise ExportError("the file does not pass ONNX's checks: %s" % error) from None
    return bytes(model.SerializeToString())


def _infos(values: Sequence[Value]) -> list[Any]:
    infos = []
    for value in values:
        shape = []
        for size in map(resolve, value.shape):
            shape.append(size if isinstance(size, int) else
                         size.label or None if isinstance(size, Axis) else None)
        infos.append(helper.make_tensor_value_info(value.name, element_type(value.dtype), shape))
    return infos


def _nodes(builder: Builder, scope: Scope, used: set[str]) -> list[Any]:
    """The nodes that the scope's outputs need, each after those that it reads.

    Names of arrays that they read go to `used`.
    """
    builder.finish(scope)
    makers = {name: record for record in scope.records for name in record.outputs}
    bodies: dict[str, tuple[Any, set[str]]] = {}
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
        reads = set(record.inputs) | (bodies[record.name][1] if record.body else set())
        before = [makers[name] for name in reads if name in makers
                  and makers[name].name not in done]
        if not before:
            pending.pop()
            open_.discard(record.name)
            done.add(record.name)
            ordered.append(record)
            used |= reads
        elif record.name in open_:
            raise SizeError('a size that depends on itself')
        else:
            open_.add(record.name)
            pending.extend(before)
    return [_node(record, bodies) for record in ordered]


def _body(builder: Builder, scope: Scope) -> tuple[Any, set[str]]:
    """The graph of a loop's body, and the names of arrays that it reads from outside."""
    reads: set[str] = set()
    nodes = _nodes(builder, scope, reads)
    made = {name for node in nodes for name in node.output}
    made.update(value.name for value in scope.inputs)
    graph = helper.make_graph(nodes, 'body', _infos(scope.inputs), _infos(scope.outputs))
    return graph, reads - made


def _node(record: Record, bodies: dict[str, tuple[Any, set[str]]]) -> Any:
    attributes = dict(record.attributes)
    if record.body is not None:
        attributes['body'] = bodies[record.name][0]
    return helper.make_node(record.op, record.inputs, record.outputs, record.name, **attributes)
