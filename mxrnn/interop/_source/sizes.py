"""Sizes of axes as text: read off arrays that have names."""
from __future__ import annotations

import itertools
from typing import Iterable

from .table import Size, Unsupported, Value

__all__ = ['size_text']


def size_text(size: Size, values: Iterable[Value]) -> str:
    """The text of the size of an axis, read off those of the values that are names."""
    if isinstance(size, int):
        return str(size)
    known: dict[tuple[int, int], str] = {}
    for value in values:
        if value.text.isidentifier():
            for axis, each in enumerate(value.unswapped.shape):
                if isinstance(each, tuple):
                    known.setdefault(each, '%s.shape[%d]' % (value.text, axis))
    if size in known:
        return known[size]
    for (one, text), (other, further) in itertools.combinations_with_replacement(known.items(), 2):
        if (one[0] * other[0], one[1] * other[1]) == size:
            return '%s * %s' % (text, further)
    for one, text in known.items():
        factor, rest = divmod(size[0], one[0])
        if not rest and factor * one[1] == size[1]:
            return '%d * %s' % (factor, text)
        if one[0] % size[0] == 0 and one[1] == one[0] // size[0] * size[1]:
            return '%s // %d' % (text, one[0] // size[0])
        more = size[0] - one[0]
        if more == size[1] - one[1]:
            return '%s %s %d' % (text, '-' if more < 0 else '+', abs(more))
    raise Unsupported('a size that can be read nowhere')
