"""The file of an optimiser's states (``.states``): written, and read without trusting it.

It begins with what MXNet writes, a pickle of the states and of the optimiser. Behind it are a
pickle of what mxrnn adds, a dict, and a line with checksums. MXNet, as pickle does, reads no
further than the first pickle.
"""
from __future__ import annotations

import pickle
import zlib
from typing import Any, Iterable, NamedTuple

from . import files
from .errors import CheckpointError, brief, named
from .trusted import load_all

__all__ = ['States', 'decode', 'encode', 'read']

_SEAL = b'\nmxrnn crc32 '


class States(NamedTuple):
    """What a file of states has."""

    path: str
    by_parameter: dict[Any, Any]
    optimizer: Any  #: None if the file has none
    extra: dict[str, Any]  #: what mxrnn adds


def encode(states: bytes, extra: dict[str, Any], params_path: str) -> bytes:
    """What goes into the file.

    Parameters
    ----------
    states : bytes
        As the module's updater gives them.
    extra : dict
        Of plain values and NumPy arrays.
    params_path : str
        The file of the parameters that the states are for, which must have been written.
    """
    content = states + pickle.dumps(extra, protocol=4)
    return content + _seal(content, params_path)


def _seal(content: bytes, params_path: str) -> bytes:
    """Checksums of what stands before, and of the parameters."""
    checksum = 0
    with open(params_path, 'rb') as stream:
        for block in iter(lambda: stream.read(1 << 20), b''):
            checksum = zlib.crc32(block, checksum)
    return _SEAL + b'%08x %08x' % (zlib.crc32(content), checksum)


def read(prefix: str, epoch: int, batch: int = 0) -> tuple[str, bytes]:
    """Return the path of the states of a checkpoint, and their bytes if these are undamaged.

    Raises
    ------
    CheckpointError
        The file cannot be read, is damaged or belongs to other parameters.
    """
    path = files.path_of(prefix, 'states', epoch, batch)
    with named(path):
        with open(path, 'rb') as stream:
            content = stream.read()
        before, mark, sums = content.rpartition(_SEAL)
        if mark:
            intact = _seal(before, files.path_of(prefix, 'params', epoch, batch))
            if intact[:-8] != mark + sums[:-8]:
                raise ValueError('its checksum does not match')
            if intact != mark + sums:
                raise ValueError('it belongs to other parameters than the file of them has')
            content = before
        return path, content


def decode(path: str, content: bytes, trusted: Iterable[Any] = (), placeholders: bool = False
           ) -> States:
    """Build the states from what `read` returned.

    Parameters
    ----------
    path, content
        As `read` returned them.
    trusted, placeholders
        As of `load_all`.

    Raises
    ------
    CheckpointError
        They are no states, or they name something that is not allowed.
    """
    try:
        found, *extra = load_all(content, trusted, placeholders)
        by_parameter, optimizer = found if isinstance(found, tuple) else (found, None)
        return States(path, dict(by_parameter), optimizer, dict(*extra))
    except Exception as error:  # a damaged pickle can raise anything
        raise CheckpointError('%s has no states of an optimiser: %s'
                              % (path, brief(error))) from error
