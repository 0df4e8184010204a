"""Compares what an export wrote with its checkpoint, on random data."""
