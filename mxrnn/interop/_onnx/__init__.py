"""Graphs of MXNet in ONNX."""
