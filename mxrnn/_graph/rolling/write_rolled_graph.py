"""Writes the rolled-up graph, from its outputs backwards."""
from __future__ import annotations

import collections
import itertools
from typing import Any, Hashable, Sequence, Tuple

from ..graph import MADE_OF, Entry, Graph
from ..graph_editing import Work, Writer
from ..rnn_vector_layout import GROUPS
from .batching_rules import channels
from .loops import Loop
from .match_rnn import Gate, Kernel
from .numbered_values import is_random
from .step_columns import ByStep
from .vectorisation_plan import (
    Apply,
    Circular,
    Claim,
    Leaf,
    Part,
    Plan,
    Planner,
    Same,
    Shift,
    Span,
    StepSequence,
    settle,
)

__all__ = ['Apart', 'Refused', 'RolledWriter']


def _write_vector(writer: Writer, kernel: Kernel, name: str) -> Work:
    """The weights and then the biases, in the order of sym.RNN."""
    weights: list[Entry] = []
    biases: list[list[Entry | None]] = []
    owns = ['%s_%s' % (name, group) for group in GROUPS]
    for own, group, gates in zip(owns, GROUPS, (kernel.i2h, kernel.h2h)):
        rows = []
        biases.append([])
        for gate in gates:
            weight = yield ('value', gate.weight)
            biases[-1].append(None if gate.bias is None else (yield ('value', gate.bias)))
            if gate.exchanged:
                weight = writer.once('SwapAxis', name + '_exchanged', {
                    'dim1': 0, 'dim2': 1}, weight)
            rows.append(_columns(writer, weight, gate, group, kernel.units, name))
        weights.append(_gates(writer, rows, gates, own + '_weight'))
    # Zeros are made from the h2h weight, whose sizes are all known.
    offsets = [_bias(writer, given, gates, weights[1], kernel, own)
               for own, gates, given in zip(owns, (kernel.i2h, kernel.h2h), biases)]
    flat = [writer.once('Reshape', own + '_weight_flat', {'shape': (-1,)}, weight)
            for own, weight in zip(owns, weights)]
    return writer.once('_rnn_param_concat', name + '_parameters', {
        'dim': 0, 'num_args': 4}, *flat, *offsets)


def _columns(writer: Writer, weight: Entry, gate: Gate, group: str, units: int, name: str) -> Entry:
    """A weight's columns for the data (i2h) or the state (h2h)."""
    if gate.joined is None:
        return weight
    first = gate.joined == (group == 'h2h')  # whether they come first
    size = units if gate.joined else -units
    cut = {'begin': 0, 'end': size} if first else {'begin': size, 'end': None}
    return writer.once('slice_axis', '%s_%s_columns' % (name, group), {'axis': 1, **cut}, weight)


def _gates(writer: Writer, arrays: Sequence[Entry], gates: Sequence[Gate], name: str) -> Entry:
    """The rows of each gate, in the order of sym.RNN."""
    parts = [gate.part for gate in gates]
    if len(set(arrays)) == 1 and parts == list(range(gates[0].parts)):
        return arrays[0]
    pieces = []
    for array, gate in zip(arrays, gates):
        if gate.parts > 1:
            split = writer.once('SliceChannel', name + '_gates', {
                'axis': 0, 'num_outputs': gate.parts}, array, outputs=gate.parts)
            array = Entry(split.node, gate.part)
        pieces.append(array)
    return writer.join(pieces, name + '_rows', 0)


def _bias(writer: Writer, offsets: Sequence[Entry | None], gates: Sequence[Gate], weight: Entry,
          kernel: Kernel, name: str) -> Entry:
    given = [offset for offset in offsets if offset is not None]
    if len(given) == len(offsets):
        return _gates(writer, given, gates, name + '_bias')
    if not given:
        return _zeros(writer, weight, name)
    pieces = []
    for k, (offset, gate) in enumerate(zip(offsets, gates)):
        own = '%s_%d' % (name, k)
        if offset is None:
            rows = writer.once('slice_axis', own + '_weight', {
                'axis': 0, 'begin': k * kernel.units, 'end': (k + 1) * kernel.units}, weight)
            pieces.append(_zeros(writer, rows, own))
        else:
            pieces.append(_gates(writer, [offset], [gate], own + '_bias'))
    return writer.join(pieces, name + '_bias_rows', 0)


def _zeros(writer: Writer, weight: Entry, name: str) -> Entry:
    """A bias of zeros with the length and type of `weight`."""
    column = writer.once('slice_axis', name + '_column', {'axis': 1, 'begin': 0, 'end': 1}, weight)
    flat = writer.once('Reshape', name + '_column_flat', {'shape': (-1,)}, column)
    return writer.once('zeros_like', name + '_zeros', {}, flat)


#: The kind of result to make, and its source.
Key = Tuple[str, Hashable]


class Refused(Exception):
    """The recurrence of this number must stay unrolled."""

    def __init__(self, number: int, reason: str) -> None:
        super().__init__(reason)
        self.number, self.reason = number, reason


class Apart(Exception):
    """These nodes of steps must not be written both as one node and one by one."""

    def __init__(self, nodes: set[tuple[int, ...]]) -> None:
        super().__init__('%d nodes are needed one by one' % len(nodes))
        self.nodes = nodes


class RolledWriter:
    """Writes the nodes of a graph anew, with kernels and loops for recurrences.

    Parameters
    ----------
    planner : Planner
    recurrences : list of (str, Kernel or Loop, int)
        Each with the beginning of its nodes' names, and its number of steps.
    picked : set
        Nodes of steps that are one node, of which single steps are read as well.
    lists : list of (str, tuple)
        Steps into which the graph itself splits a sequence.
    """

    def __init__(self, planner: Planner, recurrences: Sequence[tuple[str, Kernel | Loop, int]],
                 picked: set[tuple[int, ...]], lists: Sequence[tuple[str, ByStep]]) -> None:
        self._planner, self._recurrences = planner, recurrences
        self._values, self._claims = planner.values, planner.claims
        self._wholes = whole_parts(planner, [what for _, what, _ in recurrences])
        self._writer = Writer()
        #: By place of a node over steps, or one that joins single steps: the number of steps; 0 for
        #: a part whose places are right for any number.
        self.totals: dict[int, int] = {}
        self._made: dict[Hashable, Any] = {}
        #: By column of a recurrence: the values of all steps and the value after the last step, if
        #: there are nodes for them.
        self._steps: dict[int, Entry] = {}
        self._last: dict[int, Entry] = {}
        self._picked = {value: (by_step, t) for by_step in (
            *itertools.chain(*map(self._values.columns, picked)), *(each for _, each in lists))
            for t, value in enumerate(by_step)}
        self._families: dict[tuple[int, ...], Apply] = {}
        #: By node of the old graph that is written one by one, its place.
        self.copied: dict[int, int] = {}

    def run(self, graph: Graph) -> Graph:
        """The new graph, with the outputs of the old one under their names."""
        self._find_lists()
        try:
            entries = [settle(('value', head), self._make, self._made)
                       for head in self._values.heads]
        except Circular as circle:
            number = next((what for kind, what in circle.waiting if kind == 'recurrence'), 0)
            raise Refused(number, 'its inputs depend on its outputs') from None
        # Nodes that draw or make their own gradients must not be duplicated: written both as one
        # and one by one, or in two groups.
        count = collections.Counter(itertools.chain(self.copied, *self._families))
        doubled = {nodes for nodes in self._families if is_random(self._values.nodes[nodes[0]])
                   and any(count[node] > 1 for node in nodes)}
        if doubled:
            raise Apart(doubled)
        heads = [self._writer.output(*each) for each in zip(entries, graph.outputs)]
        rolled, places = self._writer.placed(heads, graph.version)
        self.totals = {at: self.totals[place] for place, at in places.items()
                       if place in self.totals}
        self.copied = {i: places[place] for i, place in self.copied.items() if place in places}
        return rolled

    def _find_lists(self) -> None:
        """Note which outputs, and which parts of what recurrences read, are steps of something."""
        read = {self._values.same[value]: (tuple(sorted(by_step)), t)
                for by_step, plan in self._planner.below([
                    column.by_step for _, what, _ in self._recurrences for column in what.data])
                if isinstance(plan, Part) and plan.span.length == plan.span.total
                for t, value in enumerate(sorted(by_step))}
        self._picked.update((value, read[number])
                            for value, number in enumerate(self._values.same) if number in read)
        heads, at = self._values.heads, 0
        while at < len(heads):
            end = at + 1
            while end < len(heads) and self._planner.rolls(tuple(heads[at:end + 1])):
                end += 1
            if end - at > 1 and not any(self._values.owner[value] in self._values.kept
                                        for value in heads[at:end]):
                by_step = tuple(heads[at:end])
                for t, value in enumerate(by_step):
                    self._picked.setdefault(value, (by_step, t))
            at = end

    # ---- values

    def _make(self, key: Key) -> Work:
        kind, what = key
        work: Work = getattr(self, '_make_' + kind)(what)
        return work

    def _make_value(self, value: int) -> Work:
        values = self._values
        if value in self._claims:
            return (yield from self._claimed(self._claims[value]))
        if value in self._picked:
            by_step, t = self._picked[value]
            entry = yield ('by_step', by_step)
            return self._pick(entry, t, len(by_step), values.node(value).name)
        i = values.owner[value]
        entry = yield ('node', i)
        return Entry(entry.node, entry.output + values.output(value))

    def _make_node(self, i: int) -> Work:
        values, writer = self._values, self._writer
        node, args = values.nodes[i], values.args[i]
        axis, by_step = self._planner.joined(i)
        if by_step and self._planner.rolls(by_step):
            entry = yield ('by_step', by_step)
            if axis is not None:
                return writer.swap(entry, node.name) if axis else entry
            if node.op == 'add_n':
                return writer.stand_in('sum', node.name, {'axis': 0}, entry)
            if node.dim == 1:
                return writer.stand_in('Reshape', node.name, {'shape': (0, -3, -2)},
                                       writer.swap(entry, node.name))
            return writer.stand_in('Reshape', node.name, {'shape': (-3, -2)}, entry)
        begin, by_step = self._planner.added(i)
        if by_step:
            entry = yield ('by_step', by_step)
            if begin is None:
                return writer.stand_in('sum', node.name, {'axis': 0}, entry)
            total = writer.add('sum', node.name + '_steps', {'axis': 0}, [entry])
            entry = yield ('value', begin)
            return writer.copy(node, [entry, total])
        inputs = []
        for arg in args:
            inputs.append((yield ('value', arg)))
        entry = writer.copy(node, inputs)
        self.copied[i] = entry.node
        return entry

    def _claimed(self, claim: Claim) -> Work:
        number, column, t, total = claim
        yield ('recurrence', number)
        steps = self._steps.get(id(column))
        if t == total - 1 and id(column) in self._last:
            return self._last[id(column)]
        assert steps is not None
        return self._pick(steps, t, total, self._recurrences[number][0])

    def _pick(self, entry: Entry, t: int, count: int, name: str) -> Entry:
        """One step of a sequence."""
        writer, ends = self._writer, {0: (0, 1), count - 1: (-1, None)}
        if t in ends and count > 2:
            begin, end = ends[t]
            one = writer.once('slice_axis', name + '_one', {
                'axis': 0, 'begin': begin, 'end': end}, entry)
            self.totals[one.node] = 0
            return writer.once('Reshape', name + '_step', {'shape': (-3, -2)}, one)
        split = writer.once('SliceChannel', name + '_steps', {
            'num_outputs': count, 'axis': 0, 'squeeze_axis': True, MADE_OF: name}, entry,
            outputs=count)
        return Entry(split.node, t)

    # ---- sequences

    def _make_by_step(self, by_step: ByStep) -> Work:
        """All steps of a column, with time first."""
        plan = self._planner.plan(by_step)
        name = self._values.node(by_step[0]).name
        if isinstance(plan, StepSequence):
            yield ('recurrence', plan.recurrence)
            return self._span(self._steps[id(plan.column)], plan.span,
                              self._recurrences[plan.recurrence][0], by_step in self._wholes)
        if isinstance(plan, Part):
            entry = yield ('value', plan.source)
            return self._part(entry, plan, name, by_step in self._wholes)
        if isinstance(plan, Apply):
            if is_random(self._values.nodes[plan.nodes[0]]) and self._planner.backwards(by_step):
                entry = yield ('by_step', by_step[::-1])  # both directions read the same draws
                return self._writer.once('SequenceReverse', name + '_reversed', {}, entry)
            self._families.setdefault(plan.nodes, plan)
            entry = yield ('family', plan.nodes)
            return Entry(entry.node, plan.output)
        if isinstance(plan, Shift):
            begin = yield ('by_step', plan.begin)
            rest = yield ('by_step', plan.rest)
            return self._writer.join([begin, rest], name + '_before', 0)
        if len(by_step) == 1 and by_step[0] in self._claims:
            claim = self._claims[by_step[0]]
            yield ('recurrence', claim.recurrence)
            return self._span(self._steps[id(claim.column)], Span(claim.step, 1, 1, claim.total),
                              name, False)
        if len(by_step) == 1:
            entry = yield ('value', by_step[0])
            return self._writer.once('expand_dims', name + '_wide', {'axis': 0}, entry)
        if isinstance(plan, Same):
            entry = yield ('value', plan.value)
            wide = self._writer.once('expand_dims', name + '_wide', {'axis': 0}, entry)
            return self._writer.once('broadcast_axis', name + '_repeated', {
                'axis': 0, 'size': len(by_step), MADE_OF: name}, wide)
        entries = []
        for value in by_step:
            entries.append((yield ('value', value)))
        return self._writer.add('stack', name + '_steps', {'axis': 0, 'num_args': len(by_step)},
                                entries)

    def _make_family(self, nodes: tuple[int, ...]) -> Work:
        plan = self._families[nodes]
        inputs = []
        for by_step, moves in zip(plan.inputs, plan.moving):
            inputs.append((yield ('by_step', by_step) if moves else ('value', by_step[0])))
        node = self._values.nodes[nodes[0]]
        if len(nodes) == 2:  # perhaps the first and the last
            at = plan.moving.index(True)
            inputs[at] = self._writer.pinned(inputs[at], node.name, 2)
        entry = plan.write(self._writer, node.name, inputs)
        if self._writer.nodes[entry.node].op == '_foreach':
            self.totals[entry.node] = len(nodes)
        return entry

    def _part(self, entry: Entry, plan: Part, name: str, whole: bool) -> Entry:
        writer = self._writer
        if plan.kept == 'any':
            before = (0,) * plan.axis
            entry = writer.once('Reshape', name + '_parted', {
                'shape': (*before, -4, plan.span.total, -1, -2), MADE_OF: name}, entry)
        rank = self._planner.ranks[plan.source]
        if plan.axis > 1 and rank is None:
            for at in range(plan.axis, 0, -1):  # of any rank
                entry = writer.once('SwapAxis', '%s_moved%d' % (name, at), {
                    'dim1': at - 1, 'dim2': at}, entry)
        elif plan.axis > 1:
            rank = (rank or 0) + (plan.kept == 'any')
            entry = writer.once('transpose', name + '_moved', {'axes': (
                plan.axis, *[at for at in range(rank) if at != plan.axis])}, entry)
        elif plan.axis:
            entry = writer.swap(entry, name)
        entry = self._span(entry, plan.span, name, whole)
        return entry if plan.kept != 'one' else writer.once(
            'expand_dims', name + '_kept', {'axis': plan.axis + 1}, entry)

    def _span(self, entry: Entry, span: Span, name: str, whole: bool) -> Entry:
        """The steps of `span` in a sequence; `whole`: the span is one of `whole_parts`."""
        writer, total = self._writer, span.total
        if span.length != total and total is not None and not whole:
            entry = writer.pinned(entry, name, total)
        if span.length != total:
            end = span.begin + span.length if not whole else None if span.begin else -1
            entry = writer.once('slice_axis', name + '_part', {
                'axis': 0, 'begin': span.begin, 'end': end}, entry)
            if whole or total is None:
                self.totals[entry.node] = 0 if whole else span.length
        if span.stride < 0:
            entry = writer.once('SequenceReverse', name + '_reversed', {}, entry)
        return entry

    # ---- recurrences

    def _make_recurrence(self, number: int) -> Work:
        name, found, total = self._recurrences[number]
        for column in found.data:
            plan = self._planner.plan(column.by_step)
            if isinstance(plan, Leaf) and not plan.alike and self._planner.loops:
                raise Refused(number, 'its steps read values that are computed in different ways')
        steps, last = yield from (self._kernel(found, name) if isinstance(found, Kernel) else
                                  found.write(self._writer, name))
        self._steps.update(steps)
        self.totals.update((entry.node, total) for entry in (*steps.values(), *last.values()))
        self._last.update(last)

    def _kernel(self, kernel: Kernel, name: str) -> Work:
        writer = self._writer
        (column,) = kernel.data
        data = yield ('by_step', column.by_step)
        if kernel.flattens:
            data = channels(writer, name, data, self._planner.ranks[column.by_step[0]])
        vector = yield from _write_vector(writer, kernel, name)
        begin = []
        for k, state in enumerate(kernel.begin):
            entry = yield ('value', state)
            if self._planner.ranks[state] != 2:
                entry = writer.once('Flatten', '%s_begin%d_flat' % (name, k), {}, entry)
            begin.append(writer.once('expand_dims', '%s_begin%d' % (name, k), {'axis': 0}, entry))
        rnn = writer.kernel([data, vector, *begin], name + '_rolled', kernel.mode, kernel.units,
                            num_layers=1, p=0)
        return {id(kernel.output): rnn}, {
            id(column): writer.once('Reshape', '%s_last%d' % (name, k), {'shape': (-3, -2)},
                                    Entry(rnn.node, 1 + k))
            for k, column in enumerate([kernel.output, kernel.memory][:len(begin)])}


# ---- sequences without one step at an end

def whole_parts(planner: Planner, recurrences: Sequence[Kernel | Loop]) -> set[ByStep]:
    """Columns without one step of a sequence that are read like a whole sequence of that length.

    A recurrence reads such a column behind another value: as its begin state (for running
    products), or in its first step (for a decoder that reads the values of one step before).
    """
    data = [[column.by_step for column in each.data] for each in recurrences]
    found: set[ByStep] = set()
    for number, each in enumerate(recurrences):
        begins = [planner.claims.get(state.by_step[0])
                  for state in each.states] if isinstance(each, Loop) else []
        for by_step, plan in planner.below(data[number], shared=False):
            if isinstance(plan, StepSequence) and any(
                    begin is not None and begin.column is plan.column
                    and begin.step == plan.span.first - plan.span.stride for begin in begins):
                found |= _without_one(by_step, plan)
            elif isinstance(plan, Shift):
                pending = [plan.rest]
                while pending:
                    for inner, part in planner.below([pending.pop()], shared=False):
                        found |= _without_one(inner, part)
                        if isinstance(part, StepSequence) and part.span.length == part.span.total:
                            pending.extend(data[part.recurrence])
    return found


def _without_one(by_step: ByStep, plan: Plan) -> set[ByStep]:
    """The column, if it is a whole sequence without its first or last step."""
    whole = isinstance(plan, (Part, StepSequence)) and plan.span.total == len(by_step) + 1
    return {by_step} if whole else set()
