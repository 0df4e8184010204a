"""The checksum of an export, and what another may replace: files that mxrnn wrote of the same
model, unchanged since.

A file of `to_onnx` begins with an entry of its metadata: the CRC-32 of everything behind it. If
another program writes the model anew, the entry is elsewhere, and nothing is checked. The weights
of a source have the CRC-32 of its text and of their numbers, in an attribute of the state dict.
"""
from __future__ import annotations

import collections
import keyword
import os
import re
import sys
import zlib
from typing import TYPE_CHECKING, Any, Iterable, Mapping, NoReturn, Sequence

from .._graph.rolling import with_one_input
from .model import Model

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ['check_onnx_target', 'check_source_target', 'is_onnx', 'other_model', 'read_state',
           'refuse_checkpoint', 'refuse_damaged', 'refuse_no_onnx', 'refuse_other_model',
           'refuse_other_weights', 'refuse_torch', 'sealed', 'sealed_state', 'weights_of']

#: The entry as protobuf has it, without its eight digits: a field of the model, its key, its value.
_SEAL = b'r\x17\n\x0bmxrnn.crc32\x12\x08'

#: The attribute of a state dict; it is not among its keys.
_OF_SOURCE = 'sealed_by_mxrnn'
#: Modules that a source of the same name would hide: from torch, itself, or the next export.
_IMPORTED = {'__future__', 'math', 'mxnet', 'mxrnn', 'numpy', 'onnx', 'onnxruntime', 'torch',
             'typing', *getattr(sys, 'stdlib_module_names', ())}
#: How the first line of a source begins and ends.
_SOURCE = '"""A model of MXNet', ', written by mxrnn.'
#: Why exports of other models are refused.
_OTHER_MODEL = 'is an export of another model'


def refuse_checkpoint(name: str, path: str) -> None:
    """Refuse to write an export over files of checkpoints; `name` is the argument with its path."""
    for each in (path, os.path.realpath(path)):
        if re.search(r'(-symbol\.json|\.params|\.states|\.part-\d+)$', each, re.IGNORECASE):
            raise ValueError('%s must not be the name of a file of a checkpoint (*-symbol.json, '
                             '*.params, *.states), got %s' % (
                                 name, path if each == path else '%s, a link to %s' % (path, each)))


def _is_source(path: str) -> bool:
    """Whether the file exists and begins as a source of `to_source` does."""
    try:
        with open(path, encoding='utf-8', errors='replace') as file:
            line = file.readline(200).rstrip()
    except OSError:
        return False
    return line.startswith(_SOURCE[0]) and line.endswith(_SOURCE[1])


def refuse_torch(path: str) -> None:
    """Refuse a source, its weights and files of torch where a checkpoint is wanted."""
    if not os.path.isfile(path):
        return
    if _source_with(path):
        raise ValueError('%s belongs to a source, of which mxrnn reads only the weights '
                         '(from_source): name its checkpoint' % path)
    with open(path, 'rb') as file:
        if b'data.pkl' in file.read(256) or path.endswith(('.pt', '.pth')):  # in a zip of torch
            raise ValueError('%s is a file of torch, which mxrnn does not read: name a checkpoint '
                             'of MXNet, PREFIX of PREFIX-symbol.json' % path)


def is_onnx(path: str) -> bool:
    """Whether a file is there that has the end of an ONNX file, or that `to_onnx` wrote."""
    if not os.path.isfile(path):
        return False
    with open(path, 'rb') as file:
        return path.lower().endswith('.onnx') or file.read(len(_SEAL)) == _SEAL


def refuse_no_onnx(path: str) -> None:
    """Refuse a file of another kind where an ONNX file is wanted."""
    if not os.path.isfile(path) or is_onnx(path):
        return
    source = _source_with(path)
    raise ValueError('%s belongs to a source, which export already compared with the graph: see '
                     '"Checked" in %s' % (path, source) if source else
                     '%s is no ONNX file: compare takes FILE.onnx, which export PREFIX --onnx '
                     'FILE.onnx writes' % path)


def _source_with(path: str) -> str:
    """The source to which a file belongs, as itself or its weights; '' if there is none."""
    stem, end = os.path.splitext(path)
    return stem + '.py' if end in ('.py', '.pt') and _is_source(stem + '.py') else ''


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


def sealed_state(state: Mapping[str, Tensor], text: str) -> Mapping[str, Tensor]:
    """The state dict of the source `text`, with a checksum of both."""
    own = collections.OrderedDict(state)
    setattr(own, _OF_SOURCE, _sum(state, text))
    return own


def _sum(state: Mapping[str, Tensor], text: str) -> int:
    """A checksum of a text, and of names and numbers."""
    found = zlib.crc32(text.encode('utf-8', 'replace'))
    for key, value in state.items():
        found = zlib.crc32(value.numpy().tobytes(), zlib.crc32(key.encode(), found))
    return found


# ---- files that are there

def _refuse_to_replace(path: str, why: str, such_as: str = '') -> NoReturn:
    """Raise the error for a file that must stay."""
    raise ValueError('%s exists, and %s: choose another name%s, or delete it if nobody needs it' % (
        path, why, such_as and ', such as %s' % such_as))


def _is_of_model(model: Model, names: Iterable[str], arrays: Mapping[str, Sequence[int]],
                known: Mapping[str, Sequence[int]]) -> bool:
    """Whether a file may be an export of a model, of any epoch and with any options.

    Its names must be `known` or begin with the first word of a name in the graph, as names do that
    an export makes. Shapes of its `arrays` must be the known ones.
    """
    own = {*with_one_input(model.graph, known).inputs, *(node.name for node in model.graph.walk())}
    return not _of_other_shape(arrays, known) and all(
        name in known or any(each.startswith(re.split(r'[._]', name)[0]) for each in own)
        for name in names)


def _of_other_shape(arrays: Mapping[str, Sequence[int]], known: Mapping[str, Sequence[int]]
                    ) -> list[str]:
    """The names of `arrays` whose shape is not the `known` one; begin states may have one row."""
    return [name for name, shape in arrays.items() if name in known and (
        len(shape) != len(known[name]) or any(
            one != other and 1 not in (one, other) for one, other in zip(shape, known[name])))]


def refuse_other_weights(path: str, model: Model) -> None:
    """Refuse an ONNX file whose weights have other shapes than a model's, if the package onnx is
    installed, which reads them."""
    try:
        import onnx
    except ImportError:
        return
    known = {name: array.shape for name, array in model.params.items()}
    arrays = {each.name: tuple(each.dims) for each in onnx.load(path).graph.initializer}
    for name in _of_other_shape(arrays, known)[:1]:
        raise other_model(path, "%s has shape %s, the checkpoint's has %s", name, arrays[name],
                          known[name])


def other_model(path: str, text: str, *shown: Any) -> ValueError:
    """The error for a file of another model: `text` says what differs, and how it is `shown` in the
    file and in the checkpoint: texts, shapes, or several names."""
    return ValueError('%s was exported from another model: its %s' % (path, text % tuple([
        each if isinstance(each, (str, tuple)) else ', '.join(each) or 'none'
        for each in shown])))


def check_onnx_target(path: str, model: Model) -> None:
    """Refuse to replace a file that `to_onnx` did not write of this model. Pipes, devices and empty
    files are no such files."""
    if not os.path.isfile(path) or not os.path.getsize(path):
        return
    if not _intact(path):
        _refuse_to_replace(path, 'mxrnn did not write it, or it was changed since')
    import onnx
    graph = onnx.load(path).graph
    arrays = {each.name: tuple(each.dims) for each in graph.initializer}
    if not _is_of_model(model, [*arrays, *(each.name for each in graph.input)], arrays, {
            name: array.shape for name, array in model.params.items()}):
        _refuse_to_replace(path, _OTHER_MODEL)


def weights_of(path: str) -> str:
    """The path of a source's weights."""
    return path[:-len('.py')] + '.pt'


def check_source_target(path: str) -> dict[str, tuple[int, ...]]:
    """Refuse to replace programs, and sources or weights that were changed since `to_source` wrote
    them. Refuse names that cannot be imported. Returns the shapes of the weights that are there."""
    if not path.endswith('.py'):
        raise ValueError('the path of a source (--source) must end in .py, got %s' % path)
    other = path[:-len('.py')] + '_model.py'
    name = os.path.basename(path)[:-len('.py')]
    if keyword.iskeyword(name):
        raise ValueError('%s cannot be imported, because %s is a word of Python: choose another '
                         'name, such as %s' % (path, name, other))
    if name in _IMPORTED:
        raise ValueError('imports of the module %s would find %s: choose another name, such as %s' %
                         (name, path, other))
    weights = weights_of(path)
    state: Any = None
    if not os.path.exists(path) and not os.path.exists(weights):
        return {}
    if os.path.exists(path) and not _is_source(path):
        _refuse_to_replace(path, 'mxrnn did not write it', other)
    try:
        state = read_state(weights)
        with open(path, encoding='utf-8', errors='replace') as file:
            intact = getattr(state, _OF_SOURCE, None) == _sum(state, file.read())
    except Exception:  # a file is missing, or torch's holds other things than plain tensors
        intact = False
    if not intact:
        there, beside = (path, weights)[::1 if os.path.exists(path) else -1]
        _refuse_to_replace(there, 'mxrnn did not write it with %s, or one of them was changed since'
                           % os.path.basename(beside), other)
    return {key: tuple(value.shape) for key, value in state.items()}


def refuse_other_model(path: str, there: Mapping[str, tuple[int, ...]],
                       state: Mapping[str, Tensor], model: Model) -> None:
    """Refuse to replace a source whose weights, `there`, are those of another model."""
    if not _is_of_model(model, there, there, {key: each.shape for key, each in state.items()}):
        _refuse_to_replace(path, _OTHER_MODEL)


def read_state(path: str | os.PathLike[str]) -> Any:
    """The content of a file of torch; a ValueError if it is none, an OSError if it is not read."""
    import torch
    try:
        return torch.load(os.fspath(path), map_location='cpu', weights_only=True)
    except (FileNotFoundError, PermissionError, IsADirectoryError) as error:
        raise type(error)('cannot read %s: %s' % (os.fspath(path), error.strerror)) from None
    except Exception:  # torch has many classes for files that it cannot read, and unsafe advice
        raise ValueError('%s is damaged, or not a file of torch.save(module.state_dict(), ...)'
                         % os.fspath(path)) from None
