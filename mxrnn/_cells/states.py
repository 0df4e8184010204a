"""States: their shapes and their checks."""
from __future__ import annotations

from typing import Any, Dict, Sequence, Union

from .._runtime.mxnet import mx

__all__ = ['StateInfo', 'States', 'check_states', 'flatten']

#: Symbols in any nesting, as `unroll` takes and returns them.
States = Union[mx.sym.Symbol, Sequence['States']]
#: A state's shape and layout, by the keywords of `begin_state`.
StateInfo = Dict[str, Any]


def check_states(states: States, count: int, whose: Any) -> list[mx.sym.Symbol]:
    """Return `states`, in any nesting, as a flat list of `count` Symbols."""
    flat = flatten(states)
    if len(flat) != count:
        silent = [cell for cell in whose._all_cells_() if not cell._gives_states_()]
        raise ValueError('states of %r must be %d Symbols, as its begin_state() returns, got %d%s'
                         % (whose, count, len(flat), ''.join(
                             '; unroll of %r returns its states only with get_next_state=True'
                             % cell for cell in silent[:1])))
    return flat


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
