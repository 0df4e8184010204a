"""Processes that a program under ``python -m mxrnn run`` starts with multiprocessing.

They import MXNet anew unless they are forked. If they are spawned or come from a fork server, they
begin with `mxrnn._runtime.spawned_main`, which does there what `run` does in the program.
"""
from __future__ import annotations

import json
import os
import runpy
import sys
from importlib.machinery import PathFinder

from . import finder

__all__ = ['keep_findable', 'main_of_child', 'prepare_children']

#: The environment variable that tells children the main module.
_MAIN = 'MXRNN_MAIN_OF_CHILDREN'
_CHILD = 'mxrnn._runtime.spawned_main'


def keep_findable() -> None:
    """Let children find this mxrnn if it is in the current folder and not installed."""
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    found = PathFinder.find_spec('mxrnn')
    if found is None or os.path.dirname(os.path.abspath(found.origin or '')) != package:
        sys.path.insert(1, os.path.dirname(package))


def prepare_children() -> None:
    """Make multiprocessing tell spawned children to begin with `_CHILD`."""
    from multiprocessing import spawn
    original = spawn.get_preparation_data

    def get_preparation_data(name: str) -> dict[str, object]:
        data = original(name)
        ways = {way: data.pop(way) for way in ('init_main_from_name', 'init_main_from_path')
                if way in data}
        os.environ[_MAIN] = json.dumps(ways)
        data['init_main_from_name'] = _CHILD
        return data

    spawn.get_preparation_data = get_preparation_data


def main_of_child() -> dict[str, object]:
    """Return the content that the main module of a process under `run` must have."""
    finder.replace_rnn()
    ways = json.loads(os.environ.get(_MAIN, '{}'))
    content: dict[str, object] = {}
    name = ways.get('init_main_from_name', '__main__')
    if 'init_main_from_path' in ways:
        content = runpy.run_path(ways['init_main_from_path'], run_name='__mp_main__')
    elif name.rpartition('.')[2] != '__main__':  # multiprocessing does not run that again
        content = runpy.run_module(name, run_name='__mp_main__', alter_sys=True)
    # Without the attribute that tells multiprocessing that children begin with `_CHILD`.
    for special in ('__spec__', '__loader__', '__package__', '__cached__', '__builtins__'):
        content.pop(special, None)
    return content
