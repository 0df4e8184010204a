"""Defaults that `help` and other readers of signatures show by name."""
from __future__ import annotations

import functools
import inspect
from typing import Any, Callable, TypeVar

__all__ = ['Partial', 'shown_as']

Function = TypeVar('Function', bound=Callable[..., Any])


class _Default:
    """What a signature has in the place of the default `value`, a function, and calls it."""

    def __init__(self, value: Any, text: str) -> None:
        self.value = value
        self._text = text

    def __repr__(self) -> str:
        return self._text

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.value(*args, **kwargs)


def shown_as(**texts: str) -> Callable[[Function], Function]:
    """Have signatures show these texts for the defaults of the arguments of these names."""
    def decorate(function: Function) -> Function:
        signature = inspect.signature(function)
        parameters = [parameter.replace(default=_Default(parameter.default, texts[name]))
                      if name in texts else parameter
                      for name, parameter in signature.parameters.items()]
        function.__signature__ = signature.replace(  # type: ignore[attr-defined]
            parameters=parameters)
        return function
    return decorate


class Partial(functools.partial):  # type: ignore[type-arg]
    """A functools.partial that shows its function by name."""

    def __repr__(self) -> str:
        arguments = ['%s=%r' % item for item in self.keywords.items()]
        return 'partial(%s)' % ', '.join([self.func.__name__, *map(repr, self.args), *arguments])
