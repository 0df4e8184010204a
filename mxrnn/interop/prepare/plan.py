"""One function for all exports: from a model and what was typed to a plan."""
from __future__ import annotations

from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Collection, Mapping, NamedTuple, Optional, Sequence, Tuple

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
from ..._graph.shapes.missing_shapes import Named, Place
from ..._graph.stepping import Stepped
from ..model import Model, widened
from ..registry import Converters, ExportError
from .begin_state_rows import of_any_batch
from .input_shapes import (
    Request,
    as_typed,
    blaming_axes,
    check_shapes,
    check_types,
    graph_shapes,
    guarded,
    without_number,
)
from .lengths import Settled, settled
from .losses import Losses, with_losses
from .outputs import chosen, refuse_unknown
from .steps import LEFT_OUT, StepsError, chosen_for_steps, in_steps, places_in_steps

__all__ = ['Prepared', 'glance', 'prepare', 'prepare_part']


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
    certified: Graph | None = None
    steps: Stepped | None = None
    losses: Losses | None = None
    one: OneInput | None = None
    certified_one: OneInput | None = None

    @property
    def inputs(self) -> dict[str, Named]:
        """Shapes of the inputs of the file: of a step, if that is all that it runs."""
        return self.shapes if self.steps is None or self.losses is not None else {
            name: shape for name, shape in self.steps.shapes.items()
            if name in self.steps.graph.arguments}

    @property
    def remarks(self) -> list[tuple[str, str]]:
        """What the user is told about the file: titles, and sentences."""
        inputs, states = self.inputs, ''
        if self.steps is not None and self.losses is None:  # inspect shows the shapes of states
            own = [name for name in inputs if name in self.steps.sources]
            read = {*inputs, *(self.steps.encoder.arguments if self.steps.encoder else ())}
            inputs = {name: shape for name, shape in self.steps.shapes.items()
                      if name in read and name not in own}
            states = '; states ' + _check.some(own)
        return [
            ('inputs', (' '.join(as_typed(inputs)) or 'none') + states),
            *[('types', 'int64 for the ids in %s; or --type %s=float32' % (
                ', '.join(self.looked_up), first)) for first in self.looked_up[:1]],
            *self.lines, *[('note', each) for each in [*self.notes, *unrolled(self.findings)]],
            *[('left out', '%s: losses that ONNX does not have' % ', '.join(self.left_out))] * bool(
                self.left_out)]

    def with_outputs(self, places: Sequence[int]) -> Prepared:
        """The plan with some of the outputs, in this order, in all its graphs."""
        def part(graph: Graph) -> Graph:
            heads = [graph.heads[place] for place in places]
            return graph if heads == [*graph.heads] else graph.ending_in(heads)
        return replace(self, model=self.model._replace(graph=part(self.model.graph)),
                       graph=part(self.graph), certified=self.certified and part(self.certified))

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
    one, asked = _checked(model, inputs or {}, types or {}, certify_by, _Asked(
        outputs, operators, states, roll, training, ranks))
    kept, found, losses, steps = _planned(_choose(model, one, asked), asked)
    looked_up = [] if training else _looked_up(kept, asked.types)
    return Prepared(
        **vars(found), model=kept.model, given=asked.given, looked_up=looked_up,
        types={**dict.fromkeys(looked_up, 'int64'), **asked.types}, left_out=kept.left_out,
        read=kept.read, notes=kept.notes, findings=kept.rolled.findings,
        certified=kept.other if found.other else None, steps=steps, losses=losses, one=kept.one,
        certified_one=asked.other)


# ---- the stages of `prepare`

class _Asked(NamedTuple):
    """The arguments of `prepare`, and what they do to any graph.

    `given` are the shapes of inputs and labels, `counted` numbers of steps by input and axis;
    `other` is a graph of another length.
    """

    outputs: Sequence[str] | None
    operators: Converters[Any] | None
    states: bool
    roll: bool
    training: bool
    ranks: Mapping[str, int]
    given: Mapping[str, Named] = MappingProxyType({})
    types: Mapping[str, Any] = MappingProxyType({})
    counted: Mapping[Place, int] = MappingProxyType({})
    other: OneInput | None = None
    sums: bool = True

    def with_one_input(self, graph: Graph, params: Collection[str]) -> OneInput:
        """One input in place of one for each step."""
        return with_one_input(graph, params, self.training) if self.roll else OneInput(graph)

    def chosen(self, graph: Graph) -> tuple[Graph, list[str], list[str]]:
        """The graph of the outputs of a file: see `outputs.chosen`."""
        return chosen(graph, self.outputs, self.training, self.operators or ())

    def rolled(self, graph: Graph) -> RolledGraph:
        """The graph rolled up, unless it is to stay as it is."""
        return structure(graph, training=self.training, sums=self.sums) if self.roll else (
            RolledGraph(graph, ()))


class _Chosen(NamedTuple):
    """The model with the outputs of a file, and its graph rolled up; the names of the file's
    inputs, and what was typed for these, which is all of `_Asked.given` but shapes of labels."""

    model: Model
    rolled: RolledGraph
    one: OneInput
    inputs: list[str]
    given: dict[str, Named]
    other: Graph | None
    left_out: list[str]
    read: list[str]
    notes: list[str]


def _checked(model: Model, inputs: Mapping[str, Sequence[Any]], types: Mapping[str, Any],
             certify_by: Graph | None, asked: _Asked) -> tuple[OneInput, _Asked]:
    """Check the arguments of `prepare` by themselves; `asked` gets what was typed."""
    _check.instance('model', model, Model, 'a Model, as load and from_torch return it')
    if certify_by is not None:
        _check.instance('certify_by', certify_by, Graph, 'a Graph')
    _check.flag('roll', asked.roll)
    one = asked.with_one_input(model.graph, model.params)
    shapes, counted = without_number(one.shapes(inputs))
    types = one.types(types)
    given = check_shapes(shapes, one.graph, model.params, not asked.training)
    check_types(types, one.graph, model.params)
    if not asked.roll and (asked.states or counted or certify_by is not None):
        raise ValueError('%s needs the graph rolled up: leave out roll=False (--as-is)' % (
            'states=True (--states)' if asked.states else 'an axis with a number of steps'))
    return one, asked._replace(
        given=given, types=types, counted=counted,
        other=None if certify_by is None else asked.with_one_input(certify_by, model.params))


def _choose(model: Model, one: OneInput, asked: _Asked) -> _Chosen:
    """The model with the outputs of the file. Refuses what the format lacks, and weights and
    inputs that do not fit the graph."""
    given = asked.given
    graph, left_out, read = asked.chosen(one.graph)
    if asked.operators is not None:
        refuse_unknown(graph, asked.operators)
    graph.check_names(ExportError)
    _refuse_wrong_attributes(graph)
    model = model._replace(graph=graph)
    if asked.training:
        model = widened(model)
    if given:
        model, one = of_any_batch(model, one, given, asked.states)
    graph, params = model.graph, model.params
    _refuse_missing_weights(graph, {*params, *given})
    needed = graph.needed_variables()
    own = [name for name in needed if name in given or name not in params]
    labels = [name for name in graph.arguments
              if asked.training and name not in {*needed, *params}]
    for what, names in ('types', asked.types), ('inputs', given):
        idle = [name for name in names if name not in own + labels]
        if idle:
            raise ValueError('%s must name inputs of the file: %s; it does not take %s' % (
                what, ', '.join(own + labels) or 'none', ', '.join(idle)))
    other = None if asked.other is None else asked.chosen(asked.other.graph)[0]
    return _Chosen(model, asked.rolled(graph), one, own, {
        name: given[name] for name in own if name in given}, other, left_out, read, one.note)


#: The last two stages of `prepare`: the model with the outputs that remain, and what is settled of
#: it.
_Planned = Tuple[_Chosen, Settled, Optional[Losses], Optional[Stepped]]


def _planned(kept: _Chosen, asked: _Asked) -> _Planned:
    """The last two stages. A sum over all steps cannot run in steps, but a running sum can: a graph
    that is refused with states is tried once more with loops for sums."""
    try:
        return _of_outputs(kept, asked)
    except ExportError as error:
        refusal = error
    if asked.states and asked.sums:
        asked = asked._replace(sums=False)
        try:
            return _planned(kept._replace(rolled=asked.rolled(kept.model.graph)), asked)
        except ExportError as error:  # a loop may run, but for what ties the number of steps
            if isinstance(refusal, StepsError) and isinstance(error, StepsError) and (
                    refusal.kind == 'sum' and error.kind in ('fixed', 'explained')):
                refusal = error
    raise refusal


def _of_outputs(kept: _Chosen, asked: _Asked) -> _Planned:
    """The last two stages; with states, for the outputs that can run in steps."""
    graph = kept.model.graph
    if not asked.states or asked.outputs is not None or len(graph.heads) == 1:
        return kept, *_settled(kept, asked)
    places = places_in_steps(kept.rolled.graph, kept.model.params)
    part = _part(kept, asked, places)
    try:
        return part, *_settled(part, asked)
    except ExportError as error:
        able = [at for at in places if len(places) > 1 and _can_be_stepped(
            _part(kept, asked, [at]), asked)]
        part = _part(kept, asked, chosen_for_steps(graph, places, able, {*kept.given}, error))
    return part, *_settled(part, asked)


def _part(kept: _Chosen, asked: _Asked, places: Sequence[int]) -> _Chosen:
    """The model with the outputs at some places."""
    def part(graph: Graph) -> Graph:
        return graph.ending_in([graph.heads[at] for at in places if at < len(graph.heads)])
    graph = kept.model.graph
    if len(places) == len(graph.heads):
        return kept
    able = part(graph)
    needed, left = able.needed_variables(), [
        name for name in graph.outputs if name not in able.outputs]
    return kept._replace(
        model=kept.model._replace(graph=able), rolled=asked.rolled(able),
        notes=[*kept.notes, LEFT_OUT % ', '.join(left)],
        inputs=[name for name in kept.inputs if name in needed],
        other=kept.other and part(kept.other))


def _can_be_stepped(kept: _Chosen, asked: _Asked) -> bool:
    try:
        _made(kept, asked, _sizes(kept, asked))
    except ExportError:
        return False
    return True


def _sizes(kept: _Chosen, asked: _Asked) -> Settled:
    """The sizes of the inputs."""
    one, params, ranks = kept.one, kept.model.params, asked.ranks
    if one.program is not None:  # it tells the shape of a step, where that of all is a guess
        told = graph_shapes(asked.rolled(one.program).graph, params)
        ranks = {**{name: len(told[steps[0]]) + 1 for name, steps in one.inputs.items()
                    if name in kept.inputs and steps[0] in told}, **ranks}
    other = None if kept.other is None else asked.rolled(kept.other).graph
    return settled(Request(kept.rolled.graph, params, kept.given, kept.inputs, asked.training,
                           asked.counted, ranks), other)


def _made(kept: _Chosen, asked: _Asked, found: Settled) -> tuple[Losses | None, Stepped | None]:
    """What depends on the sizes of the inputs: losses, and the graph of a step."""
    def stepped(graph: Graph) -> Stepped | None:
        return in_steps(graph, kept.model.params, found, asked.training,
                        kept.rolled.findings) if asked.states else None
    if not asked.training:
        return None, stepped(found.graph)
    if asked.outputs is None:
        stepped(found.graph)  # losses, too, which the steps of a class do not have
    losses = with_losses(kept.model.graph, found, kept.model.params, asked.given, asked.types)
    return losses, stepped(losses.graph._replace(heads=tuple(losses.predictions)))


def _settled(kept: _Chosen, asked: _Asked) -> tuple[Settled, Losses | None, Stepped | None]:
    """The sizes of the inputs, and what depends on them."""
    with blaming_axes(kept.rolled.graph, kept.model.params, kept.given, kept.rolled.findings):
        found = _sizes(kept, asked)
        return found, *_made(kept, asked, found)


def _looked_up(kept: _Chosen, types: Collection[str]) -> list[str]:
    """The inputs without a type that only look-ups read, in both graphs: a loop may begin with one,
    and go on with numbers of another type."""
    graph = kept.model.graph
    known = {*types, *kept.model.params,
             *(node.name for node in graph.nodes if '__dtype__' in node.attrs)}
    return only_looked_up(kept.rolled.graph, only_looked_up(
        graph, [name for name in kept.inputs if name not in known]))


def prepare_part(part: Model, inputs: Mapping[str, Sequence[Any]] | None,
                 types: Mapping[str, Any] | None, **options: Any) -> Prepared:
    """`prepare` for a model with other outputs, which may not read all that was typed."""
    shapes, kinds = ({name: value for name, value in (each or {}).items()
                      if name in part.graph.arguments} for each in (inputs, types))
    return prepare(part, shapes, kinds, **options)


def glance(model: Model, advises: bool = False) -> Prepared:
    """What a model's graph says by itself about its recurrences and, if it tells their shapes,
    its inputs; `shapes` is empty if it does not. With `advises`, `lines` say what to type."""
    params, rolled = model.params, structure(model.graph)
    try:
        found = settled(Request(rolled.graph, params, {}, [
            name for name in rolled.graph.needed_variables() if name not in params]),
            asks=False, advises=advises)
    except ExportError as error:
        found = Settled(rolled.graph, {}, {}, {}, {}, [('shapes', str(error))], {}, {})
    return Prepared(**vars(found), model=model, given={}, types={}, findings=rolled.findings)


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
