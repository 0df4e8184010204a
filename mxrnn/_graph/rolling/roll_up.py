"""Rolls unrolled graphs up again.

1. The outputs of all nodes get numbers (`Values`), and their numbers of axes are found.
2. Of chains of values that may be states, those between whose values all nodes are alike in all
   steps are recurrences. Each becomes sym.RNN (`Kernel`) or a loop (`Loop`).
3. For each column, the values of all steps, a plan says which sequence or which operator over all
   steps it becomes (`Planner`).
4. The graph is written (`RolledWriter`).
"""
from __future__ import annotations

import heapq
import re
from typing import Callable, Literal, Mapping, NamedTuple, Optional, Sequence

from ..._check import some
from ..attributes import AttributeValueError
from ..graph import Entry, Graph
from ..graph_editing import Edit, with_variables_as_in
from ..operator_table import has
from ..shapes.constants import CUT
from ..shapes.substitution import as_float32, bounded, size_of
from ..shapes.ties import STEPS
from .candidate_chains import chains, direct_chains, readers_of_growing
from .find_recurrence import find_recurrence
from .loops import Loop
from .match_rnn import Kernel, find_kernel
from .numbered_values import Rank, TooLong, Values, before_swap, find_ranks, has_one_shape
from .step_columns import ByStep, Declined, StepRecurrence, Taken
from .vectorisation_plan import Claim, Planner
from .write_rolled_graph import Apart, Refused, RolledWriter

__all__ = ['Finding', 'RolledGraph', 'structure', 'unrolled']

#: Operators that pass lengths on.
_HANDS_ON = ('where', 'floor', 'Cast', '_identity_with_attr_like_rhs')


def _checked_by_fuse(graph: Graph) -> dict[int, int]:
    """By place of both Reshapes with which `mxrnn.fuse` checks a number of steps: that number.

    The first takes the axis of steps apart, the second joins it again.
    """
    found: dict[int, int] = {}
    for place, node in enumerate(graph.nodes):
        if node.op == 'Reshape' and node.get('shape') == (-3, -2):
            check = graph.nodes[node.inputs[0].node]
            if check.name.endswith('fused_steps') and check.get('shape', ())[:1] == (-4,):
                found[node.inputs[0].node] = found[place] = check.shape[1]
    return {place: number for place, number in found.items() if number > 0}


def _counted_by_fuse(graph: Graph) -> dict[int, int]:
    """By place of the recurrences that read what `mxrnn.fuse` has checked: the number of steps; and
    0 for the slices with which it takes a row of the first step, for its shape."""
    steps, found = _checked_by_fuse(graph), {}
    for place, node in enumerate(graph.nodes):
        behind = steps.get(node.inputs[0].node) if node.inputs else None
        if behind and has(node.op, 'recurs'):
            found[place] = behind
        elif behind:
            steps.setdefault(place, behind)
        if node.op == 'slice_axis' and node.name.endswith('fused_step'):
            found[place] = 0
    return found


def _without_checks(graph: Graph) -> Graph:
    """The graph without the checks that fuse wrote around a number of steps, in which lengths that
    it bounded are at most the number of steps that the sequence has. Other bounds stay."""
    checks, edit = _checked_by_fuse(graph), Edit(graph)
    # by place of a node that returns bounded lengths, the node that bounds them
    clips: dict[int, int] = {}
    freed: set[int] = set()
    for place, node in enumerate(graph.nodes):
        if node.op == 'clip':
            clips[place] = place
        elif node.op in _HANDS_ON:
            clips.update((place, clips[entry.node]) for entry in node.inputs if entry.node in clips)
        elif place in checks and node.shape == (-3, -2):
            edit.replaced[Entry(place, 0)] = graph.nodes[node.inputs[0].node].inputs[0]
        for entry in node.inputs_of('length') if node.op.startswith('Sequence') else ():
            sequence, at = node.inputs[0], clips.get(entry.node)
            if at is None or at in freed or node.axis or checks.get(sequence.node) != (
                    graph.nodes[at].a_max) or at in graph._replace(heads=(sequence,)).reached(
                        lambda each: each.inputs):
                continue
            clip = graph.nodes[at]
            freed.add(at)
            edit.replaced[Entry(at, 0)] = edit.writer.named(bounded(
                edit.writer, clip, size_of(edit.writer, clip.name, sequence, 0)), clip.name)
    for place, at in clips.items():
        node = graph.nodes[place]
        if node.op == '_identity_with_attr_like_rhs' and at in freed:
            edit.writer.nodes[place] = node._replace(inputs=(node.inputs[0], as_float32(
                edit.writer, graph.nodes[at].name, node.inputs[1])))
    return edit.graph()


class Finding(NamedTuple):
    """A recurrence, and what became of it.

    Attributes
    ----------
    name : str
        The beginning of its nodes' names.
    steps : int
        0 if they were not counted, as in a graph that would take too long.
    kind : {'kernel', 'loop', 'fused', 'unrolled'}
        'fused' stands for all operators that `mxrnn.fuse` made for `steps` steps.
    what : str
        The mode of the operator RNN. For the others the reason why it is not RNN, or why it stays
        unrolled.
    """

    name: str
    steps: int
    kind: Literal['kernel', 'loop', 'fused', 'unrolled']
    what: str

    def __str__(self) -> str:
        steps = ', %d steps' % self.steps if self.steps else ''
        return '%s%s: %s' % (self.name, steps, {
            'kernel': 'one operator, %s' % self.what, 'loop': 'a loop, because %s' % self.what,
            'fused': 'operators', 'unrolled': 'stays unrolled, because %s' % self.what}[self.kind])


def unrolled(findings: Sequence[Finding]) -> list[str]:
    """What stays unrolled and why: a sentence for all cells with one reason, each of which may be
    used in many places."""
    by_name: dict[str, list[Finding]] = {}
    for each in findings:
        if each.kind == 'unrolled':
            by_name.setdefault(each.name, []).append(each)
    alike: dict[tuple[int, str], list[str]] = {}
    for name, (first, *_) in by_name.items():
        alike.setdefault((first.steps, first.what), []).append(name)
    said = []
    for (steps, why), names in alike.items():
        count = sum(len(by_name[name]) for name in names)
        said.append('%s%s: stay%s unrolled, because %s%s' % (
            some(names), ', %d steps' % steps if steps else '', 's' * (len(names) == 1), why,
            '; inspect lists all %d' % count if count > min(len(names), 3) else ''))
    return said


class RolledGraph(NamedTuple):
    """A graph for any length that replaces an unrolled one, and the findings about it."""

    graph: Graph
    findings: tuple[Finding, ...]

    @property
    def is_rolled(self) -> bool:
        """Whether something was rolled up. Otherwise the graph has all its nodes in order."""
        return any(each.kind != 'unrolled' for each in self.findings)


class _Found(NamedTuple):
    recurrence: StepRecurrence
    what: Kernel | Loop
    finding: Finding


#: Why a kernel cannot run in the target library, or None if it can.
RejectReason = Callable[[Values, Kernel], Optional[str]]


def structure(graph: Graph, *, training: bool = False, sums: bool = True, loops: bool = True,
              reject_reason: RejectReason | None = None) -> RolledGraph:
    """Roll up the recurrences of a graph, and change no number.

    Parameters
    ----------
    graph : Graph
    training : bool
        Keep operators that draw in training. Otherwise dropout and zoneout are removed, as in
        inference, and the outputs are those of inference.
    sums : bool
        Whether a chain of additions becomes a sum over all steps. Otherwise it becomes a loop with
        a running sum, which can run in steps.
    loops : bool
        Whether recurrences that are no sym.RNN, and operators that cannot take all steps at once,
        become loops. Otherwise they stay steps, and sym.RNN may read these one by one.
    reject_reason : callable, optional
        Returns the reason why a kernel cannot be used, or None; it may still become a loop.

    Returns
    -------
    RolledGraph
        Its graph has the outputs of `graph`, in order and with their names, and the arguments that
        they need, in order. Recurrences state the steps counted (`STEPS`), as does the last step of
        those that stay unrolled; parts that rolling up has cut say so (`CUT`). What `mxrnn.fuse`
        wrote around a number of steps reads the size.
    """
    try:
        written = _write(graph, training, sums, loops,
                         reject_reason or (lambda values, kernel: None))
    except AttributeValueError:  # reading the graph later will name the wrong node
        return RolledGraph(graph, ())
    except TooLong:
        return RolledGraph(graph, (Finding('the graph', 0, 'unrolled',
                                           'looking at all of it would take too long'),))
    rolled = written.graph or graph
    checked = _checked_by_fuse(rolled)
    totals = {place: steps for place, steps in {
        **_counted_by_fuse(rolled), **written.totals}.items()
        if rolled.nodes[place].op == 'slice_axis' or has(rolled.nodes[place].op, 'recurs')}
    totals.update(written.unrolled)
    if rolled is graph and not checked and not totals:
        return RolledGraph(graph, tuple(written.findings))
    by_fuse = [Finding('mxrnn.fuse', steps, 'fused', '') for steps in sorted({*checked.values()})]
    marked = rolled._replace(nodes=tuple([
        node._replace(attrs={**node.attrs, CUT if node.op == 'slice_axis' else STEPS: str(
            totals[place])}) if place in totals else node
        for place, node in enumerate(rolled.nodes)]))
    return RolledGraph(with_variables_as_in(_without_checks(marked), graph),
                       (*written.findings, *by_fuse))


class _Written(NamedTuple):
    """A graph rolled up, None if nothing was; what `RolledWriter` says about it; and the steps of
    recurrences that stay unrolled, by the place of the last step."""

    graph: Graph | None
    findings: list[Finding]
    unrolled: Mapping[int, int]
    totals: Mapping[int, int] = {}


def _write(graph: Graph, training: bool, sums: bool, loops: bool, reject_reason: RejectReason
           ) -> _Written:
    values = Values(graph, training)
    ranks, rows = find_ranks(values)
    search = _Search(values, ranks, loops, reject_reason)
    found, failed = search.found, search.failed
    apart: set[tuple[int, ...]] = set()
    picked: set[tuple[int, ...]] = set()
    if found and loops:
        found += _Search(values, ranks, loops, reject_reason, found, Planner(
            values, ranks, rows, _claims(found), apart, sums, loops)).found
    lists = _lists(values, ranks)
    while found or lists:  # each turn adds to `apart` or `picked`, or takes from `found`
        planner = Planner(values, ranks, rows, _claims(found), apart, sums, loops)
        emitter = RolledWriter(planner, [(each.finding.name, each.what, each.finding.steps)
                                         for each in found], picked - apart, lists)
        try:
            rolled = emitter.run(graph)
        except Refused as refused:
            if picked - apart:  # perhaps for this reason
                apart |= picked
                continue
            if not found:
                break
            declined = found.pop(refused.number)
            failed.append((declined.recurrence.seeds, declined.finding._replace(
                kind='unrolled', what=str(refused))))
        except Apart as those:
            apart |= those.nodes & picked
            picked |= those.nodes
        else:
            listed = [Finding(name, len(by_step), 'fused', '') for name, by_step in lists]
            return _Written(rolled, [*[each.finding for each in found], *listed, *[
                finding for _, finding in failed]], {
                    emitter.copied[chain[-1]]: len(chain) for chain, _ in failed
                    if chain[-1] in emitter.copied}, emitter.totals)
    return _Written(None, [finding for _, finding in failed], {
        chain[-1]: len(chain) for chain, _ in failed})


def _lists(values: Values, ranks: Sequence[Rank]) -> list[tuple[str, ByStep]]:
    """The steps into which outputs of recurrent operators are split, each list with its name.
    Of two, neither is certainly the first or the last."""
    found = []
    for i, node in enumerate(values.nodes):
        if node.op == 'SliceChannel' and node.squeeze_axis and node.num_outputs > 2:
            axis, value = node.axis, values.args[i][0]
            while values.node(value).op == 'SwapAxis' or has_one_shape(values.node(value)):
                inner = values.node(value)
                if inner.op == 'SwapAxis':
                    axis = before_swap(inner, axis, ranks[value])
                value = values.args[values.owner[value]][0]
            if axis == 0 and has(values.node(value).op, 'recurs') and not values.output(value):
                found.append((values.node(value).name, tuple(range(
                    values.first[i], values.first[i] + node.num_outputs))))
    return found


_TWO_STEPS = ('two steps may be every step, or only the first and the last: '
              'export a graph of three or more')
#: Of candidates with as many steps: the order. `_LATER` are some that may go through layers that
#: share weights, and `_LAST` those that read states that grow; declined ones are not reported.
_FIRST, _LATER, _LAST = range(3)


class _Search:
    """A search for the recurrences of a graph. With a planner, it is for those without weights,
    such as running sums, that read `others`; sums of which only the last is read are none.

    Attributes
    ----------
    found : list of _Found
    failed : list of (list of int, Finding)
        Those that must stay unrolled, with a node of each step.
    """

    def __init__(self, values: Values, ranks: Sequence[Rank], loops: bool,
                 reject_reason: RejectReason, others: Sequence[_Found] = (),
                 planner: Planner | None = None) -> None:
        self._values, self._ranks = values, ranks
        self._loops, self._reject_reason = loops, reject_reason
        self._planner = planner
        self.found: list[_Found] = []
        self.failed: list[tuple[Sequence[int], Finding]] = []
        self._taken = {node for each in others for node in each.recurrence.nodes}
        self._told: set[int] = set()  # the nodes of recurrences that were declined as a whole
        self._try_all(self._candidates())
        if self.found and self.failed:  # longer ones may read shorter ones, which are known now
            least = min(each.recurrence.steps for each in self.found)
            again = [chain for chain, _ in self.failed if len(chain) > least
                     and self._taken.isdisjoint(chain)]
            self.failed = [each for each in self.failed if len(each[0]) <= least]
            self._told.clear()
            self._try_all([(-len(chain), _LATER, [*chain]) for chain in again])
        self.found.sort(key=lambda each: each.recurrence.seeds[0])
        self.failed = [each for each in self.failed if self._taken.isdisjoint(each[0])]

    def _candidates(self) -> list[tuple[int, int, list[int]]]:
        """Chains of nodes, a node for each step; the longest come first."""
        if self._planner is not None:
            return [(-len(chain), _FIRST, chain)
                    for chain in direct_chains(self._values, self._taken)
                    if not self._planner.added(chain[-1])[1]]
        return [*[(-len(chain), _FIRST, chain) for chain in chains(self._values)],
                *[(-len(chain), _LAST, chain) for chain in readers_of_growing(self._values)]]

    def _try_all(self, pending: list[tuple[int, int, list[int]]]) -> None:
        heapq.heapify(pending)
        while pending:
            length, turn, chain = heapq.heappop(pending)
            nodes: set[int] = set()
            try:
                recurrence = find_recurrence(self._values, chain, self._taken)
                nodes = recurrence.nodes
                if recurrence.steps < 3:
                    raise Declined(_TWO_STEPS)
                if turn == _FIRST and all(
                        self._values.are_one(each.by_step) for each in recurrence.outside):
                    heapq.heappush(pending, (length, _LATER, chain))
                    continue
                self._add(recurrence, self._name_of(chain))
            except Taken:
                continue  # it goes through layers that share weights, not through time
            except Declined as declined:
                if turn < _LAST and not self._told.issuperset(chain) and not _of_data(
                        self._values, chain[-1]):
                    self.failed.append((chain, Finding(
                        self._name_of(chain), len(chain), 'unrolled', str(declined))))
                self._told |= nodes

    def _add(self, recurrence: StepRecurrence, name: str) -> None:
        """Find out what a recurrence becomes, and take its nodes."""
        values, planner = self._values, self._planner
        kernel = find_kernel(values, self._ranks, recurrence) if planner is None else (
            'it has no weights')
        if isinstance(kernel, Kernel):
            kernel = self._reject_reason(values, kernel) or kernel
        if isinstance(kernel, str) and not self._loops:
            raise Declined(kernel)
        what = kernel if isinstance(kernel, Kernel) else Loop(values, recurrence)
        if planner is not None and not all(planner.rolls(column.by_step) for column in what.data):
            return
        self._taken |= recurrence.nodes
        self.found.append(_Found(recurrence, what, Finding(
            name, recurrence.steps, *(('kernel', kernel.mode) if isinstance(kernel, Kernel) else
                                      ('loop', kernel)))))

    def _name_of(self, chain: Sequence[int]) -> str:
        return _name([self._values.nodes[i].name for i in chain])


def _of_data(values: Values, node: int) -> bool:
    """Whether a node is a product without weights, as when attention reads one memory twice."""
    return values.nodes[node].op == 'batch_dot' and not any(
        values.node(arg).is_variable for arg in values.args[node])


def _claims(found: Sequence[_Found]) -> dict[int, Claim]:
    return {value: Claim(number, column, t, each.recurrence.steps)
            for number, each in enumerate(found) for column in each.recurrence.columns
            for t, value in enumerate(column.by_step)}


def _name(names: Sequence[str]) -> str:
    """The common beginning of a node's names in several steps, without the number of the step."""
    first, last = min(names), max(names)  # all names begin as these two do
    length = next((i for i, pair in enumerate(zip(first, last)) if pair[0] != pair[1]), len(first))
    common = first[:length]
    return re.sub(r'_?t?_?\d*$', '', common) or common or 'steps'
