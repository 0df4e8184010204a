"""Checks of arguments, so that all errors read alike: the name, what is allowed, what came."""
from __future__ import annotations

import contextlib
import math
import numbers
import operator
import os
import sys
import warnings
from typing import Any, Iterable, Iterator, Sequence, Tuple, Type, TypeVar, Union

import numpy as np

__all__ = ['LARGEST', 'DType', 'shown', 'instance', 'own', 'foreign', 'integer', 'whole', 'units',
           'number', 'bounds', 'choice', 'function', 'initializer', 'dtype', 'activation', 'flag',
           'integers', 'iterable', 'path', 'generator_state', 'array', 'needing', 'some', 'warn',
           'warn_once']

#: Ways to name a type of numbers: 'float32', numpy.float32, numpy.dtype('float32').
DType = Union[str, type, np.dtype]

T = TypeVar('T')
Types = Union[Type[T], Tuple[Type[T], ...]]

#: The largest integer that operators' parameters can hold.
LARGEST = 2**31 - 1

_FINITE = sys.float_info.max

#: Warnings that were already given.
GIVEN: set[str] = set()


def shown(value: object) -> str:
    """`value` in a few words for an error; never an array's numbers, which may be many."""
    return '%s (%s)' % (_in_a_line(value), type(value).__name__)


def _in_a_line(value: object) -> str:
    text = ' '.join(map(str.strip, _in_few_words(value).splitlines()))
    return text if len(text) <= 80 else text[:77] + '...'


def _in_few_words(value: object) -> str:
    if isinstance(value, int) and value.bit_length() > 256:  # Python may refuse to write its digits
        return 'a number with %d bits' % value.bit_length()
    shape = getattr(value, 'shape', None)
    if shape is not None and hasattr(value, 'asnumpy') or isinstance(value, np.ndarray) and shape:
        return 'an array of shape %s' % (shape,)
    if isinstance(value, (list, tuple)) and type(value) in (list, tuple) and value:
        items = [_in_few_words(item) for item in value[:4]] + ['...'] * (len(value) > 4)
        return ('[%s]' if type(value) is list else '(%s)') % ', '.join(items)
    if isinstance(value, dict) and type(value) is dict and value:
        return '{%s, ...}' % ', '.join('%s: %s' % (_in_few_words(key), _in_few_words(value[key]))
                                       for key in list(value)[:2])
    return repr(value)


def instance(name: str, value: object, types: Types[T], what: str) -> T:
    """Return `value` if it is an instance of `types`; `what` describes them in the error."""
    if not isinstance(value, types):
        steps = what == 'a Symbol' and isinstance(value, (list, tuple)) and value and isinstance(
            value[0], types)
        raise TypeError('%s must be %s, got %s%s' % (
            name, what, shown(value), ': unroll with merge_outputs=True makes one of all steps'
            if steps else ''))
    return value


def path(name: str, value: object) -> str:
    """Return the path `value` as a str."""
    if not isinstance(value, (str, os.PathLike)):
        raise TypeError('%s must be a path, got %s' % (name, shown(value)))
    return os.fspath(value)


def own(name: str, value: object, types: type[T], what: str) -> T:
    """As `instance`; the error says if `value` is MXNet's own, or a class instead of a cell."""
    if isinstance(value, types):
        return value
    if isinstance(value, type) and issubclass(value, types):
        raise TypeError('%s must be %s, got the class %s itself: call it to make a cell, %s(...)'
                        % (name, what, value.__name__, value.__name__))
    if foreign(value):
        raise TypeError('%s must be %s, got %s' % (name, what, foreign(value)))
    if isinstance(value, (list, tuple)) and value and hasattr(value[0], 'unroll'):
        raise TypeError('%s must be %s, got %s; to stack cells, make a SequentialRNNCell() and '
                        'add() each' % (name, what, shown(value)))
    return instance(name, value, types, what)


def foreign(value: object) -> str:
    """If `value` is a cell or class of MXNet's own: which one, and what to do; otherwise ''."""
    kind = value if isinstance(value, type) else type(value)
    use = 'use one of mxrnn, such as mxrnn.LSTMCell or mxrnn.FusedRNNCell'
    if kind.__module__.startswith('mxnet.rnn'):
        return ('%s of mxnet.rnn itself: %s. If the program uses mx.rnn, call mxrnn.install() '
                'first, and mx.rnn is mxrnn' % (kind.__name__, use))
    if kind.__module__.startswith('mxnet.gluon'):
        return ("%s of Gluon, whose cells don't share weights or graphs with these: %s"
                % (kind.__name__, use))
    return ''


def integer(name: str, value: object, least: int | None = None, most: int | None = None) -> int:
    """Return `value` as an int; NumPy integers count as integers, bools do not."""
    if type(value) is int and least is not None and least <= value and (
            most is None or value <= most):
        return value  # the fast path for the usual case
    what = 'an integer' if least is None else 'an integer of at least %d' % least
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Integral):
        raise TypeError('%s must be %s, got %s' % (name, what, shown(value)))
    if least is not None and value < least:
        raise ValueError('%s must be %s, got %s' % (name, what, shown(value)))
    if most is not None and int(value) > most:
        raise ValueError('%s must be at most %d, got %s' % (name, most, shown(value)))
    return int(value)


def whole(name: str, value: object, least: int | None = None) -> int:
    """Return `value` as an int, as `integer` does; floats that are whole numbers count too.

    For arguments in which mxnet.rnn takes 3.0 as 3.
    """
    if isinstance(value, (float, np.floating)) and math.isfinite(value) and value == int(value):
        value = int(value)
    return integer(name, value, least)


def units(value: object) -> int:
    """Return `value`, the argument num_hidden, if MXNet can count the rows of four gates."""
    return integer('num_hidden', value, 1, LARGEST // 4)


def number(name: str, value: object, least: float = -_FINITE, most: float = _FINITE) -> float:
    """Return `value` as Python's own number, with the same text, if it is in [least, most].

    An int stays an int and a float a float, because graphs' attributes show the difference.
    """
    what = 'a finite number' if most == _FINITE else 'a number from %g to %g' % (least, most)
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real):
        raise TypeError('%s must be %s, got %s' % (name, what, shown(value)))
    # NumPy would convert the bounds to its type, in which they may not fit.
    plain: Any = float(value) if isinstance(value, np.floating) else value
    if not least <= plain <= most:  # NaN fails every comparison
        raise ValueError('%s must be %s, got %s' % (name, what, shown(value)))
    if isinstance(value, numbers.Integral):
        return int(value)
    return float(str(value)) if isinstance(value, np.floating) else float(value)


def bounds(name: str, value: object) -> tuple[float, float] | None:
    """Return `value` as a tuple of two numbers, the first not the larger one, or None."""
    if value is None:
        return None
    what = 'None or two numbers (lowest, highest)'
    if not isinstance(value, (tuple, list)):
        raise TypeError('%s must be %s, got %s' % (name, what, shown(value)))
    limits = [number('each of %s' % name, item) for item in value]
    if len(limits) != 2 or limits[0] > limits[1]:
        raise ValueError('%s must be %s, got %s' % (name, what, shown(value)))
    return limits[0], limits[1]


def choice(name: str, value: object, allowed: Iterable[str]) -> str:
    """Return `value` if it is one of the strings `allowed`."""
    allowed = list(allowed)
    what = 'one of ' + ', '.join(map(repr, allowed))
    if not isinstance(value, str):
        raise TypeError('%s must be %s, got %s' % (name, what, shown(value)))
    if value not in allowed:
        raise ValueError('%s must be %s, got %s' % (name, what, shown(value)))
    return value


def function(name: str, value: T) -> T:
    """Return `value` if it can be called."""
    if not callable(value):
        raise TypeError('%s must be callable, got %s' % (name, shown(value)))
    return value


def initializer(name: str, value: T) -> T:
    """Return `value` if it can be a variable's initialiser."""
    if not (value is None or isinstance(value, str) or
            hasattr(value, 'dumps') and not isinstance(value, type)):
        raise TypeError('%s must be an Initializer, its name or None, got %s'
                        % (name, shown(value)))
    return value


def dtype(name: str, value: T) -> T:
    """Return `value` if it names a type of numbers for arrays."""
    try:
        array = isinstance(value, np.ndarray) or hasattr(value, 'asnumpy')
        known = value is not None and not array and (
            value == 'bfloat16'
            or np.dtype(value).kind in 'biuf')  # type: ignore[call-overload]
    except (TypeError, NotImplementedError):
        known = False
    if not known:
        raise TypeError("%s must be a type of numbers, such as 'float32', got %s"
                        % (name, shown(value)))
    return value


def activation(name: str, value: T, allowed: Iterable[str]) -> T:
    """Return `value` if it is one of the names `allowed` or can be called."""
    if not callable(value):
        choice(name, value, allowed)
    return value


def flag(name: str, value: T) -> T:
    """Return `value` as Python's True or False; 0 and 1 count."""
    if not isinstance(value, (bool, np.bool_)) and not (
            isinstance(value, numbers.Integral) and int(value) in (0, 1)):
        raise TypeError('%s must be True or False, got %s' % (name, shown(value)))
    return value.item() if isinstance(value, np.generic) else value


def integers(name: str, value: object, count: int, least: int) -> tuple[int, ...]:
    """Return the tuple or list `value` if it has `count` integers, each at least `least`."""
    if not isinstance(value, (tuple, list)) or len(value) != count:
        what = TypeError if not isinstance(value, (tuple, list)) else ValueError
        raise what('%s must be a tuple of %d integers, got %s' % (name, count, shown(value)))
    return (list if isinstance(value, list) else tuple)(  # type: ignore[return-value]
        integer('each of %s' % name, item, least, LARGEST) for item in value)


def array(name: str, value: object, what: str, axes: Sequence[int] = range(33)) -> np.ndarray:
    """Return `value` as an array of numbers with one of these numbers of axes."""
    try:
        found = np.asarray(value)
    except ValueError:  # sequences of different lengths
        found = np.asarray(None)
    if found.ndim not in axes or found.dtype.kind not in 'biuf':
        raise TypeError('%s must be %s, got %s' % (name, what, _in_a_line(value)))
    return found


def iterable(name: str, value: Iterable[T], what: str) -> Iterator[T]:
    """Return an iterator over `value`; `what` describes its items."""
    try:
        return iter(value)
    except TypeError:
        raise TypeError('%s must be an iterable of %s, got %s'
                        % (name, what, shown(value))) from None


def generator_state(state: Any) -> Any:
    """Return `state`, the state of a NumPy generator from a file. NumPy does not check the places
    in it and would read its next numbers from anywhere."""
    if isinstance(state, dict):
        places = [(state['state'].get('pos', 0), 624), (state.get('buffer_pos', 0), 4)]
    else:
        places = [(state[2], 624)]
    for place, most in places:
        if not 0 <= operator.index(place) <= most:
            raise ValueError('the place in a state of a generator must be from 0 to %d, got %d'
                             % (most, place))
    return state


@contextlib.contextmanager
def needing(what: str, package: str) -> Iterator[None]:
    """Add to an ImportError `what` needs the package, and how pip installs it."""
    try:
        yield
    except ImportError as error:
        raise type(error)('%s (%s): pip install %s' % (what, error, package),
                          name=error.name) from None


def warn_once(message: str) -> None:
    """As `warn`, once in a process."""
    if message not in GIVEN:
        GIVEN.add(message)
        warn(message)


def warn(message: str) -> None:
    """Warn at the program's line that called this package, directly or through MXNet."""
    packages = __name__.partition('.')[0] + '.', 'mxnet.'
    frame, level = sys._getframe(1), 2
    while frame.f_back and frame.f_globals.get('__name__', '').startswith(packages):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, stacklevel=level)


def some(names: Sequence[str]) -> str:
    """The first three of `names`."""
    return ', '.join(names[:3]) + (', …' if len(names) > 3 else '')
