"""Pastes functions of `pasted` into a source, as text, and writes calls of them."""
from __future__ import annotations

import ast
import functools
import inspect
from typing import Any, Callable, Sequence

from ..._graph.graph import Node
from ..registry import Operator
from . import pasted
from .emitter_api import Emitted, Expr, Many
from .python_text import literal, pasted_names
from .torch_operators import keywords

__all__ = ['call', 'paste']


def paste(function: Callable[..., Any], texts: dict[str, str]) -> str:
    """Add the text of a function, and of those that it calls, to `texts` by
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
    lines = inspect.getsource(function).splitlines()
    tree = ast.parse('\n'.join(lines)).body[0]
    assert isinstance(tree, (ast.FunctionDef, ast.ClassDef))
    text = '\n'.join(lines[tree.lineno - 1:tree.end_lineno])
    tree.decorator_list = []
    read = dict.fromkeys(each.id for each in ast.walk(tree) if isinstance(each, ast.Name))
    return tree.name, text, tuple([vars(pasted)[name] for name in read
                                   if name in pasted_names() and name != tree.name])


def call(scope: Any, node: Node, operator: Operator | None, inputs: Sequence[Expr]
         ) -> Emitted | None:
    """A call of the function in `pasted` that runs a node; None if there is none."""
    function = None if operator is None else operator.function
    if operator is None or function is None or function.__module__ != pasted.__name__:
        return None
    name = scope.helper(function)
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
