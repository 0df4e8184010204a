"""From a model to an ONNX file's content: chooses outputs, finds shapes, rolls up, converts."""
from __future__ import annotations

from typing import Any, Mapping, NamedTuple, Sequence

import numpy as np

from ... import _check
from ..._graph.graph import Graph
from ..._graph.index_inputs import only_looked_up
from ..._graph.rolling import Finding, RolledGraph, structure
from ..._graph.shapes.missing_shapes import Named, Place
from ..choose_outputs_for_steps import chosen_for_steps
from ..convert_to_steps import in_steps
from ..ctc_predictions import ctc_losses, selected, without_losses
from ..input_shapes import blaming_axes, check_shapes, check_types, without_number
from ..lengths import Settled, settled
from ..model import Model
from ..registry import ONNX, ExportError
from ..repeat_begin_state_weights import of_any_batch
from .conversion import Conversion, unknown_operators
from .metadata_and_inputs_table import described

__all__ = ['Written', 'chosen', 'exportable', 'unknown_operators']


class Written(NamedTuple):
    """The content of a file, and what the export decided.

    Attributes
    ----------
    content : bytes
    inputs : dict
        Shape of each input of the file: integers, and names for axes of any size.
    numbers : list of str
        The inputs of type int64, since only look-ups read them.
    left_out : list of str
        Outputs that are not in the file, because ONNX does not have these losses.
    notes : list of str
        Notes on recurrences that stay unrolled, and on outputs that are left out.
    found : Settled
        The graph of the file and the shapes of its inputs.
    encoder : Written or None
        In a file with states, the file that is computed before the first step.
    checked : (str, str)
        Whether and how the file was checked, or why not; empty if no check was requested.
    """

    content: bytes
    inputs: dict[str, Named]
    numbers: list[str]
    left_out: list[str]
    notes: list[str]
    found: Settled
    #: The graph of another length with which the file was certified.
    certified: Graph | None = None
    encoder: Written | None = None
    checked: tuple[str, str] = ('', '')


def exportable(model: Model, inputs: Mapping[str, Sequence[Any]] | None = None, *,
               types: Mapping[str, Any] | None = None, outputs: Sequence[str] | None = None,
               rolled: bool = True, certify_by: Graph | None = None,
               states: str = '') -> Written:
    """The file that `to_onnx` writes. It has states if `states` is given, the encoder's name.
    """
    if certify_by is not None:
        _check.instance('certify_by', certify_by, Graph, 'a Graph')
    inputs, steps = without_number(inputs or {})
    types = types or {}
    inputs = check_shapes(inputs, model.graph, {**model.arg_params, **model.aux_params}, True)
    check_types(types, model.graph)
    _check.flag('roll', rolled)
    if not rolled and (states or steps is not None or certify_by is not None):
        raise ValueError('%s needs the graph rolled up: leave out roll=False (--as-is)' % (
            'states=True (--states)' if states else 'an axis with a number of steps'))
    model = of_any_batch(model, inputs, bool(states))
    params = {**model.arg_params, **model.aux_params}
    graph, left_out = chosen(model.graph, outputs)
    _refuse_unknown(graph)
    graph.check_names(ExportError)
    needed = graph.needed_variables()
    read = {entry.node for node in graph.nodes for role in ('weight', 'aux')
            for entry in node.inputs_of(role) if graph.nodes[entry.node].is_variable}
    weights = [graph.nodes[place].name for place in sorted(read)
               if graph.nodes[place].name in needed
               and graph.nodes[place].name not in {**params, **inputs}]
    if weights:
        raise ExportError('the shapes of %s are missing, and they are not parameters: give '
                          "inputs={'%s': (3, 4)} (--input %s=3,4)" % (
                              ', '.join(weights), weights[0], weights[0]))
    own = [name for name in needed if name in inputs or name not in params]
    given = {name: inputs[name] for name in own if name in inputs}
    idle = [name for name in types if name not in own]
    if idle:
        raise ValueError('types must name inputs of the file: %s; it does not take %s' % (
            ', '.join(own) or 'none', ', '.join(idle)))
    graph, beside = chosen_for_steps(graph, params, given, outputs is None) if states else (
        graph, '')
    rolled_up = structure(graph) if rolled else RolledGraph(graph, ())
    told = {*types, *params, *(node.name for node in graph.nodes if '__dtype__' in node.attrs)}
    # A loop may begin with one, and go on with numbers of another type.
    numbers = only_looked_up(rolled_up.graph, only_looked_up(
        graph, [name for name in own if name not in told]))
    types = {**dict.fromkeys(numbers, 'int64'), **types}
    notes = [beside] * bool(beside) + [
        str(each) for each in rolled_up.findings if each.kind == 'unrolled']
    other = chosen(certify_by, outputs)[0] if certify_by is not None else None
    with blaming_axes(graph, params, given):
        found = settled(rolled_up.graph, params, given, own, counted=steps,
                        other=other and structure(other).graph)
        if states:
            stepped = _in_steps(found, rolled_up.findings, params, types, states)
            return stepped._replace(numbers=numbers, left_out=left_out, notes=notes)
    file = _file(found.graph, params, found.shapes, types, graph.outputs, found.ranges)
    return Written(file.content, found.shapes, numbers, left_out, notes, found, other)


def _in_steps(found: Settled, findings: Sequence[Finding], params: Mapping[str, np.ndarray],
              types: Mapping[str, str], encoder_name: str) -> Written:
    """The files of a step and of the encoder."""
    stepped, known = in_steps(
        found.graph, params, found.shapes, findings=findings, lines=found.lines)

    def write(part: Graph, names: Sequence[str], shapes: Mapping[str, Named],
              types: Mapping[str, str]) -> _File:
        needed = part.needed_variables()
        return _file(part, params, {name: shapes[name] for name in needed if name in shapes},
                     types, names, {}, False)
    encoder = None
    if stepped.encoder is not None:
        shapes = {name: shape for name, shape in known.items()
                  if name in stepped.encoder.arguments}
        file = write(stepped.encoder, stepped.captured, shapes, types)
        encoder = Written(file.content, shapes, [], [], [], found)
        types = {**types, **file.types}
    step = write(stepped.graph, stepped.outputs, stepped.shapes, types)
    content = described(step.content, stepped, encoder_name if encoder else '')
    return Written(content, stepped.shapes, [], [], [], found, None, encoder)


def chosen(graph: Graph, outputs: Sequence[str] | None) -> tuple[Graph, list[str]]:
    """The graph of the file's outputs, and the names of outputs left out."""
    if outputs is not None:
        return selected(graph, outputs), []
    return (graph, []) if 'CTCLoss' in ONNX else without_losses(graph)  # it may be registered


class _File(NamedTuple):
    content: bytes
    #: Types of its outputs.
    types: dict[str, str]


def _file(graph: Graph, params: Mapping[str, np.ndarray], shapes: Mapping[str, Named],
          types: Mapping[str, str], names: Sequence[str], ranges: Mapping[Place, range],
          checked: bool = True) -> _File:
    """The file of a graph whose inputs have these shapes, with outputs called `names`."""
    conversion = Conversion(graph, params, shapes, types, checked, ranges)
    content = conversion.write(names)
    return _File(content, conversion.types)


# ---- outputs

def _refuse_unknown(graph: Graph) -> None:
    """Refuse all operators without a converter at once."""
    unknown = unknown_operators(graph)
    if not unknown:
        return
    text = 'ONNX does not have %s' % '; '.join(
        '%s (%d times: %s)' % (op, len(nodes), _check.some(nodes)) for op, nodes in unknown.items())
    others = [name for name, head in zip(graph.outputs, graph.heads)
              if not unknown_operators(graph.ending_in([head]))] if len(graph.heads) < 20 else []
    if others:
        text += '\nThese outputs do not depend on them: %s (outputs, --output)' % ', '.join(others)
    elif 'CTCLoss' in unknown:
        read = dict.fromkeys(each for entries in ctc_losses(graph).values() for each in entries)
        text += ('\nName the outputs that the file is to have (outputs, --output), such as '
                 + ', '.join(graph.ending_in(list(read)).outputs))
    raise ExportError(text)
