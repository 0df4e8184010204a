"""One input in place of an input for each step, as programs of 2015 have them.

The new input is split into the old ones, and the outputs of all steps are stacked. Rolling up then
finds a sequence as in any other graph. What it leaves split or stacked stays as it was.
"""
from __future__ import annotations

import collections
import re
from typing import Any, Callable, Container, Hashable, Iterator, Mapping, NamedTuple, Sequence

import numpy as np

from ..graph import Entry, Graph, Node, output_name
from ..graph_editing import Edit
from ..operator_table import has
from .roll_up import structure

__all__ = ['OneInput', 'with_one_input']


def _unlike(name: str, steps: Sequence[str]) -> ValueError:
    """The error for what was not given for all steps alike."""
    return ValueError('give %s, or all its steps alike: %s to %s' % (name, steps[0], steps[-1]))


class OneInput(NamedTuple):
    """A graph with one input for all steps.

    Attributes
    ----------
    graph : Graph
    inputs, outputs : dict
        By new name, the names that the program gave to the steps, in order.
    program : Graph or None
        The program's own graph, if it differs and its outputs can be told apart by their names.
    """

    graph: Graph
    inputs: Mapping[str, Sequence[str]] = {}
    outputs: Mapping[str, Sequence[str]] = {}
    program: Graph | None = None

    def program_of(self, part: Graph) -> tuple[Graph, list[int]] | None:
        """The program's own graph with the outputs of all steps that `part` of `graph` stacks, and
        how many become each output, 0 if it is not stacked; None without `program`."""
        if self.program is None:
            return None
        entries = {output_name(node, at): Entry(place, at) for place, node in enumerate(
            self.program.nodes) for at in range(node.num_outputs)}
        entries.update(zip(self.program.outputs, self.program.heads))
        stacked = {**self.inputs, **self.outputs}
        heads, counts = [], []
        for name, (place, output) in zip(part.outputs, part.heads):
            node = part.nodes[place]
            source = part.nodes[node.inputs[0].node].name if node.op == 'SliceChannel' else ''
            names = [self.inputs[source][output]] if source in self.inputs else stacked.get(
                name, [name])
            heads += [entries[each] for each in names]
            counts.append(len(names) if name in stacked else 0)
        return self.program.ending_in(heads), counts

    def split(self, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Arrays by the program's names.

        Raises
        ------
        ValueError
            An array has another number of steps than the program's graph.
        """
        found = dict(arrays)
        for name, steps in self.inputs.items():
            if name in found:
                array = found.pop(name)
                if array.shape[1:2] != (len(steps),):
                    raise ValueError('the graph of the checkpoint has %d steps; axis 1 of %s must '
                                     'be as long, got the shape %s' % (
                                         len(steps), name, array.shape))
                found.update(zip(steps, np.moveaxis(array, 1, 0)))
        return found

    def shapes(self, given: Any) -> Any:
        """Shapes by new names: with the number of steps, if they were given for steps."""
        def joined(shapes: list[Any], steps: int) -> Any:
            first = shapes[0]
            return (*first[:1], steps, *first[1:]) if isinstance(first, (tuple, list)) else first
        return self._joined(given, joined, lambda shape: (
            tuple(shape) if isinstance(shape, list) else shape))

    def types(self, given: Any) -> Any:
        """Types by new names."""
        return self._joined(given, lambda types, steps: types[0], str)

    def arrays(self, given: Mapping[str, np.ndarray]) -> Any:
        """Arrays by new names; those of steps are stacked, and all steps must be given."""
        for name, steps in self.inputs.items():
            if 0 < len({*steps} & {*given}) < len(steps):
                raise _unlike(name, steps)
        return self._joined(given, lambda arrays, steps: np.stack(arrays, 1), np.shape)

    def _joined(self, given: Any, joined: Callable[[list[Any], int], Any],
                kind: Callable[[Any], Any]) -> Any:
        """The dict `given` by new names. What was given for steps, all of one `kind`, is `joined`.
        """
        if not given or not self.inputs or not isinstance(given, Mapping):
            return given
        found = dict(given)
        for name, steps in self.inputs.items():
            values = [found.pop(step) for step in steps if step in found]
            if values:
                first, *others = map(kind, values)
                if name in found or any(other != first for other in others):
                    raise _unlike(name, steps)
                found[name] = joined(values, len(steps))
        return found

    @property
    def note(self) -> list[str]:
        """A sentence for the user, if the graph was changed."""
        pairs = [*self.inputs.items(), *self.outputs.items()]
        return [', '.join('%s has the steps of %s to %s' % (name, steps[0], steps[-1])
                          for name, steps in pairs)] * bool(pairs)


class _Group(NamedTuple):
    """Places of the variables of all steps, or numbers of the outputs."""

    name: str
    steps: tuple[int, ...]


def with_one_input(graph: Graph, params: Container[str], training: bool = False) -> OneInput:
    """Make one input of those of which each step of a recurrence reads its own, one of the labels,
    and one output of those of all steps. Only three steps or more are surely steps."""
    free = {place for place, node in enumerate(graph.nodes)
            if node.is_variable and node.name not in params}
    #: By operator, number of the input, and weights: the nodes that read an input of their own.
    count: collections.Counter[Hashable] = collections.Counter()
    for node in graph.nodes:
        read = [entry for entry in node.inputs if graph.nodes[entry.node].is_variable]
        weights = [entry for entry in read if entry.node not in free]
        count.update((node.op, at, *weights) for at, entry in enumerate(node.inputs)
                     if entry.node in free)
    if max(count.values(), default=0) < 3:
        return OneInput(graph)
    rolled = structure(graph, training=training)
    counts = {each.steps for each in rolled.findings
              if each.kind in ('kernel', 'loop') and each.steps > 2}
    names = {node.name for node in graph.nodes}
    inputs = [_Group(_name(graph, steps, names), steps)
              for steps in _inputs(graph, rolled.graph, free) if len(steps) in counts]
    heads = [each for each in _alike(graph, free) if len(each) in counts] if inputs else []
    labels: list[_Group] = []
    free = free.difference(*[each.steps for each in inputs])
    for steps in _labels(graph, heads):
        if len(steps) in counts and free.issuperset(steps) and len({*steps}) == len(steps):
            labels.append(_Group(_name(graph, steps, names), tuple(steps)))
            free = free.difference(steps)
    outputs = [_Group(_name(graph, [graph.heads[number].node for number in each], names),
                      tuple(each)) for each in heads]
    while inputs:
        found = _written(graph, [*inputs, *labels], outputs)
        rolled = structure(found, training=training)
        left, fixed = _left(rolled.graph), _fixed(found, rolled.graph)
        kept = [[each for each in groups if each.name not in left and len(each.steps) not in fixed]
                for groups in (inputs, labels, outputs)]
        if kept == [inputs, labels, outputs]:
            return OneInput(
                found, {each.name: [graph.nodes[place].name for place in each.steps]
                        for each in inputs + labels},
                {each.name + '_output': [graph.outputs[number] for number in each.steps]
                 for each in outputs},
                graph if len({*found.outputs}) == len(found.outputs) else None)
        inputs, labels, outputs = kept
    return OneInput(graph)


def _inputs(graph: Graph, rolled: Graph, free: Container[int]) -> Iterator[tuple[int, ...]]:
    """Variables that rolling up has stacked for a recurrence. If it is read in both directions, the
    numbers in the names tell which is the first."""
    own = {node.name for node in graph.nodes if node.op == 'stack'}
    places = {node.name: place for place, node in enumerate(graph.nodes) if node.is_variable}
    seen: set[int] = set()
    for node in rolled.nodes:
        steps = [places.get(rolled.nodes[entry.node].name, -1) for entry in node.inputs]
        if node.op == 'stack' and node.name not in own and all(
                each in free for each in steps) and seen.isdisjoint(steps) and (
                    len({*steps}) == len(steps)):
            seen.update(steps)
            first, last = ([int(each) for each in re.findall(r'\d+', graph.nodes[place].name)]
                           for place in (steps[0], steps[-1]))
            yield tuple(steps if first <= last or len(first) != len(last) else reversed(steps))


def _labels(graph: Graph, outputs: Sequence[Sequence[int]]) -> Iterator[list[int]]:
    """What the losses of all steps, which are `outputs`, read as labels, or one loss as parts."""
    for numbers in outputs:
        yield [entry.node for number in numbers
               for entry in graph.nodes[graph.heads[number].node].inputs_of('label')]
    for node in graph.nodes:
        for entry in node.inputs_of('label'):
            above = graph.nodes[entry.node]
            while above.op == 'Reshape':
                above = graph.nodes[above.inputs[0].node]
            if has(above.op, 'joins'):
                yield [each.node for each in above.inputs]


def _alike(graph: Graph, free: Container[int]) -> list[list[int]]:
    """The numbers of outputs that nodes of one kind compute, with weights of one kind."""
    groups: dict[Hashable, list[int]] = {}
    for number, (place, output) in enumerate(graph.heads):
        node = graph.nodes[place]
        above = [graph.nodes[entry.node] for entry in node.inputs[:1]]
        groups.setdefault((output, *[(each.op, frozenset(each.attrs.items())) for each in (
            node, *above)], *[entry for each in above for entry in each.inputs
                              if graph.nodes[entry.node].is_variable and entry.node not in free
                              ]), []).append(number)
    return [*groups.values()]


def _name(graph: Graph, places: Sequence[int], taken: set[str]) -> str:
    """What the names of all steps have in common; the first one's with an end if that is nothing,
    or another name. It is taken then."""
    first, *others = [re.split(r'(\d+)', graph.nodes[place].name) for place in places]
    varied = [at for at in range(len(first)) if any(len(each) != len(first) or (
        each[at] != first[at]) for each in others)]
    name = ''
    if len(varied) == 1 and varied[0] % 2:
        parts = (''.join(part) for part in (first[:varied[0]], first[varied[0] + 1:]))
        name = '_'.join(filter(None, [part.strip('_/.-') for part in (
            re.sub(r'(?<![A-Za-z])(t|time|step)_?$', '', next(parts)), next(parts))]))
    if not name or name in taken:
        name = ''.join(first) + '_steps'
    while name in taken:
        name += '_'
    taken.add(name)
    return name


def _written(graph: Graph, inputs: Sequence[_Group], outputs: Sequence[_Group]) -> Graph:
    """The graph in which `inputs` are split into steps, and `outputs` are stacked."""
    edit = Edit(graph)
    for name, steps in inputs:
        nodes = [graph.nodes[place] for place in steps]
        attrs = {key: text for key, text in nodes[0].attrs.items()
                 if key != '__shape__' and all(node.attrs.get(key) == text for node in nodes)}
        shape = nodes[0].stated_shape
        if shape:
            attrs['__shape__'] = str((shape[0], 0, *shape[1:]))
        one = edit.writer.copy(Node('', name, attrs, ()), ())
        split = edit.writer.add('SliceChannel', name + '_split', {
            'num_outputs': len(steps), 'axis': 1, 'squeeze_axis': True}, [one], len(steps))
        edit.replaced.update((Entry(place, 0), Entry(split.node, t))
                             for t, place in enumerate(steps))
    found = edit.graph()
    nodes, heads = [*found.nodes], dict(enumerate(found.heads))
    for name, numbers in outputs:
        nodes.append(Node('stack', name, {'axis': '1', 'num_args': str(len(numbers))},
                          tuple([found.heads[number] for number in numbers])))
        for number in numbers[1:]:
            del heads[number]
        heads[numbers[0]] = Entry(len(nodes) - 1, 0)
    return found._replace(nodes=tuple(nodes), heads=tuple(heads.values()))


def _fixed(graph: Graph, rolled: Graph) -> set[int]:
    """The numbers of steps that stay fixed: `graph` rolled up is split into so many."""
    names = {node.name for node in graph.nodes}
    return {node.num_outputs for node in rolled.nodes
            if node.op == 'SliceChannel' and node.name not in names}


def _left(rolled: Graph) -> set[str]:
    """The names of inputs that are split in the graph rolled up, and of outputs that are stacked
    there."""
    found = {node.name for node in rolled.nodes if node.op == 'stack'}
    for node in rolled.nodes:
        if node.op == 'SliceChannel':
            source = rolled.nodes[node.inputs[0].node]
            found.add((rolled.nodes[source.inputs[0].node] if source.op == 'SwapAxis'
                       else source).name)
    return found
