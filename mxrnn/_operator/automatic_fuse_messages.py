"""What a program that runs with --fuse is told: a report at its end, and why a step is missing."""
from __future__ import annotations

import atexit
import re
import sys
from typing import Any

from .._runtime import finder
from .._runtime.mxnet import mx

__all__ = ['explain_missing_steps', 'note']

#: What became of cells and graphs, and how often.
_noted: dict[str, int] = {}

#: Prefixes of cells whose steps are inside an operator.
_fused: set[str] = set()


def note(text: str) -> None:
    """Report at the end, if requested, what became of a cell or a graph."""
    if finder.reports and not _noted:
        atexit.register(_report)
    _noted[text] = _noted.get(text, 0) + 1


def _report() -> None:
    lines = ['%s %d time%s' % (text, count, 's' * (count > 1)) for text, count in _noted.items()]
    print('\n'.join(['mxrnn, run with --fuse:', *lines]), file=sys.stderr)


def explain_missing_steps(prefixes: set[str]) -> None:
    """Explain from now on why a graph has no step, if cells with these prefixes are inside an
    operator.
    """
    patched = bool(_fused)
    _fused.update(prefixes)
    if patched or not prefixes:
        return
    kind: Any = mx.sym.Symbol
    original = kind.__getitem__

    def get(self: Any, index: Any) -> Any:
        try:
            return original(self, index)
        except ValueError as error:
            step = re.match(r'(.*?)t\d+_', index) if isinstance(index, str) else None
            if step is None or step.group(1) not in _fused:
                raise
            raise ValueError('%s: with --fuse (or MXRNN_FUSE=1) the steps of %r are one operator; '
                             'run the program without it' % (error, step.group(1))) from None

    kind.__getitem__ = get
