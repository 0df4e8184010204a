"""Sequences, as one Symbol in a layout or as a list of steps, and their checks."""
from __future__ import annotations

from typing import List, Literal, Sequence, Union

from .. import _check
from .._runtime.mxnet import mx
from .known_shapes import joins_are_known, known_shape

__all__ = ['Inputs', 'Layout', 'Outputs', 'check_inputs', 'check_length',
           'check_symbol', 'merged', 'steps_of', 'time_axis', 'time_major']

#: A whole sequence as one Symbol, or one Symbol a step.
Inputs = Union[mx.sym.Symbol, Sequence[mx.sym.Symbol]]
Outputs = Union[mx.sym.Symbol, List[mx.sym.Symbol]]
Layout = Literal['NTC', 'TNC', 'NT', 'TN', 'NTCHW', 'TNCHW', 'NTHWC', 'TNHWC', 'NTCW', 'TNCW',
                 'NTCDHW', 'TNCDHW', 'NTDHWC', 'TNDHWC']


def time_axis(layout: str) -> int:
    """Axis of time in `layout`: 1 for 'NTC', 0 for 'TNC'.

    Only the first two letters matter, so images may have a layout such as 'NTCHW'.
    """
    if not isinstance(layout, str):
        raise TypeError("layout must be 'NTC' or 'TNC', got %s" % _check.shown(layout))
    if layout[:2] not in ('NT', 'TN') or len(set(layout)) != len(layout):
        raise ValueError("layout must be 'NTC' (batch, time, channels) or 'TNC' (time, batch, "
                         'channels), got %r' % layout)
    return layout.index('T')


def steps_of(length: int | None, inputs: Inputs, layout: str) -> list[mx.sym.Symbol]:
    """`inputs` as a list of steps."""
    if not isinstance(inputs, mx.sym.Symbol):
        return list(inputs)
    if length is None:
        raise ValueError('give length to split a Symbol into steps, got None; fuse and '
                         'dynamic_unroll make a graph for any length')
    return list(mx.sym.split(inputs, axis=time_axis(layout), num_outputs=length, squeeze_axis=1))


def merged(inputs: Inputs, layout: str) -> mx.sym.Symbol:
    """`inputs` as one Symbol."""
    if isinstance(inputs, mx.sym.Symbol):
        return inputs
    axis = time_axis(layout)
    return mx.sym.Concat(*[mx.sym.expand_dims(step, axis=axis) for step in inputs], dim=axis)


def time_major(inputs: mx.sym.Symbol, layout: str) -> mx.sym.Symbol:
    """Swap batch and time if `layout` is batch-major; applying it twice undoes it."""
    return mx.sym.swapaxes(inputs, dim1=0, dim2=1) if time_axis(layout) == 1 else inputs


def check_symbol(name: str, value: object, what: str = 'a Symbol') -> mx.sym.Symbol:
    """Return `value` if it is a Symbol with one output; `what` describes it in the error."""
    symbol: mx.sym.Symbol = _check.instance(name, value, mx.sym.Symbol, what)
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
    for i, step in enumerate(inputs):
        check_symbol('inputs[%d]' % i, step)
    if not inputs or length not in (None, len(inputs)):
        raise ValueError('inputs must have one Symbol for each of length=%s steps, got %d Symbols'
                         % (length, len(inputs)))


def check_length(length: int | None, inputs: mx.sym.Symbol, layout: str) -> None:
    """Refuse a sequence whose known shape has another number of steps."""
    shape, axis = known_shape(inputs), time_axis(layout)
    if length is not None and shape[axis:axis + 1] not in ((), (0,), (length,)) \
            and joins_are_known(inputs):
        raise ValueError('length must be the number of steps of inputs: their shape %s has %d in '
                         'layout %r, got %d' % (shape, shape[axis], layout, length))
