"""The shapes of a model's inputs: checks those of the user, and finds the others."""
from __future__ import annotations

import contextlib
import difflib
import math
from types import MappingProxyType
from typing import Any, Container, Iterator, Mapping, NamedTuple, Sequence, Union

import numpy as np

from ... import _check
from ..._graph.graph import Graph
from ..._graph.rolling import Finding, unrolled
from ..._graph.shapes.missing_shapes import Found, Named, Place, ShapesError, found_shapes
from ..._graph.shapes.ties import STEPS
from ..._graph.shapes.verdicts import Axis, Verdict, judged
from ..registry import ExportError, ShapesNeeded

__all__ = ['Request', 'Shapes', 'TiedError', 'WrongSizeError', 'as_options', 'as_typed',
           'blaming_axes', 'check_shapes', 'check_types', 'graph_shapes', 'guarded', 'guesses',
           'of_graph', 'other_types', 'shapes_found', 'without_number']

#: Inputs' shapes by name: numbers, and names for axes of any size.
Shapes = Mapping[str, Sequence[Union[int, str]]]


class Request(NamedTuple):
    """A graph, and what a file of it is to take.

    Attributes
    ----------
    graph : Graph
        Rolled up by `structure`.
    arrays : dict
        The parameters.
    typed : dict
        Shapes that the user gave. A name is a demand: any size.
    names : list of str
        The inputs of the file.
    losses : bool
        Whether gradients of losses must be right, too.
    counted : dict
        By input and axis, a number that is the axis' size wherever it ties it.
    ranks : dict
        Numbers of axes of inputs whose shapes were not typed.
    """

    graph: Graph
    arrays: Mapping[str, np.ndarray]
    typed: Shapes
    names: Sequence[str]
    losses: bool = False
    counted: Mapping[Place, int] = MappingProxyType({})
    ranks: Mapping[str, int] = MappingProxyType({})

    @property
    def weights(self) -> dict[str, np.ndarray]:
        """The parameters that are no inputs."""
        return {name: array for name, array in self.arrays.items() if name not in self.names}

    def with_weights(self, shapes: Shapes) -> dict[str, Sequence[int | str]]:
        """The shapes of inputs and of weights."""
        return {**{name: np.shape(array) for name, array in self.weights.items()}, **shapes}

    def judged(self, graph: Graph, own: Mapping[str, Named],
               numbers: Mapping[str, int] = MappingProxyType({})) -> Verdict:
        """The verdict on the graph, or on one that was made of it, with the shapes of inputs."""
        return judged(graph, self.with_weights({}), own, self.losses, numbers)


def as_typed(shapes: Shapes) -> list[str]:
    """Shapes in the form of the command line, such as 'data=8,time'."""
    return ['%s=%s' % (name, ','.join(map(str, shape))) for name, shape in shapes.items()]


def as_options(shapes: Shapes) -> str:
    """The options that state shapes, such as '--input data=8,time'."""
    return ' '.join('--input ' + each for each in as_typed(shapes))


def check_names(name: str, given: object, graph: Graph, params: Container[str]) -> None:
    """Refuse the argument `name` unless it is a dict by names of the graph's variables. The message
    lists those that are data, not labels or parameters."""
    known = graph.arguments + graph.auxiliary
    for key in _check.instance(name, given, Mapping, 'a dict by names of inputs'):
        if key not in known:
            data = [each for each in graph.needed_variables() if each not in params]
            near = difflib.get_close_matches(str(key), known, 1)
            raise ValueError('%s must name inputs of the model: %s; got %r%s' % (
                name, _check.some(data) or 'none', key,
                ': did you mean %s?' % near[0] if near else ''))


def check_shapes(inputs: object, graph: Graph, params: Container[str],
                 weights: bool = False) -> dict[str, Named]:
    """Return `inputs` with Python integers; refuse anything but shapes of the graph's variables
    that are not in `params`, or may be with `weights`."""
    check_names('inputs', inputs, graph, params)
    shapes: dict[str, Named] = {}
    for key, shape in inputs.items():  # type: ignore[attr-defined]
        _check.instance('inputs[%r]' % key, shape, (tuple, list), 'a tuple of names and integers')
        for size in shape:
            if isinstance(size, str) and not size.isidentifier():
                raise ValueError('each axis of inputs[%r] must be a number or a name, as in '
                                 "(8, 'time') (--input %s=8,time), got %r" % (key, key, size))
        shapes[key] = tuple(
            size if isinstance(size, str) else
            _check.integer('each axis of inputs[%r] that is no name' % key, size, 1)
            for size in shape)
        if key in params and not weights:
            raise ValueError('inputs must name inputs of the model, got %r, which is a parameter'
                             % key)
    return shapes


def check_types(types: object, graph: Graph, params: Container[str]) -> None:
    """Refuse `types` unless it maps names of the graph's variables to types."""
    check_names('types', types, graph, params)
    for key, dtype in types.items():  # type: ignore[attr-defined]
        _check.dtype('types[%r]' % key, dtype)
        if isinstance(dtype, str) and dtype not in ('bfloat16', np.dtype(dtype).name):
            raise ValueError("types[%r] must be the full name of a type, such as '%s', got %r"
                             % (key, np.dtype(dtype).name, dtype))


def other_types(types: Mapping[str, Any], weights: str) -> str:
    """The line on inputs whose typed types are not that of the weights; '' if there are none."""
    named = {name: kind if isinstance(kind, str) else np.dtype(kind).name
             for name, kind in types.items()}
    others = ['%s=%s' % each for each in named.items() if each[1] != weights]
    return 'The inputs have other types than the weights, %s: %s (types, --type)' % (
        weights, ', '.join(others)) if others else ''


def shapes_found(graph: Graph, params: Mapping[str, np.ndarray], given: Shapes,
                 missing: Sequence[str], ranks: Mapping[str, int] = {}) -> Found:
    """Shapes that the graph tells. `ranks` are numbers of axes that are known."""
    sizes = {name: np.shape(array) for name, array in params.items()}
    try:
        return found_shapes(graph, sizes, given, missing, ranks)
    except ShapesError as error:
        if not given:
            raise ShapesNeeded(str(error)) from error
        own = graph_shapes(graph, params)
        reason = _other_axes(own, given) or _other_sizes(own, given)
        if reason:  # otherwise the message lists the missing shapes
            raise _blaming(error, reason, own, given) from None
        raise ShapesNeeded('%s\nYou gave these shapes (inputs, --input): %s' % (
            error, '; '.join(as_typed(given)))) from None


def of_graph(found: Shapes) -> str:
    """The part of a refusal that lists the shapes taken from the graph, or ''."""
    shapes = {name: ['…' if size == '%s_%d' % (name, at) else str(size)
                     for at, size in enumerate(shape)] for name, shape in found.items()}
    typed = as_options({name: shape for name, shape in shapes.items() if '…' in shape})
    return '\nThese shapes were taken from the graph; inputs (--input) can change them: %s%s' % (
        '; '.join(as_typed(found)),
        typed and '\nGive the sizes that the graph does not tell in place of …: ' + typed
    ) if found else ''


def _misfit(told: Shapes, given: Shapes) -> str:
    """A sentence on the first input with another number than the graph's, or ''. Names in `given`
    stand for any size."""
    for name, own, shape in _unlike(told, given, True):
        if any(isinstance(size, int) and size != other and not isinstance(other, str)
               for size, other in zip(own, shape)):
            return '%s must be (%s), got %s' % (name, ', '.join(map(str, own)), tuple(shape))
    return ''


def _other_axes(told: Shapes, given: Shapes) -> str:
    """A sentence on `given` shapes with another number of axes than in the graph, or ''."""
    return '; '.join('inputs (--input) must give %s %d ax%ss: %s, got %s' % (
        name, len(own), 'i' if len(own) == 1 else 'e', as_typed({name: own})[0],
        as_typed({name: got})[0])
        for name, own, got in _unlike(told, given, False))


def _blaming(error: Exception, reason: str, told: Shapes, given: Shapes) -> ExportError:
    """An error with a `reason`: alone if an input has too few axes, or if the error asks for 1
    along an axis that it should not have. The error says less then. Inputs of look-ups may have
    more axes than the graph tells."""
    name, axis = error.place if isinstance(error, WrongSizeError) and error.size == 1 else ('', 0)
    alone = any(len(got) < len(own) or each == name and axis >= len(own)
                for each, own, got in _unlike(told, given, False))
    return ExportError(reason if alone else '%s\n%s' % (str(error).partition('\n')[0], reason))


def _other_sizes(told: Shapes, given: Shapes) -> str:
    """A sentence on `given` shapes with other sizes than the graph's, or ''."""
    wrong = _unlike(told, given, True)
    texts = [' '.join(as_typed({each[0]: each[at] for each in wrong})) for at in (1, 2)]
    return 'The graph by itself says %s, but inputs (--input) say %s' % (*texts,) if wrong else ''


def graph_shapes(graph: Graph, params: Mapping[str, Any]) -> dict[str, Named]:
    """The shapes of all inputs that a rolled-up graph tells by itself; {} if it does not."""
    names = [name for name in graph.needed_variables() if name not in params]
    try:
        return shapes_found(graph, params, {}, names).shapes
    except ExportError:
        return {}


def _unlike(found: Shapes, given: Shapes, sizes: bool
            ) -> list[tuple[str, Sequence[int | str], Sequence[int | str]]]:
    """The inputs of which the shapes `found` and `given` differ in the number of axes, or in
    `sizes` too, and both shapes."""
    return [(name, own, given[name]) for name, own in found.items() if name in given and (
        len(given[name]) != len(own) or sizes and any(
            isinstance(size, int) and size != other for size, other in zip(own, given[name])))]


@contextlib.contextmanager
def blaming_axes(graph: Graph, params: Mapping[str, np.ndarray], given: Shapes,
                 findings: Sequence[Finding] = ()) -> Iterator[None]:
    """If the graph is refused for another reason than a tie, name the inputs that were given other
    numbers of axes, or of elements; for a tie, the recurrences of `findings` that stay unrolled."""
    try:
        yield
    except TiedError as error:
        error.args = ('\n'.join([str(error), *unrolled(findings)]),)
        raise
    except ExportError as error:
        if isinstance(error, WrongSizeError):
            error.args = (str(error) + _as_stated(graph, *error.place, error.size),)
        own = graph_shapes(graph, params) if given else {}
        reason = _other_axes(own, given) or '--input' not in str(error) and _misfit(own, given)
        if not reason:
            raise
        raise _blaming(error, reason, own, given) from None


def _as_stated(graph: Graph, name: str, axis: int, size: int) -> str:
    """The clause that the graph states this size of an input's axis, if it does; otherwise ''."""
    shape = next((node.stated_shape for node in graph.nodes if node.name == name), ())
    return ': the graph states the shape %s of %s' % (shape, name) if (
        dict(enumerate(shape)).get(axis) == size) else ''


class WrongSizeError(ExportError):
    """Something else than `size`, the graph's, was typed; `place` is its input and axis."""

    def __init__(self, place: Place, size: int, typed: int | str) -> None:
        super().__init__('axis %d of %s must be %d, got %s' % (
            place[1], place[0], size, 'the name %s, which stands for any size' % typed
            if isinstance(typed, str) else typed))
        self.place, self.size = place, size


class TiedError(ExportError):
    """The graph is not right at a `size` that was typed at `place`, since nodes tie the axis."""

    def __init__(self, place: Place, size: int | str, axis: Axis) -> None:
        nodes = [*dict.fromkeys(str(tie) for tie in axis.ties)]
        super().__init__('axis %d of %s %s: node %s%s%s' % (
            place[1], place[0], 'cannot be any size' if isinstance(size, str) else
            'must be %s, got %d' % (axis.told, size) if axis.told else 'cannot be %d' % size,
            '; node '.join(nodes[:3]),
            '; and %d more' % (len(nodes) - 3) if len(nodes) > 3 else '', axis.remedy))
        self.place, self.size, self.axis = place, size, axis


def without_number(inputs: Any) -> tuple[dict[str, Any], dict[Place, int]]:
    """Shapes in which 'time:35' is 'time', and what was taken out of them, by input and axis."""
    numbers: dict[Place, int] = {}
    named: dict[str, int] = {}

    def plain(key: str, axis: int, size: Any) -> Any:
        if not isinstance(size, str) or ':' not in size:
            return size
        name, _, number = size.partition(':')
        if not name or not number.isdigit():
            raise ValueError('an axis with the number of steps of the unrolled graph must be like '
                             "'time:35', got %r" % size)
        numbers[key, axis] = int(number)
        if named.setdefault(name, int(number)) != int(number):
            raise ValueError('inputs must give axes of %d and %d steps names of their own, got %s '
                             'for both' % (named[name], int(number), name))
        return name
    _check.instance('inputs', inputs, Mapping, 'a dict by names of inputs')
    return {key: [plain(key, axis, size) for axis, size in enumerate(shape)]
            if isinstance(shape, (tuple, list)) else shape for key, shape in inputs.items()
            }, numbers


def guarded(names: Sequence[str], inputs: Mapping[str, Sequence[int | str]]
            ) -> dict[str, list[int]]:
    """The axes of inputs that a file must check, since MXNet refuses unequal sizes and others would
    repeat rows: those that must have the size of an earlier input's axis of the same name, in the
    order of `names`."""
    first: dict[int | str, str] = {}
    later: dict[str, list[int]] = {}
    for name in names:
        for axis, size in enumerate(inputs.get(name, ())):
            if isinstance(size, str) and first.setdefault(size, name) != name:
                later.setdefault(name, []).append(axis)
    return later


def guesses(graph: Graph, name: str, shape: Named) -> list[Named]:
    """The shape that was found of an input, and one with an axis more, if it may have that; none if
    there is no choice."""
    others = [*_steps_of_rows(graph, name, shape), *_groups_of_words(graph, name, shape)]
    return [shape, others[0]] if others else []


def _steps_of_rows(graph: Graph, name: str, shape: Named) -> list[Named]:
    """The other shape of an input that only Reshapes to rows of a batch and its steps read."""
    read = {node.op == 'Reshape' and node.shape for node in graph.nodes
            if name in [graph.nodes[entry.node].name for entry in node.inputs]}
    codes = next(iter(read)) if len(read) == 1 else False
    steps = {node.get(STEPS, 0) for node in graph.nodes} - {0, 1}
    return [(codes[0] // each, each, *codes[1:]) for each in sorted(steps)
            if codes and len(codes) == len(shape) and min(codes) > 0 and codes[0] % each == 0]


def _groups_of_words(graph: Graph, name: str, shape: Named) -> list[Named]:
    """The other shape of an input that only look-ups read, if a Reshape joins groups of their
    vectors, such as the letters of each word."""
    found: list[Named] = []
    for node in graph.nodes:
        vectors = graph.nodes[node.inputs[0].node] if node.op == 'Reshape' else node
        if vectors.op != 'Embedding' or node is vectors or node.shape[0] != -1 or (
                graph.nodes[vectors.inputs[0].node].name != name or len(shape) != 2):
            continue
        size, rest = divmod(math.prod(node.shape[1:]), vectors.output_dim)
        batch, count = shape
        groups, left = divmod(count, size) if isinstance(count, int) and size else (count, 0)
        if size > 1 and not rest and not left and groups != 1:
            found.append((batch, groups, size))
    return found
