"""Runs files and models: one module for each kind."""
