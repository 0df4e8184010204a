"""Checkpoints: files that are whole or not there, and what fits them to graphs and modules."""
