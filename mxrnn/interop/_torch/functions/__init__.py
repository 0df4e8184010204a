"""Functions for operators whose text for sources would not do in a module: torch has no call for
them, or the function is faster, has MXNet's gradients, refuses what MXNet refuses, or needs no
known axes. All other operators run their text.
"""
from . import elementwise, layers, losses, reduce_sort_index, shape  # noqa: F401
