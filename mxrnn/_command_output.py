"""What all commands on models print, and what all check first: the checkpoint, and the targets."""
from __future__ import annotations

import argparse
import contextlib
import os
import sys
import textwrap
import threading
import time
from typing import TYPE_CHECKING, Iterator, Sequence

from ._runtime.versions import reason

if TYPE_CHECKING:
    from .interop.model import Model

__all__ = ['check_target', 'clear', 'failed', 'faults', 'load', 'newest_of', 'say', 'working']

#: The width of lines, whatever the terminal, because outputs also go into files and reports.
_COLUMNS = 79

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


def say(title: str, text: str) -> None:
    """Print a line with a title, wrapped if it is long, but not within an option to type."""
    clear()
    whole = text.replace('--input ', '--input\0')
    print(textwrap.fill(whole, _COLUMNS, initial_indent='%-11s ' % (title + ':'),
                        subsequent_indent=' ' * 12, break_on_hyphens=False,
                        break_long_words=False).replace('\0', ' '))


def load(options: argparse.Namespace) -> Model:
    """The checkpoint in the options; for a folder of GluonTS, its network's checkpoint."""
    from . import interop
    if options.symbol is not None:
        model = interop.load(symbol=options.symbol, params=options.params)
        plain = [name for name in model.names if not name.startswith(('arg:', 'aux:'))]
        if plain:
            from ._check import some
            say('note', 'parameters without the prefix arg: are taken as arguments: %s'
                % some(plain))
        return model
    from .interop import gluonts
    if gluonts.is_folder(options.prefix):
        fields, model = gluonts.network_of(options.prefix, options.epoch)
        say('fields', ', '.join('%s is %s' % pair for pair in fields.items()))
    else:
        if options.epoch is None and gluonts.is_in_archive(options.prefix):
            say('note', "GluonTS' folder is in this archive. Unpack it and name the folder, which "
                        'also tells the fields and their sizes')
        model = interop.load(options.prefix, options.epoch)
    newest = newest_of(options, model)
    if newest and options.command != 'export':  # which names it behind the file
        say('epoch', newest)
    return model


def newest_of(options: argparse.Namespace, model: Model) -> str:
    """Which epoch was loaded, if the user left that open; otherwise ''."""
    return '' if options.epoch is not None or model.epoch is None else (
        '%s, the newest' % model.epoch)


def faults() -> tuple[type[Exception], ...]:
    """The errors that the user can mend."""
    from ._files import CheckpointError
    return (ImportError, ValueError, TypeError, OSError, NotImplementedError, CheckpointError)


def failed(what: str, error: Exception) -> int:
    """Print an error, and what failed; returns the status to exit with."""
    clear()
    sys.stdout.flush()
    print('error: %s%s' % (what, reason(error) if isinstance(error, ImportError) else error),
          file=sys.stderr)
    return 2


def check_target(option: str, path: str, ends: Sequence[str] = (), other: str = '') -> None:
    """Refuse names of the `other` format or of a checkpoint, and missing folders."""
    from .interop.seals import refuse_checkpoint
    refuse_checkpoint(option, path)
    if path.lower().endswith(tuple(ends)):
        raise ValueError('%s must not end in %s, as %s do, got %s'
                         % (option, ' or '.join(ends), other, path))
    folder = os.path.dirname(os.path.realpath(path))
    if not os.path.isdir(folder):
        raise ValueError('there is no folder %s, where %s writes %s' % (
            os.path.dirname(path) or folder, option, os.path.basename(path)))
