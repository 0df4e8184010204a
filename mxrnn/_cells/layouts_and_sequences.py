"""Layouts: the axis of time, and a sequence as one Symbol or as a list of steps."""
from __future__ import annotations

from typing import List, Literal, Sequence, Union

from .. import _check
from .._runtime.mxnet import mx

__all__ = ['Inputs', 'Layout', 'Outputs', 'merged', 'steps_of', 'time_axis', 'time_major']

#: A whole sequence as one Symbol, or one Symbol a step.
Inputs = Union[mx.sym.Symbol, Sequence[mx.sym.Symbol]]
Outputs = Union[mx.sym.Symbol, List[mx.sym.Symbol]]
Layout = Literal['NTC', 'TNC', 'NT', 'TN', 'NTCHW', 'TNCHW', 'NTHWC', 'TNHWC', 'NTCW', 'TNCW',
                 'NTCDHW', 'TNCDHW', 'NTDHWC', 'TNDHWC']

#: The axis of time in common layouts, for speed.
_TIME_AXIS = {'NTC': 1, 'TNC': 0}


def time_axis(layout: str) -> int:
    """Axis of time in `layout`: 1 for 'NTC', 0 for 'TNC'.

    Only the first two letters matter, so images may have a layout such as 'NTCHW'.
    """
    if type(layout) is str and layout in _TIME_AXIS:
        return _TIME_AXIS[layout]
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
