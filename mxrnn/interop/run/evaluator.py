"""Computes a graph's outputs: the witness of checks on machines without MXNet, never for users.

An operator runs a function of `operators` if it has one, so that its text in a source is compared
with something else, and otherwise its text.
"""
from __future__ import annotations

import contextlib
import functools
import textwrap
from typing import Any, Dict, Iterator, Mapping, Sequence

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

from ..._graph.graph import Entry, Graph, Node
from ..._graph.operator_rows import check_attributes
from ..._graph.shapes.axis_factors import Axes
from ..._graph.shapes.infer import Table, infer
from ..._graph.shapes.sizes import product, resolve
from .._source import methods  # noqa: F401  (it fills SOURCE)
from .._source.class_file import File
from .._source.emitter_api import SOURCE, Expr, Fact, Facts, Size, Unsupported
from .._source.method_writer import MethodWriter
from .._source.python_text import imports_of
from .._source.torch_operators import Run, tensor
from ..model import Model
from ..registry import TORCH
from . import operators  # noqa: F401  (it fills TORCH)

__all__ = ['ConstantDraws', 'Rounding', 'evaluate', 'one_seed', 'variables']

_Arrays = Dict[Entry, Tensor]


def evaluate(graph: Graph, values: Mapping[str, Tensor], training: bool = False) -> list[Tensor]:
    """The outputs of a graph for the values of its variables, by name.

    Labels of losses may be missing if no gradients are computed. Gradients are MXNet's: losses
    ignore the gradient from above, and of an output that occurs twice only the last one has any.

    Raises
    ------
    ValueError
        The graph does not take arrays of these shapes.
    NotImplementedError
        An operator is unknown here.
    """
    table = infer(graph, {name: tuple(value.shape) for name, value in values.items()})
    for fault in table.faults:
        if fault.node.op != '_foreach':  # a state of one row may be repeated by the first step
            raise ValueError(str(fault))
    arrays = _computed(graph, values, table, training)
    return [arrays[head].detach() if head in graph.heads[at + 1:] else arrays[head]
            for at, head in enumerate(graph.heads)]


def variables(model: Model, gradients: bool = False) -> dict[str, Tensor]:
    """A model's weights as tensors; with `gradients`, these are computed of real parameters."""
    found = {name: tensor(array) for name, array in model.params.items()}
    return {name: value.requires_grad_(gradients and value.is_floating_point()
                                       and name in model.arg_params)
            for name, value in found.items()}


@contextlib.contextmanager
def one_seed() -> Iterator[None]:
    """Draw from one seed, on the CPU: other devices take longer."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        yield


#: By operator: a number that it may draw, whatever its parameters; one half for the others.
_DRAWN = {'multinomial': 0., 'poisson': 1., 'bernoulli': 1., 'bernoulli_': 1.}


class ConstantDraws(TorchDispatchMode):  # type: ignore[misc]
    """While it is entered, torch draws one constant for each distribution."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Sequence[Any] = (),
                           kwargs: Mapping[str, Any] | None = None) -> Any:
        drawn = func(*args, **(kwargs or {}))
        if torch.Tag.nondeterministic_seeded not in func.tags or not isinstance(drawn, Tensor):
            return drawn
        name = func._schema.name.rpartition(':')[2]
        if name == 'randint':
            return drawn.fill_(args[0] if func._overloadname.startswith('low') else 0)
        return drawn.fill_(_DRAWN.get(name, .5))


#: Functions that some libraries compute from values near 1 or near the argument: their error is
#: relative to these, not to the result.
_NEAR_ONE = frozenset('tanh sigmoid erf gelu softplus log_sigmoid log1p expm1 elu'.split())


class Rounding(TorchDispatchMode):  # type: ignore[misc]
    """While it is entered, torch changes all that it computes by as much as rounding does.

    Whole numbers stay, since they may be places.
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._random = torch.Generator().manual_seed(seed)
        self._flags = torch.backends.mkldnn.flags(enabled=False)  # its LSTM is one operation

    def __enter__(self) -> Any:
        self._flags.__enter__()
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self._flags.__exit__(*error)

    def __torch_dispatch__(self, func: Any, types: Any, args: Sequence[Any] = (),
                           kwargs: Mapping[str, Any] | None = None) -> Any:
        name = func._schema.name.partition('::')[2].rstrip('_')
        near = args[0].abs() + 1 if name in _NEAR_ONE else None
        made = func(*args, **(kwargs or {}))

        def moved(value: Any) -> Any:
            if not isinstance(value, Tensor) or not value.is_floating_point() or (
                    near is None and bool((value == value.round()).all())):
                return value
            step = torch.rand(value.shape, generator=self._random, dtype=torch.float64) * 2 - 1
            step *= torch.finfo(value.dtype).eps
            size = value.abs() + (0 if near is None else near)
            if name == 'cumsum':  # each sum by way of all before it
                size = size.max()
            return (value + step * size).to(value.dtype)
        aliases = [each.alias_info for each in func._schema.returns if each.alias_info]
        if not aliases:
            return tree_map(moved, made)
        return made.copy_(moved(made)) if aliases[0].is_write else made  # in place, or a view


def _computed(graph: Graph, values: Mapping[str, Tensor], table: Table, training: bool) -> _Arrays:
    """All arrays of a graph."""
    def unread(entry: Entry) -> Tensor | None:
        """A label, whose axes are not in the table; None if it is missing."""
        part = graph.ending_in([entry])
        return evaluate(part, values, training)[0] if {*part.needed_variables()} <= {
            *values} else None
    found: _Arrays = {}
    for place in sorted(graph.needed()):
        node = graph.nodes[place]
        if node.is_variable:
            found[Entry(place, 0)] = values[node.name]
            continue
        inputs = [found[entry] if entry in found else unread(entry) for entry in node.inputs]
        if node.op == '_foreach':
            outputs: Sequence[Tensor] = _loop(node, inputs, table.bodies[place], training)
        else:
            outputs = _outputs(node, inputs, table.axes.get(Entry(place, 0), []), training)
        for at, each in enumerate(outputs):
            found[Entry(place, at)] = each
    return found


def _outputs(node: Node, inputs: Sequence[Any], axes: Axes, training: bool) -> Sequence[Tensor]:
    """The outputs of one node; `axes` are those of the first."""
    operator, read = TORCH.get(node.op), inputs[:len(node.needed_inputs)]  # labels come last
    check_attributes(node)
    try:
        run = operator.make(node) if operator is not None else _written(
            node.op, tuple(node.attrs.items()), len(inputs), node.num_outputs, tuple([Fact(
                tuple(each.shape), str(each.dtype).partition('.')[2]) for each in read]))
    except Unsupported as error:
        raise NotImplementedError('%s: %s' % (node.title, error)) from None
    if operator is None:
        found = run(*read)
    elif operator.creates:
        sizes: Sequence[Size] = [resolve(product(each)) for each in axes] or getattr(
            node, 'shape', ()) or ()
        # Where nothing tells a size, the array is broadcast.
        found = run([size if isinstance(size, int) and size > 0 else 1 for size in sizes], 'cpu')
    else:
        found = run(*[training] * operator.training, *inputs)
    return [found] if isinstance(found, Tensor) else found


def _loop(node: Node, inputs: Sequence[Any], table: Table, training: bool) -> list[Tensor]:
    """``_foreach``: runs a graph for every step along its sequences' first axis."""
    body, places, first, states = node.body
    names = [body.nodes[place].name for place in places]
    state, rest, collected = inputs[first:first + states], inputs[first + states:], []
    for rows in zip(*[sequence.unbind(0) for sequence in inputs[:first]]):
        arrays = _computed(body, dict(zip(names, [*rows, *state, *rest])), table, training)
        results = [arrays[head] for head in body.heads]
        collected.append(results[:node.num_out_data])
        state = results[node.num_out_data:]
    return [*map(torch.stack, zip(*collected)), *state]


@functools.lru_cache(maxsize=1000)
def _written(op: str, attrs: tuple[tuple[str, str], ...], inputs: int, outputs: int,
             read: tuple[Fact, ...]) -> Run:
    """The function that runs the text of a node: a method of a class for this node alone."""
    if op not in SOURCE:
        raise Unsupported('the operator is unknown')
    names = ['x%d' % at for at in range(inputs)]
    node = Node(op, '', dict(attrs), tuple([Entry(at, 0) for at in range(inputs)]),
                num_outputs=outputs)
    graph = Graph((*[Node('', name, {}, ()) for name in names], node),
                  tuple([Entry(inputs, at) for at in range(outputs)]))
    # The shapes of outputs are not known here: what needs them has a function.
    made = Fact((), getattr(node, 'dtype', None) or getattr(node, 'out_dtype', None)
                or read[0].dtype)
    facts = {**dict(zip(node.inputs, read)), **dict.fromkeys(graph.heads, made)}
    file = File({}, set())
    scope = MethodWriter(file, graph, Facts(facts, {}), {
        entry: Expr(name, *fact) for entry, name, fact in zip(node.inputs, names, read)}, [])
    results = scope.emit(graph.heads)
    if scope.faults:
        raise Unsupported(scope.faults[0].partition(': ')[2])
    scope.write('run', names[:len(read)], results, '')
    body = '\n\n'.join([*file.helpers.values(), textwrap.dedent(file.methods[0])])
    space: dict[str, Any] = {}
    exec('\n'.join([*imports_of(body), body]), space)
    return functools.partial(space['run'], None)
