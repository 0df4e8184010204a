"""Names, shapes and batch axes of a network's states; checks and begin states made of them."""
from __future__ import annotations

from typing import List, NamedTuple, Sequence

import numpy as np

from .._check import DType
from .._runtime.mxnet import mx

__all__ = ['StateSpecs', 'States']

States = List[mx.nd.NDArray]


class StateSpec(NamedTuple):
    """What is known of a state: name, shape (0 for open sizes), axis of the batch."""

    name: str
    shape: tuple[int, ...] | None
    axis: int

    @classmethod
    def of(cls, variable: mx.sym.Symbol) -> StateSpec:
        """Read a Variable's attributes."""
        shape = variable.attr('__shape__')
        sizes = None if shape is None else tuple(
            max(0, int(n)) for n in shape.strip('()[] ').split(',') if n.strip())
        return cls(variable.name, sizes, max(0, (variable.attr('__layout__') or 'N').find('N')))

    def sized(self, batch_size: int) -> tuple[int, ...]:
        """The shape for this batch size; () if it is not known."""
        return tuple(batch_size if i == self.axis else n for i, n in enumerate(self.shape or ()))

    def fits(self, shape: tuple[int, ...], batch_size: int) -> bool:
        """Whether an array of this shape can be the state for this batch size."""
        if self.shape is None:
            return len(shape) > self.axis and shape[self.axis] == batch_size
        return len(shape) == len(self.shape) and all(
            came == batch_size if i == self.axis else want in (0, came)
            for i, (want, came) in enumerate(zip(self.shape, shape)))


class StateSpecs:
    """A network's states, in order."""

    def __init__(self, variables: Sequence[mx.sym.Symbol]) -> None:
        self.specs = [StateSpec.of(variable) for variable in variables]
        self.names = [spec.name for spec in self.specs]
        if len(set(self.names)) < len(self.names):
            raise ValueError('the states must have different names, got %s: give each cell its '
                             'own prefix' % ', '.join(self.names))

    def __len__(self) -> int:
        return len(self.specs)

    def zeros(self, batch_size: int, context: mx.Context, types: Sequence[DType]) -> States:
        """States of zero."""
        for spec in self.specs:
            if not spec.shape or not all(spec.sized(1)):
                raise ValueError(
                    'begin_state needs shapes, with 0 for the batch, to begin with zeros: %r has '
                    '%s. Make it with mx.sym.Variable(name, shape=(0, units)), or pass your own '
                    'states to step' % (spec.name, spec.shape or 'none'))
        return [mx.nd.zeros(spec.sized(batch_size), ctx=context, dtype=dtype)
                for spec, dtype in zip(self.specs, types)]

    def check(self, states: object) -> int | None:
        """Refuse states that do not fit this network; return the batch size, if there are any."""
        if not isinstance(states, (list, tuple)):
            raise TypeError('states must be a list of %d arrays, as begin and step return, got a '
                            '%s' % (len(self), type(states).__name__))
        if len(states) != len(self):
            raise ValueError('states must be those of this network, %s, got %d arrays'
                             % (', '.join(self.names) or 'none', len(states)))
        batch_size = None
        for spec, state in zip(self.specs, states):
            if not isinstance(state, mx.nd.NDArray):
                raise TypeError('states must be NDArrays, but that of %s is a %s'
                                % (spec.name, type(state).__name__))
            shape = state.shape
            if batch_size is None:
                batch_size = shape[spec.axis] if len(shape) > spec.axis else 0
            if not spec.fits(shape, batch_size):
                expected = ('have the shape %s' % (spec.sized(batch_size),) if spec.shape
                            else 'be of batch size %d' % batch_size)
                raise ValueError('states must fit this network and have one batch size: the state '
                                 '%s must %s, got the shape %s' % (spec.name, expected, shape))
        return batch_size

    def take(self, states: States, indices: object, context: mx.Context) -> States:
        """The states of the sequences `indices`."""
        batch_size = self.check(states)
        if isinstance(indices, mx.nd.NDArray):
            indices = indices.asnumpy()
        chosen = np.atleast_1d(np.asarray(indices))
        if chosen.ndim != 1 or not chosen.size or chosen.dtype.kind not in 'iuf' or (
                chosen != np.floor(chosen)).any():
            raise TypeError('indices must be a list of integers, got %.80r' % (indices,))
        if batch_size is not None and not 0 <= chosen.min() <= chosen.max() < batch_size:
            raise ValueError('indices must be from 0 to %d, for the %d sequences, got %.80s'
                             % (batch_size - 1, batch_size, chosen.tolist()))
        where = mx.nd.array(chosen, ctx=context, dtype='int32')
        return [mx.nd.take(state, where, axis=spec.axis)
                for spec, state in zip(self.specs, states)]
