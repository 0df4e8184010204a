"""`mx` for type checkers: MXNet has no types of its own, so mxnet_types has some."""
import numpy as np

from .._graph.graph import Graph
from . import mxnet_types as mx
from .import_patches import cures as cures

__all__ = ['RELEASE', 'address', 'cures', 'graph_of', 'json_of', 'mx', 'part', 'room']

RELEASE: tuple[int, ...]

def json_of(symbol: mx.sym.Symbol) -> str: ...

def graph_of(symbol: mx.sym.Symbol) -> Graph: ...

def address(array: mx.nd.NDArray) -> int: ...

def room(shape: tuple[int, ...], dtype: np.dtype) -> tuple[mx.nd.NDArray, np.ndarray]: ...

def part(array: mx.nd.NDArray, i: int) -> mx.nd.NDArray: ...
