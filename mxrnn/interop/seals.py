"""The checksum in ONNX files, and what an export may replace: files that mxrnn wrote of the same
model, unchanged since.

A file of `to_onnx` begins with an entry of its metadata: the CRC-32 of everything behind it. If
another program writes the model anew, the entry is elsewhere, and nothing is checked.
"""
from __future__ import annotations

import os
import re
import zlib
from typing import Iterable, Mapping, NoReturn, Sequence

from .model import Model

__all__ = ['OTHER_MODEL', 'check_onnx_target', 'is_of_model', 'refuse_damaged', 'refuse_to_replace',
           'sealed']

#: The entry as protobuf has it, without its eight digits: a field of the model, its key, its value.
_SEAL = b'r\x17\n\x0bmxrnn.crc32\x12\x08'


def sealed(content: bytes) -> bytes:
    """The content of an ONNX file, with its checksum."""
    return _SEAL + b'%08x' % zlib.crc32(content) + content


def _intact(path: str) -> bool | None:
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
    if _intact(path) is False:
        raise ValueError('%s is damaged: its checksum is that of another content. Copy it again, '
                         'or export it again' % path)


# ---- files that are there

#: Why exports of other models are refused.
OTHER_MODEL = 'is an export of another model'


def refuse_to_replace(path: str, why: str, such_as: str = '') -> NoReturn:
    """Raise the error for a file that must stay."""
    raise ValueError('%s exists, and %s: choose another name%s, or delete it if nobody needs it' % (
        path, why, such_as and ', such as %s' % such_as))


def is_of_model(model: Model, names: Iterable[str], arrays: Mapping[str, Sequence[int]],
                known: Mapping[str, Sequence[int]]) -> bool:
    """Whether a file may be an export of a model, of any epoch and with any options.

    Its names must be `known` or begin with the first word of a name in the graph, as names do that
    an export makes. Shapes of its `arrays` must be the known ones; begin states may have one row.
    """
    own = {node.name for node in model.graph.walk()}
    return all(name in known or any(each.startswith(re.split(r'[._]', name)[0]) for each in own)
               for name in names) and all(
        len(shape) == len(known[name]) and all(
            one == other or 1 in (one, other) for one, other in zip(shape, known[name]))
        for name, shape in arrays.items() if name in known)


def check_onnx_target(path: str, model: Model) -> None:
    """Refuse to replace a file that `to_onnx` did not write of this model. Pipes, devices and empty
    files are no such files."""
    if not os.path.isfile(path) or not os.path.getsize(path):
        return
    if not _intact(path):
        refuse_to_replace(path, 'mxrnn did not write it, or it was changed since')
    import onnx
    graph = onnx.load(path).graph
    arrays = {each.name: tuple(each.dims) for each in graph.initializer}
    if not is_of_model(model, [*arrays, *(each.name for each in graph.input)], arrays, {
            name: array.shape for name, array in {**model.arg_params, **model.aux_params}.items()}):
        refuse_to_replace(path, OTHER_MODEL)
