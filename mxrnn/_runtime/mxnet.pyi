"""`mx` for type checkers: MXNet has no types of its own, so mxnet_types has some."""
from .._graph.graph import Graph
from . import mxnet_types as mx
from .import_patches import cures as cures

__all__ = ['RELEASE', 'cures', 'graph_of', 'json_of', 'mx']

RELEASE: tuple[int, ...]

def json_of(symbol: mx.sym.Symbol) -> str: ...

def graph_of(symbol: mx.sym.Symbol) -> Graph: ...
