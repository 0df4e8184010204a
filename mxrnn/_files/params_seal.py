"""The seal of a file of arrays: a checksum, and the newest file at the save, in a reserved word.

MXNet writes 0 there and does not read it. mxrnn writes the CRC-32 of all other bytes, then 'CR' and
two more bytes. These are usually 'C1'. But if a checkpoint with a higher number already existed at
the save, they are the beginning of that one's checksum. So a file tells that it is newer than
another with a higher number, as long as that one is unchanged. Times alone do not tell this of
copied files.
"""
from __future__ import annotations

import io
import os
import struct
import zlib
from typing import NamedTuple

__all__ = ['AT', 'Seal', 'checksum_of', 'parse', 'seal_of', 'was_there', 'write']

AT = 8  #: where the word is in the file
_SIZE = 8
_MARK, _ALONE = b'CR', b'C1'


class Seal(NamedTuple):
    """The content of the word: the checksum, and the bytes that identify a higher number."""

    checksum: int
    higher: bytes


def parse(word: bytes) -> Seal | None:
    """Reads a reserved word: None if it is MXNet's; a ValueError if it is neither."""
    checksum, mark, higher = struct.unpack('<I2s2s', word)
    if mark == _MARK:
        return Seal(checksum, higher)
    if any(word):
        raise ValueError('it was changed after it was written: bytes 8 to 15 are neither the zeros '
                         'of MXNet nor a checksum of mxrnn')
    return None


def seal_of(path: str, higher: bytes = _ALONE, content: bytes | None = None) -> Seal:
    """The right seal for the file, or its `content`, whatever its reserved word contains."""
    checksum = zlib.crc32(b'' if higher == _ALONE else higher)
    with open(path, 'rb', buffering=0) if content is None else io.BytesIO(content) as stream:
        checksum = zlib.crc32(stream.read(AT) or b'', checksum)
        stream.seek(AT + _SIZE)
        return Seal(checksum_of(stream, checksum), higher)


def checksum_of(stream: io.RawIOBase | io.BufferedIOBase, before: int = 0) -> int:
    """The CRC-32 of the rest of a stream, of which `before` is that of the bytes before."""
    block = memoryview(bytearray(1 << 17))
    for count in iter(lambda: stream.readinto(block), 0):
        before = zlib.crc32(block[:count], before)
    return before


def write(path: str, higher: str | None = None) -> None:
    """Seal the file `path`; `higher` is the file of a checkpoint with a higher number."""
    told = None if higher is None else _bytes_for(higher)
    seal = seal_of(path, _ALONE if told is None else told)
    with open(path, 'r+b') as stream:
        stream.seek(AT)
        stream.write(struct.pack('<I2s2s', seal.checksum, _MARK, seal.higher))


def was_there(higher: str, path: str) -> bool:
    """Whether the file `path` was saved when `higher`, unchanged since, already existed.

    A later one is not: a second run may have written `higher` again with the same bytes.
    """
    seal, told = _seal_in(path), _bytes_for(higher)
    return seal is not None and told is not None and seal.higher == told and (
        os.path.getmtime(higher) <= os.path.getmtime(path))


def _bytes_for(path: str) -> bytes | None:
    """The bytes that identify the file `path`; None if it has no checksum to take them from."""
    seal = _seal_in(path)
    told = seal and struct.pack('<H', (seal.checksum ^ seal.checksum >> 16) & 0xffff)
    return told if told != _ALONE else None


def _seal_in(path: str) -> Seal | None:
    """The seal in the file; None if it has none or cannot be read."""
    try:
        with open(path, 'rb') as stream:
            stream.seek(AT)
            return parse(stream.read(_SIZE))
    except (OSError, ValueError, struct.error):
        return None
