"""The names of the files of checkpoints.

A checkpoint of the prefix ``p`` and epoch 7 is ``p-0007.params`` with the parameters and
``p-symbol.json`` with the graph, which all epochs share; ``p-0007.states``, if there, has the
optimiser's states.
"""
from __future__ import annotations

import contextlib
import os
import re

from .errors import CheckpointError

__all__ = ['epochs', 'is_remote', 'path_of', 'remove']


def is_remote(prefix: str) -> bool:
    """Whether MXNet is to resolve `prefix` itself, as ``s3://`` and ``hdfs://``."""
    return '://' in prefix


def path_of(prefix: str, kind: str, epoch: int = 0) -> str:
    """The file of a `kind`: ``'symbol'``, ``'params'`` or ``'states'``."""
    return prefix + '-symbol.json' if kind == 'symbol' else '%s-%04d.%s' % (prefix, epoch, kind)


def epochs(prefix: str) -> list[int]:
    """The epochs with a file of parameters, in ascending order."""
    folder, base = os.path.split(prefix)
    pattern = re.compile(re.escape(base) + r'-(\d{4,})\.params')
    try:
        found = [pattern.fullmatch(name) for name in os.listdir(folder or '.')]
    except OSError as error:
        raise CheckpointError('no checkpoint %s-*.params: %s' % (prefix, error)) from error
    # '%04d' writes no leading zero before five digits, and neither does a name that is ours.
    return sorted(int(m.group(1)) for m in found if m and '%04d' % int(m.group(1)) == m.group(1))


def remove(prefix: str, epoch: int) -> None:
    """Delete the checkpoint of an epoch. The graph stays, for other epochs share it."""
    # The file of parameters goes first: without it the other one passes for nothing.
    for kind in ('params', 'states'):
        with contextlib.suppress(FileNotFoundError):
            os.remove(path_of(prefix, kind, epoch))
