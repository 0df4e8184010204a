"""What cannot be written as ONNX, and sizes of slices."""
from __future__ import annotations

from typing import Any

from ..._graph.sizes import Size, resolve

__all__ = ['ExportError', 'Unsupported', 'interval']


class ExportError(ValueError):
    """A model cannot be written as ONNX; the message names the nodes and says why."""


class Unsupported(Exception):
    """What a node asks for has no counterpart in ONNX; the message says what."""


def interval(begin: int | None, end: int | None, size: Size, step: int = 1) -> Any:
    """How many of `size` elements begin:end:step takes, or None if that depends on the data."""
    size = resolve(size)
    if isinstance(size, int):
        return len(range(size)[begin:end:step])
    if begin in (0, None) and end is None and abs(step) == 1:
        return size
    known = [bound for bound in (begin, end) if bound is not None]
    if step == 1 and len(known) == 2 and (begin >= 0) == (end >= 0):  # type: ignore[operator]
        return max(known[1] - known[0], 0)  # as long as the axis is long enough
    if step == 1 and end is None and begin is not None and begin < 0:
        return -begin
    if step == 1 and begin in (0, None) and end is not None and end > 0:
        return end
    return None
