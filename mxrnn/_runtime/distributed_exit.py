"""The end of a process in distributed training: whether it failed, and not waiting for others."""
from __future__ import annotations

import builtins
import contextlib
import ctypes
import faulthandler
import functools
import os
import sys
import threading
import types
from typing import Callable, NoReturn, Union

__all__ = ['STATUS', 'end', 'end_with_python', 'failed', 'note_failures', 'say']

#: The status of a process that ends because another is gone: start all of them again.
STATUS = 75

#: What a process can end with.
Status = Union[int, str, None]

failed = False  #: whether this process ends by an error, or with a status other than 0


def note_failures() -> None:
    """Make `failed` tell from now on whether this process fails."""
    sys.excepthook, sys.exit = functools.partial(_note, sys.excepthook), _exit
    for name in ('exit', 'quit'):  # not there under python -S
        if hasattr(builtins, name):
            setattr(builtins, name, _quit)


def _note(show: Callable[..., None], kind: type[BaseException], error: BaseException,
          trace: types.TracebackType | None) -> None:
    """Show an error as `sys.excepthook` does, and note that it ends this process."""
    global failed
    failed = not hasattr(sys, 'ps1')  # in an interactive session it only ends a statement
    show(kind, error, trace)


class _Exit(SystemExit):
    """Ends the process like SystemExit, and notes the status."""

    @property
    def code(self) -> Status:  # type: ignore[override]
        """The status; Python asks for it if nothing has caught this."""
        global failed
        status = self.args[0] if self.args else None
        if sys._getframe().f_back is None:
            failed = status not in (None, 0)
        return status


def _exit(status: Status = None, /) -> NoReturn:
    """Do what `sys.exit` does, but note that the process ends."""
    if threading.current_thread() is not threading.main_thread():
        raise SystemExit(status)  # threading reports all but this class itself
    raise _Exit(status)


def _quit(code: Status = None) -> NoReturn:
    """Do so as `exit` and `quit`, which also take the status by name."""
    _exit(code)


def end_with_python(seconds: float) -> None:
    """End this process with its status once Python has ended, even if MXNet would wait."""
    faulthandler.dump_traceback_later(seconds, exit=True, file=2)
    library = ctypes.CDLL(None)
    library.on_exit(library._exit, None)


def say(text: str) -> None:
    with contextlib.suppress(OSError):
        os.write(2, ('mxrnn: %s\n' % text).encode())


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()


def end(reason: str, role: str) -> None:
    """End this process, whatever its main thread waits for, and the children that it started."""
    flushing = threading.Thread(target=_flush, daemon=True)
    flushing.start()
    flushing.join(1)  # the main thread may hold the lock that this waits for
    say('%s, so this %s ends and can be started again (status %d)' % (reason, role, STATUS))
    multiprocessing = sys.modules.get('multiprocessing')
    if multiprocessing is not None:
        for child in multiprocessing.active_children():
            child.terminate()
    os._exit(STATUS)
