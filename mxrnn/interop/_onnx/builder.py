"""Tools for converters: ONNX nodes, constants, folding, and sizes that are read at run time."""
from __future__ import annotations

import math
import operator
from dataclasses import dataclass, replace
from functools import reduce
from typing import TYPE_CHECKING, Callable, List, Mapping, NamedTuple, Optional, Sequence

import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator

from ..._check import DType
from ..._graph.graph import Graph
from ..._graph.shapes.rule_api import broadcast
from ..._graph.shapes.sizes import Axis, Size, Source, Sum, resolve, same
from ..._graph.shapes.unification import SizeError
from ..registry import Unsupported

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ['IR_VERSION', 'OPSET', 'Builder', 'Record', 'Scope', 'Value', 'element_type']

#: The opset of the files, and the matching version of ONNX's file format.
OPSET, IR_VERSION = 17, 8

#: Operators that are not computed at export: they give something else each time, or ONNX's
#: reference implementation has not all of them in each version.
_WRITTEN = 'RandomNormalLike RandomUniformLike Multinomial Loop Scan LSTM GRU RNN'.split()


def element_type(dtype: DType) -> int:
    """ONNX's number for a NumPy type."""
    return int(onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))


#: Operators that only move elements: of their first input, or of all inputs for Concat.
_MOVES = ('Concat', 'Expand', 'Reshape', 'Slice', 'Squeeze', 'Transpose', 'Unsqueeze')


def _pair(op: str, dtype: DType | None = None) -> Callable[[Value, Value | float], Value]:
    """The method of `Value` that writes an operator of two arrays."""
    return lambda first, second: first.of(op, second, dtype=dtype)


@dataclass(frozen=True, eq=False)
class Value:
    """An array of the ONNX graph: its name, its shape as far as it is known, its type.

    Python's operators write ONNX's for each element: of two arrays, or of an array and a number.
    """

    builder: Builder
    name: str
    shape: tuple[Size, ...]
    dtype: np.dtype

    def of(self, op: str, *others: Value | float, dtype: DType | None = None, **attributes: object
           ) -> Value:
        """See `Builder.apply`."""
        return self.builder.apply(op, self, *others, dtype=dtype, **attributes)

    __add__, __sub__ = _pair('Add'), _pair('Sub')
    __mul__, __truediv__ = _pair('Mul'), _pair('Div')
    __lt__, __le__ = _pair('Less', bool), _pair('LessOrEqual', bool)
    __gt__, __ge__ = _pair('Greater', bool), _pair('GreaterOrEqual', bool)
    __and__, __or__, __xor__ = _pair('And'), _pair('Or'), _pair('Xor')
    #: Where two arrays are equal; ``==`` asks whether they are the same array.
    equals = _pair('Equal', bool)

    def __bool__(self) -> bool:
        raise TypeError('%s is an array of the ONNX file, so only a run tells whether it is true: '
                        'choose between arrays with builder.where, or ask for its shape or dtype'
                        % self.name)

    def __neg__(self) -> Value:
        return self.of('Neg')

    def __invert__(self) -> Value:
        return self.of('Not')

    @property
    def rank(self) -> int:
        """The number of axes."""
        return len(self.shape)


class Record(NamedTuple):
    """A node to be written."""

    op: str
    name: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, object]
    body: Scope | None = None


class Scope:
    """A graph under construction: the file's own, or the body of a loop."""

    def __init__(self, outer: Scope | None = None) -> None:
        self.outer = outer
        self.records: list[Record] = []
        self.inputs: list[Value] = []
        self.outputs: list[Value] = []
        #: Vectors to fill in once all sizes are known: (name of the vector, sizes).
        self.vectors: list[tuple[str, tuple[Size, ...]]] = []

    def sees(self, other: object) -> bool:
        """Whether arrays of `other` can be read here."""
        return other is self or self.outer is not None and self.outer.sees(other)


#: Converts a graph, given its variables' values by place, to its outputs; None for outputs that
#: ONNX cannot express.
Convert = Callable[[Graph, Mapping[int, Value]], List[Optional[Value]]]


class Builder:
    """Collects the nodes of a file.

    A node whose inputs are all constants is computed at once by ONNX's own reference
    implementation, so that the file contains only its result.
    """

    def __init__(self, convert: Convert) -> None:
        #: Converts the body of a loop.
        self.convert = convert
        self.scope = Scope()
        self.constants: dict[str, np.ndarray] = {}
        #: Conditions, by the name of the array of 0 and 1 into which each was converted.
        self.conditions: dict[str, str] = {}
        #: Arrays that contain only zeros.
        self.zeros: set[str] = set()
        #: The name of the node being converted; other names derive from it.
        self.current = 'node'
        #: The inferred shapes of its outputs; None for sizes that are not known yet.
        self.made: list[tuple[Size | None, ...]] = []
        #: For each name in use, the last number that was appended to it.
        self._names: dict[str, int] = {}
        self._shared: dict[tuple[object, ...], str] = {}

    def give(self, scope: Scope, value: Value, name: str) -> None:
        """Make `value` an output of a graph, of a node of its own in it."""
        scope.records.append(Record('Identity', name, [value.name], [name], {}))
        scope.outputs.append(replace(value, name=name))

    def name(self, wanted: str) -> str:
        """An unused name; `wanted` if possible."""
        name = wanted
        while name in self._names:
            self._names[wanted] += 1
            name = '%s_%d' % (wanted, self._names[wanted])
        self._names[name] = 0
        return name

    def constant(self, array: ArrayLike, dtype: DType | None = None, name: str = '') -> Value:
        """An array that is known at export. Small arrays without a name are shared."""
        try:
            array = np.asarray(array, dtype=dtype)
        except OverflowError:
            raise Unsupported('numbers that do not fit the type %s' % dtype) from None
        shape = tuple(array.shape)
        key = (array.dtype.str, shape, array.tobytes()) if not name and array.size <= 64 else ()
        if key and key in self._shared:
            return Value(self, self._shared[key], shape, array.dtype)
        name = self.name(name or self.current + '_constant')
        self.constants[name] = array
        if key:
            self._shared[key] = name
        return Value(self, name, shape, array.dtype)

    @property
    def out(self) -> tuple[Size | None, ...]:
        """The inferred shape of the first output of the node being converted."""
        if not self.made:
            raise Unsupported('an array whose shape does not follow from its inputs')
        return self.made[0]

    def node(self, op: str, inputs: Sequence[Value | None], shape: Sequence[Size | None],
             dtype: DType | None = None, **attributes: object) -> Value:
        """A node with one output. A size of None in `shape` is read when the file runs."""
        return self.nodes(op, inputs, [shape], dtype, **attributes)[0]

    def apply(self, op: str, data: Value, *others: Value | float, dtype: DType | None = None,
              **attributes: object) -> Value:
        """An element-by-element operator; numbers get the type of `data`."""
        inputs = [data, *(each if isinstance(each, Value) else self.scalar(each, data)
                          for each in others)]
        shape = broadcast(*(value.shape for value in inputs))
        return self.node(op, inputs, shape, dtype, **attributes)

    def nodes(self, op: str, inputs: Sequence[Value | None],
              shapes: Sequence[Sequence[Size | None]],
              dtype: DType | list[DType] | None = None, body: Scope | None = None, /,
              **attributes: object) -> list[Value]:
        """A node with several outputs, of its first input's type if `dtype` is None."""
        if dtype is None:
            dtype = next(value.dtype for value in inputs if value is not None)
        names = [self.name(self.current if len(shapes) == 1 else '%s_%d' % (self.current, i))
                 for i in range(len(shapes))]
        inside = ['' if value is None else value.name for value in inputs]
        while inside and not inside[-1]:
            inside.pop()
        record = Record(op, names[0], inside, names, attributes, body)
        if op not in _WRITTEN and all(not name or name in self.constants for name in inside):
            return self._fold(record)
        self.scope.records.append(record)
        if op in _MOVES and self.zeros.issuperset(inside if op == 'Concat' else inside[:1]):
            self.zeros.update(names)
        dtypes = dtype if isinstance(dtype, list) else [dtype] * len(shapes)
        return [Value(self, name, tuple(
            Axis(Source(name, i, self.scope)) if size is None else resolve(size)
            for i, size in enumerate(shape)), np.dtype(kind))
                for name, shape, kind in zip(names, shapes, dtypes)]

    def _fold(self, record: Record) -> list[Value]:
        """Compute a node whose inputs are all known."""
        node = onnx.helper.make_node(record.op, record.inputs, record.outputs, **record.attributes)
        feeds = {name: self.constants[name] for name in record.inputs if name}
        graph = onnx.helper.make_graph(
            [node], 'fold', [onnx.helper.make_tensor_value_info(
                name, element_type(array.dtype), array.shape) for name, array in feeds.items()],
            [onnx.ValueInfoProto(name=name) for name in record.outputs])
        model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid('', OPSET)])
        with np.errstate(all='ignore'):
            arrays = [np.asarray(array) for array in ReferenceEvaluator(model).run(None, feeds)]
        self.constants.update(zip(record.outputs, arrays))
        return [Value(self, name, tuple(array.shape), array.dtype)
                for name, array in zip(record.outputs, arrays)]

    def vector(self, sizes: Sequence[Size | None]) -> Value:
        """The sizes as an int64 vector: a constant, or joined when the file runs."""
        if None in sizes:
            raise Unsupported('a size that depends on the data')
        known = tuple([resolve(size) for size in sizes if size is not None])
        numbers = [size for size in known if isinstance(size, int)]
        if len(numbers) == len(known):
            return self.constant(numbers, 'int64')
        name = self.name(self.current + '_shape')
        self.scope.vectors.append((name, known))
        return Value(self, name, (len(known),), np.dtype('int64'))

    def reshape(self, value: Value, shape: Sequence[Size | None]) -> Value:
        """`value` in another shape with as many elements; one size may be None."""
        known = [-1 if size is None else resolve(size) for size in shape]
        if -1 in known:
            if known.count(-1) > 1:
                raise Unsupported('a Reshape with two sizes that depend on the data')
            return self.node('Reshape', [value, self.vector(known)], shape)
        if len(known) == value.rank and all(map(same, known, value.shape)):
            return value
        target = list(known)
        for i, size in enumerate(target):  # 0 copies the size of the axis in the same place
            if not isinstance(size, int) and i < value.rank and same(size, value.shape[i]):
                target[i] = 0
        free = [i for i, size in enumerate(target) if not isinstance(size, int)]
        if len(free) == 1:
            target[free[0]] = -1
        vector = self.vector(known if len(free) > 1 else target)
        return self.node('Reshape', [value, vector], known)

    def cast(self, value: Value, dtype: DType) -> Value:
        """`value` cast to another type."""
        if value.dtype == np.dtype(dtype):
            return value
        if np.dtype(dtype) == bool and value.name in self.conditions:
            return replace(value, name=self.conditions[value.name], dtype=np.dtype(bool))
        return self.node('Cast', [value], value.shape, dtype, to=element_type(dtype))

    def numbers(self, condition: Value, dtype: DType) -> Value:
        """A condition in MXNet's form, as 0 and 1."""
        value = self.cast(condition, dtype)
        self.conditions[value.name] = condition.name
        return value

    def scalar(self, number: float, like: Value) -> Value:
        """A number in the type of `like`."""
        if like.dtype.kind in 'iu' and (not math.isfinite(number) or number != int(number) or not (
                np.iinfo(like.dtype).min <= number <= np.iinfo(like.dtype).max)):
            raise Unsupported('a number (%s) that does not fit the type %s' % (number, like.dtype))
        return self.constant(number, like.dtype)

    def where(self, condition: Value, yes: Value | float, no: Value | float) -> Value:
        """`yes` where the condition holds, `no` elsewhere; one of them may be a number."""
        if not isinstance(yes, Value):
            yes = self.scalar(yes, no)  # type: ignore[arg-type]
        if not isinstance(no, Value):
            no = self.scalar(no, yes)
        shape = broadcast(condition.shape, yes.shape, no.shape)
        return self.node('Where', [condition, yes, no], shape, yes.dtype)

    def fill(self, number: float, shape: Sequence[Size], dtype: DType) -> Value:
        """An array in which every element is `number`."""
        shape = tuple(map(resolve, shape))
        if all(isinstance(size, int) for size in shape):
            value = self.constant(np.full(shape, number), dtype)  # type: ignore[arg-type]
        else:
            value = self.node('Expand', [self.constant(number, dtype), self.vector(shape)], shape)
        if number == 0:
            self.zeros.add(value.name)
        return value

    def transpose(self, value: Value, order: Sequence[int]) -> Value:
        """`value` with its axes reordered."""
        if list(order) == sorted(order):
            return value
        return self.node('Transpose', [value], [value.shape[i] for i in order], perm=list(order))

    def squeeze(self, value: Value, axis: int) -> Value:
        """`value` without an axis of size 1."""
        return self.node('Squeeze', [value, self.constant([axis], 'int64')],
                         value.shape[:axis] + value.shape[axis + 1:])

    def unsqueeze(self, value: Value, axis: int) -> Value:
        """`value` with a new axis of size 1."""
        return self.node('Unsqueeze', [value, self.constant([axis], 'int64')],
                         value.shape[:axis] + (1,) + value.shape[axis:])

    def slice(self, value: Value, axis: int, begin: int, end: int | None, size: Size | None,
              step: int = 1) -> Value:
        """A range along one axis, of length `size` (None: its length when the file runs)."""
        last = (2**62 if step > 0 else -2**62) if end is None else end
        ints = [self.constant([n], 'int64') for n in (begin, last, axis, step)]
        return self.node('Slice', [value, *ints],
                         value.shape[:axis] + (size,) + value.shape[axis + 1:])

    # Sizes that are only known after the whole graph was converted.

    def finish(self, scope: Scope) -> None:
        """Join the vectors of sizes that a scope needs."""
        before, self.scope = self.scope, scope
        dims: dict[tuple[str, int], Value] = {}
        for name, sizes in scope.vectors:
            self.current = name
            parts = [self._dim(resolve(size), dims) for size in sizes]
            if all(part.name in self.constants for part in parts):
                self.constants[name] = np.concatenate([self.constants[part.name] for part in parts])
            else:
                scope.records.append(Record('Concat', name, [part.name for part in parts], [name],
                                            {'axis': 0}))
        self.scope = before

    def _dim(self, size: Size, dims: dict[tuple[str, int], Value]) -> Value:
        """A size as a vector with one element."""
        if isinstance(size, int):
            return self.constant([size], 'int64')
        if isinstance(size, Sum):
            terms = [reduce(operator.mul, [
                *([self.constant([number], 'int64')] if number != 1 or not atoms else ()),
                *(self._dim(atom, dims) for atom in atoms)]) for number, atoms in size.terms]
            total = reduce(operator.add, terms)
            return total if size.divisor == 1 else total / size.divisor
        source = size.source
        if source is None or not self.scope.sees(source.scope):
            raise SizeError('a size that the graph does not tell')
        name = str(source.array)
        key = (name, source.axis)
        if key not in dims:
            dims[key] = self.node('Shape', [Value(self, name, (), np.dtype('int64'))], (1,),
                                  'int64', start=source.axis, end=source.axis + 1)
        return dims[key]
