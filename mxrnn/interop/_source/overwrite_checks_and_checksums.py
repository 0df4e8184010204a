"""Protects existing files where a source and its weights are to be written."""
from __future__ import annotations

import collections
import keyword
import os
import sys
import zlib
from typing import Any, Mapping

import torch
from torch import Tensor

from ..._files.checkpoint_refusals import is_source
from ..model import Model
from ..seals import OTHER_MODEL, is_of_model, refuse_to_replace

__all__ = ['check_target', 'read_state', 'refuse_other_model', 'sealed', 'weights_of']

#: An attribute of the state dict with a checksum; it is not among its keys.
_SEAL = 'written_by_mxrnn'
#: And one with a checksum of the source beside it.
_TEXT = 'source_by_mxrnn'
#: Modules that a source of the same name would hide: from torch, itself, or the next export.
_IMPORTED = {'__future__', 'math', 'mxnet', 'mxrnn', 'numpy', 'onnx', 'onnxruntime', 'torch',
             'typing', *getattr(sys, 'stdlib_module_names', ())}


def weights_of(path: str) -> str:
    """The path of a source's weights."""
    return path[:-len('.py')] + '.pt'


def check_target(path: str) -> dict[str, tuple[int, ...]]:
    """Refuse to overwrite programs, changed sources, and weights that `to_source` did not write.
    Refuse names of modules that torch imports. Returns the shapes of the weights that are there."""
    if not path.endswith('.py'):
        raise ValueError('path must end in .py, got %s' % path)
    other = path[:-len('.py')] + '_model.py'
    name = os.path.basename(path)[:-len('.py')]
    if keyword.iskeyword(name):
        raise ValueError('%s cannot be imported, because %s is a word of Python: choose another '
                         'name, such as %s' % (path, name, other))
    if name in _IMPORTED:
        raise ValueError('imports of the module %s would find %s: choose another name, such as %s' %
                         (name, path, other))
    weights, there = weights_of(path), os.path.exists(path)
    if there and not is_source(path):
        refuse_to_replace(path, 'mxrnn did not write it', other)
    if not os.path.exists(weights):
        if there:
            refuse_to_replace(path, 'mxrnn cannot tell whether it was changed, because %s is '
                              'missing' % weights, other)
        return {}
    try:
        state = read_state(weights)
    except ValueError:
        refuse_to_replace(weights, 'mxrnn did not write it', other)
    if not _is_sealed(state):
        refuse_to_replace(weights, 'has weights that a program saved', other)
    if not there:
        refuse_to_replace(weights, 'has no source beside it', other)
    if getattr(state, _TEXT, None) != _text_sum(path):
        refuse_to_replace(path, 'was changed since mxrnn wrote it', other)
    return {key: tuple(value.shape) for key, value in state.items()}


def refuse_other_model(path: str, there: Mapping[str, tuple[int, ...]],
                       state: Mapping[str, Tensor], model: Model) -> None:
    """Refuse to overwrite a source whose weights, `there`, are those of another model."""
    if not is_of_model(model, there, there, {key: each.shape for key, each in state.items()}):
        refuse_to_replace(path, OTHER_MODEL)


def sealed(state: Mapping[str, Tensor], source: str) -> Mapping[str, Tensor]:
    """A state dict with checksums, which show later whether the weights or the file `source`
    were changed."""
    own = collections.OrderedDict(state)
    setattr(own, _SEAL, _sum(state))
    setattr(own, _TEXT, _text_sum(source))
    return own


def _is_sealed(state: Any) -> bool:
    """Whether the content of a file of torch is a state dict that its checksum fits."""
    seal = getattr(state, _SEAL, None)
    try:
        return seal is not None and bool(seal == _sum(state))
    except (AttributeError, TypeError, RuntimeError):  # it holds other things than plain tensors
        return False


def _text_sum(path: str) -> int:
    """A text's checksum, the same for all kinds of line ends."""
    with open(path, encoding='utf-8', errors='replace') as file:
        return zlib.crc32(file.read().encode('utf-8', 'replace'))


def _sum(state: Mapping[str, Tensor]) -> int:
    """A checksum of names and numbers."""
    found = 0
    for key, value in state.items():
        found = zlib.crc32(value.numpy().tobytes(), zlib.crc32(key.encode(), found))
    return found


def read_state(path: str | os.PathLike[str]) -> Any:
    """The content of a file of torch; a ValueError if it is none."""
    try:
        return torch.load(os.fspath(path), map_location='cpu', weights_only=True)
    except (FileNotFoundError, PermissionError, IsADirectoryError):
        raise
    except Exception as error:  # torch has many classes for files that it cannot read
        raise ValueError('%s is damaged, or not a file of torch.save(module.state_dict(), ...): %s'
                         % (os.fspath(path), str(error).partition('\n')[0])) from None
