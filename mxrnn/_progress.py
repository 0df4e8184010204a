"""A line on the terminal that moves while a command runs long."""
from __future__ import annotations

import contextlib
import sys
import threading
import time
from typing import Iterator

__all__ = ['clear', 'working']

_FIRST, _NEXT = 2, 1  #: seconds until the line is shown, and until it moves

_lock = threading.Lock()
_shown = False


def clear() -> None:
    """Remove the line before other text is written to the terminal."""
    global _shown
    with _lock:
        if _shown:
            sys.stderr.write('\r\x1b[K')
            sys.stderr.flush()
            _shown = False


@contextlib.contextmanager
def working(text: str) -> Iterator[None]:
    """Show `text` and the seconds so far, if the error output is a terminal."""
    if not sys.stderr.isatty():
        yield
        return
    began, done = time.monotonic(), threading.Event()

    def move() -> None:
        global _shown
        wait: float = _FIRST
        while not done.wait(wait):
            with _lock:
                sys.stderr.write('\r\x1b[K%s: %d s' % (text[:60], time.monotonic() - began))
                sys.stderr.flush()
                _shown = True
            wait = _NEXT

    mover = threading.Thread(target=move, daemon=True)
    mover.start()
    try:
        yield
    finally:
        done.set()
        mover.join()
        clear()
