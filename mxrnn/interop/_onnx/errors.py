"""What is raised where ONNX cannot hold a model."""
from __future__ import annotations

__all__ = ['ExportError', 'Unsupported']


class ExportError(ValueError):
    """A model cannot be written as ONNX; the message names the nodes and says why."""


class Unsupported(Exception):
    """What a node asks for has no counterpart in ONNX; the message says what."""
