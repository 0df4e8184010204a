"""Says on the error output what a command that runs long is doing, and for how long."""
from __future__ import annotations

import contextlib
import sys
import threading
import time
from typing import Iterator

__all__ = ['clear', 'working']

#: Seconds until a terminal has the line, and until the line moves; between lines in a file.
_FIRST, _NEXT, _IN_FILE = 2, 1, 10

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
    """Show `text` and the seconds so far: in one line on a terminal, in further lines elsewhere."""
    terminal = sys.stderr.isatty()
    began, done = time.monotonic(), threading.Event()

    def move() -> None:
        global _shown
        wait: float = _FIRST if terminal else _IN_FILE
        while not done.wait(wait):
            line = '%s: %d s' % (text[:70], time.monotonic() - began)
            with _lock:
                sys.stderr.write('\r\x1b[K' + line if terminal else line + '\n')
                sys.stderr.flush()
                _shown = terminal
            wait = _NEXT if terminal else _IN_FILE

    mover = threading.Thread(target=move, daemon=True)
    mover.start()
    try:
        yield
    finally:
        done.set()
        mover.join()
        clear()
