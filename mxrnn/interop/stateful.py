"""Makes graphs of sequences run in steps, for every export format. Refusals say what to do."""
from __future__ import annotations

from typing import Container, Mapping, Sequence

import numpy as np

from .._graph.graph import Entry, Graph
from .._graph.layout import begin_states
from .._graph.rolling import Finding, roll
from .._graph.shapes.axis_factors import Factors
from .._graph.shapes.infer import infer
from .._graph.shapes.missing_shapes import Found, Named
from .._graph.shapes.sizes import Axis, resolve
from .._graph.stepping import StateError, Stepped, with_states
from .begin_state_weights import moved
from .input_shapes import Shapes, blaming_axes, shapes_found
from .registry import ExportError

__all__ = ['LEFT_OUT', 'chosen_for_steps', 'in_steps', 'with_remedy']

#: The note on outputs that a file of steps leaves out.
LEFT_OUT = 'outputs that are losses, metrics or states are left out: %s'
#: Operators whose outputs are losses or metrics, not predictions.
_BESIDE = 'BlockGrad', 'CTCLoss', 'MakeLoss', 'make_loss', 'softmax_cross_entropy'
#: Operators through which a final state becomes an output.
_PASS_ON = 'BlockGrad', 'Reshape', 'SliceChannel', '_copy', 'expand_dims', 'slice_axis', 'squeeze'


def with_remedy(notes: Sequence[str]) -> list[str]:
    """Notes on steps and batches, with what to do about a number of steps."""
    return ['%s. Pad to it, or try an axis time:N with that number in --input, to allow any length'
            % note if ' steps:' in note and 'that number' in note else note for note in notes]


def in_steps(graph: Graph, params: Mapping[str, np.ndarray], given: Shapes,
             notes: Sequence[str] = (), layers: bool = False, findings: Sequence[Finding] = ()
             ) -> tuple[Stepped, dict[str, Named], list[str]]:
    """A rolled-up graph in steps, as `with_states` makes it, with its inputs' shapes, and notes on
    fixed sizes.

    `notes` are notes on the `given` shapes; `findings` says what became of the recurrences.

    Raises
    ------
    ExportError
        The graph uses several steps of a sequence at once, or does not tell a shape.
    """
    own = [graph.nodes[place].name for place in sorted(graph.needed())
           if graph.nodes[place].is_variable]
    own = [name for name in own if name in given or name not in params]
    missing = [name for name in own if name not in given]
    found, further, *_ = (shapes_found(graph, params, given, missing) if missing
                          else Found({}, [], {}, {}, {}))
    shapes = {name: tuple(given[name]) if name in given else found[name] for name in own}
    _check_sizes(graph, params, given, shapes)
    try:
        stepped = with_states(graph, shapes, {
            name: np.shape(array) for name, array in params.items()}, layers)
    except StateError as error:
        fixed = 'number of steps' in str(error)
        told = [*notes, *further]
        reasons = [str(each) for each in findings if each.kind == 'unrolled'] or [
            'A graph of one step is exported without --states (states=True)'] * any(
                ' 1 step:' in note for note in further)
        raise ExportError('\n'.join(filter(None, dict.fromkeys([
            str(error), *(reasons if 'no recurrence' in str(error) else ()),
            *(with_remedy(told) if fixed else told), 'Export it for whole sequences, without '
            '--states (states=True)' * (fixed and not told)])))) from None
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


def chosen_for_steps(graph: Graph, params: Mapping[str, np.ndarray], given: Shapes, choose: bool,
                     counted: bool) -> tuple[Graph, str]:
    """The graph to run in steps, and a note on outputs that it leaves out.

    If its outputs were not chosen (`choose`), outputs that are final states are left out. If only
    one of the others can be stepped and they are losses or metrics, that one remains. That is not
    looked at if the number of steps is `counted`.

    Raises
    ------
    ExportError
        Another output cannot be stepped; the message names those that can.
    """
    if not choose or len(graph.heads) == 1:
        return graph, ''
    own = graph.outputs
    graph = graph.ending_in(_without_states(graph, params) or graph.heads)
    if not counted and len(graph.heads) > 1:
        graph = _that_step(graph, params, given)
    left = [name for name in own if name not in graph.outputs]
    return graph, LEFT_OUT % ', '.join(left) if left else ''


def _without_states(graph: Graph, params: Container[str]) -> list[Entry]:
    """The outputs of a graph that are not final states of recurrences which begin with inputs."""
    rolled = roll(graph).graph

    def is_state(entry: Entry) -> bool:
        while rolled.nodes[entry.node].op in _PASS_ON:
            entry = rolled.nodes[entry.node].inputs[0]
        node = rolled.nodes[entry.node]
        begins = begin_states(node)
        at = entry.output - (node.num_out_data if node.op == '_foreach' else 1)
        return 0 <= at < len(begins) and any(
            name not in params for name in moved(rolled, begins[at]))
    return [head for head, end in zip(graph.heads, rolled.heads) if not is_state(end)]


def _that_step(graph: Graph, params: Mapping[str, np.ndarray], given: Shapes) -> Graph:
    """The graph, or the only output of it that can be stepped."""
    rolled = roll(graph).graph

    def refusal(heads: Sequence[Entry]) -> str:
        try:
            in_steps(rolled.ending_in(heads), params, given)
        except ExportError as error:
            return str(error)
        return ''
    with blaming_axes(graph, params, given):
        reason = refusal(rolled.heads)
        if not reason:
            return graph
        able = [at for at, head in enumerate(rolled.heads) if not refusal([head])]
        others = [at for at in range(len(graph.heads)) if at not in able]
        if len(able) == 1 and all(graph.nodes[graph.heads[at].node].op in _BESIDE for at in others):
            return graph.ending_in([graph.heads[able[0]]])
        names = ''.join('; add --output %s' % graph.outputs[at] for at in able)
        raise ExportError(reason + ('\nThese can be stepped (outputs)' + names) * bool(able))


def _check_sizes(graph: Graph, params: Mapping[str, np.ndarray], given: Shapes, shapes: Shapes
                 ) -> None:
    """Refuse sizes of batch and time in `given` that contradict each other or the graph.

    Axes that a Reshape splits or joins are not compared any more.
    """
    labels: dict[object, Axis] = {}
    places: dict[Axis, tuple[str, int]] = {}  # where each axis is, and its size

    def axis_of(name: str, at: int, size: int | str) -> Factors:
        if isinstance(size, str):
            return (labels.setdefault(size, Axis(label=size, free=True)),)
        if name not in given or size == 1 or at > 1:  # not batch or time; 1 is repeated
            return (size,)
        axis = Axis(label='%s[%d]' % (name, at), free=True)
        axis.given = size
        places[axis] = 'axis %d of %s' % (at, name), size
        return (axis,)
    needed = graph.needed()
    infer(graph, {place: [axis_of(node.name, at, size) for at, size in enumerate(
        shapes[node.name] if node.name in shapes else np.shape(params[node.name]))]
        for place, node in enumerate(graph.nodes) if place in needed and node.is_variable})
    first: dict[object, tuple[str, int]] = {}
    for axis, (where, size) in places.items():
        known = resolve(axis)
        other, wanted = ('the graph', known) if isinstance(known, int) else first.setdefault(
            known, (where, size))
        if wanted != size:
            raise ValueError('inputs must agree on the size of shared axes: %s has %d, %s '
                             'has %s' % (where, size, other, wanted))
