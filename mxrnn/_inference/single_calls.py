"""Binds without MXNet's lines in the log, and calls that refuse to run at the same time."""
from __future__ import annotations

import contextlib
import os
import threading
from typing import Iterator

__all__ = ['OneCall', 'quiet']


class OneCall:
    """Refuses a call that begins while another one runs."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        if not self._lock.acquire(blocking=False):
            raise RuntimeError(
                'a %s serves one call at a time, and another one is running: give each thread its '
                'own %s (they share the weights), or hold a lock around the calls'
                % (self._what, self._what))

    def __exit__(self, *_: object) -> None:
        self._lock.release()


_VERBOSE = 'MXNET_SUBGRAPH_VERBOSE'
_quiet_lock = threading.Lock()
_quiet_depth = 0


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep MXNet from logging a line about its subgraph backend at each bind in the block.

    An environment variable does that. A value that the program has set stays; if there was none,
    there is none afterwards.
    """
    global _quiet_depth
    with _quiet_lock:  # for blocks in several threads: the first sets it, the last removes it
        ours = _quiet_depth > 0 or _VERBOSE not in os.environ
        if ours:
            _quiet_depth += 1
            os.environ[_VERBOSE] = '0'
    try:
        yield
    finally:
        if ours:
            with _quiet_lock:
                _quiet_depth -= 1
                if not _quiet_depth:
                    os.environ.pop(_VERBOSE, None)
