"""`mx` for type checkers: MXNet has no types of its own, so mxnet_types has some."""
from . import mxnet_types as mx
from .import_patches import cures as cures

__all__ = ['RELEASE', 'cures', 'mx']

RELEASE: tuple[int, ...]
