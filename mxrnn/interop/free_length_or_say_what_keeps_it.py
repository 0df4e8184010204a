"""An axis 'time:35' of an input: the 35 in the graph is its number of steps, and becomes any."""
from __future__ import annotations

import contextlib
import itertools
import math
from typing import Any, Iterator, Mapping, Sequence

import numpy as np

from .. import _check
from .._graph.graph import Entry, Graph
from .._graph.index_inputs import only_looked_up
from .._graph.rolling import fixed_by, stated_before, stated_steps
from .._graph.shapes.infer import UNROLLED_FOR, Fault, cut_places, infer, variables_of
from .._graph.shapes.numbers_told_by_nodes import ranges_left
from .._graph.shapes.sizes import Size, Sum, axes_in, number_for, product
from .convert_to_steps import stepping
from .input_shapes import Shapes, graph_shapes
from .registry import ExportError
from .roll_without_steps import (
    CountedSteps,
    option,
    option_that_frees,
    roll_once,
    rolled_up,
    with_number,
)

__all__ = ['naming_what_keeps', 'refuse_batch', 'refuse_regrouped', 'refuse_stated',
           'refuse_windows', 'sizes_of', 'stated_notes']

#: Numbers of steps are tried up to the first number, for a batch of the second, a prime number.
_MOST, _MANY = 4096, 10007


@contextlib.contextmanager
def naming_what_keeps(steps: CountedSteps | None, graph: Graph, params: Mapping[str, Any],
                      given: Shapes, states: bool = False) -> Iterator[None]:
    """Name the nodes that keep a number of steps that was to become any, if that is refused. If
    none was to become any, name the option with which the graph is taken, with `states` in steps.
    """
    try:
        yield
    except ExportError as error:
        if steps is None:
            made = {size for node in graph.nodes if node.op == 'Reshape' for size in node.shape}
            number = next(iter([*stated_steps(graph).values(), *(
                each.steps for each in roll_once(graph).findings
                if each.kind in ('fixed', 'stated') or each.steps in made), *(
                node.shape[0] for node in graph.nodes
                if node.op == 'Reshape' and len(node.shape) == 3 and min(node.shape) > 0)]), 0)
            rows = -1 if any(node.op == 'Reshape' and node.shape[:1] == (number,)
                             for node in graph.nodes) else 1  # -1: steps before the batch
            guessed: dict[str, Sequence[int | str]] = {
                name: [*('batch', number)[::rows * (-1 if _swapped(graph, name) else 1)], *read]
                for name in graph.needed_variables() for read in [_read_as(graph, name)]
                if read and read[0] != number}  # frames that are grouped into steps tell no shape
            told: dict[str, Any] = {**graph_shapes(graph, params), **given}
            tip = number and option_that_frees(graph, params, {**guessed, **told}, number,
                                               *[stepping(params)] * states)
            does = 'allows any'
            fits = number and guessed and not tip and all(
                name not in told or name in given and len(given[name]) == len(shape) and all(
                    isinstance(own, str) or own == size for own, size in zip(given[name], shape))
                for name, shape in guessed.items())
            for batch in ('batch', *sorted(made)) if fits else ():
                typed = {name: [batch if size == 'batch' else size for size in shape]
                         for name, shape in guessed.items()}
                if not tip and (isinstance(batch, str) or batch > 0) and not infer(
                        graph, variables_of(graph, {**sizes_of(params), **told, **typed})).faults:
                    tip, does = option(typed), 'keeps it'
            if not tip or tip in str(error):
                raise
            raise ExportError('%s\nA Reshape groups rows by %d. If that is the number of steps, '
                              '%s %s' % (error, number, tip, does)) from None
        rolled, findings = rolled_up(graph, steps)
        keeping = steps.keeping(graph)
        if states and not stepping(params)(roll_once(graph).graph, {**given, **steps.kept}):
            keeping = keeping.replace(':', ', without --states (states=True):', 1)
        hint = UNROLLED_FOR % steps.number
        own = {node.name for node in graph.walk() if node.inputs}
        known = {name: None for name in fixed_by(rolled, steps.number) if name in own}
        fixed = [str(each) for each in findings if each[1:3] == (steps.number, 'fixed')]
        if fixed and not known.keys() - {each.name for each in findings if 'certify' in each.what}:
            why = '%s%s' % (fixed[0], keeping)
        elif known:
            why = 'The number %d is still in %s. If it is the number of steps there, the graph ' \
                'takes no other%s' % (steps.number, _check.some(list(known)), keeping)
        elif hint in str(error):
            why = keeping.lstrip('. ')
        else:
            raise
        said = str(error).replace(hint, '')  # the number was given
        raise ExportError('\n'.join(filter(None, (said, why)))) from None


def refuse_batch(graph: Graph, params: Mapping[str, Any], shapes: Shapes,
                 steps: CountedSteps | None = None) -> None:
    """Refuse a batch of any size in `shapes` if a Reshape or a slice has that of the graph."""
    def faults(shapes: Shapes) -> list[Fault]:
        return infer(graph, variables_of(graph, {**sizes_of(params), **shapes})).faults
    for node in [each.node for each in faults(shapes)[:1]]:
        numbers = node.shape[:1] if node.op == 'Reshape' else [
            end for _, _, end in cut_places(node)]
        for number, batch in itertools.product(filter(None, numbers), {
                shape[0]: 0 for shape in shapes.values() if shape}):
            kept = {name: [number if size == batch else size for size in shape]
                    for name, shape in shapes.items()}
            if isinstance(batch, str) and number > 0 and not faults(kept):
                raise ExportError('node %s (%s) has a batch of %d. Give that number: %s' % (
                    node.name, node.op, number, option({**kept, **with_number(
                        kept, steps.number, steps.axes)} if steps else kept)))


def refuse_stated(graph: Graph, params: Mapping[str, Any], shapes: Shapes) -> None:
    """Refuse `shapes` of inputs in which axes of any size may change, of which a Reshape makes
    sequences of a number of steps: of other data it would make other sequences. Also refuse a batch
    of any size of which a Reshape would join rows of several sequences."""
    _refuse_split(graph, params, shapes)
    for node, steps, size in _stated_of(graph, params, shapes):
        axes = sorted(axes_in(size), key=lambda axis: (axis.label != 'batch', axis.label))
        named = {name: shape for name, shape in shapes.items() if not {
            axis.label for axis in axes[1:] or axes}.isdisjoint(shape)}
        if not named:  # an axis of an input without a shape
            continue
        first = next(iter(named.values()))[0]
        batch = first if isinstance(first, int) else _MANY
        number = next((each for each in range(1, _MOST) if number_for(size, {
            axis: each if axis is axes[-1] else _MANY for axis in axes}) == batch), None)
        tip = option_that_frees(graph, params, shapes, steps)
        raise ExportError('node %s makes sequences of %d steps of all rows, so data of other sizes '
                          'would give wrong results. %s%s' % (node, steps, (
                              'To keep that length: ' + option({
                                  name: [number if each == axes[-1].label else each
                                         for each in shape] for name, shape in named.items()})
                              if number and len(axes) < 3 else
                              'Give numbers in place of …: ' + option({
                                  name: ['…' if size in {axis.label for axis in axes[1:] or axes}
                                         else size for size in shape]
                                  for name, shape in named.items()})),
                          tip and '. For any: ' + tip))


def _refuse_split(graph: Graph, params: Mapping[str, Any], shapes: Shapes) -> None:
    """Refuse a batch of any size if groups of rows have parts of sequences, as 4 rows of 9 each."""
    batches = {shape[0] for shape in shapes.values() if shape and isinstance(shape[0], str)}
    table = infer(graph, variables_of(graph, {**sizes_of(params), **shapes}))
    for place, node in enumerate(graph.nodes):
        for size in map(product, table.axes.get(Entry(place, 0), ()) if (
                node.op == 'Reshape' and batches) else ()):
            if isinstance(size, Sum) and size.divisor > 1 and len(size.terms) == 1 and (
                    size.terms[0][0] > 1) and {axis.label for axis in axes_in(size)} <= batches:
                raise ExportError(
                    'node %s (Reshape) to %s would join rows of several sequences. Give lengths '
                    'that have whole groups of rows, or a number in place of %s: %s' % (
                        node.name, node.shape, next(iter(axes_in(size))).label, option(shapes)))


def refuse_regrouped(graph: Graph, params: Mapping[str, Any], sizes: Mapping[str, Sequence[int]],
                     known: bool) -> None:
    """Refuse data of which a Reshape that makes sequences of a number of steps of all rows mixes
    rows of different sequences: it makes no multiple of the data's sequences. If it makes several
    of each, these may be longer ones, so their shape must be `known`, because a user gave it."""
    shapes: dict[str, Sequence[int | str]] = {
        name: (*map(str, shape),) if name in only_looked_up(graph, [*sizes]) else
        (*map(str, shape[:-1]), *shape[-1:]) for name, shape in sizes.items()}
    axes = infer(graph, variables_of(graph, {**sizes_of(params), **shapes})).axes
    for name, steps, size in _stated_of(graph, params, shapes):
        node = next(node for node in graph.nodes if node.name == name)
        rows = [each for each in sum(axes[node.inputs[0]], ()) if axes_in(each)]
        if next(code for code in node.shape if code not in (-4, 0)) != -1:  # time is first
            rows.reverse()
        # Of axes that were joined the order is not known.
        if not rows or any(len(axes_in(each)) > 1 for each in rows) or not all(
                axis.label.isdigit() for each in rows for axis in axes_in(each)):
            continue
        made, first = [number_for(each, {axis: int(axis.label) for axis in axes_in(each)})
                       for each in (size, rows[0])]
        if made % first or made > first and not known:
            raise ValueError('node %s makes sequences of %d steps of all rows, and so %s sequences '
                             'of %s: give sequences of that length%s' % (
                                 name, steps, made, ' and '.join(
                                     '%s of shape %s' % pair for pair in sizes.items()),
                                 '' if made % first else '. If each is to become several, tell '
                                 'the export that shape: inputs=%s' % dict(sizes)))


def refuse_windows(graph: Graph, params: Mapping[str, Any], shapes: Shapes) -> None:
    """Refuse `shapes` of inputs in which an axis may have any size, of which windows must leave the
    number of steps that a Reshape has: of other data it would mix rows."""
    rolled, findings = roll_once(graph)
    for (name, axis), each in ranges_left(rolled, sizes_of(params), shapes).items():
        kept = option({name: [*shapes[name][:axis], each[-1], *shapes[name][axis + 1:]]})
        tip = next(filter(None, (option_that_frees(graph, params, shapes, number) for number in
                                 sorted({found.steps for found in findings}))), '')
        raise ExportError(
            'a Reshape has a number of steps, so data of other sizes would give wrong results: '
            '%s may have %d to %d elements along axis %d. To keep that length, give yours, as in '
            '%s%s' % (name, each[0], each[-1], axis, kept, tip and '. %s allows any' % tip))


def sizes_of(params: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """The shapes of parameters."""
    return {name: np.shape(array) for name, array in params.items()}


def stated_notes(graph: Graph, params: Mapping[str, Any], shapes: Shapes) -> list[str]:
    """A note on a Reshape that makes sequences of a number of steps of data of any size, which a
    file cannot or need not refuse: of rows, or of inputs without a shape, with what to type."""
    untold: dict[str, Sequence[int | str]] = {
        name: ('batch', 'steps', *_read_as(graph, name)) for name in graph.needed_variables()
        if name not in params and name not in shapes}
    before = stated_before(graph)
    read = graph.ending_in([Entry(place, 0) for place, node in enumerate(graph.nodes)
                            if node.name in before]).arguments
    untold = {name: shape for name, shape in untold.items() if name in read}
    if untold:
        found = next(_stated_of(graph, params, {**shapes, **untold}), None)
        for node, steps in [found[:2]] if found else [*before.items()][-1:]:
            typed: dict[str, Sequence[int | str]] = {
                name: ['batch', steps, *shape[2:]] for name, shape in untold.items()}
            if not found or any(_stated_of(graph, params, {**shapes, **typed})):
                typed = {name: ['batch', steps, '…'] for name in untold}
            whole = {math.prod(read) for name in untold for read in [_read_as(graph, name)]
                     if read[:1] == (steps,)}
            return ['node %s makes sequences of %d steps of all rows, so data of other sizes give '
                    'wrong results. Type the shape of %s, so that the file refuses them: %s' % (
                        node, steps, _check.some(list(untold)),
                        ' and '.join('--input %s=batch,… with numbers that make %d' % (
                            name, size) for name in untold for size in whole) if whole else
                        'for an axis of %d steps, %s' % (steps, option(typed)))]
    try:
        refuse_stated(graph, params, shapes)
    except ExportError as error:
        return [str(error)]
    return ['node %s makes sequences of %d steps of all rows: other numbers of steps give wrong '
            'results' % (node, steps) for node, steps, _ in _stated_of(graph, params, shapes, True)]


def _read_as(graph: Graph, name: str) -> tuple[int, ...]:
    """The sizes of each row into which a Reshape divides an input; () if none does."""
    return next((node.shape[1:] for node in graph.nodes if node.op == 'Reshape' and
                 node.shape[0] == -1 and graph.nodes[node.inputs[0].node].name in (
                     name, _swapped(graph, name))), ())


def _swapped(graph: Graph, name: str) -> str:
    """The name of the node that swaps the first two axes of an input, or ''."""
    return next((node.name for node in graph.nodes if node.op == 'SwapAxis' and {
        node.dim1, node.dim2} == {0, 1} and graph.nodes[node.inputs[0].node].name == name), '')


def _stated_of(graph: Graph, params: Mapping[str, Any], shapes: Shapes, rows: bool = False
              ) -> Iterator[tuple[str, int, Size]]:
    """The Reshapes that make sequences of a number of steps of axes of any size, the steps, and the
    number of sequences. An input of rows may have any number of rows, except with `rows`: then
    those alone are told."""
    stated = stated_before(graph)
    axes = infer(graph, variables_of(graph, {**sizes_of(params), **shapes})).axes if stated else {}
    batches = {shape[0] for shape in shapes.values() if shape}
    for place, node in enumerate(graph.nodes):
        made = [product(axis) for axis in axes.get(Entry(place, 0), [])] if (
            node.name in stated) else []
        whole = {getattr(each, 'label', each) for each in made}
        for size in made:
            of_rows = isinstance(size, Sum) and size.terms[0][0] == len(size.terms) == 1 and {
                axis.label for axis in axes_in(size)} <= batches
            if isinstance(size, Sum) and whole.isdisjoint(batches) and size.divisor > 1 and (
                    of_rows is rows):
                yield node.name, stated[node.name], size
