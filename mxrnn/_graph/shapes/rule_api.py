"""What rules for the axes of operators' outputs are made with: how they are entered, `Array`, and
broadcasting.
"""
from __future__ import annotations

from typing import Callable, Iterable, List, Sequence, Tuple, Union

from .axis_factors import Axes, Factors, agree, factors_of, mixed
from .sizes import Axis, Size, product
from .unification import AxesError, SizeError

__all__ = ['Array', 'NOT_INFERRED', 'RULES', 'Rule', 'UnknownAxes', 'alike', 'broadcast',
           'broadcast_axes', 'rule']

#: Returns the axes of a node's output, or a tuple of those of its outputs, from the node and the
#: `Array` of each input in the operator's row but labels; it is empty if a node lacks the input.
#: Sizes of outputs are made of those of inputs, which may have no number yet: `quotient` and `add`
#: calculate with them, `product` joins axes, and `mixed` marks an axis each element of which
#: depends on all.
Rule = Callable[..., Union[Axes, Tuple[Axes, ...]]]
#: By operator; and how many of its first inputs have to be known.
RULES: dict[str, tuple[Rule, int]] = {}


def rule(*ops: str, needs: int = 1) -> Callable[[Rule], Rule]:
    """Make the decorated function the rule for `ops`, in place of earlier rules; spaces separate
    names.

    `needs` is the number of first inputs without which nothing is known about the outputs.
    """
    def enter(function: Rule) -> Rule:
        RULES.update(dict.fromkeys(' '.join(ops).split(), (function, needs)))
        return function
    return enter


class UnknownAxes(Exception):
    """It is unknown what becomes of the axes of an operator's inputs."""


#: What rules raise if they cannot tell the axes of an output, or inputs do not fit.
NOT_INFERRED = UnknownAxes, SizeError, IndexError


def broadcast_axes(arrays: Iterable[Axes]) -> Axes:
    result: Axes = []
    for axes in arrays:
        longer, shorter = (axes, result) if len(axes) > len(result) else (result, axes)
        more = len(longer) - len(shorter)
        result = longer[:more] + [
            one if not factors_of(other) else other if not factors_of(one) else agree(one, other)
            for one, other in zip(longer[more:], shorter)]
    return result


def broadcast(*shapes: Sequence[Size]) -> tuple[Size, ...]:
    """The shape of the result of arrays whose axes of size 1 are repeated as needed."""
    return tuple(map(product, broadcast_axes([[(size,) for size in shape] for shape in shapes])))


class Array(List[Factors]):
    """The axes of an array, as a rule takes them; none if nothing is known about it."""

    def known(self) -> Array:
        """These axes, which must be known."""
        if not self:
            raise UnknownAxes
        return self

    def of_rank(self, rank: int) -> Array:
        """These axes, which must be that many; new axes if nothing is known about them."""
        if self and len(self) != rank:
            raise SizeError('%d axes and %d axes' % (len(self), rank))
        return self or Array((Axis(),) for _ in range(rank))

    def place(self, axis: int, more: int = 0) -> int:
        """`axis` counted from the front; `more` if an axis is added."""
        if not -len(self) - more <= axis < len(self) + more:
            raise AxesError('its axis %d has to be among the axes' % axis) if self else UnknownAxes
        return axis % (len(self) + more)

    def replaced(self, axis: int, sizes: Axes, more: int = 0) -> Array:
        """With other axes that replace one, or come before it with `more`."""
        at = self.place(axis, more)
        return Array([*self[:at], *sizes, *self[at + 1 - more:]])

    def as_long(self, axis: int, *vectors: Axes) -> Array:
        """With one axis that has the size of vectors, as far as these are known."""
        data = self
        for vector in filter(None, vectors):
            data = data.replaced(axis, [agree(data[axis], *Array(vector).of_rank(1))])
        return data

    def mixed(self, axes: Iterable[int]) -> Array:
        """With some axes that are used as a whole."""
        places = {self.place(axis) for axis in axes}
        return Array(mixed(axis) if at in places else axis for at, axis in enumerate(self))


def alike(*arrays: Axes) -> Array:
    """The axes of arrays that all have one shape and are used element by element."""
    result = Array()
    for axes in filter(None, arrays):
        result = Array(agree(*pair) for pair in zip(result.of_rank(len(axes)), axes)
                       ) if result else Array(axes)
    return result.known()
