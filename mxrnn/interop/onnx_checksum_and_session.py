"""onnxruntime's session of a file, whose checksum is checked first.

A file of `to_onnx` begins with an entry of its metadata: the CRC-32 of everything behind it. If
another program writes the model anew, the entry is elsewhere, and nothing is checked.
"""
from __future__ import annotations

import os
import re
import zlib
from typing import Any, Sequence

from .. import _check

__all__ = ['intact', 'refuse_damaged', 'sealed', 'session_of']

#: Types that NumPy has, as onnxruntime names them.
_NUMBERS = re.compile(r'tensor\((bool|float16|float|double|u?int(8|16|32|64))\)')
#: The entry as protobuf has it, without its eight digits: a field of the model, its key, its value.
_SEAL = b'r\x17\n\x0bmxrnn.crc32\x12\x08'


def sealed(content: bytes) -> bytes:
    """The content of an ONNX file, with its checksum."""
    return _SEAL + b'%08x' % zlib.crc32(content) + content


def intact(path: str) -> bool | None:
    """Whether a file is what its checksum says; None if it has none."""
    with open(path, 'rb') as file:
        if file.read(len(_SEAL)) != _SEAL:
            return None
        digits, found = file.read(8), 0
        for block in iter(lambda: file.read(1 << 20), b''):
            found = zlib.crc32(block, found)
    return digits == b'%08x' % found


def refuse_damaged(path: str) -> None:
    """Raise a ValueError if a file is not what its checksum says."""
    if intact(path) is False:
        raise ValueError('%s is damaged: its checksum is that of another content. Copy it again, '
                         'or export it again' % path)


def session_of(content: str | bytes, what: str, threads: int = 0,
               providers: Sequence[str] | None = None) -> Any:
    """The session of a file, or of its content; `threads` for one call, 0 for all processors."""
    with _check.needing('ONNX files are run by the package onnxruntime', 'onnxruntime'):
        import onnxruntime
    if isinstance(content, str):
        if not os.path.isfile(content):
            raise FileNotFoundError('there is no file %s' % content)
        refuse_damaged(content)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    if not threads:  # a check: the threads would keep all processors busy between two calls
        options.add_session_config_entry('session.intra_op.allow_spinning', '0')
        options.log_severity_level = 4  # sizes that it refuses raise an error, which has the reason
    options.enable_cpu_mem_arena = False  # a small step takes a twentieth longer with it
    try:
        session = onnxruntime.InferenceSession(
            content, options, providers=list(providers or ['CPUExecutionProvider']))
    except Exception as error:  # its own classes, which derive from Exception alone
        raise ValueError('onnxruntime cannot load %s: %s' % (what, error)) from None
    for each in session.get_inputs():
        if not _NUMBERS.fullmatch(each.type):
            raise ValueError('%s is no export of mxrnn: its input %s is %s, not an array of numbers'
                             % (what, each.name, each.type))
    return session
