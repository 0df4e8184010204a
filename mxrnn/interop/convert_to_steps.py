"""Makes graphs of sequences run in steps, for every export format. Refusals say what to do."""
from __future__ import annotations

import re
from typing import Callable, Mapping, Sequence

import numpy as np

from .._graph.graph import Graph
from .._graph.rolling import Unrolled
from .._graph.shapes.missing_shapes import Named
from .._graph.stepping import StateError, Stepped, with_states
from .input_shapes import Shapes, check_shared_sizes, shapes_found, without_number
from .registry import ExportError
from .roll_without_steps import option_that_frees

__all__ = ['in_steps', 'stepping', 'with_remedy']


def with_remedy(notes: Sequence[str], shapes: Shapes, params: Mapping[str, np.ndarray],
                whole: Unrolled | None) -> list[str]:
    """Notes on steps and batches of inputs of these shapes, with what to do about a number of
    steps: axes that free it are named if `whole`, the graph before it was rolled up, can then be
    stepped."""
    def remedy(number: int) -> str:
        tip = whole and option_that_frees(whole.graph, params, shapes, number, stepping(params))
        return '; or try %s for any length' % tip if tip else ''
    numbers = [re.search(r' (\d+) steps: .*that number', note) for note in notes]
    return ['%s. Pad to it%s' % (note, remedy(int(number[1]))) if number else note
            for note, number in zip(notes, numbers)]


def stepping(params: Mapping[str, np.ndarray]) -> Callable[[Graph, Shapes], bool]:
    """Whether a rolled-up graph can be stepped if its inputs have such shapes."""
    def works(graph: Graph, shapes: Shapes) -> bool:
        try:
            in_steps(graph, params, without_number(shapes)[0])
        except (ExportError, ValueError):
            return False
        return True
    return works


def in_steps(graph: Graph, params: Mapping[str, np.ndarray], given: Shapes,
             notes: Sequence[str] = (), layers: bool = False, whole: Unrolled | None = None
             ) -> tuple[Stepped, dict[str, Named], list[str]]:
    """A rolled-up graph in steps, as `with_states` makes it, with its inputs' shapes, and notes on
    fixed sizes.

    `notes` are notes on the `given` shapes; `whole` is the graph before it was rolled
    up, and what became of its recurrences.

    Raises
    ------
    ExportError
        The graph uses several steps of a sequence at once, or does not tell a shape.
    """
    own = [name for name in graph.needed_variables() if name in given or name not in params]
    missing = [name for name in own if name not in given]
    found, further, *_ = shapes_found(graph, params, given, missing)
    shapes = {name: tuple(given[name]) if name in given else found[name] for name in own}
    check_shared_sizes(graph, params, given, shapes)
    try:
        stepped = with_states(graph, shapes, {
            name: np.shape(array) for name, array in params.items()}, layers)
    except StateError as error:
        fixed = 'number of steps' in str(error)
        told = [*notes, *further]
        told = with_remedy(told, shapes, params, whole) if fixed else told
        if fixed and whole and not told:
            stated = {size for shape in shapes.values() for size in shape}
            numbers = {each.steps for each in whole.findings} - {0, 1}
            told = [*filter(None, (
                option_that_frees(whole.graph, params, shapes, number, stepping(params))
                for number in sorted(numbers & stated or numbers)))][:1]
            told = ['To step it, try ' + tip for tip in told]
        reasons = [str(each) for each in (whole.findings if whole else ())
                   if each.kind == 'unrolled'] or [
            'A graph of one step is exported without --states (states=True)']
        raise ExportError('\n'.join(filter(None, dict.fromkeys([
            str(error), *(reasons if 'no recurrence' in str(error) else ()),
            *told, 'Export it for whole sequences, without --states (states=True)' * (
                fixed and not any(' try ' in each for each in told))])))) from None
    # The axis of steps gets one name, as in the table of states: time.
    named = {size for shape in given.values() for size in shape}
    times = {size for name in missing for size, word in zip(
        shapes[name], stepped.axes.get(name, ())) if word == 'time'} - named
    if 'time' in named or any('time' in shape for shape in shapes.values()):
        return stepped, shapes, further
    own_shapes, all_shapes = ({name: tuple(['time' if size in times else size for size in shape])
                               for name, shape in each.items()}
                              for each in (stepped.shapes, shapes))
    return stepped._replace(shapes=own_shapes), all_shapes, further
