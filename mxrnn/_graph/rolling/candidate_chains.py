"""Candidates for recurrences: similar nodes, each of which depends on the one before."""
from __future__ import annotations

from typing import Container, Iterator

from ..operator_table import has
from .numbered_values import Values

__all__ = ['chains', 'direct_chains', 'readers_of_growing']

#: Operators with weights, and the input that is not a weight; for `dot` it may be either.
_PRODUCTS = {'FullyConnected': (0,), 'Convolution': (0,), 'Deconvolution': (0,), 'dot': (0, 1),
             'batch_dot': (0, 1)}

#: How many ends of chains are tried in a group without success before it is given up.
_PATIENCE = 4


def chains(values: Values) -> Iterator[list[int]]:
    """Lists of nodes with the same operator and weights, in which each depends on the one before by
    the same way; the first in the graph come first."""
    groups: dict[tuple[int, ...], list[int]] = {}
    for i, node in enumerate(values.nodes):
        if values.needed[i]:
            args = values.args[i]
            for at in _PRODUCTS.get(node.op, ()):
                key = (values.labels[i], at, *[
                    values.same[arg] for k, arg in enumerate(args) if k != at])
                groups.setdefault(key, []).append(i)
    for key, group in groups.items():
        yield from _in_group(values, group, key[1])


def _in_group(values: Values, group: list[int], at: int) -> Iterator[list[int]]:
    waiting = dict.fromkeys(reversed(group))  # a set that keeps the order
    limit = 8 * len(values.nodes) // len(group) + 400
    failed = 0
    found = []
    while len(waiting) > 1 and failed < _PATIENCE:
        last = next(iter(waiting))
        del waiting[last]
        way = _way_back(values, last, at, waiting, limit)
        if way is None:
            failed += 1
            continue
        chain = [last]
        node = _follow(values, last, way)
        while node in waiting:
            del waiting[node]
            chain.append(node)
            node = _follow(values, node, way)
        found.append(chain[::-1])
    # If two ways lead through the same nodes, steps in time are more than layers.
    yield from sorted(found, key=len, reverse=True)


def _way_back(values: Values, start: int, at: int, targets: dict[int, None], limit: int
              ) -> list[int] | None:
    """The nearest of `targets` on which the input `at` of `start` depends, as the inputs to follow;
    None if none is near."""
    args, owner = values.args, values.owner
    first = owner[args[start][at]]
    came: dict[int, tuple[int, int]] = {first: (start, at)}
    queue = [first]
    for node in queue:
        if node in targets:
            values.spend(len(came))
            way = []
            while node != start:
                node, position = came[node]
                way.append(position)
            return way[::-1]
        if len(queue) > limit:
            break
        for position, arg in enumerate(args[node]):
            other = owner[arg]
            if other not in came:
                came[other] = (node, position)
                queue.append(other)
    values.spend(len(came))
    return None


def _follow(values: Values, node: int, way: list[int]) -> int:
    """The end of `way` from `node`; -1 if it stops earlier."""
    for position in way:
        args = values.args[node]
        if position >= len(args):
            return -1
        node = values.owner[args[position]]
    return node


def direct_chains(values: Values, taken: Container[int]) -> Iterator[list[int]]:
    """Lists of at least three nodes with the same operator, each of which directly reads the one
    before, as in running sums; without nodes that are `taken`."""
    #: By node and input, how many nodes follow each other up to there.
    counts: dict[tuple[int, int], int] = {}
    for i, args in enumerate(values.args):
        if values.needed[i] and i not in taken:
            for at, arg in enumerate(args):
                before = values.owner[arg]
                if values.labels[before] == values.labels[i] and before not in taken:
                    counts[i, at] = counts.get((before, at), 1) + 1
    for node, at in sorted(counts, key=lambda end: -counts[end]):
        chain = [node]
        while counts.pop((chain[-1], at), 0):
            chain.append(values.owner[values.args[chain[-1]][at]])
        if len(chain) > 2:
            yield chain[::-1]


def readers_of_growing(values: Values) -> Iterator[list[int]]:
    """Lists of nodes that read, one in each step, a value to which each step joins something.

    If steps have several cells side by side, all of a step depends on these, and on no product.
    """
    for chain in direct_chains(values, ()):
        if has(values.nodes[chain[0]].op, 'joins'):
            grown = [values.first[node] for node in chain]
            at = values.args[chain[1]].index(grown[0])
            readers = [[i for i in values.readers[value] if values.nodes[i].op == 'slice_axis']
                       for value in (values.args[chain[0]][at], *grown)]
            found = [next((i for i in each if values.labels[i] == values.labels[readers[0][0]]), -1)
                     for each in readers if readers[0]]
            if found and -1 not in found:
                yield found
