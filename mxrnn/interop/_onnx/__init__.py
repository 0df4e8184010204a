"""Converts a plan to the bytes of ONNX files. It needs the package onnx.

In reading order:

- `builder`: the nodes of a file, and operators of ONNX as calls
- `elementwise`, `reductions`, `arrays`, `sequences`, `layers`, `recurrences`, `samplers`:
  converters of MXNet's operators
- `conversion`: `contents`, which converts a plan with these
"""
