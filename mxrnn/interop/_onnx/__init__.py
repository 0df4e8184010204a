"""Converts a plan to the bytes of ONNX files. It needs the package onnx.

In reading order:

- `builder`: the nodes of a file, and operators of ONNX as calls
- `arrays`: operators that make arrays, move elements or look them up
- `elementwise`: operators of MXNet on each element
- `reductions`: operators that reduce or order elements
- `sequences`: RNN, loops, operators with lengths
- `layers`: matrix products, convolutions, norms, losses
- `samplers`: random numbers
- `conversion`: `contents`, which converts a plan with these
"""
