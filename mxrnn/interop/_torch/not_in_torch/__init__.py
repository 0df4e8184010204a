"""Operators that torch has no single call for. Most others run the text for sources."""
