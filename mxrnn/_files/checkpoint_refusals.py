"""Refusals of checkpoints that are not there, of files of torch in their place, and of exports in
the place of a checkpoint."""
from __future__ import annotations

import difflib
import os
import re

from . import CheckpointError
from .checkpoint_files import epochs, path_of
from .model_files import ENDS

__all__ = ['is_source', 'refuse_checkpoint', 'refuse_missing', 'refuse_torch', 'why_none']

#: How the first line of a source begins and ends.
_SOURCE = '"""A model of MXNet', ', written by mxrnn.'


def refuse_checkpoint(name: str, path: str) -> None:
    """Refuse to write an export over files of checkpoints; `name` is the argument with its path."""
    for each in (path, os.path.realpath(path)):
        if re.search(r'(-symbol\.json|\.params|\.states|\.part-\d+)$', each, re.IGNORECASE):
            raise ValueError('%s must not be the name of a file of a checkpoint (*-symbol.json, '
                             '*.params, *.states), got %s' % (
                                 name, path if each == path else '%s, a link to %s' % (path, each)))


def is_source(path: str) -> bool:
    """Whether the file exists and begins as a source of `to_source` does."""
    try:
        with open(path, encoding='utf-8', errors='replace') as file:
            line = file.readline(200).rstrip()
    except OSError:
        return False
    return line.startswith(_SOURCE[0]) and line.endswith(_SOURCE[1])


def refuse_torch(path: str, onnx: bool = False) -> None:
    """Refuse a source, its weights and all else that torch wrote; if an ONNX file is wanted, every
    file without that end."""
    if not os.path.isfile(path) or path.lower().endswith('.onnx'):
        return
    with open(path, 'rb') as file:
        if not onnx and file.read(2) != b'PK' and not path.endswith(('.pt', '.pth', '.py')):
            return
    source = os.path.splitext(path)[0] + '.py'
    raise ValueError('%s belongs to a source, which export already compared with the graph: see '
                     '"Checked" in %s' % (path, source) if is_source(source) else
                     '%s is no ONNX file (FILE.onnx), and mxrnn reads no files of torch: export '
                     'the checkpoint again' % path)


def refuse_missing(prefix: str, epoch: int) -> None:
    """Refuse an epoch without parameters, and name the epochs that have some."""
    path = path_of(prefix, 'params', epoch)
    if not os.path.exists(path):
        there = list(map(str, epochs(prefix)))
        if len(there) > 8:
            there[3:-3] = ['...']
        raise CheckpointError('cannot read %s: %s' % (
            path, 'these epochs are there: %s' % ', '.join(there) if there
            else why_none(prefix)))


def why_none(prefix: str) -> str:
    """Why there is no epoch of `prefix`, which may be a folder, or a file of a checkpoint."""
    text = 'there is no %s-*.params' % prefix
    shorter = re.sub(r'(-symbol\.json|-\d+\.(params|states)|\.\w+)$', '', prefix)
    names = _prefixes(prefix if os.path.isdir(prefix) else os.path.dirname(prefix))
    rank_0 = re.sub(r'-\d+$', '', prefix)
    if os.path.isdir(prefix):
        text += '; %s is a folder: add the beginning of the names of its files%s' % (
            prefix, ', such as %s' % names[0] if names else '')
    elif prefix.lower().endswith(ENDS) and os.path.isfile(prefix):
        text = 'it is an archive with one model: leave out the epoch'
    elif shorter != prefix and epochs(shorter):
        text += '; give the prefix, %r' % shorter
    elif not os.path.exists(prefix) and prefix.endswith('.onnx'):
        text = 'there is no such file'
    elif rank_0 != prefix and rank_0 in names:
        text += '; of several workers only that of rank 0 saves: load %s' % rank_0
    else:
        text += ''.join('; did you mean %s?' % name
                        for name in difflib.get_close_matches(prefix, names, 1))
    return text


def _prefixes(folder: str) -> list[str]:
    """The prefixes of the parameters in a folder."""
    try:
        inside = [re.fullmatch(r'(.*)-\d{4,}\.params', name) for name in os.listdir(folder or '.')]
    except OSError:
        return []
    return sorted({os.path.join(folder, match.group(1)) for match in inside if match})
