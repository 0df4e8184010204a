"""Patches MXNet in every program of an environment; ``python -m mxrnn enable`` copies this file.

Each start of Python imports it, so it does almost nothing: it waits for an import of MXNet and
calls mxrnn then. If mxrnn was uninstalled, it does nothing at all.
"""
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ['cure', 'replace']


class Waiting:
    """Waits for the first import of MXNet."""

    def __init__(self, replaces_rnn: bool) -> None:
        self.replaces_rnn = replaces_rnn

    def find_spec(self, name: str, path: object = None, target: object = None) -> 'Any':
        if name != 'mxnet':
            return None
        try:
            from mxrnn._runtime import finder
        except ImportError:
            return None
        return finder.enable().find_spec(name, path, target)


def cure() -> None:
    """Let ``import mxnet`` work on current Python and NumPy."""
    sys.meta_path.insert(0, Waiting(False))  # type: ignore[arg-type]


def replace() -> None:
    """The same, and replace mxnet.rnn by mxrnn."""
    sys.meta_path.insert(0, Waiting(True))  # type: ignore[arg-type]
