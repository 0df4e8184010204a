"""A graph as a list of steps: which function, from which places, to which."""
from __future__ import annotations

from typing import Any, Callable, Iterator, NamedTuple, Sequence

import torch
from torch import Tensor

from ..._graph.graph import Graph, Node
from ..._graph.operators import check_attributes, row
from . import creation, elementwise, index, layers, losses, recurrent, shape  # noqa: F401
from .creation import CREATES
from .table import OPERATORS, Run, axis_of

__all__ = ['Creation', 'Schedule', 'Step', 'UnsupportedError', 'faults_of',
           'label_nodes']

#: Attributes that MXNet takes a size of 0 or -1 in for 'as the rest of the graph says'.
OPEN = (0, -1)


class UnsupportedError(NotImplementedError):
    """A graph has operators that cannot be run without MXNet; the message lists all of them."""


class Creation:
    """A node without inputs that makes an array, some sizes of which may be left open."""

    def __init__(self, node: Node) -> None:
        self.run = CREATES[node.op](node)
        self.shape = [int(size) for size in axis_of(node.get('shape')) or ()]
        self.open = [axis for axis, size in enumerate(self.shape) if size in OPEN]
        #: For an open axis, the place and the axis there that say its size.
        self.sources: dict[int, tuple[int, int]] = {}

    def __call__(self, values: Sequence[Any], device: Any) -> Tensor:
        if not self.open:
            return self.run(self.shape, device)
        sizes = list(self.shape)
        for axis in self.open:
            # Where nothing says more, an array of length 1 is as good as any when it is broadcast.
            place, other = self.sources.get(axis, (-1, 0))
            sizes[axis] = 1 if place < 0 else values[place].shape[other]
        return self.run(sizes, device)


class Step(NamedTuple):
    """One node, ready to run."""

    node: Node
    #: By whether it is in training: a function of the inputs, or a Creation.
    run: tuple[Run, Run] | Creation
    inputs: tuple[int, ...]
    #: The place of its first output; the others follow.
    output: int
    num_outputs: int


class Schedule:
    """The steps of a graph, in order, over a list of values: one place for each output of a node.

    Parameters
    ----------
    graph : Graph
        With no operator that `faults_of` would name.
    """

    def __init__(self, graph: Graph) -> None:
        counts = [node.num_outputs for node in graph.nodes]
        for entry in [*graph.heads, *(each for node in graph.nodes for each in node.inputs)]:
            counts[entry.node] = max(counts[entry.node], entry.output + 1)
        first = [0]
        for count in counts:
            first.append(first[-1] + count)
        self.size = first[-1]
        #: The place of each variable, by name.
        self.variables = {node.name: first[i] for i, node in enumerate(graph.nodes)
                          if node.is_variable}
        self.heads = [first[entry.node] + entry.output for entry in graph.heads]
        labels = label_nodes(graph)
        self.steps: list[Step] = []
        for i, node in enumerate(graph.nodes):
            if not node.is_variable:
                places = tuple(first[entry.node] + entry.output for entry in node.inputs)
                run = _bound(node)
                if i in labels and not isinstance(run, Creation):
                    run = _if_given(run[0]), _if_given(run[1])
                self.steps.append(Step(node, run, places, first[i], counts[i]))
        self._arrange()

    @property
    def num_open(self) -> int:
        """How many sizes the graph leaves open."""
        return sum(len(step.run.open) for step in self.steps if isinstance(step.run, Creation))

    @property
    def creations(self) -> list[Step]:
        """The steps that make arrays with open sizes."""
        return [step for step in self.steps if isinstance(step.run, Creation) and step.run.open]

    def settle(self, sources: dict[int, dict[int, tuple[int, int]]]) -> None:
        """Let open sizes be read off other values: by the place of the array, then the axis, the
        place and the axis there."""
        for step in self.creations:
            step.run.sources = dict(sources.get(step.output, {}))  # type: ignore[union-attr]
        self._arrange()

    def _arrange(self) -> None:
        """Put steps behind all that they read, and note when a value is read for the last time."""
        made = set(self.variables.values())
        waiting, ordered = list(self.steps), []
        while waiting:
            later = []
            for step in waiting:
                if all(place in made for place in _reads(step)):
                    ordered.append(step)
                    made.update(range(step.output, step.output + step.num_outputs))
                else:
                    later.append(step)
            if len(later) == len(waiting):
                raise RuntimeError('steps wait for each other: %s'
                                   % ', '.join(step.node.name for step in later))
            waiting = later
        self.steps = ordered
        last: dict[int, int] = {}
        for i, step in enumerate(ordered):
            last.update(dict.fromkeys(_reads(step), i))
        kept = {*self.heads, *self.variables.values()}
        dead: list[list[int]] = [[] for _ in ordered]
        for place, i in last.items():
            if place not in kept:
                dead[i].append(place)
        self._plans = tuple(
            [(step.run if isinstance(step.run, Creation) else step.run[training],
              None if isinstance(step.run, Creation) else step.inputs, step.output, dead[i])
             for i, step in enumerate(ordered)] for training in (False, True))

    def run(self, variables: dict[str, Any], training: bool, device: Any) -> list[Any]:
        """The outputs for the values of the variables."""
        values: list[Any] = [None] * self.size
        for name, place in self.variables.items():
            values[place] = variables.get(name)
        for run, inputs, output, dead in self._plans[training]:
            if inputs is None:
                result = run(values, device)
            else:
                result = run(*[values[place] for place in inputs])
            if isinstance(result, Tensor):
                values[output] = result
            else:
                values[output:output + len(result)] = result
            for place in dead:
                values[place] = None
        return [values[place] for place in self.heads]


def _reads(step: Step) -> Iterator[int]:
    yield from step.inputs
    if isinstance(step.run, Creation):
        for place, _ in step.run.sources.values():
            yield place


def _bound(node: Node) -> tuple[Run, Run] | Creation:
    if node.op in CREATES:
        return Creation(node)
    if node.op == '_foreach':
        loop = Loop(node)
        return loop.in_inference, loop.in_training
    operator = OPERATORS[node.op]
    run = operator.make(node)
    if not operator.training:
        return run, run
    return (lambda *inputs: run(False, *inputs)), (lambda *inputs: run(True, *inputs))


def _if_given(run: Run) -> Run:
    """`run` of a label, which may be left out."""
    def given(*inputs: Any) -> Any:
        return (None,) if any(value is None for value in inputs) else run(*inputs)
    return given


def label_nodes(graph: Graph) -> set[int]:
    """The places of variables and operators that serve nothing but the labels of loss heads."""
    needed = {entry.node for entry in graph.heads}
    labels: set[int] = set()
    for i in range(len(graph.nodes) - 1, -1, -1):
        node = graph.nodes[i]
        known = row(node.op)
        labelled = known.positions('label') if known is not None else ()
        for at, entry in enumerate(node.inputs):
            if i in needed and at not in labelled:
                needed.add(entry.node)
            else:
                labels.add(entry.node)
    return labels - needed


class Loop:
    """``_foreach``: a graph for every step along the first axis of its sequences."""

    def __init__(self, node: Node) -> None:
        self.body = Schedule(node.subgraphs[0])
        names = list(self.body.variables)
        groups = [node.get(key, ()) for key in ('in_data_locs', 'in_state_locs', 'remain_locs')]
        #: Names of the body's variables: sequences, states, and what is the same in every step.
        self.sequences, self.states, self.others = (
            [names[place] for place in places] for places in groups)
        self.outputs = node.get('num_out_data', 1)

    def split(self, inputs: Sequence[Tensor]) -> tuple[Sequence[Tensor], ...]:
        first, second = len(self.sequences), len(self.sequences) + len(self.states)
        return inputs[:first], inputs[first:second], inputs[second:]

    def step(self, rows: Sequence[Tensor], states: Sequence[Tensor],
             others: Sequence[Tensor]) -> dict[str, Tensor]:
        """The body's variables."""
        return {**dict(zip(self.sequences, rows)), **dict(zip(self.states, states)),
                **dict(zip(self.others, others))}

    def _run(self, training: bool, inputs: Sequence[Tensor]) -> list[Tensor]:
        sequences, states, others = self.split(inputs)
        collected: list[list[Tensor]] = []
        for rows in zip(*[sequence.unbind(0) for sequence in sequences]):
            results = self.body.run(self.step(rows, states, others), training, rows[0].device)
            collected.append(results[:self.outputs])
            states = results[self.outputs:]
        return [*(torch.stack(each) for each in zip(*collected)), *states]

    def in_training(self, *inputs: Tensor) -> list[Tensor]:
        return self._run(True, inputs)

    def in_inference(self, *inputs: Tensor) -> list[Tensor]:
        return self._run(False, inputs)


# ---- what cannot be run

def faults_of(graph: Graph) -> dict[str, list[str]]:
    """The operators of `graph` that cannot be run, with the reason, and the nodes of each."""
    faults: dict[str, list[str]] = {}
    for node in graph.walk():
        if node.is_variable or node.op == '_foreach':
            continue
        make: Callable[[Node], Any] | None = CREATES.get(node.op) or (
            OPERATORS[node.op].make if node.op in OPERATORS else None)
        what = node.op
        if make is not None:
            try:
                check_attributes(node)
                make(node)
                continue
            except (ValueError, TypeError, LookupError, AttributeError) as error:
                what = '%s (%s)' % (node.op, error or type(error).__name__)
        faults.setdefault(what, []).append(node.name)
    return faults
