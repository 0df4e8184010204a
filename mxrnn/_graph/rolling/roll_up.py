"""Rolls unrolled graphs up again."""
from __future__ import annotations

import heapq
import re
from typing import Callable, Mapping, NamedTuple, Optional, Sequence, Union

from ..attributes import AttributeValueError
from ..graph import Graph, Node
from ..graph_editing import Fixed
from ..operator_table import has
from .ambiguity import Counted
from .candidates import chains, direct_chains, readers_of_growing
from .lengths_clipped_or_fixed_by_fuse import checked_by_fuse
from .loops import Loop
from .make_length_symbolic import make_length_symbolic
from .match_rnn import Kernel, find_kernel
from .ranks import Rank, find_ranks
from .recurrences import find_recurrence
from .step_columns_and_recurrences import ByStep, Declined, StepRecurrence, Taken
from .value_numbering import TooLong, Values, has_one_shape
from .vectorisation_plan import Claim, Planner
from .write_rolled_graph import Apart, Refused, RolledWriter

__all__ = ['Finding', 'RejectReason', 'RolledGraph', 'certify', 'roll']


class Finding(NamedTuple):
    """A recurrence, and what became of it.

    Attributes
    ----------
    name : str
        The beginning of its nodes' names.
    steps : int
        0 if they were not counted, as in a graph that would take too long.
    kind : {'kernel', 'loop', 'fused', 'unrolled', 'fixed'}
        'fused' stands for all operators that `mxrnn.fuse` made for `steps` steps. 'fixed' is not a
        recurrence: a sequence that must have `steps` steps.
    what : str
        The mode of the operator RNN. For the others the reason why it is not RNN, or why it stays
        unrolled.
    """

    name: str
    steps: int
    kind: str
    what: str

    def __str__(self) -> str:
        steps = ', %d steps' % self.steps if self.steps else ''
        return '%s%s: %s' % (self.name, steps, {
            'kernel': 'one operator, %s' % self.what, 'loop': 'a loop, because %s' % self.what,
            'fused': 'operators', 'unrolled': 'stays unrolled, because %s' % self.what,
            'fixed': 'it must have as many, because %s' % self.what}[self.kind])


class RolledGraph(NamedTuple):
    """A graph for any length that replaces an unrolled one, and the findings about it."""

    graph: Graph
    findings: tuple[Finding, ...]


class _Found(NamedTuple):
    recurrence: StepRecurrence
    what: Kernel | Loop
    finding: Finding


#: Why a kernel or loop cannot run in the target library, or None if it can.
RejectReason = Callable[[Values, Union[Kernel, Loop]], Optional[str]]


def roll(graph: Graph, *, training: bool = False, length: int | None = None,
         axes: Mapping[str, int] | None = None, reject_reason: RejectReason | None = None,
         counted: Counted | None = None) -> RolledGraph:
    """Roll up the recurrences of a graph.

    Parameters
    ----------
    graph : Graph
    training : bool
        Keep operators that draw in training. Otherwise dropout and zoneout are removed, as in
        inference, and the outputs are those of inference.
    length : int, optional
        The number of steps that the graph was unrolled for. Every size that equals this number then
        means the length of the sequence. A graph alone does not tell whether a number is the number
        of steps or happens to equal it. If the graph reads only some of the steps, the number
        stays, because it is unknown from which end they are counted.
    axes : dict, optional
        By name of an input, its axis with `length` elements, or a multiple; each part is one step.
    reject_reason : callable, optional
        Returns the reason why a kernel or loop cannot be used, or None; a kernel may still become a
        loop.
    counted : Counted, optional
        From which end single steps are counted, if that is known.

    Returns
    -------
    RolledGraph
        Its graph has the outputs of `graph`, in order and with their names, and the arguments that
        they need.
    """
    try:
        return _rolled(graph, training, reject_reason or (lambda values, what: None), length,
                       axes or {}, counted)
    except AttributeValueError:  # reading the graph later will name the wrong node
        return RolledGraph(graph, ())
    except TooLong:
        return RolledGraph(graph, (Finding('the graph', 0, 'unrolled',
                                           'looking at all of it would take too long'),))


def certify(graph: Graph, other: Graph, *, training: bool = False) -> RolledGraph:
    """Roll up a graph whose numbers of steps are proven by another graph.

    Parameters
    ----------
    graph, other : Graph
        From the same program, unrolled for two lengths, for instance for two buckets.
    training : bool
        As for `roll`.

    Returns
    -------
    RolledGraph
        For `graph`, with any length.

    Raises
    ------
    ValueError
        They differ in more than their numbers of steps, or not in these; the message says where.
    """
    first, second = (max([finding.steps for finding in roll(each, training=training).findings
                          if finding.kind != 'unrolled'], default=0) for each in (graph, other))
    without = [name for name, steps in (('graph', first), ('other', second)) if not steps]
    if without:
        raise ValueError('graph and other must read several steps of a recurrence that can be '
                         'rolled up, got none in %s' % ' and '.join(without))
    if first == second:
        raise ValueError('other must be the graph of another number of steps, got %d and %d'
                         % (first, second))
    differing = []
    for counted in (None, Counted('first', 'first'), Counted('first', 'last'),
                    Counted('last', 'last')):
        rolled, further = (
            roll(each, training=training, length=steps, counted=counted)
            for each, steps in ((graph, first), (other, second)))
        found = _difference(rolled.graph, further.graph)
        if found is None:
            return rolled
        differing.append(found)
    raise ValueError('other must be the graph of the same program for another number of steps, '
                     'but rolled up, %s' % differing[0])


def _difference(first: Graph, second: Graph, names: bool = True) -> str | None:
    """The first nodes in which two graphs differ, in words; None if they are the same apart from
    names of operators and, without `names`, of variables. Variables of bodies go by place."""
    for one, other in zip(first.nodes, second.nodes):
        if _meaning(one, names) != _meaning(other, names):
            return 'graph has %s where other has %s' % (_told(first, one, other),
                                                        _told(second, other, one))
        for inner, outer in zip(one.subgraphs, other.subgraphs):
            found = _difference(inner, outer, False)
            if found is not None:
                return found
    if first.heads != second.heads:
        return 'graph returns %s where other returns %s' % tuple(', '.join(
            '%s (%s)' % (name, graph.nodes[head.node].op)
            for name, head in zip(graph.outputs, graph.heads)) for graph in (first, second))
    return None


def _meaning(node: Node, names: bool) -> tuple[object, ...]:
    return (node.op, _parameters(node), node.inputs, len(node.subgraphs), node.num_outputs,
            node.name if names and not node.op else '')


def _parameters(node: Node) -> dict[str, str]:
    return {key: value for key, value in node.attrs.items() if not key.startswith('__')}


def _told(graph: Graph, node: Node, other: Node) -> str:
    """A node, its operator, and how it differs from another node."""
    if node.is_variable:
        return 'the variable %s' % node.name
    unlike = _parameters(other)
    words = [node.op] + ['%s=%s' % (key, value) for key, value in _parameters(node).items()
                         if unlike.get(key) != value]
    if node.inputs != other.inputs:
        words.append('of ' + ' and '.join('%s[%d]' % (graph.nodes[entry.node].name, entry.output)
                                          for entry in node.inputs))
    return '%s (%s)' % (node.name, ', '.join(words))


def _rolled(graph: Graph, training: bool, reject_reason: RejectReason,
            length: int | None, axes: Mapping[str, int], counted: Counted | None) -> RolledGraph:
    stated = {name: (axis, length) for name, axis in axes.items()}
    values = Values(graph, training)
    ranks = find_ranks(values)
    found, failed = _search(values, ranks, reject_reason)
    apart: set[tuple[int, ...]] = set()
    picked: set[tuple[int, ...]] = set()
    if found:
        found += _search(values, ranks, reject_reason, found,
                         Planner(values, ranks, _claims(found), stated, apart))[0]
    lists = _lists(values)
    for _ in range(20 if found or lists else 0):
        planner = Planner(values, ranks, _claims(found), stated, apart)
        emitter = RolledWriter(planner, [(each.finding.name, each.what, each.finding.steps)
                                         for each in found], counted, picked - apart, lists)
        try:
            rolled = emitter.run(graph)
        except Refused as refused:
            if picked - apart:  # perhaps for this reason
                apart |= picked
                continue
            if not found:
                break
            failed.append(found.pop(refused.number).finding._replace(
                kind='unrolled', what=str(refused)))
        except Apart as those:
            apart |= those.nodes & picked
            picked |= those.nodes
        else:
            listed = [Finding(name, len(by_step), 'fused', '') for name, by_step in lists]
            return _freed(rolled, [each.finding for each in found] + listed + failed, length, axes,
                          emitter.totals, counted, emitter.fixed)
    if length is None and not checked_by_fuse(graph):
        return RolledGraph(graph, tuple(failed))
    return _freed(graph, failed, length, axes, {}, counted, {})


def _lists(values: Values) -> list[tuple[str, ByStep]]:
    """The steps into which outputs of recurrent operators are split, each list with its name.
    Of two, neither is certainly the first or the last."""
    found = []
    for i, node in enumerate(values.nodes):
        if node.op == 'SliceChannel' and node.squeeze_axis and node.num_outputs > 2:
            axis, value = node.axis, values.args[i][0]
            while values.node(value).op == 'SwapAxis' or has_one_shape(values.node(value)):
                inner = values.node(value)
                if inner.op == 'SwapAxis':
                    axis = {inner.dim1: inner.dim2, inner.dim2: inner.dim1}.get(axis, axis)
                value = values.args[values.owner[value]][0]
            if axis == 0 and has(values.node(value).op, 'recurs') and not values.output(value):
                found.append((values.node(value).name, tuple(range(
                    values.first[i], values.first[i] + node.num_outputs))))
    return found


def _freed(graph: Graph, findings: Sequence[Finding], length: int | None, axes: Mapping[str, int],
           totals: Mapping[int, int], counted: Counted | None, fixed: Fixed) -> RolledGraph:
    """A graph for any length, also where `mxrnn.fuse` has checked it, and all findings."""
    by_fuse = sorted({*checked_by_fuse(graph).values()})
    freed = make_length_symbolic(graph, length, axes, totals, counted, fixed)
    return RolledGraph(freed, tuple([
        *findings, *(Finding('mxrnn.fuse', steps, 'fused', '') for steps in by_fuse),
        *(Finding(name, steps, 'fixed', why) for name, (steps, why) in fixed.items())]))


def _search(values: Values, ranks: Sequence[Rank], reject_reason: RejectReason,
            others: Sequence[_Found] = (), planner: Planner | None = None
            ) -> tuple[list[_Found], list[Finding]]:
    """The recurrences of a graph, and findings on those that must stay unrolled. With a planner:
    recurrences without weights, such as running sums, that read `others`."""
    taken = {node for each in others for node in each.recurrence.nodes}
    found: list[_Found] = []
    failed: list[tuple[list[int], Finding]] = []
    told: set[int] = set()  # the nodes of recurrences that were declined as a whole
    ways = chains(values) if planner is None else direct_chains(values, taken)
    pending = [(-len(chain), 0, chain) for chain in ways]
    if planner is None:
        pending += [(-len(chain), 2, chain) for chain in readers_of_growing(values)]
    heapq.heapify(pending)
    while pending:
        length, again, chain = heapq.heappop(pending)
        name = _name([values.nodes[i].name for i in chain])
        nodes: set[int] = set()
        try:
            recurrence = find_recurrence(values, chain, taken)
            nodes = recurrence.nodes
            if not again and all(values.are_one(each.by_step) for each in recurrence.outside):
                # It may go through layers that share weights: candidates with as many steps first.
                heapq.heappush(pending, (length, 1, chain))
                continue
            kernel = 'it has no weights' if planner else find_kernel(values, ranks, recurrence)
            if isinstance(kernel, Kernel):
                kernel = reject_reason(values, kernel) or kernel
            what = kernel if isinstance(kernel, Kernel) else _loop(
                values, recurrence, reject_reason)
        except Taken:
            continue  # it goes through layers that share weights, not through time
        except Declined as declined:
            if again < 2 and not told.issuperset(chain):
                failed.append((chain, Finding(name, len(chain), 'unrolled', str(declined))))
            told |= nodes
            continue
        if planner:
            assert isinstance(what, Loop)
            if not all(planner.rolls(column.by_step) for column in what.data):
                continue
        taken |= recurrence.nodes
        found.append(_Found(recurrence, what, Finding(
            name, len(chain), 'loop' if isinstance(what, Loop) else 'kernel',
            kernel.mode if isinstance(kernel, Kernel) else kernel)))
    found.sort(key=lambda each: each.recurrence.seeds[0])
    return found, [finding for chain, finding in failed if taken.isdisjoint(chain)]


def _claims(found: Sequence[_Found]) -> dict[int, Claim]:
    return {value: Claim(number, column, t, each.recurrence.steps)
            for number, each in enumerate(found) for column in each.recurrence.columns
            for t, value in enumerate(column.by_step)}


def _loop(values: Values, recurrence: StepRecurrence, reject_reason: RejectReason) -> Loop:
    loop = Loop(values, recurrence)
    reason = reject_reason(values, loop)
    if reason is not None:
        raise Declined(reason)
    return loop


def _name(names: Sequence[str]) -> str:
    """The common beginning of a node's names in several steps, without the number of the step."""
    first, last = min(names), max(names)  # all names begin as these two do
    length = next((i for i, pair in enumerate(zip(first, last)) if pair[0] != pair[1]), len(first))
    common = first[:length]
    return re.sub(r'_?t?_?\d*$', '', common) or common or 'steps'
