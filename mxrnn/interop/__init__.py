"""Graphs and weights of MXNet programs, without MXNet.

Folders: `prepare` makes a plan, `_onnx` and `_source` write it, `run` and `check` try what they
wrote. Modules:

- `registry`: operators of back ends and of programs
- `pack_gate_weights`: weights by gate in the arrays of a graph
- `model`: a graph with its weights
- `seals`: what an export may replace
- `layers_picture`: layers as SVG
- `export_onnx`: `to_onnx`
- `export_source`: `to_source`, and back `from_source` and `from_torch`
- `torch_model`: `to_torch`
- `gluonts_lacking_transforms`: transformations of series that GluonTS lacks
- `forecaster_module`: the torch module of a forecaster, which takes the fields of GluonTS
- `gluonts_without_graph`: models of GluonTS that have no graph
- `gluonts`: predictors of GluonTS
"""
from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .._files import CheckpointError
from .._graph.graph import Entry, Graph, Node, attr_value
from .._graph.symbol_json import graph_from_json, graph_to_json
from .export_onnx import to_onnx
from .model import Model, load, save
from .registry import ExportError, register
from .run.onnx_stepper import OnnxStepper, load_stepper

if TYPE_CHECKING:
    from . import gluonts as gluonts
    from .export_source import from_source, from_torch, to_source
    from .torch_model import to_torch

__all__ = ['CheckpointError', 'Entry', 'ExportError', 'Graph', 'Model', 'Node', 'OnnxStepper',
           'attr_value', 'from_source', 'from_torch', 'graph_from_json', 'graph_to_json', 'load',
           'load_stepper', 'register', 'save', 'to_onnx', 'to_source', 'to_torch']

#: Names that need torch, and their modules.
_TORCH = {'to_torch': 'torch_model', 'to_source': 'export_source',
          'from_source': 'export_source', 'from_torch': 'export_source'}


def __getattr__(name: str) -> Any:
    import importlib
    if name == 'gluonts':
        return importlib.import_module('.gluonts', __name__)
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
