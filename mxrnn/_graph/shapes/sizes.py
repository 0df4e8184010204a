"""Sizes of axes that a graph leaves open: names, unknowns, and their products, sums and quotients.

A size is an int, an `Axis`, a `Product` or a `Sum`. Shapes with 0 in a graph ('as the rest of the
graph says') begin as unknown axes; `unify` binds them where two sizes have to agree.
"""
from __future__ import annotations

import functools
import math
from typing import Any, Dict, Iterable, Iterator, Mapping, NamedTuple, Sequence, Tuple, Union

__all__ = ['Atom', 'Axis', 'Product', 'Size', 'Source', 'Sum', 'add', 'axes_in', 'divide',
           'interval', 'key_of', 'least', 'number_for', 'parts', 'product', 'quotient',
           'reduced_axes', 'reshaping', 'resolve', 'same', 'solution', 'windows']


class Source(NamedTuple):
    """Where a size is read when the graph runs: an axis of an array, and the array's scope.

    Arrays of ONNX files have names, arrays of torch modules have places.
    """

    array: str | int
    axis: int
    scope: Any


class Axis:
    """The size of an axis that is not known during the export.

    Attributes
    ----------
    bound : Size or None
        The size that it was found to equal.
    source : Source or None
        Where it is read when the file runs; None if only `unify` can find it.
    label : str
        Its name for the user or in the graph.
    free : bool
        Whether it becomes a number or another axis if it has to equal one, although it could be
        read when the file runs: an axis of an input whose shape was not given.
    hint : str
        The name that operators suggest for a free axis.
    believed : tuple
        Sizes made from it that were assumed to equal numbers, each with its number.
    given : int or None
        The size that the user gave, if the axis is followed nevertheless.
    """

    __slots__ = ('believed', 'bound', 'free', 'given', 'hint', 'label', 'source')

    def __init__(self, source: Source | None = None, label: str = '', free: bool = False) -> None:
        self.bound: Size | None = None
        self.source = source
        self.label = label
        self.free = free
        self.given: int | None = None
        self.hint = ''
        self.believed: tuple[tuple[Size, int], ...] = ()

    @property
    def unknown(self) -> bool:
        """Whether only `unify` can find it."""
        return self.source is None and not self.label and not self.free


class Product:
    """A number times several axes."""

    __slots__ = ('axes', 'factor')

    def __init__(self, factor: int, axes: Sequence[Atom]) -> None:
        self.factor = factor
        self.axes = list(axes)


#: Numbers times products of axes; each product has a key that ignores the order of its axes.
_Terms = Dict[Tuple[Any, ...], Tuple[int, Tuple['Atom', ...]]]


class Sum:
    """A sum of products, divided by a number and rounded down."""

    __slots__ = ('divisor', 'terms')

    def __init__(self, terms: _Terms, divisor: int) -> None:
        self.terms = terms
        self.divisor = divisor


Atom = Union[Axis, Sum]
Size = Union[int, Axis, Product, Sum]


def resolve(size: Size) -> Size:
    """`size` as far as it is known now."""
    while isinstance(size, Axis) and size.bound is not None:
        size = size.bound
    if isinstance(size, Product):
        return product(size.axes, size.factor)
    if isinstance(size, Sum) and any(resolve(atom) is not atom
                                     for _, atoms in size.terms.values() for atom in atoms):
        return quotient(add(*(product(atoms, number) for number, atoms in size.terms.values())),
                        size.divisor)
    return size


def product(sizes: Iterable[Size], factor: int = 1) -> Size:
    """The product of `sizes` and `factor`."""
    axes: list[Atom] = []
    for size in map(resolve, sizes):
        if isinstance(size, int):
            factor *= size
        elif isinstance(size, Product):
            factor *= size.factor
            axes.extend(size.axes)
        else:
            axes.append(size)
    if factor == 0 or not axes:
        return factor
    if len(axes) == 1 and isinstance(axes[0], Sum) and axes[0].divisor == 1 and factor != 1:
        return _made({key: (factor * number, atoms)
                      for key, (number, atoms) in axes[0].terms.items()}, 1)
    return axes[0] if factor == 1 and len(axes) == 1 else Product(factor, axes)


def parts(size: Size) -> tuple[int, list[Atom]]:
    """`size` as a number and the axes to multiply it by."""
    size = resolve(size)
    if isinstance(size, int):
        return size, []
    return (size.factor, list(size.axes)) if isinstance(size, Product) else (1, [size])


# ---- sums

def _terms(size: Size) -> _Terms:
    """`size` as a sum; a quotient is one of its axes."""
    size = resolve(size)
    if isinstance(size, Axis):
        return {(id(size),): (1, (size,))}
    if isinstance(size, Sum):
        return size.terms if size.divisor == 1 else {
            ((size.divisor, _key(size.terms)),): (1, (size,))}
    factor, axes = parts(size)
    result: _Terms = {(): (factor, ())}
    for axis in axes:
        result = _collected([
            (tuple(sorted((*one, *other), key=hash)), number * further, (*atoms, *more))
            for one, (number, atoms) in result.items()
            for other, (further, more) in _terms(axis).items()])
    return result


def _key(terms: _Terms) -> object:
    return frozenset((key, number) for key, (number, _) in terms.items())


def key_of(size: Size) -> object:
    """A key that sizes share if they are known to be equal."""
    return _key(_terms(size))


def _collected(terms: Iterable[tuple[tuple[Any, ...], int, tuple[Atom, ...]]]) -> _Terms:
    result: _Terms = {}
    for key, number, atoms in terms:
        number += result.pop(key, (0, ()))[0]
        if number:
            result[key] = number, atoms
    return result


def _made(terms: _Terms, divisor: int) -> Size:
    """The normal form of the sum of `terms`, divided by a number."""
    constant = terms.get((), (0, ()))[0]
    others = {key: each for key, each in terms.items() if key}
    if not others:
        return constant // divisor
    common = functools.reduce(math.gcd, [number for number, _ in others.values()], divisor)
    if divisor > 1 and common > 1:
        others = {key: (number // common, atoms) for key, (number, atoms) in others.items()}
        constant, divisor = constant // common, divisor // common
    number, atoms = next(iter(others.values()))
    if divisor == 1 and len(others) == 1:
        only = atoms[0]
        if not constant:
            return product(atoms, number) if number != 1 or len(atoms) > 1 else only
        if isinstance(only, Sum) and number == len(atoms) == 1:
            constant, divisor = constant * only.divisor, only.divisor
            return _made(_collected([*((key, *each) for key, each in only.terms.items()),
                                     ((), constant, ())]), divisor)
    return Sum({**others, **({(): (constant, ())} if constant else {})}, divisor)


def add(*sizes: Size) -> Size:
    """The sum of `sizes`."""
    return _made(_collected([(key, *each) for size in sizes
                             for key, each in _terms(size).items()]), 1)


def quotient(whole: Size, part: int) -> Size:
    """`whole` divided by a number, and rounded down."""
    whole = resolve(whole)
    if isinstance(whole, Sum):
        return _made(whole.terms, whole.divisor * part)
    return _made(_terms(whole), part)


def number_for(size: Size, numbers: Mapping[Axis, int]) -> int:
    """The value of `size` if axes have these numbers."""
    size = resolve(size)
    if isinstance(size, Axis):
        return numbers[size]
    if isinstance(size, Sum):
        return sum(number * math.prod(number_for(atom, numbers) for atom in atoms)
                   for number, atoms in size.terms.values()) // size.divisor
    factor, axes = parts(size)
    return factor * math.prod(number_for(axis, numbers) for axis in axes)


def divide(whole: Size, part: Size) -> Size | None:
    """`whole` / `part`, or None if it is not a size that can be written."""
    factor, axes = parts(whole)
    divisor, others = parts(part)
    for axis in others:
        own = next((each for each in axes if same(each, axis)), None)
        if own is None:
            return None
        axes.remove(own)
    if divisor and len(axes) == 1 and isinstance(axes[0], Sum) and not any(
            number % divisor for number, _ in _terms(axes[0]).values()):
        return quotient(product(axes, factor), divisor)
    return None if not divisor or factor % divisor else product(axes, factor // divisor)


def same(first: Size, second: Size) -> bool:
    """Whether both are known to be equal."""
    first, second = resolve(first), resolve(second)
    if isinstance(first, (int, Axis)) or isinstance(second, (int, Axis)):
        return first is second or isinstance(first, int) and first == second
    return key_of(first) == key_of(second)


def axes_in(size: Size) -> set[Axis]:
    """The axes from which `size` is made."""
    found: set[Axis] = set()
    pending = [size]
    while pending:
        size = resolve(pending.pop())
        if isinstance(size, Axis):
            found.add(size)
        elif isinstance(size, Sum):
            pending.extend(atom for _, atoms in size.terms.values() for atom in atoms)
        else:
            pending.extend(parts(size)[1])
    return found


def solution(first: Size, second: Size) -> tuple[Axis, Size] | None:
    """From two equal sizes, an axis that may become anything, and its value; None if there is none.
    """
    terms = _terms(add(first, product([second], -1)))
    for key, (number, atoms) in terms.items():
        axis = atoms[0] if len(atoms) == 1 else None
        others = {other: each for other, each in terms.items() if other != key}
        if not isinstance(axis, Axis) or not (axis.unknown or axis.free) or any(
                each % number for each, _ in others.values()):
            continue
        rest = quotient(product([_made(others, 1)], -1 if number > 0 else 1), abs(number))
        if axis not in axes_in(rest) and (axis.unknown or not isinstance(rest, Product)):
            return axis, rest
    return None


# ---- sizes that operators make

def interval(begin: int | None, end: int | None, size: Size, step: int = 1) -> Size | None:
    """How many of `size` elements begin:end:step takes, for any size that is long enough; None if
    that depends on the data."""
    size = resolve(size)
    if isinstance(size, int):
        return len(range(size)[begin:end:step])

    def place(bound: int | None, default: Size) -> Size:
        return default if bound is None else bound if bound >= 0 else add(size, bound)
    first, last = ((place(begin, 0), place(end, size)) if step > 0 else
                   (place(end, -1), place(begin, add(size, -1))))
    length = add(last, product([first], -1), abs(step) - 1)
    if isinstance(length, int):
        return max(length // abs(step), 0)
    if number_for(length, dict.fromkeys(axes_in(length), 1 << 30)) < 0:
        return None  # a longer axis gives fewer elements
    return quotient(length, abs(step))


def least(begin: int, end: int | None) -> int:
    """How many elements an axis must have so that begin:end is a part of it, and not empty."""
    if begin < 0:
        return max(-begin, end or 0)
    return begin + 1 if end is None else begin + 1 - end if end < 0 else end


def windows(size: Size, reach: int, stride: int, pad: int) -> Size:
    """The number of windows that fit along an axis."""
    return add(quotient(add(size, 2 * pad - reach), stride), 1)


def reduced_axes(rank: int, axes: Sequence[int] | None, exclude: bool = False) -> tuple[int, ...]:
    """The axes that an operator reduces, in order; all if it names none."""
    chosen = {axis % rank for axis in axes or ()}
    return tuple(axis for axis in range(rank) if not axes or (axis in chosen) != exclude)


def reshaping(codes: Sequence[int], rank: int) -> Iterator[tuple[range, tuple[int, ...]]]:
    """How many of `rank` axes each code of a Reshape takes, and what it makes of them.

    In the result, 0 stands for everything taken, as one axis, and -1 for the rest. Among the codes,
    0 keeps an axis, -2 keeps all further axes, -3 joins two, -4 splits one into the two sizes that
    follow, and any other code is the size that replaces one axis.

    Raises
    ------
    IndexError
        Sizes behind -4 are missing.
    """
    at = i = 0
    while i < len(codes):
        code = codes[i]
        if code == -2:
            yield from ((range(axis, axis + 1), (0,)) for axis in range(at, rank))
            at = rank
        elif code == -4:
            yield range(at, at + 1), (codes[i + 1], codes[i + 2])
            i += 2
            at += 1
        else:
            taken = 2 if code == -3 else 1
            yield range(at, at + taken), (0 if code == -3 else code,)
            at += taken
        i += 1
