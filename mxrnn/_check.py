"""Checks of arguments, so that every refusal reads alike: name, what is allowed, what came."""
from __future__ import annotations

import numbers
from typing import Any, Callable, Iterable, Iterator

import numpy as np

__all__ = ['instance', 'integer', 'number', 'choice', 'function', 'activation', 'flag', 'integers',
           'iterable']


def _shown(value: Any) -> str:
    text = repr(value)
    return '%s (%s)' % (text if len(text) <= 80 else text[:77] + '...', type(value).__name__)


def instance(name: str, value: Any, types: Any, what: str) -> Any:
    """Return `value` if it is an instance of `types`; `what` describes them in the refusal."""
    if not isinstance(value, types):
        raise TypeError('%s must be %s, got %s' % (name, what, _shown(value)))
    return value


def integer(name: str, value: Any, least: int | None = None) -> int:
    """Return `value` as an int; NumPy integers count as integers, bools do not."""
    what = 'an integer' if least is None else 'an integer of at least %d' % least
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Integral):
        raise TypeError('%s must be %s, got %s' % (name, what, _shown(value)))
    if least is not None and value < least:
        raise ValueError('%s must be %s, got %s' % (name, what, _shown(value)))
    return int(value)


def number(name: str, value: Any, least: float = -np.inf, most: float = np.inf) -> Any:
    """Return `value` itself (its type shows in attributes) if it is a number in [least, most]."""
    finite = (least, most) != (-np.inf, np.inf)
    what = 'a number from %g to %g' % (least, most) if finite else 'a finite number'
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real):
        raise TypeError('%s must be %s, got %s' % (name, what, _shown(value)))
    if not (least <= value <= most and abs(value) < np.inf):  # NaN fails every comparison
        raise ValueError('%s must be %s, got %s' % (name, what, _shown(value)))
    return value


def choice(name: str, value: Any, allowed: Iterable[str]) -> str:
    """Return `value` if it is one of the strings `allowed`."""
    allowed = list(allowed)
    what = 'one of ' + ', '.join(map(repr, allowed))
    if not isinstance(value, str):
        raise TypeError('%s must be %s, got %s' % (name, what, _shown(value)))
    if value not in allowed:
        raise ValueError('%s must be %s, got %s' % (name, what, _shown(value)))
    return value


def function(name: str, value: Any) -> Callable[..., Any]:
    """Return `value` if it can be called."""
    if not callable(value):
        raise TypeError('%s must be callable, got %s' % (name, _shown(value)))
    return value


def activation(name: str, value: Any, allowed: Iterable[str]) -> Any:
    """Return `value` if it is one of the names `allowed` or can be called."""
    return value if callable(value) else choice(name, value, allowed)


def flag(name: str, value: Any) -> Any:
    """Return `value` itself if it is true or false (0 and 1 count)."""
    if not isinstance(value, (bool, np.bool_)) and not (
            isinstance(value, numbers.Integral) and value in (0, 1)):
        raise TypeError('%s must be True or False, got %s' % (name, _shown(value)))
    return value


def integers(name: str, value: Any, count: int, least: int) -> Any:
    """Return `value` itself if it is `count` integers of at least `least`."""
    if not isinstance(value, (tuple, list)) or len(value) != count:
        what = TypeError if not isinstance(value, (tuple, list)) else ValueError
        raise what('%s must be a tuple of %d integers, got %s' % (name, count, _shown(value)))
    for item in value:
        integer('each of %s' % name, item, least)
    return value


def iterable(name: str, value: Any, what: str) -> Iterator[Any]:
    """Return an iterator over `value`; `what` describes what it should hold."""
    try:
        return iter(value)
    except TypeError:
        raise TypeError('%s must be an iterable of %s, got %s'
                        % (name, what, _shown(value))) from None
