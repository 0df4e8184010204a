"""Checkpoints: writing whole files or none, and fitting them to graphs and modules."""
