"""Shapes of inputs that nobody gave, as far as the graph tells them."""
from __future__ import annotations

import contextlib
import copy
from typing import Iterator, Mapping, NamedTuple, Sequence, Tuple, Union

import numpy as np

from ..._graph.graph import Entry, Graph, Node
from ..._graph.operators import row
from ..._graph.rolling import RolledGraph
from ..._graph.shapes.sizes import Axis, Size, resolve
from ..registry import ExportError
from .conversion import Conversion, Shape, some

__all__ = ['Named', 'found_shapes']


def _furthest(node: Node) -> int:
    """How many axes the first input has at least, as attributes name one."""
    known = row(node.op)
    if node.op in ('expand_dims', 'stack'):
        return 0
    named = [getattr(node, key) for key in ('axis', 'axes', 'dim', 'dim1', 'dim2')
             if known is not None and key in known.attributes]
    axes = [axis for value in named for axis in (value if isinstance(value, tuple) else (value,))
            if axis is not None]
    return max([1 + axis for axis in axes] + [-axis for axis in axes] + [0])


#: A value in a graph or in the body of one of its loops: the graph's identity, node and output.
_Key = Tuple[int, int, int]


class _Ranks:
    """Numbers of axes as unknowns of which the differences are known."""

    def __init__(self) -> None:
        #: Each value's number is that of another value and so many more.
        self._above: dict[_Key, tuple[_Key, int]] = {}
        self._numbers: dict[_Key, int] = {}
        self._least: dict[_Key, int] = {}

    def _root(self, key: _Key) -> tuple[_Key, int]:
        path, more = [], 0
        while key in self._above:
            path.append((key, more))
            key, step = self._above[key]
            more += step
        for each, before in path:
            self._above[each] = (key, more - before)
        return key, more

    def number(self, key: _Key) -> int | None:
        """How many axes a value has, if that is known."""
        root, more = self._root(key)
        return self._numbers[root] + more if root in self._numbers else None

    def settle(self, key: _Key, number: int) -> None:
        """Say how many axes a value has; what was said first stays."""
        root, more = self._root(key)
        self._numbers.setdefault(root, number - more)

    def at_least(self, key: _Key, number: int) -> None:
        """Say how many axes a value has at least."""
        root, more = self._root(key)
        self._least[root] = max(self._least.get(root, 0), number - more)

    def guess(self, key: _Key, number: int) -> None:
        """Settle what is not known: `number`, or more where it must have more."""
        root, more = self._root(key)
        self.settle(key, max(number, self._least.get(root, 0) + more))

    def relate(self, key: _Key, other: _Key, more: int = 0) -> None:
        """Say that `key` has so many axes more than `other`."""
        (root, one), (base, two) = self._root(key), self._root(other)
        if root != base:
            step = two + more - one
            self._above[root] = (base, step)
            if root in self._numbers:
                self._numbers.setdefault(base, self._numbers.pop(root) - step)
            if root in self._least:
                self._least[base] = max(self._least.get(base, 0), self._least.pop(root) - step)


class _Guess(NamedTuple):
    """How many axes programs nearly always give a value."""

    key: _Key
    words: bool
    axes: int = 2


def ranks_of(graph: Graph, known: Mapping[str, int]) -> Iterator[dict[str, int]]:
    """Numbers of axes of the variables that are not in `known`, the likeliest first.

    Where the operators leave them open, numbers of words are (batch, time), and what goes into a
    FullyConnected is (batch, channels).
    """
    ranks = _Ranks()
    guesses: list[_Guess] = []
    _state(graph, ranks, guesses, known)
    for guess in sorted(guesses, key=lambda guess: not guess.words):
        ranks.guess(guess.key, guess.axes)
    places = {node.name: (id(graph), i, 0) for i, node in enumerate(graph.nodes)
              if node.is_variable and node.name not in known}
    for other in (2, 3, 1, 4):
        tried = copy.deepcopy(ranks)
        for key in places.values():
            tried.guess(key, other)
        yield {name: tried.number(key) or other for name, key in places.items()}
        if all(ranks.number(key) for key in places.values()):
            return


def _state(graph: Graph, ranks: _Ranks, guesses: list[_Guess], known: Mapping[str, int]) -> None:
    """Enter what the nodes of a graph, and of the bodies of its loops, say."""
    def key(entry: Entry) -> _Key:
        return id(graph), entry.node, entry.output
    for place, node in enumerate(graph.nodes):
        own = id(graph), place, 0
        if node.is_variable:
            stated = node.get('__shape__')
            if node.name in known:
                ranks.settle(own, known[node.name])
            elif isinstance(stated, tuple) and stated:
                ranks.settle(own, len(stated))
            continue
        inputs = [key(entry) for entry in node.inputs]
        if node.op == '_foreach' and len(node.subgraphs) == 1:
            _state_loop(node, own, inputs, ranks, guesses)
            continue
        _state_node(node, [(id(graph), place, i) for i in range(node.num_outputs)], inputs, ranks)
        if node.op in ('Embedding', '_contrib_SparseEmbedding'):
            guesses.append(_Guess(inputs[0], True))
        elif node.op == 'dot' or node.op == 'FullyConnected' and node.flatten:
            guesses.append(_Guess(inputs[0], False))
        elif node.op == 'FullyConnected':  # with two axes nobody needs to say flatten=False
            guesses.append(_Guess(inputs[0], False, 3))


def _state_node(node: Node, outputs: list[_Key], inputs: list[_Key], ranks: _Ranks) -> None:
    """Enter what the row of an operator says."""
    known = row(node.op)
    numbers = known.axes if known is not None else ()
    if callable(numbers):
        numbers = numbers(node)
    if not inputs and node.attrs.get('shape'):
        numbers = (len(node.shape),)
    for value, number in zip([outputs[0], *inputs], numbers):
        if number is not None:
            ranks.settle(value, number)
    if not inputs:
        return
    ranks.at_least(inputs[0], _furthest(node))
    more = known.more_axes if known is not None else 0
    if callable(more):
        more = more(node)
    if more is not None:
        for value in outputs:
            ranks.relate(value, inputs[0], more)
    if more == 0 and (node.op.startswith(('elemwise_', 'broadcast_', '_')) or node.op in (
            'Concat', 'add_n', 'where', 'slice_like', 'amp_multicast')):
        for value in inputs[1:]:
            ranks.relate(value, inputs[0])


def _state_loop(node: Node, own: _Key, inputs: list[_Key], ranks: _Ranks,
                guesses: list[_Guess]) -> None:
    """Enter what the body of a loop says of the loop's inputs and outputs."""
    body = node.body.graph
    for at, (value, place) in enumerate(zip(inputs, node.body.places)):
        ranks.relate((id(body), place, 0), value, -1 if at < node.body.data else 0)
    _state(body, ranks, guesses, {})
    for i, head in enumerate(body.heads):
        ranks.relate((own[0], own[1], i), (id(body), head.node, head.output),
                     1 if i < node.num_out_data else 0)


#: Shapes as users give them.
Named = Tuple[Union[int, str], ...]


def found_shapes(graph: Graph, params: Mapping[str, np.ndarray], given: Mapping[str, Shape],
           types: Mapping[str, str], missing: Sequence[str], whole: RolledGraph | None = None
           ) -> tuple[dict[str, Named], list[str]]:
    """Shapes of the inputs `missing`, and what there is to say of them.

    The graph is converted with axes that become numbers where it needs numbers. Operators that ONNX
    does not have tell nothing. Numbers of steps are those of the `whole` graph, of which it was
    rolled up, where it depends on them.
    """
    ranks = {**{name: np.ndim(array) for name, array in params.items()},
             **{name: len(shape) for name, shape in given.items()}}
    fault: object = None
    for told in ranks_of(graph, ranks):
        shapes = {name: tuple(Axis(free=True) for _ in range(told[name])) for name in missing}
        conversion = Conversion(graph, params, {**given, **shapes}, types, partial=True)
        try:
            conversion.values()
        except ExportError as error:
            fault = fault or error
            continue
        untold = [name for name in missing if name not in conversion.told]
        if untold:
            fault = 'only operators that ONNX does not have read %s' % ', '.join(untold)
            missing = untold
            break
        result = _Names(graph, given, shapes)
        if result.others:  # once more: the numbers and the batch may tell an axis beside them
            again = _again(result.shapes, shapes)
            with contextlib.suppress(ExportError):
                Conversion(graph, params, {**given, **again}, types, partial=True).values()
                result = _Names(graph, given, again)
        if whole is not None:
            with contextlib.suppress(ExportError):
                again = _again(_with_numbers(graph, params, given, types, result.shapes, whole),
                               shapes)
                Conversion(graph, params, {**given, **again}, types, partial=True).values()
                result = _Names(graph, given, again)
        return result.shapes, result.sentences()
    raise ExportError("%s\nThe shapes of %s do not follow from the graph: give them, as in "
                      "inputs={'%s': ('batch', 35)} (--input %s=batch,35)" % (
                          fault, ', '.join(missing), missing[0], missing[0])) from None


def _with_numbers(graph: Graph, params: Mapping[str, np.ndarray], given: Mapping[str, Shape],
                  types: Mapping[str, str], found: Mapping[str, Named], whole: RolledGraph
                  ) -> dict[str, Named]:
    """The shapes `found`, in which axes that a rolled `graph` cuts by numbers of steps or takes for
    numbers, have those of the `whole` graph."""
    conversion = Conversion(graph, params, {**given, **found}, types, partial=True)
    conversion.values()
    steps = {each.steps for each in whole.findings if each.kind != 'unrolled' and any(
        number > 1 and number % each.steps == 0 for number in conversion.stated)} - {1}
    if not steps and not conversion.believes:
        raise ExportError('nothing depends on a number of steps')
    numbers, _ = found_shapes(whole.graph, params, given, types, list(found))
    return {name: tuple(number if number in steps or conversion.believes
                        and isinstance(number, int) else size
                        for size, number in zip(shape, numbers[name]))
            for name, shape in found.items()}


def _again(found: Mapping[str, Named], shapes: Mapping[str, Sequence[Axis]]
           ) -> dict[str, tuple[Axis, ...]]:
    """Free axes once more, which begin with the numbers that were found and with one batch."""
    def fresh(size: int | str, axis: Axis) -> Axis:
        if size == 'batch':
            return batch
        result = Axis(free=True)
        result.hint = next((each.hint for each in _chain(axis) if each.hint), '')
        result.bound = size if isinstance(size, int) else None
        return result
    batch = Axis(free=True)
    batch.hint = 'batch'
    return {name: tuple(map(fresh, found[name], axes)) for name, axes in shapes.items()}


def _place(graph: Graph, name: str) -> int:
    return next(i for i, node in enumerate(graph.nodes) if node.is_variable and node.name == name)


def _chain(axis: Size | None) -> Iterator[Axis]:
    """The axes that an axis was found to be equal to, itself first."""
    while isinstance(axis, Axis):
        yield axis
        axis = axis.bound


class _Names:
    """Names for the axes of inputs that are free still."""

    def __init__(self, graph: Graph, given: Mapping[str, Shape],
                 shapes: Mapping[str, Sequence[Axis]]) -> None:
        self.shapes: dict[str, Named] = {}
        #: How many axes have a name of no meaning.
        self.others = 0
        self._fixed: dict[str, list[str]] = {}
        self._names: dict[int, str] = {}
        hints = {name: _hints(graph, name, axes) for name, axes in shapes.items()}
        times = {id(resolve(axis)): name for name, axes in shapes.items()
                 for axis, hint in zip(axes, hints[name])
                 if hint == 'time' and isinstance(resolve(axis), Axis)}
        self._many = len(times) > 1 or any('time' in shape for shape in given.values())
        for name, axes in shapes.items():
            stated = graph.nodes[_place(graph, name)].get('__shape__')
            if not isinstance(stated, tuple) or len(stated) != len(axes):
                stated = (0,) * len(axes)
            self.shapes[name] = tuple(
                self._name(name, at, axis, hint, stated[at])
                for at, (axis, hint) in enumerate(zip(axes, hints[name])))

    def _name(self, name: str, at: int, axis: Axis, hint: str, stated: object) -> int | str:
        size = resolve(axis)
        if isinstance(size, int):
            if hint:
                text = 'a batch of %d' if hint != 'time' else '%d steps' if size > 1 else '%d step'
                self._fixed.setdefault(text % size, []).append(name)
            return size
        last = size if isinstance(size, Axis) else axis  # which is bound to a product
        if not last.label and not hint and isinstance(stated, int) and stated > 0:
            return stated
        if not last.label and id(last) not in self._names:
            self.others += not hint
            self._names[id(last)] = (
                '%s_%d' % (name, at) if not hint else
                '%s_time' % name if hint == 'time' and self._many else hint)
        return last.label or self._names[id(last)]

    def sentences(self) -> list[str]:
        """Sentences on steps and batches that are numbers."""
        return ['%s %s %s: the graph has that number in it' % (
            some(names), 'have' if len(names) > 1 else 'has', text)
            for text, names in self._fixed.items()]


def _hints(graph: Graph, name: str, axes: Sequence[Axis]) -> list[str]:
    """How the operators would call the axes of an input: 'batch', 'time' or ''."""
    hints = [next((each.hint for each in _chain(axis) if each.hint), '') for axis in axes]
    if 'batch' not in hints and '' in hints[:2]:
        hints[hints.index('')] = 'batch'
    words = any(reader.op in ('Embedding', '_contrib_SparseEmbedding') and at == 0
                for reader, at in graph.consumers(_place(graph, name)))
    if words and 'time' not in hints and '' in hints:
        hints[hints.index('')] = 'time'
    return hints
