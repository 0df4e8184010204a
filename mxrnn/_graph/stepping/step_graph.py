"""Turns a graph of sequences into a graph of steps, with states as its inputs and outputs."""
from __future__ import annotations

from typing import Mapping, NamedTuple, Sequence, Union

from ..graph import Entry, Graph, Node, output_name
from ..graph_editing import Writer
from ..operator_table import has
from ..rnn_vector_layout import ADDS_NOTHING
from ..shapes.axis_factors import Axes, factors_of, number_of, open_axes
from ..shapes.sizes import Axis
from .axis_propagation import TrackedValue, follow, is_zero
from .stepped_recurrences import StateError, SteppedRecurrence, find_stepped, prefix_of

__all__ = ['State', 'Stepped', 'with_states']

#: Shapes by names of variables: numbers, and names for axes of any size.
Shapes = Mapping[str, Sequence[Union[int, str]]]


class State(NamedTuple):
    """A state of a recurrence.

    Attributes
    ----------
    given, after : str
        The names of the input for the state before, and of the output for the state after.
    batch_axis : int
    begin : str
        The encoder's output with which a sequence begins; '' if it begins with zeros.
    """

    given: str
    after: str
    batch_axis: int
    begin: str


class Stepped(NamedTuple):
    """A graph that can run in steps, or in chunks of any number of steps.

    Attributes
    ----------
    graph : Graph
        Its outputs are first those that depend on the steps, then the states after the last step,
        in the order of `states`. The states before are variables.
    outputs : tuple of str
        The names of its outputs.
    states : tuple of State
    encoder : Graph or None
        The part that is computed once, before the first step.
    captured : tuple of str
        The names of the encoder's outputs. The variables of `graph` that take them have the same
        names; further outputs are outputs of the whole graph.
    sources : dict
        By names of states and captured values: the entries of the whole graph with their first
        values.
    shapes : dict
        Shapes of the variables of `graph` and `encoder` that are not parameters, as far as known.
    axes : dict
        By name of an input or output of `graph`: for each axis 'batch', 'time', 'batch,time' for
        both in one, another name, or a number.
    """

    graph: Graph
    outputs: tuple[str, ...]
    states: tuple[State, ...]
    encoder: Graph | None
    captured: tuple[str, ...]
    sources: dict[str, Entry]
    shapes: dict[str, tuple[int | str, ...]]
    axes: dict[str, tuple[int | str, ...]]


# ---- the new graphs

def with_states(graph: Graph, inputs: Shapes, params: Shapes, layers: bool = False) -> Stepped:
    """Make begin states of recurrences inputs of a graph, and their final states outputs.

    Parameters
    ----------
    graph : Graph
        Rolled up, if it was unrolled.
    inputs : dict
        Shapes of the variables that are not parameters. Axes with the same name have the same size.
    params : dict
        Shapes of the parameters.
    layers : bool
        Whether states of RNN have an axis of layers, as in torch, even for one layer.

    Raises
    ------
    StateError
        The graph has no recurrence; or the outputs depend on one that reads sequences in both
        directions, or on another operation that uses several steps at once.

    Notes
    -----
    If recurrences depend on recurrences along another axis, as a decoder depends on an encoder, the
    last ones are stepped. Everything that does not depend on their sequences goes into
    `Stepped.encoder`.
    """
    # otherwise each step would read values that matter only for MXNet's inference and gradients
    graph = graph._replace(nodes=tuple([
        node._replace(op='_copy', inputs=node.inputs[:1])
        if node.op == '_identity_with_attr_like_rhs' or ADDS_NOTHING in node.attrs else node
        for node in graph.nodes]))
    values = follow(graph, {**params, **inputs})
    return _Cut(graph, values, find_stepped(graph, values), inputs, layers).write()


class _Cut:
    """A graph split where steps begin: into a part computed once, and the part of each step."""

    def __init__(self, graph: Graph, values: Mapping[Entry, TrackedValue],
                 stepped: Sequence[SteppedRecurrence], inputs: Shapes, layers: bool) -> None:
        self._graph, self._values, self._layers = graph, values, layers
        self._names = {id(each.time): 'time' for each in stepped}
        self._batch = next((each.batch for each in stepped if each.batch is not None), None)
        self._names[id(self._batch)] = 'batch'
        recurrences = {each.place: each for each in stepped}
        self._writer = Writer()
        self._made: dict[Entry, Entry] = {}
        #: Names of the encoder's outputs.
        self._captured: dict[Entry, str] = {}
        self._states: list[State] = []
        self._finals: list[Entry] = []
        self._begins: list[tuple[Entry, str]] = []
        self._sources: dict[str, Entry] = {}
        self._flat: list[Node] = []  # nodes of the encoder in addition to the graph's
        self._shapes = {name: tuple(shape) for name, shape in inputs.items()}
        self._axes: dict[str, tuple[int | str, ...]] = {}
        ahead = {*recurrences, *graph._replace(heads=tuple([
            begin for each in stepped for begin in each.begin])).needed()}
        #: Places of what is read by more than begin states.
        self._read = {entry.node for place in graph.needed() if place not in ahead
                      for entry in graph.nodes[place].inputs}
        places = sorted(graph.reached(lambda node: node.inputs))
        #: Places of what depends on a sequence that is stepped, and on any input.
        self._moving = self._depending(places, {*recurrences, *(
            place for place in places if self._has_steps(place))})
        self._given = self._depending(places, {
            place for place in places
            if graph.nodes[place].is_variable and graph.nodes[place].name in inputs})
        for place in places:
            node, own = graph.nodes[place], values.get(Entry(place, 0))
            if own is not None and node.is_variable and node.name in inputs:
                self._describe(node.name, own.axes)
            if place in recurrences:
                self._open(recurrences[place])
            elif place in self._moving or place not in self._given or node.is_variable or (
                    own is None):  # as of labels, which predictions do not read
                self._copy(place, node, [self._entry(entry) for entry in node.inputs])

    def _has_steps(self, place: int) -> bool:
        """Whether a variable has an axis that is stepped."""
        own = self._values.get(Entry(place, 0))
        return self._graph.nodes[place].is_variable and own is not None and any(
            id(axis) in self._names and axis is not self._batch for axis in open_axes(own.axes))

    def _depending(self, places: Sequence[int], found: set[int]) -> set[int]:
        """Of the nodes at `places`, those in `found` and all that predictions make of them."""
        for place in places:
            if any(entry.node in found and entry in self._values
                   for entry in self._graph.nodes[place].inputs):
                found.add(place)
        return found

    def write(self) -> Stepped:
        graph, heads = self._graph, self._graph.heads
        stepped = [at for at, head in enumerate(heads)
                   if head.node in self._moving or head.node not in self._given]
        step = self._writer.graph([self._made[heads[at]] for at in stepped] + self._finals,
                                  graph.version)
        outputs = [graph.outputs[at] for at in stepped]
        for name, at in zip(outputs, stepped):
            self._describe(name, self._values[heads[at]].axes)
        once = [*self._captured.items(), *self._begins, *(
            (head, graph.outputs[at]) for at, head in enumerate(heads) if at not in stepped)]
        step, kept = self._kept(step, [entry for entry, _ in once])
        once[len(self._captured):len(self._captured)] = kept
        encoder = graph._replace(nodes=(*graph.nodes, *self._flat)).ending_in(
            [entry for entry, _ in once]) if once else None
        return Stepped(step, (*outputs, *(state.after for state in self._states)),
                       tuple(self._states), encoder, tuple([name for _, name in once]),
                       self._sources, self._shapes, self._axes)

    def _kept(self, step: Graph, once: Sequence[Entry]) -> tuple[Graph, list[tuple[Entry, str]]]:
        """A step that takes inputs of the encoder from it, such as the lengths of sequences.
        """
        graph = self._graph._replace(nodes=(*self._graph.nodes, *self._flat), heads=tuple(once))
        first, names = graph.reached(lambda node: node.inputs), graph.arguments
        own = step.needed_variables()
        kept: dict[str, tuple[Entry, str]] = {}
        for place in sorted(first & {*range(len(self._graph.nodes))} - self._moving):
            name = graph.nodes[place].name
            if name in own and name in self._shapes:
                new = name + '_output'
                while new in names or new in self._shapes:
                    new += '_'
                self._flat.append(Node('_copy', new, {}, (Entry(place, 0),)))
                kept[name] = Entry(len(self._graph.nodes) + len(self._flat) - 1, 0), new
                self._shapes[new], self._sources[new] = self._shapes[name], Entry(place, 0)
                self._describe(new, self._values[Entry(place, 0)].axes)
        return step._replace(nodes=tuple([
            node._replace(name=kept[node.name][1]) if node.is_variable and node.name in kept
            else node for node in step.nodes])), list(kept.values())

    def _describe(self, name: str, axes: Axes | None) -> None:
        def word(size: object) -> str:
            return str(size) if not isinstance(size, Axis) else self._names.get(
                id(size), 'source_time' if size.label == 'time' else size.label)
        if axes is not None:
            numbers = map(number_of, axes)
            self._axes[name] = tuple([
                ','.join(map(word, factors_of(axis))) if number is None else number
                for axis, number in zip(axes, numbers)])

    def _variable(self, name: str, axes: Axes | None) -> Entry:
        """A new input. If the size of its first axis is unknown, that axis is the batch."""
        if axes is None:
            return self._writer.add('', name, {}, [])
        names: list[int | str] = []
        for at, size in enumerate(map(factors_of, axes)):
            number = number_of(size)
            if number is not None:
                names.append(number)
            else:
                label = size[0].label if len(size) == 1 and isinstance(size[0], Axis) else ''
                unknown = self._batch.label if at == 0 and self._batch is not None else ''
                names.append(label or unknown or '%s_%d' % (name, at))
        self._shapes[name] = tuple(names)
        self._describe(name, axes)
        shape = tuple([size if isinstance(size, int) else 0 for size in names])
        return self._writer.add('', name, {'__shape__': str(shape)}, [])

    def _entry(self, entry: Entry) -> Entry:
        """A value in the new graph; an input if the encoder computes it. What moves the batch away
        from the first axis is done in each step, so that rows can be chosen from the input."""
        if entry in self._made:
            return self._made[entry]
        node, axes = self._graph.nodes[entry.node], self._values[entry].axes
        if node.op in ('expand_dims', 'SwapAxis', 'transpose') and self._batch in open_axes(
                axes) and self._batch not in open_axes((axes or [])[:1]):
            self._copy(entry.node, node, [self._entry(each) for each in node.inputs])
        else:
            name = output_name(node, entry.output)
            self._captured[entry] = name
            self._sources[name] = entry
            self._made[entry] = self._variable(name, axes)
        return self._made[entry]

    def _copy(self, place: int, node: Node, inputs: Sequence[Entry]) -> int:
        own = self._writer.copy(node, inputs).node
        self._made.update((Entry(place, at), Entry(own, at)) for at in range(node.num_outputs))
        return own

    def _is_input(self, entry: Entry, layers: bool) -> bool:
        """Whether a begin state is an input that nothing else reads, or, with `layers`, has one or
        zeros for each layer."""
        node = self._graph.nodes[entry.node]
        if node.op in ('expand_dims', 'Flatten', '_copy'):
            return self._is_input(node.inputs[0], layers)
        if layers and (node.op == 'Concat' and node.dim == 0 or node.op == 'stack' and (
                node.axis == 0)):
            return all(is_zero(self._graph, each) or self._is_input(each, layers)
                       for each in node.inputs)
        return node.name in self._shapes and entry.node not in self._read

    def _name_of_begin(self, begin: Entry) -> str:
        """A name for the state that begins with an input, or with those of all layers; '' for other
        begin states, and if the name is taken."""
        names: list[str] = []
        pending = [begin]
        while pending:
            node = self._graph.nodes[pending.pop().node]
            if node.is_variable and node.name in self._shapes:
                names.append(node.name)
            elif node.op in ('expand_dims', 'Flatten', '_copy', 'stack', 'Concat'):
                pending += reversed(node.inputs)
            else:
                return ''
        own = '_to_'.join(dict.fromkeys([names[0], names[-1]]))
        taken = {*self._graph.arguments, *self._graph.outputs, *(
            state.given for state in self._states)}
        return '' if {own + '_in', own + '_out'} & taken else own + '_in'

    def _open(self, recurrence: SteppedRecurrence) -> None:
        """Copy a recurrence, with new inputs as its begin states."""
        place, node, writer = recurrence.place, recurrence.node, self._writer
        if any(each.node in self._moving and not is_zero(self._graph, each)
               for each in recurrence.begin):
            raise StateError('%s cannot be stepped: its begin state depends on the sequence'
                             % node.title)
        first, count = node.inputs.index(recurrence.begin[0]), len(recurrence.begin)
        stem = prefix = prefix_of(node)
        number = 0
        taken = self._graph.arguments
        while any(state.given.startswith(prefix) for state in self._states) or any(
                '%s%d_in' % (prefix, at) in taken for at in range(count)):
            number += 1
            prefix = '%s%d_' % (stem, number)
        kernel = has(node.op, 'kernel')
        single = kernel and node.num_layers == 1 and not self._layers
        if kernel:
            node = node._replace(attrs={**node.attrs, 'state_outputs': 'True'},
                                 num_outputs=1 + count)
        before, states = [self._entry(entry) for entry in node.inputs[:first]], []
        numbered = ['%s%d_in' % (prefix, at) for at in range(count)]
        names = [self._name_of_begin(begin) or name
                 for begin, name in zip(recurrence.begin, numbered)]
        for own, begin in zip(names if len({*names}) == count else numbered, recurrence.begin):
            axes = self._values[begin].axes
            if kernel:
                data = self._values[node.inputs[0]].axes or [(), ()]
                axes = [*([] if single else [(node.num_layers,)]), data[1], (node.state_size,)]
            entry = self._variable(own, axes)
            self._sources[own] = begin
            states.append(writer.add('expand_dims', own + '_layer', {'axis': 0}, [entry])
                          if single else entry)
            # zeros that have a size of an input, such as a source's number of steps, are given, too
            sized = not kernel and begin.node in self._given and any(
                number_of(axis) is None for axis in (axes or ())[1:])
            computed = not (is_zero(self._graph, begin) and not sized
                            or self._is_input(begin, kernel))
            if computed:
                if single or self._graph.nodes[begin.node].is_variable:
                    self._flat.append(Node('Reshape', own, {'shape': '(-3, -2)'}, (begin,))
                                      if single else Node('_copy', own, {}, (begin,)))
                    begin = Entry(len(self._graph.nodes) + len(self._flat) - 1, 0)
                self._begins.append((begin, own))
            self._states.append(State(own, own[:-len('in')] + 'out', int(
                kernel and not single), own if computed else ''))
        copied = self._copy(place, node, [*before, *states, *(
            self._entry(entry) for entry in node.inputs[first + count:])])
        for at, state in enumerate(self._states[-count:]):
            final = Entry(copied, at + (1 if kernel else node.num_out_data))
            if single:
                final = writer.add('Reshape', state.after, {'shape': (-3, -2)}, [final])
            self._finals.append(final)
            if state.given in self._axes:
                self._axes[state.after] = self._axes[state.given]
