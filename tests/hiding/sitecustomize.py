"""Makes packages look as if they were not installed: those of the variable HIDDEN."""
import importlib.machinery
import os

_find = importlib.machinery.PathFinder.find_spec
importlib.machinery.PathFinder.find_spec = classmethod(
    lambda _, name, *rest: None if name in os.environ['HIDDEN'].split() else _find(name, *rest))
