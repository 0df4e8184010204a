"""Writes files completely or not at all."""
from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import tempfile
from concurrent import futures
from typing import Iterator, Sequence

from . import CheckpointError, reason_of

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

__all__ = ['flushing', 'replacing', 'saving', 'without_stage']

_LOCK = 'lock'  #: the file in a stage that the process writing there keeps locked

#: A stage is a hidden folder: its name has the host, and the end that `mkdtemp` adds.
_STAGE = re.compile(r'\.mxrnn-(?P<host>[^/\\]+)-\w+\.tmp[/\\]?')


@contextlib.contextmanager
def replacing(targets: Sequence[str]) -> Iterator[list[str]]:
    """Replace the files `targets` by files that the block writes.

    The block gets a path to write for each target, with its name but in a hidden folder, the stage.
    Then the files are flushed to the disk and renamed in the order of `targets`. If the block
    fails, nothing is renamed. If a target is a symbolic link, the file that it points to is
    replaced. Permission bits stay. A device or a pipe is not replaced but written to, before
    anything is renamed. A killed process leaves its stage behind; the next process that writes into
    the same folder deletes it.

    Parameters
    ----------
    targets : sequence of str
        Paths of files with different names. Missing folders are made.

    Raises
    ------
    OSError
        A file cannot be written, two of `targets` are one file, or one is a folder.
    """
    real = [os.path.realpath(target) for target in targets]
    devices = {path for path in real if os.path.exists(path) and not os.path.isfile(path)}
    for target, path in zip(targets, real):
        if os.path.isdir(path):
            raise OSError('%s is a folder, where a file must be written' % target)
        if real.count(path) > 1 and path not in devices:
            raise OSError('%s are links to one file' % ' and '.join(
                other for other, its in zip(targets, real) if its == path))
    folders = list(dict.fromkeys(os.path.dirname(os.path.abspath(target) if path in devices
                                                 else path) for target, path in zip(targets, real)))
    with contextlib.ExitStack() as stack:
        stages = {}
        for folder in folders:
            os.makedirs(folder, exist_ok=True)
            _sweep(folder)
            stages[folder] = stack.enter_context(_stage(folder))
        written = [os.path.join(stages[folders[0]], os.path.basename(target)) for target in targets]
        yield written
        staged = []
        for source, path in zip(written, real):
            if path in devices:
                with open(source, 'rb') as content, open(path, 'wb') as device:
                    shutil.copyfileobj(content, device)
                continue
            beside = os.path.join(stages[os.path.dirname(path)], os.path.basename(source))
            if beside != source:  # the other folder may be on another file system
                shutil.copyfile(source, beside)
            _flush(beside)
            with contextlib.suppress(OSError):
                shutil.copymode(path, beside)
            staged.append((beside, path))
        for beside, path in staged:
            os.replace(beside, path)
    if os.name == 'posix':
        for folder in folders:
            _flush(folder)


@contextlib.contextmanager
def saving(checkpoint: str, targets: Sequence[str],
           errors: type[Exception] | tuple[type[Exception], ...] = OSError) -> Iterator[list[str]]:
    """As `replacing`; these errors in the block say that `checkpoint` cannot be saved."""
    try:
        with replacing(targets) as staged:
            yield staged
    except errors as error:
        raise CheckpointError('cannot save %s: %s' % (
            checkpoint, without_stage(reason_of(error)))) from None


@contextlib.contextmanager
def flushing(path: str) -> Iterator[None]:
    """Flush the file `path` to the disk while the block reads it.

    The block's later changes to the file are flushed by `replacing`, and are small.
    """
    with futures.ThreadPoolExecutor(1) as thread:
        flushed = thread.submit(_flush, path)
        yield
        flushed.result()


def without_stage(message: str) -> str:
    """`message` without the names of stages, which users cannot find."""
    return _STAGE.sub('', message)


@contextlib.contextmanager
def _stage(folder: str) -> Iterator[str]:
    descriptor = None
    while descriptor is None:
        stage = tempfile.mkdtemp('.tmp', '.mxrnn-%s-' % socket.gethostname(), folder)
        descriptor = _locked(stage)
    try:
        yield stage
    finally:
        shutil.rmtree(stage, ignore_errors=True)
        os.close(descriptor)


def _locked(stage: str) -> int | None:
    """Lock `stage`, and return the lock; None if another process has it or deleted the stage.

    A process number would not do: two containers that share the folder may use the same numbers,
    and neither sees the other's processes.
    """
    path = os.path.join(stage, _LOCK)
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except FileNotFoundError:
        return None
    try:
        if fcntl is not None:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.stat(path), os.fstat(descriptor)):
            return descriptor
    except (BlockingIOError, FileNotFoundError):
        pass
    except OSError:  # a file system without locks; there no stage is ever found unlocked
        return descriptor
    os.close(descriptor)
    return None


def _sweep(folder: str) -> None:
    """Delete the stages in `folder` that ended processes of this machine left."""
    if fcntl is None:
        return
    for name in os.listdir(folder):
        match = _STAGE.fullmatch(name)
        # Some network file systems keep locks per machine, so stages of other machines stay.
        if match and match.group('host') == socket.gethostname():
            _sweep_stage(os.path.join(folder, name))


def _sweep_stage(stage: str) -> None:
    with contextlib.suppress(OSError):
        descriptor = os.open(os.path.join(stage, _LOCK), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(stage, ignore_errors=True)
        finally:
            os.close(descriptor)


def _flush(path: str) -> None:
    directory = os.path.isdir(path)
    descriptor = os.open(path, os.O_RDONLY if directory else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
