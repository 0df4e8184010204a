"""Makes graphs of sequences run in steps, and chooses the outputs that can."""
from __future__ import annotations

import contextlib
from typing import Container, Mapping, Sequence

import numpy as np

from ..._graph.graph import Entry, Graph
from ..._graph.operator_table import has
from ..._graph.rnn_vector_layout import begin_states
from ..._graph.rolling import Finding, unrolled
from ..._graph.shapes.missing_shapes import Named
from ..._graph.stepping import StateError, Stepped, with_states
from ..registry import ExportError
from .begin_state_rows import moved
from .input_shapes import as_options
from .lengths import Settled

__all__ = ['LEFT_OUT', 'StepsError', 'chosen_for_steps', 'in_steps', 'places_in_steps']

#: The note on outputs that a file of steps leaves out.
LEFT_OUT = 'losses, states and outputs of BlockGrad are left out: %s'
#: Operators through which a final state becomes an output.
_PASS_ON = 'BlockGrad', 'Reshape', 'SliceChannel', '_copy', 'expand_dims', 'slice_axis', 'squeeze'


class StepsError(ExportError):
    """A graph cannot be run in steps. `told` and `advice` are lines; `kind` is a `StateError`'s."""

    def __init__(self, told: Sequence[str], advice: str, kind: str) -> None:
        super().__init__('\n'.join(dict.fromkeys([*told, advice])))
        self.told, self.advice, self.kind = told, advice, kind


def in_steps(graph: Graph, params: Mapping[str, np.ndarray], settled: Settled,
             layers: bool = False, findings: Sequence[Finding] = ()) -> Stepped:
    """A rolled-up graph in steps, as `with_states` makes it.

    `findings` tell what became of its recurrences; `settled` has the sizes of its inputs.

    Raises
    ------
    ExportError
        The graph uses several steps of a sequence at once, or does not tell a shape.
    """
    shapes = {name: settled.shapes[name] for name in graph.needed_variables()
              if name in settled.shapes}
    sizes = {name: np.shape(array) for name, array in params.items()}
    try:
        return with_states(graph, shapes, sizes, layers)
    except StateError as error:
        told, advice = [str(error)], error.advice
        if error.kind == 'fixed':
            told += ['%s: %s' % line for line in settled.lines if line[1] != 'any']
            free = {name: shape for name, shape in _with_names(settled).items()
                    if name in shapes and shape != shapes[name]}
            with contextlib.suppress(StateError):
                with_states(graph, {**shapes, **free}, sizes, layers)
                told.append('A name makes it any: ' + as_options(free))
        if error.kind == 'none':
            told += unrolled(findings)
            advice = advice if told[1:] else (
                'A graph of one step is exported without --states (states=True)')
        raise StepsError(told, advice, error.kind) from None


def _with_names(found: Settled) -> dict[str, Named]:
    """The shapes of inputs, with names for typed numbers of axes that nothing ties."""
    free = {place: axis.label for place, axis in found.tied.items() if not axis.ties}
    return {name: tuple([free.get((name, at), size) for at, size in enumerate(shape)])
            for name, shape in found.shapes.items()}


def places_in_steps(rolled: Graph, params: Container[str]) -> list[int]:
    """The places of the outputs that are to run in steps: of those that are not final states, if
    there are any."""
    return [at for at, head in enumerate(rolled.heads)
            if not _is_state(rolled, head, params)] or [*range(len(rolled.heads))]


def chosen_for_steps(graph: Graph, places: Sequence[int], able: Sequence[int], given: set[str],
                     refusal: ExportError) -> Sequence[int]:
    """The outputs that remain of those at `places`, which cannot run in steps together. If only one
    of them is `able` to, it remains, provided that it reads all inputs whose shapes are `given` and
    the others are losses or have no gradient.

    Raises
    ------
    ExportError
        The refusal of all; its message names those that can be stepped.
    """
    others = [graph.nodes[graph.heads[at].node].op for at in places if at not in able]
    if len(able) == 1 and all(op == 'BlockGrad' or has(op, 'value') for op in others) and (
            given <= {*graph.ending_in([graph.heads[able[0]]]).arguments}):
        return able
    if able:  # before what to do if none of them is wanted
        said = 'These can be stepped (outputs)' + ''.join(
            '; add --output ' + graph.outputs[at] for at in able)
        if isinstance(refusal, StepsError):
            raise StepsError([*refusal.told, said], refusal.advice, refusal.kind)
        refusal.args = ('%s\n%s' % (refusal, said),)
    raise refusal


def _is_state(rolled: Graph, entry: Entry, params: Container[str]) -> bool:
    """Whether an array is the final state of a recurrence that begins with inputs."""
    while rolled.nodes[entry.node].op in _PASS_ON:
        entry = rolled.nodes[entry.node].inputs[0]
    node = rolled.nodes[entry.node]
    begins = begin_states(node)
    at = entry.output - (node.num_out_data if node.op == '_foreach' else 1)
    return 0 <= at < len(begins) and any(name not in params for name in moved(rolled, begins[at]))
