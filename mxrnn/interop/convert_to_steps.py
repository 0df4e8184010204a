"""Makes graphs of sequences run in steps, for every export format. Refusals say what to do."""
from __future__ import annotations

from typing import Mapping, Sequence

import numpy as np

from .._graph.graph import Graph
from .._graph.rolling import Finding
from .._graph.shapes.missing_shapes import Named
from .._graph.stepping import StateError, Stepped, with_states
from .input_shapes import Shapes, shapes_found
from .registry import ExportError

__all__ = ['in_steps']


def in_steps(graph: Graph, params: Mapping[str, np.ndarray], given: Shapes,
             layers: bool = False, findings: Sequence[Finding] = (),
             lines: Sequence[tuple[str, str]] = ()) -> tuple[Stepped, dict[str, Named]]:
    """A rolled-up graph in steps, as `with_states` makes it, with its inputs' shapes.

    `findings` tell what became of its recurrences; `lines` are the verdicts on the axes of inputs.

    Raises
    ------
    ExportError
        The graph uses several steps of a sequence at once, or does not tell a shape.
    """
    own = [name for name in graph.needed_variables() if name in given or name not in params]
    missing = [name for name in own if name not in given]
    found = shapes_found(graph, params, given, missing).shapes
    shapes = {name: tuple(given[name]) if name in given else found[name] for name in own}
    try:
        stepped = with_states(graph, shapes, {
            name: np.shape(array) for name, array in params.items()}, layers)
    except StateError as error:
        fixed = 'number of steps' in str(error)
        reasons = [str(each) for each in findings if each.kind == 'unrolled'] or [
            'A graph of one step is exported without --states (states=True)']
        raise ExportError('\n'.join(filter(None, dict.fromkeys([
            str(error), *(reasons if 'no recurrence' in str(error) else ()),
            *('%s: %s' % line for line in lines
              if fixed and 'time' in line[0] and ', since ' in line[1]),
            'Export it for whole sequences, without --states (states=True)' * fixed])))) from None
    # The axis of steps gets one name, as in the table of states: time.
    named = {size for shape in given.values() for size in shape}
    times = {size for name in missing for size, word in zip(
        shapes[name], stepped.axes.get(name, ())) if word == 'time'} - named
    if 'time' in named or any('time' in shape for shape in shapes.values()):
        return stepped, shapes
    own_shapes, all_shapes = ({name: tuple(['time' if size in times else size for size in shape])
                               for name, shape in each.items()}
                              for each in (stepped.shapes, shapes))
    return stepped._replace(shapes=own_shapes), all_shapes
