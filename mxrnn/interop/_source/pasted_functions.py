"""Pastes functions of this package into a source, as text, and writes calls of them."""
from __future__ import annotations

import ast
import functools
import inspect
import re
import sys
import textwrap
from types import FunctionType, ModuleType
from typing import Any, Callable, Sequence

from ..._graph.graph import Node
from .._torch import keywords
from ..registry import Operator
from .emitter_api import Emitted, Expr, Many, Unsupported
from .python_text import literal

__all__ = ['call', 'paste']

_PACKAGE = __name__.partition('.')[0] + '.'


def paste(function: Callable[..., Any], texts: dict[str, str]) -> str:
    """Add the text of a function, and of this package's functions that it calls, to `texts` by
    name; returns the function's name."""
    name, text, called = _text(function)
    if name not in texts:
        texts[name] = text
        for each in called:
            paste(each, texts)
    return name


@functools.lru_cache(maxsize=None)
def _text(function: Callable[..., Any]) -> tuple[str, str, tuple[Callable[..., Any], ...]]:
    """A function's name, its text without decorators, and the functions that it calls."""
    if not function.__doc__:
        raise Unsupported('its function has no docstring')
    lines = textwrap.dedent(inspect.getsource(function)).splitlines()
    tree = ast.parse('\n'.join(lines)).body[0]
    assert isinstance(tree, (ast.FunctionDef, ast.ClassDef))
    text = '\n'.join(lines[tree.lineno - 1:tree.end_lineno])
    tree.decorator_list = []
    known = vars(sys.modules[function.__module__])
    called = {each.id: known[each.id] for each in ast.walk(tree) if isinstance(each, ast.Name)
              and isinstance(known.get(each.id), (FunctionType, type))
              and known[each.id].__module__.startswith(_PACKAGE)}
    others = {each.id for each in ast.walk(tree) if isinstance(each, ast.Name)
              and not callable(known.get(each.id, len))
              and not isinstance(known[each.id], ModuleType)}
    if others:
        raise Unsupported('its function reads %s' % ', '.join(sorted(others)))
    for word in {tree.name, *called}:
        text = re.sub(r'\b%s\b' % word, word.lstrip('_'), text)
    called.pop(tree.name, None)
    return tree.name.lstrip('_'), text, tuple(called.values())


def call(scope: Any, node: Node, operator: Operator | None, inputs: Sequence[Expr]
         ) -> Emitted | None:
    """A call of the function that runs a node in the interpreter, to be pasted; None if there is no
    such function or it cannot stand alone."""
    function = operator.function if operator is not None else None
    if operator is None or not inspect.isfunction(function) or '<' in function.__qualname__:
        return None
    try:
        name = scope.helper(function)
    except Unsupported:
        return None
    arguments = [format(each) for each in inputs]
    if operator.creates:
        near = scope.arguments[0].of + '.device' if scope.arguments else repr('cpu')
        arguments[:0] = '(%s)' % ''.join(
            [scope.size(each) + ', ' for each in scope.out[0]]).rstrip(), near
    arguments[:0] = ['self.training'] * operator.training
    arguments += ['%s=%s' % (key, literal(value))
                  for key, value in keywords(function, node).items()]
    text = '%s(%s)' % (name, ', '.join(arguments))
    several = node.num_outputs > 1 and 'tuple' in str(function.__annotations__.get('return')) and (
        not hasattr(node, 'output_mean_var') or node.output_mean_var)
    return Many(text) if several else text
