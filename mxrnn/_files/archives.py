"""Files in archives (tar, tar.gz, zip), read in memory.

Nothing is unpacked to disk, no link is followed; sizes and numbers of files are bounded.
"""
from __future__ import annotations

import functools
import gzip
import io
import stat
import struct
import tarfile
import zipfile
import zlib
from typing import BinaryIO, Callable, Iterator

__all__ = ['ZIP', 'files_in', 'room_for']

#: The largest allowed content of an archive: parameters hardly shrink, a graph to a thirtieth.
_ROOM, _TIMES = 64 << 20, 20
#: The largest allowed number of files.
_FILES = 10_000

ZIP, _GZIP, _ZIPPED_FILE = b'PK\3\4', b'\x1f\x8b', b'PK\1\2'

_LINK = '%s in it is not a plain file: if it is a link, pack with tar -h or zip without -y'


def room_for(size: int) -> int:
    """How many bytes the content of an archive of `size` bytes may have."""
    return _ROOM + _TIMES * size


def files_in(stream: BinaryIO, wanted: Callable[[str], bool], room: int) -> dict[str, bytes]:
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
        for path, plain, read in _zipped(stream.read(), room) if begin == ZIP else _tarred(
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
