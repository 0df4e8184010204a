"""GatedCell: the step that dense and convolutional cells have in common."""
from __future__ import annotations

import functools
from typing import Any, Callable, Sequence

from .. import _check
from .._runtime.mxnet import mx
from .base import BaseRNNCell
from .gates import WEIGHTS, Activate, Activation, Step, activate
from .sequence import check_states, check_symbol
from .variables import RNNParams

__all__ = ['GatedCell']

_tanh = functools.partial(activate, activation='tanh')


class GatedCell(BaseRNNCell):
    """A cell of one recurrence: the subclass says how input and output are projected."""

    _recurrence_: Any = None
    #: Whether _get_activation applies the cell's _activation; else it is tanh, whatever a program
    #: has of these names.
    _has_activation_ = False
    _activation: Activation
    # The weights of cells that have more than four; some are None without biases.
    _iG: mx.sym.Symbol
    _hG: mx.sym.Symbol
    _rW: mx.sym.Symbol
    _cG: mx.sym.Symbol
    _cB: mx.sym.Symbol | None
    _clip_: tuple[float, float] | None = None  #: lowest and highest value of the memory
    _gate_axis_: int | None = None  #: axis of the gates in a projection, where it must be said
    _no_bias_: object = mx.base._Null  #: of the projections: True, or not said in graphs

    def __init__(self, prefix: str, params: RNNParams | None, bias: bool = True) -> None:
        super().__init__(prefix=prefix, params=params)
        if not _check.flag('bias', bias):
            self._kinds_, self._no_bias_ = ('weight',), True

    def _make_weights_(self, attributes: str, **inits: Any) -> None:
        """Ask the container for weights in the order of these `attributes`, each a key of
        `WEIGHTS`; `inits` are by the names there. A cell without biases has None for them."""
        for attribute in attributes.split():
            name = WEIGHTS[attribute]
            given = 'bias' in self._kinds_ or not name.endswith(('bias', 'beta'))
            setattr(self, '_' + attribute, self._params.get(name, init=inits.get(name))
                    if given else None)

    def _sizes_(self) -> list[str]:
        sizes = super()._sizes_() + ([] if 'bias' in self._kinds_ else ['bias=False'])
        return [*sizes, 'state_clip=%s' % (self._clip_,)] if self._clip_ else sizes

    @property
    def _gate_names(self) -> Sequence[str]:
        return self._recurrence_.gates[:]

    def _project_(self, inputs: mx.sym.Symbol, states: list[mx.sym.Symbol], name: str
                  ) -> tuple[mx.sym.Symbol, mx.sym.Symbol]:
        raise NotImplementedError('%s does not define _project_' % type(self).__name__)

    def __call__(self, inputs: mx.sym.Symbol, states: list[mx.sym.Symbol]) -> Step:
        check_symbol('inputs', inputs)
        return self._step_(inputs, check_states(states, self._recurrence_.num_states, self))

    def _later_step_(self) -> Callable[..., Step]:
        # Without checks: its states are its own by then. The __call__ of a program is called.
        return self._step_ if type(self).__call__ is GatedCell.__call__ else self

    def _step_(self, inputs: mx.sym.Symbol, states: list[mx.sym.Symbol]) -> Step:
        self._counter += 1
        name = '%st%d_' % (self._prefix, self._counter)
        i2h, h2h = self._project_(inputs, states, name)
        return self._recur_(i2h, h2h, states,
                            self._activate_ if self._has_activation_ else _tanh, name)

    def _activate_(self, inputs: mx.sym.Symbol, **kwargs: Any) -> mx.sym.Symbol:
        return self._get_activation(inputs, self._activation, **kwargs)

    def _recur_(self, i2h: mx.sym.Symbol, h2h: mx.sym.Symbol, states: list[mx.sym.Symbol],
                activate: Activate, name: str) -> Step:
        """Output and new states from the projections; `name` begins the names of the step."""
        return self._recurrence_.step(i2h, h2h, states, activate, name, self._gate_axis_,
                                      **self._further_(name))

    def _further_(self, name: str) -> dict[str, Any]:
        """Further arguments of the recurrence's step."""
        return {'clip': self._clip_} if self._clip_ else {}
