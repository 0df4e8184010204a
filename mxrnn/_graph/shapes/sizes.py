"""Sizes of axes that a graph leaves open: names, unknowns, and their products, sums and quotients.

A size is an int, an `Axis` or a `Sum`. Shapes with 0 in a graph ('as the rest of the
graph says') begin as unknown axes; `unify` binds them where two sizes have to agree.
"""
from __future__ import annotations

import dataclasses
import functools
import math
from typing import Any, Callable, Iterable, Iterator, Mapping, NamedTuple, Sequence, Tuple, Union

__all__ = ['Atom', 'Axis', 'Size', 'Source', 'Sum', 'add', 'axes_in', 'changed', 'divide',
           'in_words', 'interval', 'is_product', 'least', 'number_for', 'parts', 'product',
           'quotient', 'reduced_axes', 'remainder', 'reshaping', 'resolve', 'same', 'solution']


class Source(NamedTuple):
    """Where a size is read when the graph runs: an axis of an array, and the array's scope.

    Arrays of ONNX files have names, arrays of torch modules have places.
    """

    array: str | int
    axis: int
    scope: Any


@dataclasses.dataclass(eq=False)
class Axis:
    """The size of an axis that is not known during the export.

    Attributes
    ----------
    source : Source or None
        Where it is read when the file runs; None if only `unify` can find it.
    label : str
        Its name for the user or in the graph.
    free : bool
        Whether it becomes a number or another axis if it has to equal one, although it could be
        read when the file runs: an axis of an input whose shape was not given.
    hint : str
        The name that operators suggest for a free axis.
    bound : Size or None
        The size that it was found to equal.
    believed : tuple
        Sizes made from it, each with the number or size that it was assumed to equal.
    """

    source: Source | None = None
    label: str = ''
    free: bool = False
    hint: str = ''
    bound: Size | None = None
    believed: tuple[tuple[Size, Size], ...] = ()

    @property
    def unknown(self) -> bool:
        """Whether only `unify` can find it."""
        return self.source is None and not self.label and not self.free


#: A number times several axes.
Term = Tuple[int, Tuple['Atom', ...]]


class Sum:
    """A sum of products, divided by a number and rounded down; or a product alone, which may
    contain sums. Sums that are known to have the same value are equal.
    """

    __slots__ = ('divisor', 'terms')

    def __init__(self, terms: Iterable[Term], divisor: int = 1) -> None:
        self.terms = tuple(terms)
        self.divisor = divisor

    def _key(self) -> object:
        terms = self.terms if self.divisor > 1 else _expanded(self)
        return self.divisor, frozenset(
            (key, number) for key, (number, _) in _collected(terms).items())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sum) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())


Atom = Union[Axis, Sum]
Size = Union[int, Axis, Sum]


def resolve(size: Size) -> Size:
    """`size` as far as it is known now."""
    while isinstance(size, Axis) and size.bound is not None:
        size = size.bound
    if isinstance(size, Sum) and any(resolve(atom) is not atom
                                     for _, atoms in size.terms for atom in atoms):
        return changed(size, resolve)
    return size


def changed(size: Sum, change: Callable[[Size], Size]) -> Size:
    """`size` made from other sizes instead of its axes."""
    terms = [product(map(change, atoms), number) for number, atoms in size.terms]
    return terms[0] if is_product(size) else quotient(add(*terms), size.divisor)


def is_product(size: Size) -> bool:
    """Whether it is a number times axes."""
    return isinstance(size, Sum) and len(size.terms) == size.divisor == 1


def parts(size: Size) -> tuple[int, list[Atom]]:
    """`size` as a number and the axes to multiply it by."""
    size = resolve(size)
    if isinstance(size, int):
        return size, []
    factor, axes = size.terms[0] if isinstance(size, Sum) and is_product(size) else (1, (size,))
    return factor, list(axes)


def product(sizes: Iterable[Size], factor: int = 1) -> Size:
    """The product of `sizes` and `factor`."""
    axes: list[Atom] = []
    for size in sizes:
        number, more = parts(size)
        factor *= number
        axes.extend(more)
    if factor == 0 or not axes:
        return factor
    only = axes[0] if len(axes) == 1 else None
    if only is not None and factor == 1:
        return only
    if isinstance(only, Sum) and only.divisor == 1:
        return Sum((factor * number, atoms) for number, atoms in only.terms)
    return Sum([(factor, tuple(axes))])


# ---- sums

def _expanded(size: Size) -> list[Term]:
    """`size` as a sum of products of axes and quotients."""
    size = resolve(size)
    if isinstance(size, int):
        return [(size, ())]
    if isinstance(size, Axis) or size.divisor > 1:
        return [(1, (size,))]
    result: list[Term] = []
    for number, atoms in size.terms:
        products: list[Term] = [(number, ())]
        for atom in atoms:
            products = [(one * other, (*left, *right)) for one, left in products
                        for other, right in _expanded(atom)]
        result.extend(products)
    return result


def _collected(terms: Iterable[Term]) -> dict[tuple[Atom, ...], Term]:
    """One term for each product of axes, whatever their order."""
    result: dict[tuple[Atom, ...], Term] = {}
    for number, atoms in terms:
        key = tuple(sorted(atoms, key=hash))
        number += result.pop(key, (0, ()))[0]
        if number:
            result[key] = number, atoms
    return result


def _made(terms: Iterable[Term], divisor: int = 1) -> Size:
    """The normal form of the sum of `terms`, divided by a number."""
    collected = _collected(terms)
    constant, _ = collected.pop((), (0, ()))
    if not collected:
        return constant // divisor
    common = functools.reduce(math.gcd, [number for number, _ in collected.values()], divisor)
    others: list[Term] = [(number // common, atoms) for number, atoms in collected.values()]
    constant, divisor = constant // common, divisor // common
    number, atoms = others[0]
    if divisor == len(others) == 1:
        only = atoms[0]
        if not constant:
            return product(atoms, number)
        if isinstance(only, Sum) and number == len(atoms) == 1:
            return _made([*only.terms, (constant * only.divisor, ())], only.divisor)
    return Sum([*others, (constant, ())] if constant else others, divisor)


def add(*sizes: Size) -> Size:
    """The sum of `sizes`."""
    return _made(term for size in sizes for term in _expanded(size))


def quotient(whole: Size, part: int) -> Size:
    """`whole` divided by a number, and rounded down."""
    whole = resolve(whole)
    if isinstance(whole, Sum) and whole.divisor > 1:
        return _made(whole.terms, whole.divisor * part)
    return _made(_expanded(whole), part)


def number_for(size: Size, numbers: Mapping[Axis, int]) -> int:
    """The value of `size` if axes have these numbers."""
    size = resolve(size)
    if isinstance(size, int):
        return size
    if isinstance(size, Axis):
        return numbers[size]
    return sum(number * math.prod(number_for(atom, numbers) for atom in atoms)
               for number, atoms in size.terms) // size.divisor


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
            number % divisor for number, _ in _expanded(axes[0])):
        return quotient(product(axes, factor), divisor)
    return None if not divisor or factor % divisor else product(axes, factor // divisor)


def same(first: Size, second: Size) -> bool:
    """Whether both are known to be equal."""
    return resolve(first) == resolve(second)


def in_words(size: Size, names: Mapping[str, str]) -> str:
    """`size` as text, with these `names` for its axes."""
    size = resolve(size)
    if not isinstance(size, Sum):
        return str(size) if isinstance(size, int) else names.get(size.label, size.label or '?')
    terms = [' * '.join([*[str(number)] * (number != 1 or not atoms), *[
        in_words(atom, names) if isinstance(atom, Axis) else '(%s)' % in_words(atom, names)
        for atom in atoms]]) for number, atoms in size.terms]
    whole = ' + '.join(terms).replace('+ -1 * ', '- ').replace('+ -', '- ')
    return whole if size.divisor == 1 else '%s / %d rounded down' % (
        whole if len(terms) == 1 else '(%s)' % whole, size.divisor)


def axes_in(size: Size) -> set[Axis]:
    """The axes from which `size` is made."""
    size = resolve(size)
    if isinstance(size, Sum):
        return {axis for _, atoms in size.terms for atom in atoms for axis in axes_in(atom)}
    return {size} if isinstance(size, Axis) else set()


def remainder(first: Size, second: Size) -> tuple[int, int]:
    """A number and a factor: two sizes can be equal only if the number is a multiple of it."""
    terms = _collected(_expanded(add(first, product([second], -1))))
    number, _ = terms.pop((), (0, ()))
    return abs(number), functools.reduce(math.gcd, [each for each, _ in terms.values()], 0) or 1


def solution(first: Size, second: Size) -> tuple[Axis, Size] | None:
    """From two equal sizes, an axis that may become anything, and its value; None if there is none.
    """
    terms = list(_collected(_expanded(add(first, product([second], -1)))).values())
    for at, (number, atoms) in enumerate(terms):
        axis = atoms[0] if len(atoms) == 1 else None
        others = terms[:at] + terms[at + 1:]
        if not isinstance(axis, Axis) or not (axis.unknown or axis.free) or any(
                each % number for each, _ in others):
            continue
        rest = quotient(product([_made(others)], -1 if number > 0 else 1), abs(number))
        if axis not in axes_in(rest) and (axis.unknown or not is_product(rest)):
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
