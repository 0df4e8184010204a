"""Notes on numbers of steps that stay in a graph, or may be one bucket's."""
from __future__ import annotations

import math
from typing import Any, Mapping, Sequence

from .. import _check
from .._graph.graph import Graph
from .._graph.operator_table import has
from .._graph.rolling import RolledGraph, bounds, fixed_by, roll, stated_steps
from .._graph.shapes.infer import infer, variables_of
from .._graph.shapes.numbers_told_by_nodes import cutting_numbers
from .free_length_or_say_what_keeps_it import rolled_up
from .input_shapes import CountedSteps, counting, option, with_number, without_number
from .model import Model

__all__ = ['capped', 'clipped', 'divided_by_steps', 'grouped_by_steps', 'kept_by_inputs',
           'of_one_bucket', 'split_by_steps']


def capped(graph: Graph, given: Mapping[str, Sequence[Any]]) -> list[tuple[str, str]]:
    """Notes, with titles, on lengths that a torch module clips, and that no axis 'time:35' among
    the `given` shapes frees."""
    if not bounds(graph) or without_number(given)[1] is not None:
        return []
    return [('note', sentence) for sentence in clipped(
        sorted(bounds(roll(graph).graph)), 'Export with --onnx or --source and')]


def clipped(numbers: Sequence[int], advice: str) -> list[str]:
    """A note that lengths are clipped to `numbers` of steps, and with `advice` how to free one."""
    if not numbers:
        return []
    return ['lengths are clipped to %s steps, as in the graph%s' % (
        ' and '.join(map(str, numbers)), advice and (
            '. %s an axis %s in inputs (--input) to allow any length%s' % (
                advice, ' or '.join('time:%d' % number for number in numbers),
                ' of one of them' * (len(numbers) > 1))))]


def divided_by_steps(rolled: RolledGraph) -> list[str]:
    """Means over the steps that divide by a number instead of the length."""
    graph, needed, notes = rolled.graph, rolled.graph.needed(), []
    for number in sorted({each.steps for each in rolled.findings if each.kind != 'unrolled'}):
        factors = {'_div_scalar': number, '_mul_scalar': 1 / number}
        notes += ['node %s (%s) has the number %g. If that is the number of steps in the graph, '
                  '%d, results at other lengths are wrong, because it stays' % (
                      node.name, node.op, node.scalar, number)
                  for place, node in enumerate(graph.nodes) if place in needed and number > 2
                  and node.op in factors and math.isclose(node.scalar, factors[node.op],
                                                          rel_tol=1e-6)]
    return notes


def of_one_bucket(rolled: RolledGraph, stated: bool, given: set[Any]) -> list[str]:
    """A note if the rolled-up graph keeps a number of steps: in a stated shape, in nodes, or as a
    bound of lengths. An axis 'time:35' in a `given` shape frees it, so there is no note then."""
    kept = bounds(rolled.graph) | {
        each.steps for each in rolled.findings if stated or each.kind in ('unrolled', 'fixed')}
    if not (kept or stated) or any(isinstance(size, str) and ':' in size for size in given):
        return []
    return ['the graph has %s steps. That is right for a Module, which has one graph. A '
            'BucketingModule has more: save with do_rnn_checkpoint(..., module=module), which '
            'saves the longest' % (
                ' and '.join(map(str, sorted(kept - {0}))) or 'a fixed number of')]


def kept_by_inputs(model: Model, rolled: RolledGraph, shapes: Mapping[str, Sequence[Any]]
                   ) -> list[str]:
    """Notes on inputs that keep a number of steps, with the shapes that free it."""
    steps, fixed = ({each.steps for each in rolled.findings if (each.kind == 'fixed') is kind
                     and each.kind != 'unrolled'} for kind in (False, True))
    notes = []
    if not rolled.findings and any(has(node.op, 'recurs') for node in model.graph.nodes):
        fixed = {size for shape in shapes.values() for size in shape
                 if isinstance(size, int) and fixed_by(model.graph, size)}
    for size in sorted((steps | fixed) - {0, 1}):
        axes = {name: list(shape).index(size) for name, shape in shapes.items()
                if size in shape and 'time' not in str(shape)}
        ways = [axes] * (len(axes) > 1) + [{name: axis} for name, axis in axes.items()]
        fitting = next((way for way in ways if _frees(model, shapes, size, way)), {})
        certain = [name for name, axis in axes.items()
                   if size in steps and axis < len(shapes[name]) - 1]
        for names in [list(fitting)] if fitting else [[name] for name in certain]:
            notes.append('%s %s %d steps, the number in the graph: pad or cut sequences to it%s' % (
                _check.some(names), 'have' if len(names) > 1 else 'has', size, fitting and (
                    ', or export with ' + option(with_number(shapes, size, fitting))) or ''))
    return notes


def _frees(model: Model, shapes: Mapping[str, Sequence[Any]], size: int, axes: Mapping[str, int]
           ) -> bool:
    """Whether the graph takes any number of steps if `size` is freed in these axes of inputs."""
    graph = rolled_up(model.graph, CountedSteps(size, dict(axes))).graph
    own, others = _sizes(model), {**shapes, **with_number(shapes, size, axes)}
    return not infer(graph, variables_of(graph, {**own, **others})).faults and (
        size not in cutting_numbers(graph, own, others))


def grouped_by_steps(graph: Graph, shapes: Mapping[str, Sequence[Any]]) -> list[str]:
    """Notes on Reshapes behind operators of whole sequences that group rows by a number."""
    sizes = {size for shape in shapes.values() for size in shape}
    return ['a Reshape groups rows by %d: if that is the number of steps, export with %s for any '
            'length, or with %d in place of time:%d' % (number, counting(shapes, number), number,
                                                        number)
            for number in sorted({*stated_steps(graph).values()} - sizes)]


def split_by_steps(model: Model, rolled: RolledGraph, shapes: Mapping[str, Sequence[Any]]
                   ) -> list[str]:
    """Notes on numbers of steps by which nodes split an axis that may have any size in `shapes`."""
    steps = {each.steps for each in rolled.findings if each.kind != 'unrolled'}
    return ['an axis of any size is split by %d, the number of steps in the graph: other numbers '
            'of steps give wrong results' % number
            for number in sorted(steps & cutting_numbers(rolled.graph, _sizes(model), shapes))]


def _sizes(model: Model) -> dict[str, tuple[int, ...]]:
    return {key: array.shape for key, array in {**model.arg_params, **model.aux_params}.items()}
