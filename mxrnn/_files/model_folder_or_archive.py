"""The two files of a model, beside each other in a folder or in an archive.

Sockeye writes ``symbol.json`` and ``params.best``, SageMaker a ``model.tar.gz`` with
``model-symbol.json`` and ``model-0000.params``.
"""
from __future__ import annotations

import gzip
import os
import re
import tarfile
import zlib
from typing import Any, Iterable, NamedTuple

from . import CheckpointError, named

__all__ = ['ENDS', 'Pair', 'pair_in']

#: How the names of archives end.
ENDS = '.tar.gz', '.tgz'

#: The largest allowed content of an archive: parameters hardly shrink, a graph to a thirtieth.
_ROOM, _TIMES = 64 << 20, 20


class Pair(NamedTuple):
    """The graph and the parameters of a model.

    Attributes
    ----------
    symbol, params : str
        Their paths; in an archive, their names for messages.
    contents : (bytes, bytes) or None
        Their contents, if they are in an archive.
    """

    symbol: str
    params: str
    contents: tuple[bytes, bytes] | None = None


def pair_in(place: str) -> Pair | None:
    """The files in the folder or archive `place`; None if it is neither.

    Raises
    ------
    CheckpointError
        It does not have exactly one graph and one file of parameters.
    """
    if os.path.isdir(place):
        with named(place):
            names = os.listdir(place)
        symbol, params = _chosen(names, place)
        return Pair(os.path.join(place, symbol), os.path.join(place, params))
    if not place.lower().endswith(ENDS) or not os.path.isfile(place):
        return None
    contents = _contents(place)
    symbol, params = _chosen(contents, place)
    return Pair('%s in %s' % (symbol, place), '%s in %s' % (params, place),
                (contents[symbol], contents[params]))


def _is_wanted(name: str) -> bool:
    return name.endswith(('symbol.json', '.params')) or name == 'params.best'


def _chosen(names: Iterable[str], place: str) -> tuple[str, str]:
    """The names of the graph and the parameters, of the newest epoch or the best."""
    found = sorted(filter(_is_wanted, names))
    graphs = [name for name in found if name.endswith('symbol.json')]
    params = [name for name in found if name not in graphs]
    numbered = {name: re.match(r'%s-(\d{4,})\.params$' % re.escape(graph[:-len('-symbol.json')]),
                               name) for graph in graphs for name in params}
    if 'params.best' in params:
        params = ['params.best']
    elif len(graphs) == 1 and all(numbered.values()):
        params = sorted(params, key=lambda name: int(name.split('-')[-1][:-len('.params')]))[-1:]
    if len(graphs) != 1 or len(params) != 1:
        raise CheckpointError(
            '%s must have one graph (*symbol.json) and one file of parameters (*.params or '
            'params.best), got %s. Name both with symbol= and params= (--symbol, --params)' % (
                place, ', '.join(found[:8] + ['…'] * (len(found) > 8)) or 'neither'))
    return graphs[0], params[0]


class _Bounded:
    """A stream that refuses to return more than `most` bytes."""

    def __init__(self, stream: Any, most: int) -> None:
        self._stream, self._most, self._left = stream, most, most

    def read(self, size: int) -> bytes:
        content: bytes = self._stream.read(size)
        self._left -= len(content)
        if self._left < 0:
            raise ValueError('its unpacked content is larger than %d bytes' % self._most)
        return content


def _contents(path: str) -> dict[str, bytes]:
    """Graphs and parameters in an archive, by their names without folders."""
    found: dict[str, bytes] = {}
    with named(path):
        most = _ROOM + _TIMES * os.path.getsize(path)
        try:
            # As a stream, which is read once from beginning to end.
            with gzip.open(path) as packed, tarfile.open(
                    fileobj=_Bounded(packed, most), mode='r|') as archive:  # type: ignore[call-overload]
                for member in archive:
                    name = member.name.rpartition('/')[2]
                    if not _is_wanted(name):
                        continue
                    if member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or member.sparse:
                        raise ValueError('%s in it is not a plain file: if it is a link, pack with '
                                         'tar -h' % member.name)
                    if name in found:
                        raise ValueError('%s is in it twice' % name)
                    found[name] = archive.extractfile(member).read()
        except (tarfile.TarError, EOFError, zlib.error) as error:
            raise ValueError(str(error)) from None
    return found
