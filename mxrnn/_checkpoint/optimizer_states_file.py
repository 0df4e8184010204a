"""The file of an optimiser's states (``.states``): writes it, and reads it without trusting it.

It begins with a pickle of the states and the optimiser, as MXNet writes it. Then come a pickle of
mxrnn's own data, a dict, and a line with checksums. MXNet, like pickle, reads only the first
pickle. A part's file (``.part-0001``) is such a dict and such a line.
"""
from __future__ import annotations

import pickle
import zlib
from typing import Any, Iterable, NamedTuple

from .._files import CheckpointError, opened, reason_of
from .._files import checkpoint_files as files
from .._files.params_seal import checksum_of
from .._runtime.mxnet import mx
from .safe_pickle import load_all

__all__ = ['Extra', 'States', 'decode', 'encode', 'encode_part', 'read', 'read_part']

_SEAL = b'\nmxrnn crc32 '


class Extra(NamedTuple):
    """mxrnn's own pickle. To add an entry, add a row; older files will lack it.

    Attributes
    ----------
    position : dict
        The position of training, if one worker trains.
    parts, weights : int
        If several workers train: the number of positions, and the checksum of their weights.
    first : bool
        Whether no checkpoint of these workers was known to be whole before this one.
    changed : dict
        What the optimiser changed in itself, from `Begun.changed`.
    """

    position: object = None
    parts: object = None
    weights: object = None
    first: object = None
    changed: Any = None


class States(NamedTuple):
    """The content of a file of states; the optimiser is None if the file has none."""

    path: str
    by_parameter: dict[Any, Any]
    optimizer: mx.optimizer.Optimizer | None
    extra: Extra


def encode(states: bytes, extra: Extra, params_path: str) -> bytes:
    """The bytes of the file.

    Parameters
    ----------
    states : bytes
        The result of the module's updater.
    extra : Extra
        Plain values and NumPy arrays.
    params_path : str
        The file of the parameters that the states belong to. It must already exist.
    """
    told = {name: value for name, value in extra._asdict().items() if value is not None}
    content = states + pickle.dumps(told, protocol=4)
    return content + _seal(content, _checksum_of_file(params_path))


def encode_part(position: dict[str, object], weights: int) -> bytes:
    """The bytes of a part's file: the position, for weights with the checksum `weights`."""
    content = pickle.dumps(position, protocol=4)
    return content + _seal(content, weights)


def _seal(content: bytes, parameters: int) -> bytes:
    """The line with the checksums of the `content` before it and of the parameters."""
    return _SEAL + b'%08x %08x' % (zlib.crc32(content), parameters)


def _checksum_of_file(path: str) -> int:
    with open(path, 'rb', buffering=0) as stream:
        return checksum_of(stream)


def read(prefix: str, epoch: int, batch: int = 0) -> tuple[str, bytes]:
    """Return the path of a checkpoint's states, and their bytes if they are undamaged.

    Raises
    ------
    CheckpointError
        The file cannot be read, is damaged, or belongs to other weights.
    """
    path = files.path_of(prefix, 'states', epoch, batch)
    with opened(path) as stream:
        content = stream.read()
        if _SEAL in content:
            content = _unsealed(content, _checksum_of_file(
                files.path_of(prefix, 'params', epoch, batch)))
    return path, content


def read_part(path: str, weights: int) -> dict[str, object]:
    """Return the position in a part's file, for weights with the checksum `weights`.

    Raises
    ------
    CheckpointError
        The file cannot be read, is damaged, or belongs to other weights.
    """
    with opened(path) as stream:
        content = _unsealed(stream.read(), weights)
    try:
        position, = load_all(content)
        return _dict(position)
    except Exception as error:  # a stranger's pickle can raise anything
        raise CheckpointError('%s has no position: %s' % (path, reason_of(error))) from None


def _unsealed(content: bytes, parameters: int) -> bytes:
    """Checks the checksums, and returns the bytes before them."""
    before, mark, sums = content.rpartition(_SEAL)
    intact = _seal(before, parameters)
    if intact[:-8] != mark + sums[:-8]:
        raise ValueError('its checksum does not match')
    if intact != mark + sums:
        raise ValueError('it was written for other weights')
    return before


def _dict(found: object) -> dict[Any, object]:
    if not isinstance(found, dict):  # dict(found) would ask for items, perhaps without end
        raise TypeError('a %s in place of a dict' % type(found).__name__)
    return dict(found)


def decode(path: str, content: bytes, trusted: Iterable[object] = (), placeholders: bool = False
           ) -> States:
    """Build the states from the result of `read`.

    Parameters
    ----------
    path, content
        The result of `read`.
    trusted, placeholders
        As for `load_all`.

    Raises
    ------
    CheckpointError
        They are not states, or they name something that is not allowed.
    """
    try:
        found, *extra = load_all(content, trusted, placeholders)
        by_parameter, optimizer = found if isinstance(found, tuple) else (found, None)
        told = _dict(*extra or [{}])
        return States(path, _dict(by_parameter), optimizer, Extra(**{
            name: told[name] for name in Extra._fields if name in told}))
    except Exception as error:  # a damaged pickle can raise anything
        raise CheckpointError('%s has no states of an optimiser: %s'
                              % (path, reason_of(error))) from None
