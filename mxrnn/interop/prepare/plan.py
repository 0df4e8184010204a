"""One function for all exports: from a model and what was typed to a plan."""
from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Collection, Mapping, Sequence

import numpy as np

from ... import _check
from ..._graph.attributes import AttributeValueError
from ..._graph.graph import Graph
from ..._graph.index_inputs import only_looked_up
from ..._graph.operator_rows import check_attributes
from ..._graph.rolling import (
    Finding,
    OneInput,
    RolledGraph,
    structure,
    unrolled,
    with_one_input,
)
from ..._graph.shapes.missing_shapes import Named
from ..._graph.stepping import Stepped
from ..model import Model, widened
from ..registry import Converters, ExportError
from .begin_state_rows import of_any_batch
from .input_shapes import (
    blaming_axes,
    check_shapes,
    check_types,
    graph_shapes,
    guarded,
    without_number,
)
from .lengths import Settled, settled
from .losses import Losses, with_losses
from .outputs import chosen, ctc_losses
from .steps import LEFT_OUT, chosen_for_steps, in_steps

__all__ = ['Prepared', 'glance', 'prepare', 'unknown_operators']


@dataclass(frozen=True)
class Prepared(Settled):
    """What a back end writes, and what a check compares it with.

    Attributes
    ----------
    model : Model
        The model with the outputs of the file, as it was unrolled. Begin states that are weights
        have one row if the file takes any batch.
    given : dict
        The shapes that were typed for inputs of the file and for labels.
    types : dict
        Types of inputs: those typed, and int64 for those in `looked_up`.
    looked_up : list of str
        The inputs of type int64, since only look-ups read them.
    left_out : list of str
        Outputs that are not in the file, because the format does not have these losses.
    read : list of str
        Outputs that come before the model's: what CTC losses read.
    notes : list of str
        Further remarks for the user.
    findings : tuple of Finding
        What became of the recurrences.
    is_rolled : bool
        Whether something was rolled up.
    certified : Graph or None
        The graph of another length with which the file was certified, as it was unrolled.
    steps : Stepped or None
        The graph of a step, with states.
    losses : Losses or None
        The graph of a class that is trained.
    one, certified_one : OneInput or None
        How the graphs of `model` and `certified` were made of the program's.
    """

    model: Model
    given: Mapping[str, Sequence[int | str]]
    types: Mapping[str, Any]
    looked_up: Sequence[str] = ()
    left_out: Sequence[str] = ()
    read: Sequence[str] = ()
    notes: Sequence[str] = ()
    findings: Sequence[Finding] = ()
    is_rolled: bool = False
    certified: Graph | None = None
    steps: Stepped | None = None
    losses: Losses | None = None
    one: OneInput | None = None
    certified_one: OneInput | None = None

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """All parameters."""
        return {**self.model.arg_params, **self.model.aux_params}

    @property
    def inputs(self) -> dict[str, Named]:
        """Shapes of the inputs of the file: of a step, if that is all that it runs."""
        return self.shapes if self.steps is None or self.losses is not None else {
            name: shape for name, shape in self.steps.shapes.items()
            if name in self.steps.graph.arguments}

    @property
    def remarks(self) -> list[tuple[str, str]]:
        """What the user is told about the file: titles, and sentences."""
        return [
            ('inputs', ' '.join('%s=%s' % (name, ','.join(map(str, shape)))
                                for name, shape in self.inputs.items()) or 'none'),
            *[('types', 'int64 for the ids in %s; or --type %s=float32' % (
                ', '.join(self.looked_up), first)) for first in self.looked_up[:1]],
            *self.lines, *[('note', each) for each in [*self.notes, *unrolled(self.findings)]],
            *[('left out', '%s: losses that ONNX does not have' % ', '.join(self.left_out))] * bool(
                self.left_out)]

    @property
    def guarded(self) -> dict[str, list[int]]:
        """By input, axes that must be as long as those of other inputs."""
        return guarded(self.graph.arguments, self.shapes)


def prepare(model: Model, inputs: Mapping[str, Sequence[Any]] | None = None,
            types: Mapping[str, Any] | None = None, outputs: Sequence[str] | None = None, *,
            operators: Converters[Any] | None = None, certify_by: Graph | None = None,
            states: bool = False, roll: bool = True, training: bool = False,
            ranks: Mapping[str, int] = MappingProxyType({})) -> Prepared:
    """Check what was typed, and decide what a file has.

    Parameters
    ----------
    model, inputs, types, outputs, certify_by, states, roll
        As in `to_onnx`.
    operators : Converters, optional
        The operators of the format, which refuses others. By default the writer does that.
    training : bool
        Whether the file has losses and draws at random in training. Otherwise `inputs` may name
        parameters, which then become inputs.
    ranks : dict, optional
        Numbers of axes of inputs whose shapes were not typed.

    Raises
    ------
    ExportError
        The format lacks operators; the graph ties an axis, or does not tell a shape; or, with
        `states`, it uses several steps of a sequence at once.
    ValueError, TypeError
        An argument has a wrong value or type.
    """
    _check.instance('model', model, Model, 'a Model, as load and from_torch return it')
    if certify_by is not None:
        _check.instance('certify_by', certify_by, Graph, 'a Graph')
    _check.flag('roll', roll)
    params = {**model.arg_params, **model.aux_params}
    one, other_one = OneInput(model.graph), None
    if roll:
        one = with_one_input(model.graph, params, training)
        model = model._replace(graph=one.graph)
        inputs, types = one.shapes(inputs), one.types(types)
        if certify_by is not None:
            other_one = with_one_input(certify_by, params, training)
            certify_by = other_one.graph
    shapes, counted = without_number(inputs or {})
    types = types or {}
    given = check_shapes(shapes, model.graph, params, not training)
    check_types(types, model.graph)
    if not roll and (states or counted or certify_by is not None):
        raise ValueError('%s needs the graph rolled up: leave out roll=False (--as-is)' % (
            'states=True (--states)' if states else 'an axis with a number of steps'))
    graph, left_out, read = chosen(model.graph, outputs, training, operators or ())
    if operators is not None:
        _refuse_unknown(graph, operators)
    graph.check_names(ExportError)
    _refuse_wrong_attributes(graph)
    model = model._replace(graph=graph)
    if training:
        model = model._replace(
            arg_params={name: widened(array) for name, array in model.arg_params.items()},
            aux_params={name: widened(array) for name, array in model.aux_params.items()})
    if given:
        model, one = of_any_batch(model, one, given, states)
    graph, params = model.graph, {**model.arg_params, **model.aux_params}
    _refuse_missing_weights(graph, {*params, *given})
    needed = graph.needed_variables()
    own = [name for name in needed if name in given or name not in params]
    typed = {name: given[name] for name in own if name in given}
    taken = [*own, *(name for name in graph.arguments
                     if training and name not in {*needed, *params})]
    for what, names in ('types', types), ('inputs', given):
        idle = [name for name in names if name not in taken]
        if idle:
            raise ValueError('%s must name inputs of the file: %s; it does not take %s' % (
                what, ', '.join(taken) or 'none', ', '.join(idle)))
    rolled = structure(graph, training=training) if roll else RolledGraph(graph, ())
    if one.program is not None:  # it tells the shape of a step, where that of all is a guess
        told = graph_shapes(structure(one.program, training=training).graph, params)
        ranks = {**{name: len(told[steps[0]]) + 1 for name, steps in one.inputs.items()
                    if name in own and steps[0] in told}, **ranks}
    left: list[str] = []
    if states and outputs is None:
        kept = chosen_for_steps(graph, rolled, params, typed)
        if kept is not graph:
            left = [name for name in graph.outputs if name not in kept.outputs]
            graph, rolled = kept, structure(kept, training=training)
            model = model._replace(graph=graph)
            own = [name for name in own if name in graph.needed_variables()]
    known = {*types, *params, *(node.name for node in graph.nodes if '__dtype__' in node.attrs)}
    # A loop may begin with one, and go on with numbers of another type.
    looked_up = [] if training else only_looked_up(rolled.graph, only_looked_up(
        graph, [name for name in own if name not in known]))
    other = None if certify_by is None else chosen(
        certify_by, outputs, training, operators or ())[0]
    with blaming_axes(rolled.graph, params, typed, rolled.findings):
        found = settled(rolled.graph, params, typed, own, training, counted, other and structure(
            other, training=training).graph, advises=not states, ranks=ranks)
        losses, written = None, found.graph
        if training:
            losses = with_losses(graph, found, params, given, types)
            written = losses.graph._replace(heads=tuple(losses.predictions))
        steps = in_steps(written, params, found.shapes, training, rolled.findings, found.lines
                         ) if states else None
    return Prepared(
        **vars(found), model=model, given=given, looked_up=looked_up,
        types={**dict.fromkeys(looked_up, 'int64'), **types}, left_out=left_out, read=read,
        notes=[*one.note, *[LEFT_OUT % ', '.join(left)] * bool(left)],
        findings=rolled.findings, is_rolled=rolled.is_rolled,
        certified=other if found.other else None, steps=steps, losses=losses, one=one,
        certified_one=other_one)


def glance(model: Model, advises: bool = False) -> Prepared:
    """What a model's graph says by itself about its recurrences and, if it tells their shapes,
    its inputs; `shapes` is empty if it does not. With `advises`, `lines` say what to type."""
    params = {**model.arg_params, **model.aux_params}
    rolled = structure(model.graph)
    try:
        found = settled(rolled.graph, params, {}, [
            name for name in rolled.graph.needed_variables() if name not in params],
            asks=False, advises=advises)
    except ExportError as error:
        found = Settled(rolled.graph, {}, {}, {}, [('shapes', str(error))], {}, {})
    return Prepared(**vars(found), model=model, given={}, types={}, findings=rolled.findings)


def unknown_operators(graph: Graph, operators: Collection[str]) -> dict[str, list[str]]:
    """The names of nodes that are not among `operators`, by operator."""
    unknown: dict[str, list[str]] = {}
    needed = graph.needed()
    for i, node in enumerate(graph.nodes):
        if i in needed and not node.is_variable:
            if node.op not in operators or node.op == '_foreach' and len(node.subgraphs) != 1:
                unknown.setdefault(node.op, []).append(node.name)
            for each in node.subgraphs:
                for op, names in unknown_operators(each, operators).items():
                    unknown.setdefault(op, []).extend(names)
    return unknown


def _refuse_unknown(graph: Graph, operators: Converters[Any]) -> None:
    """Refuse all operators that a format lacks at once."""
    unknown = unknown_operators(graph, operators)
    if not unknown:
        return
    text = '%s does not have %s' % (operators.back_end, '; '.join(
        '%s (%d times: %s)' % (op, len(nodes), _check.some(nodes))
        for op, nodes in unknown.items()))
    others = [name for name, head in zip(graph.outputs, graph.heads) if not unknown_operators(
        graph.ending_in([head]), operators)] if len(graph.heads) < 20 else []
    if others:
        text += '\nThese outputs do not depend on them: %s (outputs, --output)' % ', '.join(others)
    elif 'CTCLoss' in unknown:
        read = dict.fromkeys(each for entries in ctc_losses(graph).values() for each in entries)
        text += ('\nName the outputs that the file is to have (outputs, --output), such as '
                 + ', '.join(graph.ending_in(list(read)).outputs))
    raise ExportError(text)


def _refuse_wrong_attributes(graph: Graph) -> None:
    """Refuse nodes with attributes or numbers of inputs that their operators do not take."""
    faults = []
    for node in graph.walk():
        try:
            check_attributes(node)
        except AttributeValueError as error:
            faults.append('node %s' % error)
    if faults:
        raise ExportError('\n'.join(faults))


def _refuse_missing_weights(graph: Graph, known: Collection[str]) -> None:
    """Refuse weights that are neither parameters nor typed."""
    needed = graph.needed_variables()
    read = {entry.node for node in graph.nodes for role in ('weight', 'aux')
            for entry in node.inputs_of(role) if graph.nodes[entry.node].is_variable}
    weights = [graph.nodes[place].name for place in sorted(read)
               if graph.nodes[place].name in needed and graph.nodes[place].name not in known]
    if weights:
        raise ExportError('the shapes of %s are missing, and they are not parameters: give '
                          "inputs={'%s': (3, 4)} (--input %s=3,4)" % (
                              ', '.join(weights), weights[0], weights[0]))
