"""Counts the rooms on the way of an export: modules of interop in which a function runs.

`python -m tests.interop.rooms` prints them for the language model of MXNet's examples; modules that
are only imported, the ground floors (`_graph`) and the check do not count.
"""
from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from types import FrameType
from typing import Any, Callable

from mxrnn import interop

from .test_programs_leave import model_of

__all__ = ['rooms']

HOUSE = Path(interop.__file__).parent


def rooms(export: Callable[..., None], name: str, ending: str) -> list[str]:
    """The modules, relative to interop, that run while a program is exported."""
    found: set[str] = set()

    def enter(frame: FrameType, event: str, argument: Any) -> None:
        path = Path(frame.f_code.co_filename)
        if HOUSE in path.parents and frame.f_code.co_name != '<module>':
            found.add('.'.join(path.relative_to(HOUSE).with_suffix('').parts))
    model = model_of(name)[1]
    with tempfile.TemporaryDirectory() as folder:
        before = sys.gettrace()
        sys.settrace(enter)
        try:
            export(model, str(Path(folder, 'm' + ending)), check=False)
        finally:
            sys.settrace(before)
    return sorted(found)


if __name__ == '__main__':
    for each, ending in ((interop.to_onnx, '.onnx'), (interop.to_source, '.py')):
        names = rooms(each, 'lstm_bucketing', ending)
        print('%s: %d rooms: %s' % (each.__name__, len(names), ', '.join(names)))
