"""Python's identifiers: finds them in text, and makes unused ones."""
from __future__ import annotations

import builtins
import keyword
import re
from typing import Callable

from torch import nn

from .paste_and_call_functions import pasted_names

__all__ = ['METHODS', 'NAME', 'WORD', 'identifier', 'local']

NAME = re.compile(r'(self\.)?\w+')
WORD = re.compile(r'(?<![\w.\'"])[A-Za-z_]\w*')  # a letter before a quote, as in r'…', is none

#: Words that have another meaning in the file.
_GLOBALS = {'torch', 'nn', 'F', 'Tensor', 'Model', 'self', 'math', 'Any', 'Callable', 'Sequence',
            *dir(builtins), *keyword.kwlist}
METHODS = {*dir(nn.Module()), *keyword.kwlist, 'scores', 'loss', 'step', 'begin', 'encode',
            'steps'}


def identifier(name: str, taken: Callable[[str], bool]) -> str:
    """An unused Python name, `name` with a number if necessary."""
    plain = re.sub(r'\W+', '_', name, flags=re.ASCII).strip('_')[:40] or 'x'
    plain = '_' + plain if plain[0].isdigit() else plain
    own, count = plain, 1
    while taken(own):
        count += 1
        own = '%s_%d' % (plain, count)
    return own


def local(name: str, taken: set[str]) -> str:
    """An identifier for a variable of a method."""
    functions = pasted_names()
    return identifier(name, lambda own: own in taken or own in _GLOBALS or own in functions)
