"""Graphs and weights of MXNet programs, without MXNet."""
from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .._files import CheckpointError
from .._graph.graph import Entry, Graph, Node, attr_value
from .._graph.symbol_json import graph_from_json, graph_to_json
from .export_onnx import to_onnx
from .model import Model, load, save
from .registry import ExportError, register
from .run.load_stepper import load_stepper
from .run.onnx_stepper import OnnxStepper

if TYPE_CHECKING:
    from ._source.from_source import from_source, from_torch
    from .export_source import to_source
    from .torch_model import to_torch

__all__ = ['CheckpointError', 'Entry', 'ExportError', 'Graph', 'Model', 'Node', 'OnnxStepper',
           'attr_value', 'from_source', 'from_torch', 'graph_from_json', 'graph_to_json', 'load',
           'load_stepper', 'register', 'save', 'to_onnx', 'to_source', 'to_torch']

#: Names that need torch, and their modules.
_TORCH = {'to_torch': 'torch_model', 'from_torch': '_source.from_source',
          'to_source': 'export_source', 'from_source': '_source.from_source'}


def __getattr__(name: str) -> Any:
    import importlib
    if name not in _TORCH:
        raise AttributeError('module %r has no attribute %r' % (__name__, name))
    try:
        module = importlib.import_module('.' + _TORCH[name], __name__)
    except ModuleNotFoundError as error:
        if error.name != 'torch':
            raise
        raise ModuleNotFoundError('interop.%s needs torch: pip install torch' % name,
                                  name='torch') from None
    return getattr(module, name)
