"""The functions that convert operators, for each back end: its own, and those programs add."""
from __future__ import annotations

from typing import Any, Callable, Generic, Iterator, Mapping, NamedTuple, TypeVar

from .. import _check
from .._graph.graph import Node
from .._graph.rows import describe

__all__ = ['ONNX', 'TORCH', 'Converters', 'Operator', 'register']

_Entry = TypeVar('_Entry')


class Converters(Mapping[str, _Entry], Generic[_Entry]):
    """The converters of a back end, by the operators' names.

    Entries of programs go before those of the back end, whichever comes first.
    """

    def __init__(self, back_end: str) -> None:
        self._back_end = back_end
        self._own: dict[str, _Entry] = {}
        self._added: dict[str, _Entry] = {}

    def __getitem__(self, op: str) -> _Entry:
        return self._added[op] if op in self._added else self._own[op]

    def __iter__(self) -> Iterator[str]:
        return iter({**self._own, **self._added})

    def __len__(self) -> int:
        return len({**self._own, **self._added})

    def enter(self, entry: _Entry, *ops: str) -> None:
        """Enter what the back end has for `ops`; a second entry for one of them is refused."""
        for op in ops:
            if op in self._own:
                raise ValueError('%s has two converters of %s' % (self._back_end, op))
            self._own[op] = entry

    def add(self, entry: _Entry, op: str) -> None:
        """Add or replace the entry of a program."""
        self._added[op] = entry

    def remove(self, op: str) -> None:
        """Take the entry of a program out again."""
        self._added.pop(op, None)


class Operator(NamedTuple):
    """How torch runs an operator."""

    #: Given a node, it returns a function of the node's inputs: tensors in, a tensor or a tuple of
    #: them out.
    make: Callable[[Node], Callable[..., Any]]
    #: Whether that function takes, before the inputs, whether it is training.
    training: bool = False
    #: Whether inputs must have equal sizes along all their axes, so that one size that is left open
    #: in a graph follows from another.
    equal_shapes: bool = False
    #: Whether it has no inputs: the function then takes the shape and the device.
    creates: bool = False


#: What torch runs, and what ONNX has a counterpart of: for the latter a function of a Builder, the
#: node, and the node's inputs but for labels; it returns the outputs, one or a list.
TORCH: Converters[Operator] = Converters('torch')
ONNX: Converters[Callable[..., Any]] = Converters('ONNX')


def register(name: str, make: Callable[[Node], Callable[..., Any]] | None = None, *,
             training: bool = False, onnx: Callable[..., Any] | None = None,
             attributes: Mapping[str, Any] | None = None) -> None:
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
    for what, function in (('make', make), ('onnx', onnx)):
        if function is not None:
            _check.function(what, function)
    _check.flag('training', training)
    if attributes is not None:
        describe(name, _check.instance('attributes', attributes, Mapping, 'a dict'))
    if make is not None:
        TORCH.add(Operator(make, training), name)
    if onnx is not None:
        ONNX.add(onnx, name)
