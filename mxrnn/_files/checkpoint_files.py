"""The files of checkpoints: their names, which ones exist, and why one is not there.

A checkpoint of the prefix ``p`` and epoch 7 is ``p-0007.params`` with the parameters and
``p-symbol.json`` with the graph, which all epochs share. ``p-0007.states``, if present, has the
optimiser's states. A checkpoint after 120 batches of the next epoch is
``p-0007.batch-0120.params``, with its ``.states``. If several workers train, each writes its
position in the data: the second worker writes ``p-0007.batch-0120.part-0001``.

`BucketingModule.save_checkpoint` writes a graph for each bucket: ``p-10-symbol.json``.
"""
from __future__ import annotations

import contextlib
import difflib
import glob
import logging
import os
import re
from typing import Sequence, Tuple

from . import CheckpointError, named
from .find_model import ENDS

__all__ = ['epochs', 'is_remote', 'part', 'path_above', 'path_of',
           'path_of_graph', 'Place', 'places', 'refuse_missing', 'remove', 'remove_lone_parts',
           'why_none']

_log = logging.getLogger('mxrnn.rnn')
Place = Tuple[int, int]  #: epoch and batch of a checkpoint; the batch is 0 at the end of an epoch


def is_remote(prefix: str) -> bool:
    """Whether MXNet must resolve `prefix` itself, as for ``s3://`` and ``hdfs://``."""
    return '://' in prefix


def path_of(prefix: str, kind: str, epoch: int = 0, batch: int = 0) -> str:
    """The file of a `kind`: ``'symbol'``, ``'params'``, ``'states'`` or a result of `part`."""
    if kind == 'symbol':
        return prefix + '-symbol.json'
    within = '.batch-%04d' % batch if batch else ''
    return '%s-%04d%s.%s' % (prefix, epoch, within, kind)


def path_of_graph(prefix: str) -> str:
    """The file of the graph. A warning says if it is that of the largest bucket."""
    path, found = path_of(prefix, 'symbol'), {}
    for other in glob.glob(glob.escape(prefix) + '-*-symbol.json'):
        key = other[len(prefix) + 1:-len('-symbol.json')]
        if re.fullmatch(r'\d+|\(\d+(, \d+)*,?\)', key):
            found[other] = list(map(int, re.findall(r'\d+', key)))
    if not found or os.path.exists(path):
        return path
    largest = max(found, key=lambda other: found[other])
    _log.warning('There is no %s: took %s, the graph of the largest bucket', path, largest)
    return largest


def part(number: int) -> str:
    """The kind of a file with the position in one part of the data."""
    return 'part-%04d' % number


def places(prefix: str, batches: bool = False) -> list[Place]:
    """Epoch and batch of each checkpoint with a file of parameters, in ascending order.

    The batch is 0 at the end of an epoch. Checkpoints within epochs are included if `batches`.
    """
    return [place for place, kind in _found(prefix)
            if kind == 'params' and (batches or not place[1])]


def _found(prefix: str) -> list[tuple[Place, str]]:
    """Epoch and batch, and the kind, of each file but the graph. A checkpoint's parameters come
    before its parts and states."""
    folder, base = os.path.split(prefix)
    pattern = re.compile(re.escape(base) + r'-(\d{4,})(?:\.batch-(\d{4,}))?'
                         r'\.(params|part-(?:\d{4}|[1-9]\d{4,})|states)')
    found = []
    for name in _names_in(folder):
        match = pattern.fullmatch(name)
        if match:
            place = int(match.group(1)), int(match.group(2) or 0)
            # '%04d' writes no leading zero for five digits, so such a name is not ours.
            if os.path.basename(path_of(prefix, match.group(3), *place)) == name:
                found.append((place, match.group(3)))
    return sorted(found)


def _names_in(folder: str) -> list[str]:
    """The names of the files in a folder; none if nothing is there."""
    with named(folder or '.'), contextlib.suppress(FileNotFoundError):
        return os.listdir(folder or '.')
    return []


def epochs(prefix: str) -> list[int]:
    """The epochs with a file of parameters from their end, in ascending order."""
    return [epoch for epoch, _ in places(prefix)]


def path_above(prefix: str, epoch: int, batch: int = 0) -> str | None:
    """The parameters with the highest number, if it is higher than this one.

    For the end of an epoch, only ends of epochs count. Checkpoints within epochs count only for
    those within epochs, as in the search for the newest.
    """
    there = places(prefix, batches=batch > 0)
    return path_of(prefix, 'params', *there[-1]) if there and there[-1] > (epoch, batch) else None


def remove(prefix: str, place: Place) -> None:
    """Delete a checkpoint. The graph stays, because others share it."""
    # The file of parameters first: without it, the other files are not a checkpoint.
    _remove(prefix, [each for each in _found(prefix) if each[0] == place])


def _remove(prefix: str, found: Sequence[tuple[Place, str]]) -> None:
    for place, kind in found:
        with contextlib.suppress(FileNotFoundError):
            os.remove(path_of(prefix, kind, *place))


def remove_lone_parts(prefix: str, newest: Place) -> None:
    """Delete parts' files that are older than the checkpoint `newest` and lack parameters.

    A killed process left them, before it wrote the parameters or while it deleted.
    """
    found = _found(prefix)
    whole = {place for place, kind in found if kind == 'params'}
    _remove(prefix, [(place, kind) for place, kind in found
                     if place < newest and place not in whole and kind != 'states'])


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
    folder = os.path.dirname(prefix)
    names = _prefixes(prefix if os.path.isdir(prefix) else folder)
    rank_0 = re.sub(r'-\d+$', '', prefix)
    is_file, is_archive = os.path.isfile(prefix), prefix.lower().endswith(ENDS)
    if not os.path.isdir(folder or '.'):
        text = 'there is no folder %s' % folder
    elif os.path.isdir(prefix):
        text += '; %s is a folder: add the beginning of the names of its files%s' % (
            prefix, ', such as %s' % names[0] if names else '')
    elif is_archive and is_file:
        text = 'it is an archive with one model: leave out the epoch'
    elif prefix.endswith('.onnx') and is_file:
        text = 'it is an ONNX file. compare takes a checkpoint first: compare PREFIX FILE.onnx'
    elif is_archive or prefix.endswith('.onnx'):
        text = 'there is no such file' + _near(prefix, _files_like(prefix), .8)
    elif shorter != prefix and epochs(shorter):
        text += '; give the prefix, %r' % shorter
    elif rank_0 != prefix and rank_0 in names:
        text += '; of several workers only that of rank 0 saves: load %s' % rank_0
    elif is_file:
        text = ('it is no file of a checkpoint. Name PREFIX of PREFIX-symbol.json and '
                'PREFIX-0004.params, their folder, or an archive of both')
    else:
        text += _near(prefix, names, .6)
    return text


def _near(prefix: str, names: Sequence[str], cutoff: float) -> str:
    """The question whether the most similar of `names` was meant; '' if none is similar."""
    folder, base = os.path.split(prefix)
    by_case = {os.path.basename(name).lower(): os.path.basename(name) for name in names}
    return ''.join('; did you mean %s?' % os.path.join(folder, by_case[near]) for near in (
        difflib.get_close_matches(base.lower(), by_case, 1, cutoff)))


def _files_like(path: str) -> list[str]:
    """The ONNX files or the archives in the folder of `path`, which is to be one of these."""
    ends = ('.onnx',) if path.endswith('.onnx') else ENDS
    return [name for name in _names_in(os.path.dirname(path)) if name.lower().endswith(ends)]


def _prefixes(folder: str) -> list[str]:
    """The prefixes of the parameters in a folder."""
    inside = [re.fullmatch(r'(.*)-\d{4,}\.params', name) for name in _names_in(folder)]
    return sorted({os.path.join(folder, match.group(1)) for match in inside if match})
