"""Reads ELF files, as Linux has libraries: what they link to, and the GPUs they have code for."""
from __future__ import annotations

import mmap
import struct
from typing import Callable, Sequence, TypeVar

__all__ = ['compute_capabilities', 'linked', 'runs_on']


T = TypeVar('T')


def _rows(data: mmap.mmap, at: int, size: int, number: int, layout: str) -> list[tuple[int, ...]]:
    return [struct.unpack_from(layout, data, at + i * size) for i in range(number)]


def _text(data: mmap.mmap, at: int) -> str:
    return data[at:data.find(b'\0', at)].decode()


def _read(path: str | None, reader: Callable[[mmap.mmap], list[T]]) -> list[T]:
    """Return the result of `reader` for a 64-bit little-endian ELF file, [] for other files."""
    if path is None:
        return []
    with open(path, 'rb') as file:
        if file.read(6) != b'\x7fELF\x02\x01':
            return []
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            try:
                return reader(data)
            except (struct.error, IndexError):  # truncated; the loader will report it
                return []


def _linked(data: mmap.mmap) -> list[str]:
    start, = struct.unpack_from('<Q', data, 32)
    # type, flags, offset, virtual address, physical address, size in the file
    size, number = struct.unpack_from('<HH', data, 54)
    segments = _rows(data, start, size, number, '<IIQQQQ')
    at, size = next(((row[2], row[5]) for row in segments if row[0] == 2), (0, 0))  # PT_DYNAMIC
    entries = _rows(data, at, 16, size // 16, '<qQ')
    strings = next((value for tag, value in entries if tag == 5), 0)                # DT_STRTAB
    offset = next((row[2] - row[3] for row in segments                              # PT_LOAD
                   if row[0] == 1 and row[3] <= strings < row[3] + row[5]), 0)
    return [_text(data, strings + offset + value) for tag, value in entries if tag == 1]


def linked(path: str | None) -> list[str]:
    """Return the names of the shared libraries that the file at `path` links to."""
    return _read(path, _linked)


def _compute_capabilities(data: mmap.mmap) -> list[tuple[bool, int]]:
    start, = struct.unpack_from('<Q', data, 40)
    size, number, names = struct.unpack_from('<HHH', data, 58)
    # name, type, flags, address, offset, size
    sections = _rows(data, start, size, number, '<IIQQQQ')
    found = set()
    for row in sections:
        if _text(data, sections[names][4] + row[0]) != '.nv_fatbin':
            continue
        at, end = row[4], row[4] + row[5]
        while at < end:
            magic, _, header, length = struct.unpack_from('<IHHQ', data, at)
            if magic != 0xBA55ED50:  # padding between two bundles
                at += 8
                continue
            at += header
            bundle_end = at + length
            while at < bundle_end:
                kind, _, header, length = struct.unpack_from('<HHIQ', data, at)
                found.add((kind == 1, struct.unpack_from('<I', data, at + 28)[0]))
                at += header + length
            at = bundle_end
    return sorted(found)


def compute_capabilities(path: str | None) -> list[tuple[bool, int]]:
    """Return the GPUs that the file at `path` has code for, as ``(is_ptx, 10 * major + minor)``."""
    return _read(path, _compute_capabilities)


def runs_on(code: Sequence[tuple[bool, int]], capability: tuple[int, int]) -> bool:
    """Return whether a GPU of `capability` (major, minor) can run any of `code`.

    Machine code runs on GPUs with its major version and at least its minor version. PTX, which the
    driver compiles, runs on every later GPU.
    """
    wanted = 10 * capability[0] + capability[1]
    return any(have <= wanted and (is_ptx or have // 10 == capability[0]) for is_ptx, have in code)
