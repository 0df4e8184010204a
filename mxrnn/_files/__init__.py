"""Files: written completely or not at all; their names; MXNet's array files without MXNet.

- `atomic`: writes files completely or not at all
- `params`: MXNet's file of arrays and its checksum, read and written without MXNet
- `find_model`: a model's graph and parameters, in a folder or an archive
- `checkpoint_files`: names of checkpoints, which exist, why one is not there; without NumPy
- `newest_checkpoint`: the newest one that can be read, and why others were skipped

CheckpointError works without MXNet. If MXNet is loaded, it is also one of MXNet's errors.
"""
from __future__ import annotations

import contextlib
import functools
import io
import sys
from typing import Iterator

__all__ = ['CheckpointError', 'OtherKindError', 'cause_of', 'failing', 'mxnet_errors', 'named',
           'opened', 'reason_of']


class CheckpointError(KeyError):
    """A checkpoint cannot be written or read; the message names the file and what is wrong.

    Handlers written for ``mxnet.rnn`` catch it. mxnet.rnn raises `MXNetError` for a file that it
    cannot open, and `KeyError` for a missing weight. If MXNet is loaded, this error is both;
    without MXNet it is a `KeyError`.

    Examples
    --------
    >>> import mxrnn as rnn
    >>> try:
    ...     rnn.load_rnn_checkpoint(rnn.LSTMCell(8), 'no-such-folder/model', 3)
    ... except rnn.CheckpointError as error:
    ...     print(error)
    cannot read no-such-folder/model-0003.params: there is no folder no-such-folder
    """

    def __new__(cls, *args: object) -> CheckpointError:
        bases = mxnet_errors()
        if bases and not issubclass(cls, bases):
            cls = _derived(cls, *bases)  # type: ignore[arg-type]
        return super().__new__(cls, *args)

    __str__ = Exception.__str__  # KeyError would put the message in quotes

    def __reduce__(self) -> tuple[object, ...]:
        return CheckpointError, self.args


class OtherKindError(ValueError):
    """A content is damaged, or is not what it should be.

    The arguments are a name for the content, in place of which `named` puts its file, and what is
    wrong with it.
    """

    def __str__(self) -> str:
        return '%s %s' % self.args


def mxnet_errors() -> tuple[type[Exception], ...]:
    """MXNet's error class; none if MXNet is not loaded."""
    error = getattr(sys.modules.get('mxnet.base'), 'MXNetError', None)
    return () if error is None else (error,)


@functools.lru_cache(maxsize=None)
def _derived(cls: type[CheckpointError], base: type) -> type[CheckpointError]:
    """`cls`, also derived from MXNet's error."""
    return type(cls.__name__, (cls, base), {
        '__doc__': cls.__doc__, '__module__': cls.__module__, '__qualname__': cls.__qualname__})


def reason_of(error: BaseException) -> str:
    """An error's message in one line, without the stack that MXNet adds."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if isinstance(error, mxnet_errors()) and not isinstance(error, CheckpointError):
        # The stack comes before the reason from MXNet 1.7 on, behind it in 1.5 and 1.6.
        lines = [line for line in lines if not line.startswith(('[bt]', 'Stack trace:'))][-1:]
    return ' '.join(lines) or type(error).__name__


def cause_of(error: BaseException) -> BaseException | None:
    """The cause to chain to an error that already names the reason. None if this package raised the
    cause, because its traceback adds nothing; the cause if a program's or MXNet's code did."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    name = '' if trace is None else trace.tb_frame.f_globals.get('__name__', '')
    return None if name.partition('.')[0] == __name__.partition('.')[0] else error


@contextlib.contextmanager
def failing(what: str, errors: type[Exception] | tuple[type[Exception], ...] = Exception
            ) -> Iterator[None]:
    """Turn these errors in the block into a CheckpointError that says `what` failed, and why."""
    try:
        yield
    except CheckpointError:
        raise
    except errors as error:
        raise CheckpointError('%s: %s' % (what, reason_of(error))) from cause_of(error)


@contextlib.contextmanager
def opened(path: str) -> Iterator[io.BufferedReader]:
    """A file to read in the block, whose errors become a CheckpointError with its name."""
    with named(path), open(path, 'rb') as stream:
        yield stream


@contextlib.contextmanager
def named(path: str) -> Iterator[None]:
    """Turn an error while the file `path` is read into a CheckpointError with its name."""
    try:
        yield
    except CheckpointError:
        raise
    except OSError as error:
        raise CheckpointError('cannot read %s: %s' % (
            path, error.strerror or reason_of(error))) from None
    except OtherKindError as error:
        raise CheckpointError('%s %s' % (path, error.args[1])) from None
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise CheckpointError('%s is damaged: %s' % (path, reason_of(error))) from None
