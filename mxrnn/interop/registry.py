"""The functions that convert operators, for each back end: its own, and those programs add."""
from __future__ import annotations

from typing import Any, Callable, ChainMap, Generic, Mapping, NamedTuple, TypeVar

import numpy as np

from .. import _check
from .._graph.graph import Node
from .._graph.operator_schema import describe
from .._graph.shapes.axes import Axes, Rule, UnknownAxes, enter, mixed
from .._graph.shapes.sizes import product

__all__ = ['channels_last', 'Converter', 'Converters', 'converts', 'dtype_of', 'ExportError',
           'normalised_axes', 'ONNX', 'Operator', 'operator', 'positive', 'register', 'TORCH',
           'Unsupported']

_Entry = TypeVar('_Entry')


class Converters(ChainMap[str, _Entry], Generic[_Entry]):
    """The converters of a back end, by the operators' names.

    Entries of programs, which are set and deleted as in a dict, go before those of the back end,
    whichever comes first.
    """

    def __init__(self, back_end: str) -> None:
        super().__init__({}, {})
        self._back_end = back_end

    def enter(self, entry: _Entry, *ops: str) -> None:
        """Enter what the back end has for `ops`; a second entry for one of them is refused."""
        own = self.maps[1]
        for op in ops:
            if op in own:
                raise ValueError('%s has two converters of %s' % (self._back_end, op))
            own[op] = entry


class Operator(NamedTuple):
    """How torch runs an operator."""

    #: Given a node, it returns a function of the node's inputs: tensors in, a tensor or a tuple of
    #: them out.
    make: Callable[[Node], Callable[..., Any]]
    #: Whether that function takes, before the inputs, whether it is training.
    training: bool = False
    #: Whether it has no inputs: the function then takes the shape and the device.
    creates: bool = False
    #: That function before attributes of a node are bound to its keyword-only parameters.
    function: Callable[..., Any] | None = None


#: The operators that torch runs, and those that ONNX has. For ONNX, a function of a Builder, the
#: node, and the node's inputs but for labels returns the outputs, one or a list.
TORCH: Converters[Operator] = Converters('torch')
ONNX: Converters[Callable[..., Any]] = Converters('ONNX')


def register(name: str, make: Callable[[Node], Callable[..., Any]] | None = None, *,
             training: bool = False, onnx: Callable[..., Any] | None = None,
             attributes: Mapping[str, Any] | None = None,
             shape: Callable[..., Any] | None = None) -> None:
    """Add an operator to those that `to_torch` can run and `to_onnx` can write, or replace one.

    Parameters
    ----------
    name : str
        The operator's name in the graph, such as '_contrib_quadratic'.
    make : callable, optional
        For torch. Given a `Node`, it returns the function of the node's inputs, torch.Tensors, that
        gives the output or a tuple of the outputs. Parameters of the node are ``node.axis`` for
        operators of MXNet that mxrnn knows and for what `attributes` names, and otherwise
        ``node.get('axis', -1)``.
    training : bool
        Whether that function takes ``True`` in training and ``False`` otherwise before the inputs.
    onnx : callable, optional
        For ONNX: ``onnx(builder, node, *inputs)`` returns the output, or a list of the outputs.
        Inputs and outputs have a ``shape`` and a ``dtype``; ``builder.node(op, inputs, shape)``
        writes an operator of ONNX and returns its output, ``builder.scalar(number, like)`` gives a
        constant.
    attributes : dict of str to str or tuple, optional
        Kinds of the operator's parameters: 'int', 'float', 'bool', 'str' or 'ints'; a parameter
        that need not be given has a default: ``{'axis': ('int', -1)}``.
    shape : callable, optional
        ``shape(node, *shapes)`` returns the shape of the output, or a list of the shapes of the
        outputs, for those of the inputs: tuples of numbers, and of objects for sizes that may be
        any, which it passes on. Without it shapes of inputs that only such operators tell have to
        be given.

    Raises
    ------
    TypeError
        `name` is no str, or a function cannot be called.
    ValueError
        There is neither `make` nor `onnx`; a kind is unknown; or mxrnn knows the operator's
        parameters itself.

    Examples
    --------
    >>> from mxrnn import interop
    >>> interop.register('_own_scale', lambda node: lambda x: x * node.factor,
    ...                  onnx=lambda builder, node, x: builder.node(
    ...                      'Mul', [x, builder.scalar(node.factor, x)], x.shape),
    ...                  attributes={'factor': ('float', 2)})
    """
    _check.instance('name', name, str, 'a str')
    if make is None and onnx is None:
        raise ValueError('make or onnx must be given, for torch or for ONNX')
    for what, function in (('make', make), ('onnx', onnx), ('shape', shape)):
        if function is not None:
            _check.function(what, function)
    _check.flag('training', training)
    if attributes is not None:
        describe(name, _check.instance('attributes', attributes, Mapping, 'a dict'))
    if make is not None:
        TORCH[name] = Operator(make, training)
    if onnx is not None:
        ONNX[name] = onnx
    if shape is not None:
        enter(name, _rule_of(shape))


def _rule_of(shape: Callable[..., Any]) -> Rule:
    """The rule of a program's operator, which keeps no axis element for element."""
    def rule(node: Node, inputs: list[Axes]) -> list[Axes]:
        if not all(inputs):
            raise UnknownAxes
        made = shape(node, *[tuple(map(product, axes)) for axes in inputs])
        return [[mixed((size,)) for size in each]
                for each in (made if isinstance(made, list) else [made])]
    return rule


# ---- what the back ends enter, and what their converters raise

class ExportError(ValueError):
    """A model cannot be written as ONNX; the message names the nodes and says why."""


class Unsupported(Exception):
    """A node asks for something that the back end does not have; the message says for what."""


Make = Callable[[Node], Callable[..., Any]]
Converter = Callable[..., Any]


def operator(*names: str, training: bool = False, creates: bool = False) -> Callable[[Make], Make]:
    """Make a function the converter of the operators `names` to torch; the rest is of `Operator`.

    It is given a `Node` once, when a module is built, and returns what runs it: a function of the
    node's inputs as tensors, which returns a tensor, or a tuple of them.
    """
    def enter(make: Make) -> Make:
        TORCH.enter(Operator(make, training, creates), *names)
        return make
    return enter


def converts(*operators: str) -> Callable[[Converter], Converter]:
    """Make a function the converter of `operators` to ONNX."""
    def enter(function: Converter) -> Converter:
        ONNX.enter(function, *operators)
        return function
    return enter


def dtype_of(node: Node) -> np.dtype:
    """The type that the attribute 'dtype' names."""
    if node.dtype == 'bfloat16':
        raise Unsupported('the type bfloat16')
    return np.dtype(node.dtype)


def positive(axis: int, rank: int) -> int:
    """`axis` counted from the front."""
    if not -rank <= axis < rank:
        raise Unsupported('axis %d of an array of %d axes' % (axis, rank))
    return axis % rank


def channels_last(layout: str | None) -> bool:
    """Whether the attribute `layout` of an operator on images has the channels there."""
    return layout is not None and layout.index('C') > 1


def normalised_axes(mode: str, rank: int) -> tuple[int, ...]:
    """The axes over which L2Normalization takes the norm."""
    return {'instance': tuple(range(1, rank)), 'channel': (1,),
            'spatial': tuple(range(2, rank))}[mode]
