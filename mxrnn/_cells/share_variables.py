"""Cells that share variables: those of a cell are replaced by those of a container."""
from __future__ import annotations

from collections import Counter
from typing import Any, Iterator

from .._runtime.mxnet import mx
from .base_cells import BaseRNNCell
from .variables import RNNParams

__all__ = ['check_shared', 'share']


def share(cell: BaseRNNCell, shared: RNNParams) -> None:
    """Let `cell` and everything in it use the variables of `shared`, by name.

    Missing variables are added to `shared`. Variables are searched in the attributes of cells, and
    in lists, tuples and dicts.

    Raises
    ------
    ValueError
        A cell keeps something made from a variable, in which the variable cannot be replaced.
    """
    cell.reset()  # forgets what it made in earlier steps
    cells = _cells_of(cell)
    containers = {id(each._params): each._params for each in cells}.values()
    new = dict(shared._params)
    for container in containers:
        for name, variable in container._params.items():
            new.setdefault(name, variable)
    replaced = {id(variable): (variable, new[name]) for container in containers
                for name, variable in container._params.items() if new[name] is not variable}
    names = {old.name for old, _ in replaced.values()}
    for each in cells:
        for symbol in _symbols(vars(each)):
            if id(symbol) not in replaced and not names.isdisjoint(symbol.list_arguments()) and \
                    not any(symbol is variable for variable in new.values()):
                raise ValueError(
                    'params of a container must be able to replace the weights of %r, but it '
                    'keeps %s, which is made from them: make it in each step' % (each, symbol.name))
    for each in cells:
        vars(each).update(_with_replaced(vars(each), replaced))
    shared._params.update(new)
    for container in containers:  # one dict, so that each sees what any of them adds later
        container._params = shared._params


def check_shared(cell: object, shared: RNNParams, symbols: list[mx.sym.Symbol]) -> None:
    """Refuse `symbols`, made by `cell`, if a variable in them differs from `shared`'s of the same
    name. An inner cell keeps it where `share` does not search, for instance in an object."""
    together = mx.sym.Group([*symbols, *shared._params.values()])
    for name, count in Counter(together.list_inputs()).items():
        if count > 1 and name in shared._params:
            raise ValueError(
                'params of a container must be able to replace the weights of %r, but the graph '
                'has another variable %r: keep it in an attribute, a list, tuple or dict, or give '
                'params to the cell that has it' % (cell, name))


def _cells_of(cell: BaseRNNCell) -> list[BaseRNNCell]:
    """`cell`, the cells in it, and the cells that they keep as attributes."""
    found: list[BaseRNNCell] = []
    waiting = [cell]
    while waiting:
        each = waiting.pop()
        if not any(each is other for other in found):
            found.append(each)
            waiting += each._inner_cells_()
            waiting += [value for value in vars(each).values() if hasattr(value, '_inner_cells_')]
    return found


def _symbols(value: object) -> Iterator[mx.sym.Symbol]:
    if isinstance(value, mx.sym.Symbol):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _symbols(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _symbols(item)


def _with_replaced(value: Any, replaced: dict[int, tuple[mx.sym.Symbol, mx.sym.Symbol]]) -> Any:
    """`value` with variables replaced: lists and dicts in place, tuples as copies."""
    if isinstance(value, mx.sym.Symbol):
        return replaced.get(id(value), (value, value))[1]
    if isinstance(value, dict):
        for key in value:
            value[key] = _with_replaced(value[key], replaced)
    elif isinstance(value, list):
        value[:] = [_with_replaced(item, replaced) for item in value]
    elif isinstance(value, tuple) and any(True for _ in _symbols(value)):
        items = [_with_replaced(item, replaced) for item in value]
        return type(value)(*items) if hasattr(value, '_fields') else type(value)(items)
    return value
