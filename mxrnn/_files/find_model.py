"""The two files of a model, beside each other in a folder or in an archive.

Sockeye writes ``symbol.json`` and ``params.best``, SageMaker a ``model.tar.gz`` with
``model_algo-1-symbol.json`` and ``model_algo-1-0000.params``, or with ``model_algo-1``: a zip of
both, or arrays alone.

Archives (tar, tar.gz, zip) are read in memory. Nothing is unpacked to disk, no link is followed;
sizes and numbers of files are bounded.
"""
from __future__ import annotations

import functools
import gzip
import io
import os
import re
import stat
import struct
import tarfile
import zipfile
import zlib
from typing import BinaryIO, Callable, Iterable, Iterator, Mapping, NamedTuple

from . import CheckpointError, named

__all__ = ['config_beside', 'ENDS', 'Pair', 'names_in', 'pair_in']

#: How the names of archives end.
ENDS = '.tar', '.tar.gz', '.tgz', '.zip'

#: The largest allowed content of an archive: parameters hardly shrink, a graph to a thirtieth.
_ROOM, _TIMES = 64 << 20, 20
#: The largest allowed number of files.
_FILES = 10_000

_ZIP, _GZIP, _ZIPPED_FILE = b'PK\3\4', b'\x1f\x8b', b'PK\1\2'

_LINK = '%s in it is not a plain file: if it is a link, pack with tar -h or zip without -y'


def _room_for(size: int) -> int:
    """How many bytes the content of an archive of `size` bytes may have."""
    return _ROOM + _TIMES * size


def _files_in(stream: BinaryIO, wanted: Callable[[str], bool], room: int) -> dict[str, bytes]:
    """The wanted files in an archive, by their names without folders.

    Raises
    ------
    ValueError
        It is damaged or no archive; or has more than `room` bytes, too many files, links or names
        that lead out of it.
    """
    found: dict[str, bytes] = {}
    begin = stream.read(4)
    stream.seek(0)
    try:
        for path, plain, read in _zipped(stream.read(), room) if begin == _ZIP else _tarred(
                gzip.GzipFile(fileobj=stream) if begin[:2] == _GZIP else stream, room):
            name = path.rpartition('/')[2]
            if not wanted(name):
                continue
            if path[:1] == '/' or '..' in path.replace('\\', '/').split('/'):
                raise ValueError('%s in it leads out of it' % path)
            if not plain:
                raise ValueError(_LINK % path)
            if name in found:
                raise ValueError('%s is in it twice' % name)
            found[name] = read()
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error, struct.error,
            NotImplementedError, RuntimeError) as error:
        raise ValueError(str(error)) from None
    return found


#: A file's path in the archive, whether it is neither a link nor sparse, and what reads it.
_File = Iterator['tuple[str, bool, Callable[[], bytes]]']


class _Bounded:
    """A stream that refuses to return more than `most` bytes."""

    def __init__(self, stream: BinaryIO | gzip.GzipFile, most: int) -> None:
        self._stream, self._most, self._left = stream, most, most

    def read(self, size: int) -> bytes:
        content: bytes = self._stream.read(size)
        self._left -= len(content)
        if self._left < 0:
            raise _too_large(self._most)
        return content


def _too_large(most: int) -> ValueError:
    return ValueError('its unpacked content is larger than %d bytes' % most)


def _tarred(stream: BinaryIO | gzip.GzipFile, room: int) -> _File:
    # As a stream, which is read once from beginning to end.
    with tarfile.open(fileobj=_Bounded(stream, room), mode='r|') as archive:  # type: ignore[call-overload]
        for count, member in enumerate(archive):
            if count == _FILES:
                raise ValueError('it has more than %d files' % _FILES)
            plain = member.type in (tarfile.REGTYPE, tarfile.AREGTYPE) and not member.sparse
            yield member.name, plain, functools.partial(_extracted, archive, member)


def _extracted(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    stream = archive.extractfile(member)
    return stream.read() if stream else b''


def _zipped(content: bytes, room: int) -> _File:
    if content.count(_ZIPPED_FILE) > _FILES:  # before zipfile makes an object of each
        raise ValueError('it has more than %d files' % _FILES)
    left = room
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        def read(member: zipfile.ZipInfo) -> bytes:
            nonlocal left
            left -= member.file_size
            if left < 0:
                raise _too_large(room)
            if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise ValueError('%s in it is packed by another method than deflate'
                                 % member.filename)
            return archive.read(member)

        for member in archive.infolist():
            kind = stat.S_IFMT(member.external_attr >> 16)
            yield member.filename, kind in (0, stat.S_IFREG), functools.partial(read, member)


class Pair(NamedTuple):
    """The graph and the parameters of a model.

    Attributes
    ----------
    symbol, params : str
        Their paths; in an archive, their names for messages. The graph's is '' if there is none.
    contents : (bytes, bytes) or None
        Their contents, if they are in an archive.
    config : bytes
        The content of the ``config.json`` beside the graph, if there is one.
    """

    symbol: str
    params: str
    contents: tuple[bytes, bytes] | None = None
    config: bytes = b''


def pair_in(place: str) -> Pair | None:
    """The files in the folder or archive `place`; None if it is neither.

    Raises
    ------
    CheckpointError
        It does not have exactly one graph and one file of parameters, or a model of arrays alone.
    """
    name = os.path.basename(place)
    with named(place):
        if os.path.isdir(place):
            names = os.listdir(place)
            if any(map(_is_wanted, names)) or not any(map(_is_packed, names)):
                symbol, params = (os.path.join(place, each) for each in _chosen(names, place))
                return Pair(symbol, params, config=config_beside(symbol))
            contents = {each: _content(os.path.join(place, each)) for each in names
                        if _is_packed(each)}
        elif not os.path.isfile(place) or not (_is_packed(name) or place.lower().endswith(ENDS)):
            return None
        elif _is_packed(name):
            contents = {name: _content(place)}
        else:
            with open(place, 'rb') as stream:
                contents = _files_in(
                    stream, lambda name: _is_read(name) or _is_packed(name),
                    _room_for(os.path.getsize(place)))
    packed = {} if any(map(_is_wanted, contents)) else {
        name: content for name, content in contents.items() if _is_packed(name)}
    return _unpacked(packed, place) if packed else _of_contents(contents, place)


def names_in(place: str) -> list[str]:
    """The names of all files in an archive, without folders; none of another file."""
    names: list[str] = []

    def wanted(name: str) -> bool:
        names.append(name)
        return False
    if os.path.isfile(place) and place.lower().endswith(ENDS):
        with named(place), open(place, 'rb') as stream:
            _files_in(stream, wanted, _room_for(os.path.getsize(place)))
    return names


def config_beside(symbol: str) -> bytes:
    """The content of the ``config.json`` beside a graph, or nothing."""
    path = _config_of(symbol)
    with named(path):
        return _content(path) if os.path.isfile(path) else b''


def _content(path: str) -> bytes:
    with open(path, 'rb') as stream:
        return stream.read()


def _of_contents(contents: Mapping[str, bytes], place: str) -> Pair:
    symbol, params = _chosen(contents, place)
    return Pair('%s in %s' % (symbol, place), '%s in %s' % (params, place),
                (contents[symbol], contents[params]), contents.get(_config_of(symbol), b''))


def _config_of(symbol: str) -> str:
    return re.sub(r'symbol\.json$', 'config.json', symbol)


def _unpacked(contents: Mapping[str, bytes], place: str) -> Pair:
    """The files in one ``model_algo-1`` or several equal ones, which processes wrote."""
    room = _room_for(sum(map(len, contents.values())))
    found: Pair | None = None
    for name, content in sorted(contents.items()):
        inside = place if os.path.basename(place) == name else '%s in %s' % (name, place)
        pair = Pair('', inside, (b'', content))
        if content[:4] == _ZIP:
            with named(inside):
                files = _files_in(io.BytesIO(content), _is_read, room)
            room -= sum(map(len, files.values()))
            pair = _of_contents(files, inside)
        found = found or pair
        if pair.contents != found.contents:
            raise CheckpointError('%s has models that differ, %s. Unpack it and name one' % (
                place, ', '.join(sorted(contents))))
    assert found is not None
    return found


def _is_packed(name: str) -> bool:
    return re.fullmatch(r'model_algo-\d+', name) is not None


def _is_wanted(name: str) -> bool:
    return name.endswith(('symbol.json', '.params')) or name in ('params.best', 'params')


def _is_read(name: str) -> bool:
    return _is_wanted(name) or name.endswith('config.json')


def _chosen(names: Iterable[str], place: str) -> tuple[str, str]:
    """The names of the graph and the parameters, of the newest epoch or the best."""
    found = sorted(filter(_is_wanted, names))
    graphs = [name for name in found if name.endswith('symbol.json')]
    params = [name for name in found if name not in graphs]
    numbered = {name: re.match(r'%s-(\d{4,})\.params$' % re.escape(graph[:-len('-symbol.json')]),
                               name) for graph in graphs for name in params}
    params = [name for name in params if name != 'params'] or params
    if 'params.best' in params:
        params = ['params.best']
    elif len(graphs) == 1 and all(numbered.values()):
        params = sorted(params, key=lambda name: int(name.split('-')[-1][:-len('.params')]))[-1:]
    if len(graphs) != 1 or len(params) != 1:
        raise CheckpointError(
            '%s must have one graph (*symbol.json) and one file of parameters (*.params, '
            'params or params.best), got %s. %s both with symbol= and params= (--symbol, '
            '--params)' % (
                place, ', '.join(found[:8] + ['…'] * (len(found) > 8)) or 'neither',
                'Name' if os.path.isdir(place) else 'Unpack it, and name'))
    return graphs[0], params[0]
