"""Functions of tensors whose text a source gets as it stands in this package."""
from __future__ import annotations

import ast
import functools
import inspect
import re
import sys
import textwrap
from types import FunctionType
from typing import Any, Callable

from torch import Tensor

__all__ = ['check_shape', 'imports_of', 'paste']

_PACKAGE = __name__.partition('.')[0] + '.'
#: What annotations in the functions need from typing.
_TYPING = 'Any', 'Callable', 'Sequence'


def paste(function: Callable[..., Any], texts: dict[str, str]) -> str:
    """Enter the text of a function, and of those of this package that it calls, into `texts` by
    their names; its name."""
    name, text, called = _text(function)
    if name not in texts:
        texts[name] = text
        for each in called:
            paste(each, texts)
    return name


@functools.lru_cache(maxsize=None)
def _text(function: Callable[..., Any]) -> tuple[str, str, tuple[Callable[..., Any], ...]]:
    """The name and the text of a function without its decorators, and what it calls."""
    lines = textwrap.dedent(inspect.getsource(function)).splitlines()
    tree = ast.parse('\n'.join(lines)).body[0]
    assert isinstance(tree, (ast.FunctionDef, ast.ClassDef))
    text = '\n'.join(lines[tree.lineno - 1:tree.end_lineno])
    known = vars(sys.modules[function.__module__])
    called = {each.id: known[each.id] for each in ast.walk(tree) if isinstance(each, ast.Name)
              and isinstance(known.get(each.id), (FunctionType, type))
              and known[each.id].__module__.startswith(_PACKAGE)}
    for word in {tree.name, *called}:
        text = re.sub(r'\b%s\b' % word, word.lstrip('_'), text)
    called.pop(tree.name, None)
    return tree.name.lstrip('_'), text, tuple(called.values())


def imports_of(text: str) -> list[str]:
    """The lines that import what a text of Python reads, of torch and of Python itself."""
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


def check_shape(x: Tensor, *sizes: int) -> None:
    """Refuse another shape than that of the graph, in which sizes of -1 are any."""
    if x.dim() != len(sizes) or any(size not in (-1, own) for size, own in zip(sizes, x.shape)):
        raise ValueError('the shape must be (%s), got %s' % (', '.join(
            'any' if size == -1 else str(size) for size in sizes), tuple(x.shape)))
