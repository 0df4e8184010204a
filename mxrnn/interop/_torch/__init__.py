"""Graphs of MXNet in torch."""
