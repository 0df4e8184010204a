"""Chooses the outputs of a graph that can run in steps, or says which can."""
from __future__ import annotations

from typing import Container, Mapping, Sequence

import numpy as np

from .._graph.graph import Entry, Graph
from .._graph.rnn_vector_layout import begin_states
from .._graph.rolling import Finding, structure
from .convert_to_steps import in_steps
from .input_shapes import Shapes, blaming_axes
from .registry import ExportError
from .repeat_begin_state_weights import moved

__all__ = ['LEFT_OUT', 'chosen_for_steps']

#: The note on outputs that a file of steps leaves out.
LEFT_OUT = 'outputs that are losses, metrics or states are left out: %s'
#: Operators whose outputs are losses or metrics, not predictions.
_BESIDE = 'BlockGrad', 'CTCLoss', 'MakeLoss', 'make_loss', 'softmax_cross_entropy'
#: Operators through which a final state becomes an output.
_PASS_ON = 'BlockGrad', 'Reshape', 'SliceChannel', '_copy', 'expand_dims', 'slice_axis', 'squeeze'


def chosen_for_steps(graph: Graph, params: Mapping[str, np.ndarray], given: Shapes, choose: bool
                     ) -> tuple[Graph, str]:
    """The graph to run in steps, and a note on outputs that it leaves out.

    If its outputs were not chosen (`choose`), outputs that are final states are left out. If only
    one of the others can be stepped and they are losses or metrics, that one remains.

    Raises
    ------
    ExportError
        Another output cannot be stepped; the message names those that can.
    """
    if not choose or len(graph.heads) == 1:
        return graph, ''
    own = graph.outputs
    graph = graph.ending_in(_without_states(graph, params) or graph.heads)
    if len(graph.heads) > 1:
        graph = _that_step(graph, params, given)
    left = [name for name in own if name not in graph.outputs]
    return graph, LEFT_OUT % ', '.join(left) if left else ''


def _without_states(graph: Graph, params: Container[str]) -> list[Entry]:
    """The outputs of a graph that are not final states of recurrences which begin with inputs."""
    rolled = structure(graph).graph

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
    rolled, findings = structure(graph)

    def refusal(heads: Sequence[Entry], findings: Sequence[Finding] = ()) -> str:
        try:
            in_steps(rolled.ending_in(heads), params, given, findings=findings)
        except ExportError as error:
            return str(error)
        return ''
    with blaming_axes(graph, params, given):
        reason = refusal(rolled.heads, findings)
        if not reason:
            return graph
        able = [at for at, head in enumerate(rolled.heads) if not refusal([head])]
        others = [at for at in range(len(graph.heads)) if at not in able]
        if len(able) == 1 and all(graph.nodes[graph.heads[at].node].op in _BESIDE for at in others):
            return graph.ending_in([graph.heads[able[0]]])
        names = ''.join('; add --output %s' % graph.outputs[at] for at in able)
        raise ExportError(reason + ('\nThese can be stepped (outputs)' + names) * bool(able))
