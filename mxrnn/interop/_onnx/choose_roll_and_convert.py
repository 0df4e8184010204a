"""From a model to an ONNX file's content: chooses outputs, finds shapes, rolls up, converts."""
from __future__ import annotations

import contextlib
from typing import Any, Mapping, NamedTuple, Sequence

import numpy as np

from ... import _check
from ..._graph.graph import Graph
from ..._graph.index_inputs import only_looked_up
from ..._graph.rolling import Finding, Unrolled, bounds, certify
from ..._graph.shapes.missing_shapes import Named
from ..._graph.shapes.numbers_told_by_nodes import cutting_numbers
from ..choose_outputs_for_steps import chosen_for_steps
from ..convert_to_steps import in_steps, with_remedy
from ..ctc_predictions import ctc_losses, selected, without_losses
from ..fixed_steps_notes import clipped, with_helpful_advice
from ..free_length_or_say_what_keeps_it import (
    naming_what_keeps,
    refuse_batch,
    refuse_stated,
    refuse_windows,
)
from ..input_shapes import (
    blaming_axes,
    check_shapes,
    check_types,
    graph_shapes,
    of_graph,
    rank_mismatch,
    shapes_found,
    without_number,
)
from ..model import Model
from ..registry import ONNX, ExportError
from ..repeat_begin_state_weights import of_any_batch
from ..roll_without_steps import option, reading_windows, refuse_unequal, roll_once, rolled_up
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
        Notes on steps and batches that are fixed in the graph, and on recurrences that stay
        unrolled.
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
    encoder: Written | None = None
    checked: tuple[str, str] = ('', '')


def exportable(model: Model, inputs: Mapping[str, Sequence[Any]] | None = None, *,
               types: Mapping[str, Any] | None = None, outputs: Sequence[str] | None = None,
               rolled: bool = True, certify_by: Graph | None = None,
               states: str = '') -> Written:
    """The file that `to_onnx` writes. It has states if `states` is given, the encoder's name.
    """
    inputs, steps = without_number(inputs or {})
    types = types or {}
    inputs = check_shapes(inputs, model.graph, {**model.arg_params, **model.aux_params}, True)
    check_types(types, model.graph)
    _check.flag('roll', rolled)
    if not rolled and (states or steps is not None or certify_by is not None):
        raise ValueError('%s needs the graph rolled up: leave out roll=False (--as-is)' % (
            'states=True (--states)' if states else 'an axis with a number of steps'))
    model = of_any_batch(reading_windows(model, inputs), inputs, bool(states))
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
    told = {*types, *params, *(node.name for node in graph.nodes if '__dtype__' in node.attrs)}
    numbers = only_looked_up(graph, [name for name in own if name not in told])
    if numbers and rolled:  # a loop may begin with one, and go on with numbers of another type
        numbers = only_looked_up(roll_once(graph).graph, numbers)
    types = {**dict.fromkeys(numbers, 'int64'), **types}
    counted = certify_by is not None or steps is not None
    graph, beside = chosen_for_steps(
        graph, params, given, outputs is None, counted) if states else (graph, '')
    whole = graph
    findings: tuple[Finding, ...] = ()
    with blaming_axes(graph, params, given), contextlib.nullcontext() if certify_by else (
            naming_what_keeps(steps, graph, params, given, bool(states))):
        if certify_by is not None:
            _check.instance('certify_by', certify_by, Graph, 'a Graph')
            graph, findings = certify(graph, chosen(certify_by, outputs)[0])
        elif steps is not None or states:
            graph, findings = rolled_up(graph, steps)
        if steps is not None:
            refuse_unequal(graph, params, {**graph_shapes(graph, params), **given}, steps)
        rolls = rolled and not counted  # otherwise it is rolled up, or is to stay as it is
        refuse_batch(roll_once(graph).graph if rolls else graph, params, given, steps)
        notes = [beside] * bool(beside) + _unrolled(findings)
        if states:
            stepped = _in_steps(graph, Unrolled(whole, findings), params, given, types, states)
            return stepped._replace(numbers=numbers, left_out=left_out, notes=stepped.notes + notes)
        try:
            file = (_rolled_file if rolls else _plain)(graph, params, given, types, own)
        except ExportError as error:
            kept = {name: shape for name, shape in graph_shapes(graph, params).items()
                    if name in given and certify_by}
            raise ExportError('%s\nA second graph (certify_by, --certify) frees one number of '
                              'steps. Keep the others: %s' % (str(error).partition('\n')[0], option(
                                  kept))) if kept else error from None
        if rolls:
            refuse_windows(graph, params, file.shapes)
    refuse_stated(roll_once(graph).graph if rolls else graph, params, file.shapes)
    if steps is not None and steps.number in cutting_numbers(graph, {
            name: array.shape for name, array in params.items()}, file.shapes):
        notes.append('an axis of any size is still split by the number %d: other numbers of steps '
                     'may give wrong results' % steps.number)
    notes += _bounded(graph, file.shapes) if counted else []
    return Written(file.content, file.shapes, numbers, left_out, file.notes + notes)


def _in_steps(graph: Graph, whole: Unrolled, params: Mapping[str, np.ndarray],
              given: Mapping[str, Named], types: Mapping[str, str], encoder_name: str) -> Written:
    """The files of a step and of the encoder. `whole` is the graph before it was rolled up."""
    stepped, known, numbers = in_steps(graph, params, given, whole=whole)

    def write(part: Graph, names: Sequence[str], shapes: Mapping[str, Named],
              types: Mapping[str, str]) -> _File:
        needed = part.needed()
        variables = [node.name for place, node in enumerate(part.nodes) if node.is_variable
                     and place in needed and (node.name in shapes or node.name not in params)]
        return _plain(part, params, shapes, types, variables, names=names)
    encoder = None
    if stepped.encoder is not None:
        file = write(stepped.encoder, stepped.captured, {
            name: shape for name, shape in known.items() if name in stepped.encoder.arguments},
            types)
        encoder = Written(file.content, file.shapes, [], [], [])
        types = {**types, **file.types}
    step = write(stepped.graph, stepped.outputs, stepped.shapes, types)
    content = described(step.content, stepped, encoder_name if encoder else '')
    return Written(content, step.shapes, [], [], with_remedy(numbers, known, params, whole),
                   encoder)


def chosen(graph: Graph, outputs: Sequence[str] | None) -> tuple[Graph, list[str]]:
    """The graph of the file's outputs, and the names of outputs left out."""
    if outputs is not None:
        return selected(graph, outputs), []
    return (graph, []) if 'CTCLoss' in ONNX else without_losses(graph)  # it may be registered


def _unrolled(findings: Sequence[Finding]) -> list[str]:
    return list(dict.fromkeys(str(each) for each in findings if each.kind in ('unrolled', 'fixed')))


def _bounded(graph: Graph, shapes: Mapping[str, Named], params: Mapping[str, np.ndarray] = {},
             whole: Graph | None = None) -> list[str]:
    """Notes on lengths that the file clips to a number, if it has that many steps or any, with the
    option that frees the number in the `whole` graph."""
    batches = {shape[0] for shape in shapes.values() if len(shape) == 1}
    sizes = {size for shape in shapes.values() for size in shape if size not in batches}
    return clipped([most for most in sorted(bounds(graph))
                    if most in sizes or any(isinstance(size, str) for size in sizes)],
                   whole, params, shapes)


class _File(NamedTuple):
    content: bytes
    shapes: dict[str, Named]
    notes: list[str]
    #: Types of its outputs.
    types: dict[str, str]


def _rolled_file(graph: Graph, params: Mapping[str, np.ndarray], given: Mapping[str, Named],
                 types: Mapping[str, str], own: Sequence[str]) -> _File:
    """The file of the rolled-up graph, if that graph has the given shapes."""
    rolled, findings = roll_once(graph)
    notes = _unrolled(findings)
    if rolled is not graph:
        try:
            file = _plain(rolled, params, given, types, own, Unrolled(graph, findings))
            return file._replace(notes=file.notes + _unrolled(
                with_helpful_advice(graph, findings, params, file.shapes)) + _bounded(
                    rolled, file.shapes, params, graph))
        except ExportError as error:
            if given and rank_mismatch(graph, params, given) or any(
                    each.kind == 'fixed' for each in findings):
                raise
            try:
                file = _plain(graph, params, given, types, own)
            except ExportError:
                raise error from None
            notes = ['the graph stays unrolled: %s' % str(error).partition('\n')[0]]
    else:
        file = _plain(graph, params, given, types, own)
    return file._replace(notes=file.notes + notes + _bounded(graph, file.shapes, params, graph))


def _plain(graph: Graph, params: Mapping[str, np.ndarray], given: Mapping[str, Named],
           types: Mapping[str, str], own: Sequence[str], unrolled: Unrolled | None = None,
           names: Sequence[str] | None = None) -> _File:
    """The file of a graph, with outputs called `names`. The graph before rolling up tells numbers
    of steps, if this one depends on them."""
    missing = [name for name in own if name not in given]
    found, notes, *_ = shapes_found(graph, params, given, missing, unrolled)
    shapes = {name: given[name] if name in given else found[name] for name in own}
    conversion = Conversion(graph, params, shapes, types, names is None)
    try:
        content = conversion.write(names or (unrolled.graph if unrolled else graph).outputs)
    except ExportError as error:
        raise ExportError(str(error) + of_graph(found)) from None
    return _File(content, shapes, notes, conversion.types)


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
