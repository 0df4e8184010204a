"""Cells of a program that runs with --fuse: each outermost `unroll` goes through `fuse`.

Graphs list the arguments in the order of the cells, because MXNet numbers the states of optimisers
and draws initial values in that order. Cells that cannot be fused are unrolled as without --fuse.
A report at the end says what was fused.

Graphs are saved as they would be without --fuse. So a cell is unrolled in both forms: the program
works with the fused form; a file gets the form of steps. The outputs of a fused form have a mark.
Copies and graphs made from them have it as well. It identifies the JSON of both forms, which is
kept compressed.
"""
from __future__ import annotations

import atexit
import collections
import contextlib
import functools
import hashlib
import json
import sys
import zlib
from typing import Callable, Iterator, NamedTuple

from .. import _check
from .._cells import base_cells
from .._cells.base_cells import BaseRNNCell, unchanged_on_error
from .._cells.sequences import Inputs
from .._cells.states import States, flatten
from .._cells.unroll import Options, Unrolled
from .._graph.graph import Entry, Graph
from .._graph.graph_editing import Edit
from .._graph.symbol_json import graph_from_json, graph_to_json
from .._runtime import finder
from .._runtime.mxnet import mx
from .._runtime.symbol_graph import graph_of, json_of
from .fuse import FusedUnroll, Plan, replaced_in
from .fuse_layers import OperatorCell

__all__ = ['note', 'unfused', 'unroll_fused']

#: The attribute of a node whose outputs come from a fused form: the digest of the unroll, and the
#: place of the first of these outputs in it.
_MARK = '__unrolled__'

#: By an unroll's digest: its JSON, compressed. First come the outputs of the fused form, then those
#: of the form of steps. The oldest are dropped first, because MXNet does not tell when a graph is
#: no longer used.
_unrolled: collections.OrderedDict[str, bytes] = collections.OrderedDict()

#: What became of cells and graphs, and how often.
_noted: dict[str, int] = {}

#: How many bytes to keep.
_MOST = 64 << 20


def _is_ours(cell: BaseRNNCell) -> bool:
    """Whether all of a cell's code is in this package, so that it can be unrolled twice."""
    package = __name__.partition('.')[0]
    return not any(type(each).__module__.partition('.')[0] != package or replaced_in(each)
                   for each in cell._all_cells_())


class _SavedNames(mx.name.NameManager):  # type: ignore[misc]
    """Gives nodes automatic names that end in '_fused' and its own number.

    The numbers in automatic names of the program's own nodes do not advance.
    """

    _old_manager: mx.name.NameManager

    def __enter__(self) -> _SavedNames:
        super().__enter__()
        self._counter = vars(self._old_manager).setdefault('_counter_of_fused', {})
        return self

    def get(self, name: str | None, hint: str) -> str:
        found: str = self._old_manager.get(name or super().get(None, hint + '_fused'), hint)
        return found


@contextlib.contextmanager
def _apart(cell: BaseRNNCell) -> Iterator[None]:
    """Let the block unroll `cell`; afterwards restore `cell` and the numbers in automatic names."""
    with unchanged_on_error(cell, always=True), _SavedNames():
        yield


def _remember(fused: Unrolled, plain: Unrolled) -> None:
    """Keep both forms of an unrolled cell, and mark the fused one."""
    forms, others = (flatten([outputs if isinstance(outputs, list) else [outputs], states])
                     for outputs, states in (fused, plain))
    text = json_of(mx.sym.Group([*forms, *others]))
    heads, count = json.loads(text, strict=False)['heads'], len(forms)
    if len(others) != count or len(heads) != 2 * count:
        return
    content = text.encode()
    digest = hashlib.blake2b(content, digest_size=12).hexdigest()
    seen = [head[0] for head in heads]
    for at, each in enumerate(forms):
        if heads[at] != heads[at + count] and seen.index(seen[at]) == at:
            each._set_attr(**{_MARK: '%s.%d' % (digest, at)})
    _unrolled[digest] = _unrolled.pop(digest, b'') or zlib.compress(content)
    while sum(map(len, _unrolled.values())) > _MOST and len(_unrolled) > 1:
        _unrolled.popitem(last=False)
    _save_unfused()


class _Use(NamedTuple):
    """An unroll in a graph: `same` maps entries of the unroll to entries of the graph."""

    digest: str
    same: dict[Entry, Entry]


def unfused(symbol: mx.sym.Symbol) -> mx.sym.Symbol:
    """The graph that the program would have made without --fuse.

    If that graph is not known, a warning says why, and the whole graph stays fused.
    """
    graph = graph_of(symbol)
    if not any(_MARK in node.attrs for node in graph.walk()):
        return symbol
    changed = _in_steps(graph)
    if isinstance(changed, str):
        _check.warn_once('Symbol.save writes %s with its recurrences as operators, for the one '
                         'number of steps that they were unrolled for: %s'
                         % (', '.join(graph.outputs), changed))
        changed = _unmarked(graph)
    return mx.sym.load_json(graph_to_json(changed))


def _unmarked(graph: Graph) -> Graph:
    return graph._replace(nodes=tuple(node._replace(
        attrs={key: value for key, value in node.attrs.items() if key != _MARK},
        subgraphs=tuple(map(_unmarked, node.subgraphs))) for node in graph.nodes))


def _in_steps(graph: Graph) -> Graph | str:
    """The graph with each fused form replaced by the form of steps, or the reason why not."""
    marked = {place: node.attrs[_MARK].partition('.')
              for place, node in enumerate(graph.nodes) if _MARK in node.attrs}
    if len(marked) < sum(_MARK in node.attrs for node in graph.walk()):
        return 'they are in the body of a loop. To write the steps, save it without --fuse'
    kept = {digest: graph_from_json(zlib.decompress(_unrolled[digest]).decode())
            for digest in {digest for digest, _, _ in marked.values()} if digest in _unrolled}
    uses: list[_Use] = []
    for place, (digest, _, at) in marked.items():
        if digest not in kept:
            return ('some of their steps are not kept any more. To write the steps, unroll the '
                    'cells again before you save it, or save it without --fuse')
        same = _matched(graph, place, kept[digest], int(at))
        for use in uses:
            if use.digest == digest and all(use.same.get(one, other) == other
                                            for one, other in same.items()):
                use.same.update(same)
                break
        else:
            uses.append(_Use(digest, same))
    edit = Edit(graph)
    for use in uses:
        _replace(edit, kept[use.digest], use.same)
    changed = edit.graph()
    if sorted(changed.arguments) != sorted(graph.arguments):
        return 'its steps have other arguments. To write the steps, save it without --fuse'
    return changed


def _matched(graph: Graph, place: int, unrolled: Graph, at: int) -> dict[Entry, Entry]:
    """For entries of an unroll on which output `at` depends: their entries in a graph in which the
    node at `place` is that output. A variable of the unroll may be anything in the graph."""
    same: dict[Entry, Entry] = {}
    pending = [(Entry(unrolled.heads[at].node, 0), Entry(place, 0))]
    while pending:
        one, other = pending.pop()
        if one not in same:
            node = unrolled.nodes[one.node]
            same[one] = other
            if not node.is_variable:
                same.update(_outputs(one.node, other.node, node.num_outputs))
                pending.extend(zip(node.inputs, graph.nodes[other.node].inputs))
    return same


def _outputs(one: int, other: int, count: int) -> Iterator[tuple[Entry, Entry]]:
    return ((Entry(one, output), Entry(other, output)) for output in range(count))


def _replace(edit: Edit, unrolled: Graph, same: dict[Entry, Entry]) -> None:
    """Replace the fused form, from which `same` was found, by the form of steps."""
    count = len(unrolled.heads) // 2
    plain = unrolled._replace(heads=unrolled.heads[count:])
    for place in sorted(plain.reached(lambda node: node.inputs)):
        if Entry(place, 0) not in same:
            node = plain.nodes[place]
            copy = edit.writer.copy(node, [same[entry] for entry in node.inputs])
            same.update(_outputs(place, copy.node, node.num_outputs))
    edit.replaced.update((same[one], same[other]) for one, other in zip(unrolled.heads, plain.heads)
                         if one in same and one != other)


@functools.lru_cache(maxsize=None)
def _save_unfused() -> None:
    """Make `Symbol.save` write the graph of steps from now on."""
    original = mx.sym.Symbol.save

    @functools.wraps(original)
    def save(self: mx.sym.Symbol, fname: str, *args: bool, **kwargs: bool) -> None:
        original(unfused(self), fname, *args, **kwargs)

    mx.sym.Symbol.save = save  # type: ignore[method-assign]


class _InOrder(FusedUnroll):
    """`fuse` of a cell, with the arguments in the cell's order."""

    def _plan_(self) -> Plan:
        planned = super()._plan_()
        for each in planned.cell._all_cells_():
            if isinstance(each, OperatorCell):
                each.in_order = True
        return planned

    def _unfused_(self) -> Callable[..., Unrolled]:
        return self.base_cell._unroll_  # a program's own `unroll` has called this one


def unroll_fused(cell: BaseRNNCell, inputs: Inputs, begin_state: States | None,
                 options: Options) -> Unrolled:
    """Unroll `cell` through `fuse`, as far as possible, if the program runs with --fuse."""
    if not finder.fuses or isinstance(cell, FusedUnroll):
        return base_cells.as_it_is(cell, inputs, begin_state, options)
    fused = _InOrder(cell)
    twice = _is_ours(cell)
    with _apart(cell) if twice else contextlib.nullcontext():
        found = base_cells.unroll_checked(
            cell, functools.partial(base_cells.unroll_masked, fused), inputs, begin_state, options)
    planned = fused._plan_of_unroll_()
    if twice:
        plain = base_cells.as_it_is(cell, inputs, begin_state, options)
        if planned.fused:
            _remember(found, plain)
        else:
            found = plain
    note('%s, unrolled' % planned.text)
    return found


def note(text: str) -> None:
    """Report at the end, if requested, what became of a cell or a graph."""
    if finder.reports and not _noted:
        atexit.register(_report)
    _noted[text] = _noted.get(text, 0) + 1


def _report() -> None:
    lines = ['%s %d time%s' % (text, count, 's' * (count > 1)) for text, count in _noted.items()]
    print('\n'.join(['mxrnn, run with --fuse:', *lines]), file=sys.stderr)


base_cells.unroll_hook = unroll_fused  # type: ignore[assignment]
