"""NVIDIA's libraries: finds those that MXNet's library links to, and loads those from pip.

MXNet's CUDA wheels bring neither CUDA nor cuDNN nor NCCL. Libraries that the system's loader finds,
for instance in LD_LIBRARY_PATH, come first; others are taken from NVIDIA's pip packages. The
installed library of MXNet decides which are needed: one built for the CPU links to none.
"""
from __future__ import annotations

import ctypes
import glob
import importlib.util
import mmap
import os
import struct
from importlib import metadata
from typing import Callable, NamedTuple, Sequence, TypeVar

__all__ = ['compute_capabilities', 'DISTRIBUTIONS', 'DRIVER', 'installed', 'LIBRARIES', 'linked',
           'load', 'mxnet_library', 'origin', 'other_versions', 'pip_packages', 'runs_on',
           'wanted', 'WHEELS']

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


DRIVER = 'libcuda.so.1'


class Library(NamedTuple):
    """One of NVIDIA's libraries: the name for linking, and its pip package."""

    soname: str
    package: str
    version: str


#: In the order of loading: each after the libraries that it depends on.
LIBRARIES = (
    Library('libcudart.so.11.0', 'nvidia-cuda-runtime-cu11', '11.8.89'),
    Library('libnvToolsExt.so.1', 'nvidia-nvtx-cu11', '11.8.86'),
    Library('libnvrtc.so.11.2', 'nvidia-cuda-nvrtc-cu11', '11.8.89'),
    Library('libcublas.so.11', 'nvidia-cublas-cu11', '11.11.3.6'),
    Library('libcufft.so.10', 'nvidia-cufft-cu11', '10.9.0.58'),
    Library('libcurand.so.10', 'nvidia-curand-cu11', '10.3.0.86'),
    Library('libcusparse.so.11', 'nvidia-cusparse-cu11', '11.7.5.86'),
    Library('libcusolver.so.11', 'nvidia-cusolver-cu11', '11.4.1.48'),
    Library('libnccl.so.2', 'nvidia-nccl-cu11', '2.21.5'),
    Library('libcudnn.so.8', 'nvidia-cudnn-cu11', '8.9.6.50'),
)

#: The CUDA releases for which PyPI has a wheel of MXNet 1.9.1, and whether the packages above bring
#: every library that the wheel links to. Others need a CUDA toolkit of their release.
WHEELS = {'cu101': False, 'cu102': False, 'cu110': False, 'cu111': False, 'cu112': True,
          'cu113': True, 'cu114': True, 'cu115': True, 'cu116': True, 'cu117': True}

#: Distributions of the package `mxnet`; each overwrites the others' files.
DISTRIBUTIONS = ('mxnet',) + tuple('mxnet-' + name for name in WHEELS)


def _stem(soname: str) -> str:
    return soname.split('.so', 1)[0]


def pip_packages(wheel: str) -> list[str]:
    """Return the requirements that bring the libraries of `wheel` ('cu112', ...)."""
    # From CUDA 11.3 on the wheels link to libcusparse as well.
    return ['%s==%s' % (library.package, library.version) for library in LIBRARIES
            if WHEELS[wheel] and (wheel, _stem(library.soname)) != ('cu112', 'libcusparse')]


def installed() -> dict[str, str]:
    """Return name and version of every installed distribution of MXNet."""
    found = {}
    for name in DISTRIBUTIONS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            pass
    return found


def mxnet_library(folder: str) -> str | None:
    """Return the library that MXNet in `folder` will load, if that can be told."""
    folders = os.environ.get('LD_LIBRARY_PATH', '').split(os.pathsep) + [folder]
    paths = [os.path.join(each, 'libmxnet.so') for each in folders if each]
    paths.insert(0, os.environ.get('MXNET_LIBRARY_PATH', ''))
    return next(filter(os.path.isfile, paths), None)


# -- Loading ---------------------------------------------------------------------------------------

def wanted(path: str | None) -> list[str]:
    """Return the names of NVIDIA's libraries that the file at `path` links to, in order."""
    order = [_stem(library.soname) for library in LIBRARIES] + [_stem(DRIVER)]
    names = [name for name in linked(path) if _stem(name) in order]
    return sorted(names, key=lambda name: order.index(_stem(name)))


def _nvidia_folders() -> list[str]:
    # A namespace package: its parts may be in several places, and none of them is imported.
    spec = importlib.util.find_spec('nvidia')
    return list(spec.submodule_search_locations or []) if spec else []


def _files(pattern: str) -> list[str]:
    return sorted(file for folder in _nvidia_folders()
                  for file in glob.glob(os.path.join(glob.escape(folder), '*', 'lib', pattern)))


def _open(name: str) -> ctypes.CDLL:
    return ctypes.CDLL(name, ctypes.RTLD_GLOBAL)


def load(path: str | None) -> dict[str, str]:
    """Load the libraries that the file at `path` links to: the system's first, otherwise pip's.

    Returns
    -------
    failed : dict of str to str
        Names of libraries that could not be loaded, and the loader's reasons.
    """
    failed = {}
    for soname in wanted(path):
        for candidate in [soname] + _files(soname):
            try:
                _open(candidate)
            except OSError as error:
                failed[soname] = str(error)
            else:
                failed.pop(soname, None)
                break
    return failed


def origin(soname: str) -> str | None:
    """Return the file that the library `soname` was loaded from; None if it is not loaded."""
    with open('/proc/self/maps', encoding='utf-8', errors='surrogateescape') as maps:
        paths = [line.rstrip('\n').split(maxsplit=5)[-1] for line in maps]
    return next((path for path in paths if _stem(os.path.basename(path)) == _stem(soname)), None)


def other_versions(soname: str) -> list[str]:
    """Return the files of a library's other versions."""
    return [file for file in _files(_stem(soname) + '.so.*') if os.path.basename(file) != soname]
