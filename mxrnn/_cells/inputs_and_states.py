"""Checks of inputs and states."""
from __future__ import annotations

from typing import Any, Callable, Dict, Mapping, Sequence, Union

from .. import _check
from .._files import reason_of
from .._runtime.mxnet import mx
from .known_shapes_and_types import joins_are_known, known_shape
from .layouts_and_sequences import Inputs, time_axis

__all__ = ['StateInfo', 'States', 'check_inputs', 'check_length', 'check_states', 'check_symbol',
           'flatten', 'make_state']

Symbol = mx.sym.Symbol  #: looked up once, because every step uses it

#: Symbols in any nesting, as `unroll` takes and returns them.
States = Union[mx.sym.Symbol, Sequence[Any]]
#: A state's shape and layout, by the keywords of `begin_state`.
StateInfo = Dict[str, Any]


def check_symbol(name: str, value: object, what: str = 'a Symbol') -> mx.sym.Symbol:
    """Return `value` if it is a Symbol with one output; `what` describes it in the error."""
    symbol: Symbol = (value if type(value) is Symbol else  # the fast path for steps
                      _check.instance(name, value, Symbol, what))
    if len(symbol) != 1:
        raise ValueError('%s must be %s, got a group of %d outputs (%s)'
                         % (name, what, len(symbol), ', '.join(symbol.list_outputs()[:3])))
    return symbol


def check_inputs(length: int | None, inputs: Inputs, layout: str) -> None:
    """Refuse anything but a sequence of `length` steps; None allows any length."""
    time_axis(layout)
    if length is not None:
        _check.integer('length', length, 1, _check.LARGEST)
    if isinstance(inputs, mx.sym.Symbol):
        check_symbol('inputs', inputs, 'one Symbol, or a list of Symbols such as list(group)')
        shape = known_shape(inputs)
        if len(shape) == 1:
            raise ValueError('inputs must have axes for batch and time, got the shape %s'
                             % (shape,))
        if shape:
            check_length(length, inputs, layout)
        return
    if not isinstance(inputs, (list, tuple)):
        raise TypeError('inputs must be a Symbol or a list of Symbols, one a step, got %s'
                        % type(inputs).__name__)
    if not _all_single(inputs):
        for i, step in enumerate(inputs):
            check_symbol('inputs[%d]' % i, step)
    if not inputs or length not in (None, len(inputs)):
        raise ValueError('inputs must have one Symbol for each of length=%s steps, got %d Symbols'
                         % (length, len(inputs)))


def _all_single(symbols: Sequence[object]) -> bool:
    """Whether all of `symbols` are Symbols with one output each."""
    for symbol in symbols:
        if type(symbol) is not Symbol or len(symbol) != 1:
            return False
    return True


def check_states(states: States, count: int, whose: Any) -> list[mx.sym.Symbol]:
    """Return `states`, in any nesting, as a flat list of `count` Symbols."""
    if type(states) is list and len(states) == count and _all_single(states):
        return states  # the usual case, once a step
    flat = flatten(states)
    if len(flat) != count:
        silent = [cell for cell in whose._all_cells_() if not cell._gives_states_()]
        raise ValueError('states of %r must be %d Symbols, as its begin_state() returns, got %d%s'
                         % (whose, count, len(flat), ''.join(
                             '; unroll of %r returns its states only with get_next_state=True'
                             % cell for cell in silent[:1])))
    return flat


def make_state(func: Callable[..., Symbol], name: str, keywords: Mapping[str, object]) -> Symbol:
    """Make a state with `func`, the argument of begin_state; errors take one line."""
    try:
        return func(name=name, **keywords)
    except mx.base.MXNetError as error:
        raise TypeError('func of begin_state must make a Symbol from the arguments name, %s; '
                        '%s says: %s' % (', '.join(keywords), getattr(func, '__name__', func),
                                         reason_of(error))) from None


def flatten(states: States) -> list[mx.sym.Symbol]:
    """The Symbols in `states`, in any nesting."""
    if not isinstance(states, (list, tuple, mx.sym.Symbol)):
        raise TypeError('states must be a list of Symbols, as begin_state() returns, got %s'
                        % type(states).__name__)
    flat: list[mx.sym.Symbol] = []
    for state in states:
        if isinstance(state, mx.sym.Symbol) and len(state) == 1:
            flat.append(state)
        else:
            flat.extend(flatten(state))
    return flat


def check_length(length: int | None, inputs: Symbol, layout: str) -> None:
    """Refuse a sequence whose known shape has another number of steps."""
    shape, axis = known_shape(inputs), time_axis(layout)
    if length is not None and shape[axis:axis + 1] not in ((), (0,), (length,)) \
            and joins_are_known(inputs):
        raise ValueError('length must be the number of steps of inputs: their shape %s has %d in '
                         'layout %r, got %d' % (shape, shape[axis], layout, length))
