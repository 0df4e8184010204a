"""Graphs of MXNet as plain objects: what operators mean, which weights they take. No MXNet."""
