"""The functions that convert operators, for each back end: its own and those that programs add."""
from __future__ import annotations

from typing import Any, Callable, ChainMap, Generic, Mapping, NamedTuple, Sequence, TypeVar

from .. import _check
from .._graph.graph import Node
from .._graph.operator_rows import describe
from .._graph.shapes.axis_factors import Axes, mixed
from .._graph.shapes.rule_api import Rule, UnknownAxes, rule
from .._graph.shapes.sizes import product

__all__ = ['Converter', 'Converters', 'converts', 'ExportError', 'ONNX', 'Operator', 'operator',
           'register', 'ShapesNeeded', 'TORCH', 'Unsupported']

_Entry = TypeVar('_Entry')
#: A function for a back end; what it takes and returns depends on the back end.
Converter = Callable[..., Any]
Make = Callable[[Node], Converter]


class Converters(ChainMap[str, _Entry], Generic[_Entry]):
    """A back end's converters, by the operators' names.

    Programs set and delete entries as in a dict. A program's entry goes before the back end's own,
    whichever is added first.
    """

    def __init__(self, back_end: str) -> None:
        super().__init__({}, {})
        self.back_end = back_end

    def enter(self, entry: _Entry, *ops: str) -> None:
        """Add the back end's own converter for `ops`; a second one for an operator is refused."""
        own = self.maps[1]
        for op in ops:
            if op in own:
                raise ValueError('%s has two converters of %s' % (self.back_end, op))
            own[op] = entry


class Operator(NamedTuple):
    """How torch runs an operator."""

    #: Takes a node and returns the function of its inputs: tensors in, a tensor or a tuple of them
    #: out.
    make: Make
    #: Whether that function takes, as its first argument, whether the module is in training.
    training: bool = False
    #: Whether the operator has no inputs; the function then takes the shape and the device.
    creates: bool = False
    #: That function, before the node's attributes are bound to its keyword-only parameters.
    function: Converter | None = None


#: The operators that torch runs, and those that ONNX has. An ONNX converter takes a Builder, the
#: node, and the node's inputs without labels, and returns one output or a list.
TORCH: Converters[Operator] = Converters('torch')
ONNX: Converters[Converter] = Converters('ONNX')


def register(name: str, make: Make | None = None, *, training: bool = False,
             onnx: Converter | None = None, attributes: Mapping[str, Any] | None = None,
             shape: Callable[..., Any] | None = None) -> None:
    """Add or replace an operator for `to_torch` and `to_onnx`.

    Parameters
    ----------
    name : str
        The operator's name in the graph, such as '_contrib_quadratic'.
    make : callable, optional
        For torch. It takes a `Node` and returns a function of the node's inputs (torch.Tensors),
        which returns the output or a tuple of outputs. The node's parameters are ``node.axis`` for
        operators that mxrnn knows and for names in `attributes`, otherwise
        ``node.get('axis', -1)``.
    training : bool
        Whether that function takes, before the inputs, ``True`` in training and otherwise
        ``False``.
    onnx : callable, optional
        For ONNX: ``onnx(builder, node, *inputs)`` returns the output or a list of outputs. Inputs
        and outputs have a ``shape`` and a ``dtype``. ``builder.node(op, inputs, shape)`` writes an
        ONNX operator and returns its output; ``builder.scalar(number, like)`` returns a constant.
    attributes : dict of str to str or tuple, optional
        Kinds of the operator's parameters: 'int', 'float', 'bool', 'str' or 'ints'. Optional
        parameters have a default: ``{'axis': ('int', -1)}``.
    shape : callable, optional
        ``shape(node, *shapes)`` takes the inputs' shapes and returns the output's shape, or a list
        with the outputs' shapes. Shapes are tuples of numbers, and of objects for sizes that may be
        any; pass these on. `to_torch` needs it. Without it, you have to give `to_onnx` shapes of
        inputs that only such operators tell.

    Raises
    ------
    TypeError
        `name` is not a str, or a function is not callable.
    ValueError
        Neither `make` nor `onnx` is given; a kind is unknown; or mxrnn already knows the operator's
        parameters.

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
        raise ValueError('give make for torch, onnx for ONNX, or both')
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
        rule(name, needs=0)(_rule_of(shape))


def _rule_of(shape: Callable[..., Any]) -> Rule:
    """The shape rule for a program's operator; it keeps no axis element for element."""
    def axes(node: Node, *inputs: Axes) -> tuple[Axes, ...]:
        if not all(inputs):
            raise UnknownAxes
        made = shape(node, *[tuple(map(product, each)) for each in inputs])
        return tuple([mixed((size,)) for size in each]
                     for each in (made if isinstance(made, list) else [made]))
    return axes


# ---- for the back ends: how they add converters, and the errors that converters raise

class ExportError(ValueError):
    """A model cannot be written as ONNX; the message names the nodes and says why."""


class ShapesNeeded(ExportError):
    """A graph does not tell the shapes of inputs. `shapes` has those that lack only numbers, which
    are None."""

    def __init__(self, text: str, shapes: Mapping[str, Sequence[int | str | None]] | None = None
                 ) -> None:
        super().__init__(text)
        self.shapes = dict(shapes or {})


class Unsupported(Exception):
    """A node needs something that the back end lacks; the message says what."""


def operator(*names: str, training: bool = False, creates: bool = False) -> Callable[[Make], Make]:
    """Make the decorated function the torch converter for `names`; see `Operator` for the options.

    The function gets a `Node` once, when a module is built. It returns a function of the node's
    input tensors, which returns a tensor or a tuple of tensors.
    """
    def enter(make: Make) -> Make:
        TORCH.enter(Operator(make, training, creates), *names)
        return make
    return enter


def converts(*operators: str) -> Callable[[Converter], Converter]:
    """Make the decorated function the ONNX converter for `operators`."""
    def enter(function: Converter) -> Converter:
        ONNX.enter(function, *operators)
        return function
    return enter
