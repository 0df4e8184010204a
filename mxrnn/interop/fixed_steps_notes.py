"""Notes on numbers of steps that stay in a graph, or may be one bucket's."""
from __future__ import annotations

import collections
from typing import Any, Iterator, Mapping, Sequence

from .. import _check
from .._graph.graph import Entry, Graph, Node
from .._graph.operator_table import has
from .._graph.rolling import (
    Counted,
    Cut,
    Finding,
    RolledGraph,
    bounds,
    cuts,
    divided,
    fixed_by,
    grouping,
    made_of,
    roll,
    stated_steps,
    wrong_at_others,
)
from .._graph.shapes.axis_factors import number_of
from .._graph.shapes.infer import Table, infer, variables_of
from .._graph.shapes.sizes import Axis, Size, Sum
from .input_shapes import graph_shapes, without_number
from .model import Model
from .roll_without_steps import (
    CountedSteps,
    axes_of,
    axes_that_free,
    option,
    option_that_frees,
    roll_once,
    rolled_up,
    with_number,
)

__all__ = ['as_many_whatever_is_read', 'capped', 'clipped', 'clipped_at_any_length',
           'counted_anew', 'grouped_by_windows', 'kept_by_inputs', 'of_one_bucket',
           'tied_to_steps', 'with_helpful_advice']

_CERTIFY = ', and only the graph of another length (--certify)'


def capped(model: Model, given: Mapping[str, Sequence[Any]]) -> list[tuple[str, str]]:
    """Notes, with titles, on lengths that a torch module clips, and that no axis 'time:35' among
    the `given` shapes frees."""
    if not bounds(model.graph) or without_number(given)[1] is not None:
        return []
    params = {**model.arg_params, **model.aux_params}
    return [('note', sentence) for sentence in clipped(
        sorted(bounds(roll_once(model.graph).graph)), model.graph, params,
        {**graph_shapes(model.graph, params), **given})]


def clipped(numbers: Sequence[int], graph: Graph | None, params: Mapping[str, Any],
            shapes: Mapping[str, Sequence[Any]]) -> list[str]:
    """A note that lengths are clipped to `numbers` of steps, and how to free one in `graph`."""
    tips = [] if graph is None else [*filter(None, [
        option_that_frees(graph, params, shapes, number) for number in numbers])]
    return ['lengths are clipped to %s steps, as in the graph%s' % (
        ' and '.join(map(str, numbers)), tips and '. Give %s to allow any length%s' % (
            ' or '.join(tips), ' of one of them' * (len(tips) > 1)) or '')
            ] if numbers else []


def tied_to_steps(model: Model, rolled: RolledGraph, shapes: Mapping[str, Sequence[Any]],
                  freed: CountedSteps | None) -> list[str]:
    """Means over the steps that divide by a number instead of the length, factors next to sums that
    may depend on it, and slices at numbers, with the options that keep the length or free it. An
    operator for all steps does not tell the number of steps that was `freed`."""
    def table_of(graph: Graph, given: Mapping[str, Sequence[Any]]) -> Table:
        return infer(graph, variables_of(graph, {**_sizes(model), **shapes, **given}))

    def works(graph: Graph, given: Mapping[str, Sequence[Any]]) -> bool:
        axes = table_of(graph, given).axes
        return number not in {*divided(graph, axes), *(each.total for each in cuts(graph, axes))
                              } and not (number in numbers and made_of(graph, number))

    def keeps(graph: Graph, given: Mapping[str, Sequence[Any]]) -> bool:
        """Whether recurrences have the number, and no other than those in the graph."""
        told = collections.Counter(_numbers(rolled.graph, table_of(rolled.graph, {name: [
            number if size == 'time:%d' % number else size for size in shape]
            for name, shape in given.items()})))
        return told[number] >= max(own[number], 1) and {*told} - {None} <= {*numbers, *sums}
    params = {**model.arg_params, **model.aux_params}
    own = collections.Counter(each.steps for each in rolled.findings
                              if each.kind in ('kernel', 'loop', 'fused'))
    axes, notes = table_of(rolled.graph, {}).axes, []
    parts = [each for each in cuts(rolled.graph, axes) if not _cut_short(each, rolled) and (
        max(each.numbers) > 3 or each.total in {finding.steps for finding in rolled.findings})]
    numbers = {each.steps for each in rolled.findings if each.kind != 'unrolled'} | {
        each.total for each in parts} | {freed.number if freed else 0}
    made = {number: made_of(rolled.graph, number) for number in numbers}
    sums = {number: [node for node in nodes if node not in made.get(number, ())]
            for number, nodes in divided(rolled.graph, axes).items()
            if number in numbers or any(has(node.op, 'recurs') for node in model.graph.nodes)}
    for number in sorted({*sums, *made}):
        found, cut = [*made.get(number, ()), *sums.get(number, ())], [
            each for each in parts if each.total == number]
        said = ['%s %s an axis of any size at %s. If that comes from its size in the graph, %d, '
                'results at other sizes are wrong' % (
                    _check.some(each.names), 'cut' if len(each.names) > 1 else 'cuts',
                    ', '.join(map(str, each.numbers)), number) for each in cut]
        if not said and (not found or keeps(rolled.graph, {})):
            continue
        if said:
            labels = {getattr(each.axis, 'label', '') for each in cut}
            told = {name: [number if size in labels else size for size in shape]
                    for name, shape in shapes.items() if not labels.isdisjoint(shape)}
            table = table_of(rolled.graph, told)
            kept = '' if table.faults or number in {
                each.total for each in cuts(rolled.graph, table.axes)} else option(told)
        else:
            kept = option_that_frees(model.graph, params, shapes, number, keeps).replace(
                'time:%d' % number, str(number))
        free = option_that_frees(model.graph, params, shapes, number, works)
        tips = ['to keep that %s, export with %s' % (
            'size' if said else 'length', kept)] * bool(kept) + [
                'for any, export with ' + free] * bool(free)
        said += [wrong_at_others(node, number) for node in found]
        notes += [each + ': ' * bool(tips) + '; '.join(tips) for each in said]
    return notes


def _cut_short(cut: Cut, rolled: RolledGraph) -> bool:
    """Whether slices read as many of the first steps as a recurrence in the graph has."""
    return cut.whole and cut.total in {each.steps for each in rolled.findings}


def counted_anew(model: Model, rolled: RolledGraph) -> list[str]:
    """The means over the steps that now divide by their count."""
    divided = {node.name for node in rolled.graph.nodes if node.op == 'broadcast_div'}
    return ['node %s (%s) has the number %g, in place of which the steps are now counted' % (
        node.name, node.op, node.scalar) for node in model.graph.nodes
            if node.op in ('_div_scalar', '_mul_scalar') and node.name in divided]


def as_many_whatever_is_read(model: Model, rolled: RolledGraph, shapes: Mapping[str, Sequence[Any]]
                             ) -> list[str]:
    """Numbers of steps although the inputs may have any, with the option that frees each: values
    are repeated so often for a recurrence, or data or outputs are cut to it."""
    def freed(graph: Graph, given: Mapping[str, Sequence[Any]]) -> bool:
        table = infer(graph, variables_of(graph, {**_sizes(model), **shapes, **given}))
        return number not in {*_numbers(graph, table), *(
            each.total for each in cuts(graph, table.axes))}
    steps = collections.Counter(each.steps for each in rolled.findings
                                if each.kind in ('kernel', 'loop', 'fused'))
    table = infer(rolled.graph, variables_of(rolled.graph, {**_sizes(model), **shapes}))
    numbers = collections.Counter(_numbers(rolled.graph, table))
    fixed = {each.steps for each in rolled.findings if each.kind == 'fixed'}
    some = sum(numbers.values()) > sum(steps.values())  # of which the graph tells no number
    notes = []
    cut = {each.total for each in cuts(rolled.graph, table.axes) if _cut_short(each, rolled)}
    for number in sorted(each for each in {*numbers} - fixed | cut if each and each > 1):
        if numbers[None] and (some or steps[number] > numbers[number]) or number in cut:
            tip = option_that_frees(model.graph, {**model.arg_params, **model.aux_params}, shapes,
                                    number, freed)
            read = ' and '.join(_stepped(model, rolled.graph, shapes, axes_of(shapes, number)))
            notes.append('%s %d steps, as in the graph%s' % (
                'longer data are cut to' if number in cut else
                'whatever the length of other inputs, a recurrence over %s runs' % read if read else
                'whatever the length of the data, a recurrence runs', number,
                tip and '. To run as many as the data have, export with ' + tip))
    return notes


def clipped_at_any_length(model: Model, rolled: RolledGraph, shapes: Mapping[str, Sequence[Any]]
                          ) -> list[str]:
    """A note on clipped lengths of sequences that may have any number of steps."""
    table = infer(rolled.graph, variables_of(rolled.graph, {**_sizes(model), **shapes}))
    return clipped(sorted(bounds(rolled.graph) - {*_numbers(rolled.graph, table)}), model.graph,
                   {**model.arg_params, **model.aux_params}, shapes)


def _numbers(graph: Graph, table: Table) -> Iterator[int | None]:
    """The numbers of steps of the recurrences; None for any number."""
    for place in graph.needed():
        if has(graph.nodes[place].op, 'recurs'):
            yield from map(number_of, table.axes.get(Entry(place, 0), [])[:1])


def of_one_bucket(rolled: RolledGraph, stated: bool, given: set[Any]) -> list[str]:
    """A note if the rolled-up graph keeps a number of steps: in a stated shape, in nodes, or as a
    bound of lengths. An axis 'time:35' in a `given` shape frees it, so there is no note then."""
    # All buckets have the same weights, so a number that these have is that of one graph.
    weighted = {node.name for node in rolled.graph.nodes if node.inputs_of('weight')}
    of_weights = {each.steps for each in rolled.findings if each.name in weighted}
    kept = bounds(rolled.graph) | {
        each.steps for each in rolled.findings if each.kind == 'unrolled' or (
            stated or each.kind == 'fixed') and each.steps not in of_weights and fixed_by(
                rolled.graph, each.steps)}
    if not kept or any(isinstance(size, str) and ':' in size for size in given):
        return []
    return ['the graph has %s steps. That is right for a Module, which has one graph. A '
            'BucketingModule has more: save with do_rnn_checkpoint(..., module=module), which '
            'saves the longest' % (
                ' and '.join(map(str, sorted(kept - {0}))) or 'a fixed number of')]


def kept_by_inputs(model: Model, rolled: RolledGraph, shapes: Mapping[str, Sequence[Any]]
                   ) -> list[str]:
    """Notes on inputs that keep a number of steps, with the shapes that free it."""
    steps, fixed = ({each.steps for each in rolled.findings if (each.kind == 'fixed') is kind
                     and each.kind not in ('unrolled', 'stated')} for kind in (False, True))
    notes, params, pinned = [], {**model.arg_params, **model.aux_params}, {*fixed}
    if all(each.kind == 'stated' for each in rolled.findings) and any(
            has(node.op, 'recurs') for node in model.graph.nodes):
        fixed = {size for shape in shapes.values() for size in shape
                 if isinstance(size, int) and fixed_by(model.graph, size)}
    for size in sorted((steps | fixed) - {0, 1}):
        fitting = next((axes for axes in axes_that_free(model.graph, params, shapes, size)
                        if len(_stepped(model, rolled_up(model.graph, CountedSteps(
                            size, axes, shapes)).graph, shapes, axes)) == len(axes)), {})
        axes = {} if fitting else axes_of(shapes, size)
        certain = [name for name in _stepped(
            model, _keeping(rolled.graph, size), shapes, axes, size)
                   if axes[name] < len(shapes[name]) - 1]
        tip = option(with_number(shapes, size, fitting)) if fitting else ''
        kept = [('%s %s' % (_check.some(names), 'have' if len(names) > 1 else 'has'), size)
                for names in ([list(fitting)] if fitting else [[name] for name in certain])]
        if not kept and size in pinned and not axes and without_number(shapes)[1] is None:
            tip = option_that_frees(model.graph, params, shapes, size)
            kept = [('%s has' % name, number) for name, shape in shapes.items()
                    for at, number in enumerate(shape[:-1]) if isinstance(number, int) and _stepped(
                        model, _keeping(rolled.graph, number), shapes, {name: at}, size)
                    ] or [('the graph has', size)]  # windows make fewer steps of the input's
        notes += ['%s %d steps, the number in the graph: pad or cut sequences to it%s' % (
            *each, tip and ', or export with ' + tip) for each in kept]
    return notes


def _stepped(model: Model, graph: Graph, shapes: Mapping[str, Sequence[Any]],
             axes: Mapping[str, int], kept: int = 0) -> list[str]:
    """The inputs along whose `axes` recurrences read sequences, or must read `kept` steps."""
    sizes = {name: Axis(label=name, free=True, given=shapes[name][axis])
             for name, axis in axes.items()}
    table = infer(graph, variables_of(graph, {**_sizes(model), **shapes, **{
        name: [*shapes[name][:axis], sizes[name], *shapes[name][axis + 1:]]
        for name, axis in axes.items()}}))
    numbers = {shapes[name][axis] for name, axis in axes.items()}
    read: set[Size] = set()
    for node in [graph.nodes[place] for place in graph.needed()]:
        if has(node.op, 'recurs'):
            steps = [axis for entry in node.inputs[:node.body.data if node.op == '_foreach' else 1]
                     for axis in table.axes.get(entry, [])[:1]]
        else:  # behind a Reshape to a number, only that number is left
            steps = table.axes.get(node.inputs[0], []) if (
                node.op == 'Reshape' and not numbers.isdisjoint(node.shape)) else []
        read.update(axis for factors in steps for size in factors for axis in _axes_of(size))
        read.update(factors[0] for factors in steps if factors == (kept,))
    return [name for name, axis in sizes.items() if not read.isdisjoint(_axes_of(axis)) or (
        axis.bound in read)]


def _keeping(graph: Graph, number: int) -> Graph:
    """A graph in which Reshapes keep an axis that they state with a number, as far as possible."""
    def keeping(node: Node) -> Node:
        shape: tuple[int, ...] = node.shape if node.op == 'Reshape' else ()
        if shape.count(number) != 1 or min(shape) < 0:
            return node
        at = shape.index(number)
        return node._replace(attrs={**node.attrs, 'shape': str((
            *shape[:at], -1, *shape[at + 1:]))})
    return graph._replace(nodes=tuple(map(keeping, graph.nodes)))


def with_helpful_advice(graph: Graph, findings: Sequence[Finding], params: Mapping[str, Any],
                        shapes: Mapping[str, Sequence[Any]]) -> list[Finding]:
    """The findings; without the advice to give a second graph if none of the numbers in `shapes`
    can be any size even if it is known from which end steps are counted."""
    numbers = {size for shape in shapes.values() for size in shape if isinstance(size, int)}
    if not numbers or not any(_CERTIFY in each.what for each in findings):
        return [*findings]
    counted = roll(graph, counted=Counted('last', 'last')).graph
    sizes = {name: array.shape for name, array in params.items()}
    if any(not infer(counted, variables_of(counted, {**sizes, **{name: [
            'steps' if size == number else size for size in shape]
            for name, shape in shapes.items()}})).faults for number in numbers):
        return [*findings]
    return [each._replace(what=each.what.partition(_CERTIFY)[0]) for each in findings]


def _axes_of(size: Size) -> Iterator[Axis]:
    """The axes from which a size was made, also those that have become numbers."""
    while isinstance(size, Axis):
        yield size
        if size.bound is None:
            return
        size = size.bound
    if isinstance(size, Sum):
        for _, atoms in size.terms:
            for atom in atoms:
                yield from _axes_of(atom)


def grouped_by_windows(model: Model, shapes: Mapping[str, Sequence[Any]],
                       given: Mapping[str, Sequence[Any]]) -> list[str]:
    """Notes on Reshapes behind operators of whole sequences that group rows by a number, which is
    that of steps or of rows in a window; the shapes that decide this are not `given`."""
    if any(':' in str(size) for shape in given.values() for size in shape):
        return []
    params, notes = {**model.arg_params, **model.aux_params}, []
    for number in sorted(grouping(model.graph)):
        tip = option_that_frees(model.graph, params, shapes, number)
        notes.append('a Reshape groups rows by %d. That is right for windows of %d. If it is the '
                     'number of steps, %s' % (number, number, '%s keeps it, and %s allows any' % (
                         tip.replace('time:%d' % number, str(number)), tip) if tip else
                         'give %d steps' % number))
    for number in sorted({*stated_steps(model.graph).values()}):
        axes = axes_of(shapes, number)
        if axes and not {*axes} & {*given}:
            notes.append('a Reshape groups rows by %d, taken to be the number of steps. If it is '
                         'that of rows in a window, type the shape, as in %s' % (number, option({
                             name: [*shapes[name][:at], 2 * number, *shapes[name][at + 1:]]
                             for name, at in axes.items()})))
    return notes


def _sizes(model: Model) -> dict[str, tuple[int, ...]]:
    return {key: array.shape for key, array in {**model.arg_params, **model.aux_params}.items()}
