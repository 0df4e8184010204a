"""A graph as a list of steps. Each step has a function, and the places it reads and writes."""
from __future__ import annotations

import contextlib
from functools import partial, wraps
from typing import Any, Dict, Iterator, Mapping, NamedTuple, Sequence, Tuple, TypeVar

import torch
from torch import Tensor

from ..._graph.attributes import AttributeValueError
from ..._graph.check_node_attributes import check_attributes
from ..._graph.graph import Entry, Graph, Node
from ..._graph.operator_table import row
from ..._graph.rnn_vector_layout import arrays_of_rnn
from .._source.torch_operators import Device, Run
from ..registry import TORCH, Unsupported
from ..run import operators  # noqa: F401
from .broadcast_checks import refusing
from .compiled_emitters import enter_rest

__all__ = ['Creation', 'LoopStep', 'Schedule', 'Sources', 'Step', 'UnsupportedError']

T = TypeVar('T')

enter_rest()

#: By the place of an array and its axis, how to read an open size: a number, and the places and
#: axes of sizes to multiply it by.
Sources = Dict[int, Dict[int, Tuple[int, Tuple[Tuple[int, int], ...]]]]

#: Attributes in which MXNet takes a size of 0 or -1 for 'as the rest of the graph says'.
OPEN = (0, -1)


class UnsupportedError(NotImplementedError):
    """A graph has operators that need MXNet to run; the message lists all of them."""


class Creation:
    """A node without inputs that makes an array; some of the array's sizes may be open."""

    def __init__(self, node: Node, run: Run) -> None:
        self.run = run
        known = row(node.op)
        self.shape = list(node.shape or ()) if known and 'shape' in known.attributes else []
        self.open = [axis for axis, size in enumerate(self.shape) if size in OPEN]
        #: For each open axis, where to read its size.
        self.sources: dict[int, tuple[int, tuple[tuple[int, int], ...]]] = {}
        #: The type for arrays of real numbers, in place of the type that the graph states.
        self.real: torch.dtype | None = None

    def __call__(self, values: Sequence[Tensor], device: Device) -> Tensor:
        sizes = self.shape
        if self.open:
            sizes = list(sizes)
            for axis in self.open:
                # Where nothing tells the size and the array is broadcast, length 1 always works.
                size, factors = self.sources.get(axis, (1, ()))
                for place, other in factors:
                    size = size * values[place].shape[other]
                sizes[axis] = size
        made = self.run(sizes, device)
        return made.to(self.real) if self.real and made.is_floating_point() else made


class Step(NamedTuple):
    """One node, ready to run."""

    node: Node
    #: By whether the module is in training: a function of the inputs, or a Creation.
    run: tuple[Run, Run] | Creation
    inputs: tuple[int, ...]
    #: The outputs that are read: their numbers and their places.
    outputs: tuple[tuple[int, int], ...]
    #: The loop that a step of ``_foreach`` runs.
    loop: LoopStep | None = None


class Schedule:
    """The steps of a graph, in order, over a list of values with one place for each value read.

    Attributes
    ----------
    faults : dict of str to list of str
        The operators that cannot be run: reason, and nodes. If there are any, the other attributes
        are missing.
    settled : bool
        Whether all sizes are known, or are read from other values.
    """

    def __init__(self, graph: Graph) -> None:
        self.faults: dict[str, list[str]] = {}
        #: The type that `convert` has given real numbers.
        self._real: torch.dtype | None = None
        loops: dict[int, LoopStep] = {}
        runs = [None if node.is_variable else self._bound(graph, place, loops)
                for place, node in enumerate(graph.nodes)]
        if self.faults:
            return
        graph = _without_likes(graph)
        labels = graph.reached(lambda node: node.inputs) - graph.needed()
        nodes = [arrays_of_rnn(graph, node) for node in graph.nodes]
        read = graph._replace(nodes=tuple(nodes)).reached(lambda node: node.inputs)
        entries = {*graph.heads, *(entry for i in read for entry in nodes[i].inputs), *(
            Entry(i, 0) for i, node in enumerate(nodes) if node.is_variable)}
        #: The places of nodes' outputs.
        self.places = places = {entry: place for place, entry in enumerate(sorted(entries))}
        outputs: list[list[tuple[int, int]]] = [[] for _ in nodes]
        for entry, place in places.items():
            outputs[entry.node].append((entry.output, place))
        self.size = len(places)
        #: Each variable's place, by name.
        self.variables = {node.name: places[Entry(i, 0)] for i, node in enumerate(nodes)
                          if node.is_variable}
        self.heads = [places[entry] for entry in graph.heads]
        #: Inputs that only the labels of loss heads need.
        self.labels = {nodes[i].name for i in labels}
        self.steps: list[Step] = []
        for i, run in enumerate(runs):
            if run is not None and outputs[i]:
                if i in labels and not isinstance(run, Creation):
                    run = _if_given(run[0]), _if_given(run[1])
                inputs = tuple(places[entry] for entry in nodes[i].inputs)
                self.steps.append(Step(nodes[i], run, inputs, tuple(outputs[i]), loops.get(i)))
        self.settle({})

    def _bound(self, graph: Graph, place: int, loops: dict[int, LoopStep]
               ) -> tuple[Run, Run] | Creation | None:
        """The function that runs a node; `loops` gets its loop. Without one, None, and the fault is
        noted."""
        node = graph.nodes[place]
        what = node.op
        try:
            check_attributes(node)
            if node.op == '_foreach':
                if not node.body.fits(node):
                    raise Unsupported('its body has other inputs or outputs')
                loop = loops[place] = LoopStep(node)
                for fault, nodes in loop.body.faults.items():
                    self.faults.setdefault(fault, []).extend(nodes)
                return loop.in_inference, loop.in_training
            operator = TORCH.get(node.op)
            if operator is not None:
                run = operator.make(node)
                if operator.creates:
                    return Creation(node, run)
                run = refusing(graph, node, run, operator.training, lambda: self.settled)
                if node.op == 'one_hot':
                    run = self._of_module(run)
                both = partial(run, False), partial(run, True)
                return both if operator.training else (run, run)
        except AttributeValueError as error:
            # It begins with the node and the operator, which the message already has.
            what = '%s (%s)' % (node.op, str(error).partition(', %s: ' % node.op)[2])
        except Unsupported as error:
            what = '%s (%s)' % (node.op, error)
        self.faults.setdefault(what, []).append(node.name)
        return None

    def _of_module(self, run: Run) -> Run:
        """`run`, which makes real numbers of indices, with those of the module's type."""
        def made(*inputs: Tensor) -> Tensor:
            result: Tensor = run(*inputs)
            return result.to(self._real) if self._real and result.is_floating_point() else result
        return made

    @property
    def num_open(self) -> int:
        """The number of open sizes."""
        return sum(len(each.open) for each in self.creations().values())

    def creations(self) -> dict[int, Creation]:
        """The steps that make arrays with open sizes, by the arrays' places."""
        return {step.outputs[0][1]: step.run for step in self.steps
                if isinstance(step.run, Creation) and step.run.open}

    def settle(self, sources: Sources) -> None:
        """Read open sizes from other values."""
        for place, each in self.creations().items():
            each.sources = dict(sources.get(place, {}))
        self.settled = self.num_open == sum(map(len, sources.values()))
        for step in self.steps:
            if step.loop is not None:
                step.loop.body.settled = self.settled and not step.loop.body.num_open
        self._arrange()

    def convert(self, real: torch.dtype | None) -> None:
        """Make arrays of real numbers of the type `real`, those in loops as well."""
        self._real = real
        for step in self.steps:
            if isinstance(step.run, Creation):
                step.run.real = real
            elif step.loop is not None:
                step.loop.body.convert(real)

    def _arrange(self) -> None:
        """Order steps behind the steps whose values they read, and note each value's last use."""
        made = set(range(self.size)).difference(
            place for step in self.steps for _, place in step.outputs)
        waiting, ordered = list(self.steps), []
        while waiting:
            later = []
            for step in waiting:
                if made.issuperset(_reads(step)):
                    ordered.append(step)
                    made.update(place for _, place in step.outputs)
                else:
                    later.append(step)
            if len(later) == len(waiting):
                raise RuntimeError('these steps wait for each other: %s'
                                   % ', '.join(step.node.name for step in later))
            waiting = later
        self.steps = ordered
        last = {place: i for i, step in enumerate(ordered) for place in _reads(step)}
        kept = {*self.heads, *self.variables.values()}
        dead: list[list[int]] = [[] for _ in ordered]
        for place, i in last.items():
            if place not in kept:
                dead[i].append(place)
        self._plans = tuple(
            [(step.run if isinstance(step.run, Creation) else step.run[training],
              None if isinstance(step.run, Creation) else step.inputs, step.outputs, dead[i])
             for i, step in enumerate(ordered)] for training in (False, True))

    def run(self, variables: Mapping[str, Tensor | None], training: bool, device: Device
            ) -> list[Tensor]:
        """The outputs for the values of the variables."""
        values: list[Any] = [None] * self.size
        for name, place in self.variables.items():
            values[place] = variables.get(name)
        for run, inputs, outputs, dead in self._plans[training]:
            if inputs is None:
                result = run(values, device)
            else:
                result = run(*[values[place] for place in inputs])
            if result is not None:
                parts = (result,) if isinstance(result, Tensor) else result
                for number, place in outputs:
                    values[place] = parts[number]
            for place in dead:
                values[place] = None
        return [values[place] for place in self.heads]

    def ranks(self, variables: Mapping[str, Tensor | None], device: Device) -> dict[int, int]:
        """By place, the number of axes of values that do not depend on open sizes."""
        values: dict[int, Tensor] = {self.variables[name]: value for name, value in
                                     variables.items() if value is not None}
        for step in self.steps:
            if isinstance(step.run, Creation) and step.run.open:
                continue
            with torch.no_grad(), contextlib.suppress(Exception):  # the real run will raise it
                if isinstance(step.run, Creation):
                    result = step.run([], device)
                else:
                    result = step.run[False](*[values[place] for place in step.inputs])
                parts = (result,) if isinstance(result, Tensor) else result
                values.update((place, parts[number]) for number, place in step.outputs)
        return {place: value.dim() for place, value in values.items()}


def _without_likes(graph: Graph) -> Graph:
    """The graph without the nodes that only copy their input in MXNet's inference."""
    same = {i: node.inputs[0] for i, node in enumerate(graph.nodes)
            if node.op == '_identity_with_attr_like_rhs'}

    def resolved(entries: Sequence[Entry]) -> tuple[Entry, ...]:
        result = []
        for entry in entries:
            while entry.node in same:
                entry = same[entry.node]
            result.append(entry)
        return tuple(result)

    return graph if not same else graph._replace(heads=resolved(graph.heads), nodes=tuple(
        node._replace(inputs=resolved(node.inputs)) for node in graph.nodes))


def _reads(step: Step) -> Iterator[int]:
    yield from step.inputs
    if isinstance(step.run, Creation):
        for _, factors in step.run.sources.values():
            yield from (place for place, _ in factors)


def _if_given(run: Run) -> Run:
    """`run`, for a label that may be left out."""
    @wraps(run)
    def given(*inputs: Tensor | None) -> Any:
        return None if any(value is None for value in inputs) else run(*inputs)
    return given


class LoopStep:
    """``_foreach``: runs a graph for every step along its sequences' first axis."""

    def __init__(self, node: Node) -> None:
        self.body = Schedule(node.subgraphs[0])
        graph, places, self._first, states = node.body
        self._second = self._first + states
        #: Names of the body's variables, in the order of the loop's inputs.
        self._names = [graph.nodes[place].name for place in places]
        self.outputs, self._name = node.num_out_data, node.name

    def split(self, inputs: Sequence[T]) -> tuple[Sequence[T], ...]:
        """Sequences, states, and the inputs that every step shares."""
        return inputs[:self._first], inputs[self._first:self._second], inputs[self._second:]

    def step(self, rows: Sequence[T], states: Sequence[T], others: Sequence[T]) -> dict[str, T]:
        """The body's variables."""
        return dict(zip(self._names, (*rows, *states, *others)))

    def _run(self, training: bool, inputs: Sequence[Tensor]) -> list[Tensor]:
        sequences, states, others = self.split(inputs)
        if any(each.shape[0] != sequences[0].shape[0] for each in sequences):
            raise ValueError('%s must read sequences with the same number of steps, got %s' % (
                self._name, ', '.join(str(each.shape[0]) for each in sequences)))
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
