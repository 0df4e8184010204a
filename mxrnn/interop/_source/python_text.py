"""Text of Python: identifiers, literals, imports, lines that are not too long."""
from __future__ import annotations

import builtins
import functools
import keyword
import math
import re
from typing import Any, Callable

from torch import nn

from . import pasted

__all__ = ['METHODS', 'NAME', 'WIDTH', 'WORD', 'identifier', 'imports_of', 'literal', 'local',
           'pasted_names', 'wrapped']

NAME = re.compile(r'(self\.)?\w+')
WORD = re.compile(r'(?<![\w.\'"])[A-Za-z_]\w*')  # a letter before a quote, as in r'…', is none

#: Words that have another meaning in the file.
_GLOBALS = {'torch', 'nn', 'F', 'Tensor', 'Model', 'self', 'math', 'Any', 'Callable', 'Sequence',
            *dir(builtins), *keyword.kwlist}
METHODS = {*dir(nn.Module()), *keyword.kwlist, 'scores', 'loss', 'step', 'begin', 'encode',
            'steps', 'inputs', 'outputs', 'source', 'operators'}

#: What the functions' annotations need from typing.
_TYPING = 'Any', 'Callable', 'Sequence', 'Union'
#: The longest line of a source.
WIDTH = 100


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


@functools.lru_cache(maxsize=None)
def pasted_names() -> frozenset[str]:
    """The names of functions that may be pasted; variables of methods do not get them."""
    return frozenset(name for name, each in vars(pasted).items()
                     if getattr(each, '__module__', '') == pasted.__name__)


def literal(value: Any) -> str:
    """An attribute as an argument of a call, in full."""
    return 'float(%r)' % str(value) if isinstance(value, float) and not math.isfinite(
        value) else repr(value)


def imports_of(text: str) -> list[str]:
    """The imports that a Python text needs, from torch and from Python itself."""
    read = set(re.findall(r'\w+', text))
    typing = [each for each in _TYPING if each in read]
    return [*['from __future__ import annotations\n'] * bool(typing or re.search(
        r'(tuple|list)\[| \| ', text)),
        *['import math'] * ('math' in read), *[
            'from typing import ' + ', '.join(typing)] * bool(typing),
        *[''] * bool(typing or 'math' in read), *['import torch'] * bool(re.search(
            r'\btorch\.', text)),
        *['import torch.nn.functional as F'] * bool(re.search(r'\bF\.', text)),
        'from torch import Tensor, nn']


def wrapped(line: str, depth: int = 0, deeper: int = 4) -> str:
    """A line of code, continued inside its brackets if it is too long. It begins in `depth`
    brackets. A comment stays at its end if there is room, and otherwise moves before it."""
    if len(line) <= WIDTH:
        return line
    code, sign, comment = line.partition('  # ')
    if sign:
        first, end, last = wrapped(code).rpartition('\n')
        if end and len(last + sign + comment) <= WIDTH:
            return first + end + last + sign + comment
        return '%s# %s\n%s' % (' ' * (len(line) - len(line.lstrip())), comment, wrapped(code))
    breaks: list[tuple[int, int]] = []
    quote = ''
    for at, letter in enumerate(line[:WIDTH]):
        if quote or letter in '\'"':
            quote = '' if letter == quote else quote or letter
            continue
        depth += (letter in '([{') - (letter in ')]}')
        if letter == ' ' and depth and line[at - 1] in ',+*/-':
            breaks.append((depth, at))
    if not breaks:
        return line
    late = [each for each in breaks if each[1] > WIDTH // 2]
    least = min(late, default=(0, 0))[0]
    at_best, best = max((each for each in late if each[0] == least), default=breaks[-1])
    indent = len(line) - len(line.lstrip()) + deeper * (
        1 + line.lstrip().startswith(('def ', 'for ')))
    return line[:best] + '\n' + wrapped(' ' * indent + line[best + 1:], at_best, 0)
