"""Protects existing files where a source and its weights are to be written."""
from __future__ import annotations

import collections
import os
import pickle
import sys
import zlib
from typing import Any, Mapping

import torch
from torch import Tensor

__all__ = ['check_target', 'is_graph', 'is_source', 'read_state', 'sealed', 'weights_of']

_BEGIN = '"""A model of MXNet'
_END = ', written by mxrnn.'
#: An attribute of the state dict with a checksum; it is not among its keys.
_SEAL = 'written_by_mxrnn'
#: And one with a checksum of the source beside it.
_TEXT = 'source_by_mxrnn'
#: Modules that a source of the same name would hide from torch or from itself.
_IMPORTED = {'__future__', 'math', 'numpy', 'torch', 'typing',
             *getattr(sys, 'stdlib_module_names', ())}


def weights_of(path: str) -> str:
    """The path of a source's weights."""
    return path[:-len('.py')] + '.pt'


def is_source(path: str) -> bool:
    """Whether the file exists and begins as a source of `to_source` does."""
    try:
        with open(path, encoding='utf-8', errors='replace') as file:
            line = file.readline(200).rstrip()
    except OSError:
        return False
    return line.startswith(_BEGIN) and line.endswith(_END)


def check_target(path: str) -> None:
    """Refuse to overwrite programs, changed sources, and weights that `to_source` did not write.
    Refuse names of modules that torch imports."""
    if not path.endswith('.py'):
        raise ValueError('path must end in .py, got %s' % path)
    other = 'choose another name, such as %s_model.py' % path[:-len('.py')]
    name = os.path.basename(path)[:-len('.py')]
    if name in _IMPORTED:
        raise ValueError('imports of the module %s would find %s: %s' % (name, path, other))
    if os.path.exists(path) and not is_source(path):
        raise ValueError('%s exists, and mxrnn did not write it: %s' % (path, other))
    weights = weights_of(path)
    if os.path.exists(weights):
        what = _other_than_written(weights)
        if what or not os.path.exists(path):
            raise ValueError('the weights would overwrite %s, %s: %s' % (
                weights, what or 'which has no source beside it', other))
    if os.path.exists(path) and not (os.path.exists(weights) and getattr(
            read_state(weights), _TEXT, None) == _text_sum(path)):
        raise ValueError('%s exists, and %s: %s, or delete it if nobody needs it' % (
            path, 'was changed since mxrnn wrote it' if os.path.exists(weights) else
            'mxrnn cannot tell whether it was changed, because %s is missing' % weights, other))


def _other_than_written(path: str) -> str:
    """What a file is, if `to_source` did not write it; '' otherwise."""
    try:
        content = read_state(path)
    except (RuntimeError, ValueError, EOFError, KeyError, pickle.UnpicklingError):
        return 'which mxrnn did not write'
    if is_graph(content):
        return 'a graph that `save_torch` (--torch) wrote'
    seal = getattr(content, _SEAL, None)
    return '' if seal is not None and seal == _sum(content) else (
        'which has weights that a program saved')


def sealed(state: Mapping[str, Tensor], source: str) -> Mapping[str, Tensor]:
    """A state dict with checksums, which show later whether the weights or the file `source`
    were changed."""
    own = collections.OrderedDict(state)
    setattr(own, _SEAL, _sum(state))
    setattr(own, _TEXT, _text_sum(source))
    return own


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
    return torch.load(os.fspath(path), map_location='cpu', weights_only=True)


def is_graph(content: Any) -> bool:
    return isinstance(content, dict) and 'format' in content and 'graph' in content
