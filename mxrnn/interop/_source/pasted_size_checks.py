"""Checks of sizes that a source may need; it gets them as text."""
from __future__ import annotations

from torch import Tensor

__all__ = ['check_equal', 'check_least', 'check_range', 'check_shape']


def check_shape(name: str, x: Tensor, *sizes: int) -> None:
    """Refuse a shape that differs from the graph's; -1 stands for any size."""
    if x.dim() != len(sizes) or any(size not in (-1, own) for size, own in zip(sizes, x.shape)):
        wanted = ', '.join('any' if size == -1 else str(size) for size in sizes)
        raise ValueError(f'{name} must have the shape ({wanted}), got {tuple(x.shape)}')


def check_equal(*sizes: int) -> None:
    """Refuse unequal sizes of arrays that are equal in the graph."""
    if any(size != sizes[0] for size in sizes):
        raise ValueError(f'these sizes must be equal: {", ".join(map(str, sizes))}')


def check_least(size: int, needed: int) -> None:
    """Refuse an axis that has fewer elements than are cut out of it."""
    if size < needed:
        raise ValueError(f'the axis must have at least {needed} elements to cut out, got {size}')


def check_range(size: int, least: int, most: int) -> None:
    """Refuse a size for which windows leave another number than the graph splits by."""
    if not least <= size <= most:
        raise ValueError(f'this size must be from {least} to {most}, got {size}')
