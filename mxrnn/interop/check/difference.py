"""How far outputs are apart, and which node of a graph is the first that differs."""
from __future__ import annotations

import functools
import itertools
import re
from typing import Callable, Iterator, Optional, Sequence

import numpy as np

from ..._graph.graph import Entry, Graph, Node, output_name
from ..._graph.operator_table import has
from ..model import Model
from ..run.exported_file import ExportedFile
from ..run.reference import Data, Reference
from ..seals import other_model

__all__ = ['NOISE', 'Exporter', 'Seen', 'beyond', 'difference', 'draws', 'first_different',
           'first_with_numbers', 'known', 'noise_of', 'of_file', 'outputs_that_draw', 'part',
           'telling']

#: A difference may be `NOISE` times the effect of rounding, which is the largest of up to `_RUNS`
#: runs: one run may by chance barely move a number.
NOISE, _RUNS = 16, 8
#: Operators whose results may be almost 1, so that little is left if they are subtracted from it.
_SATURATING = 'Activation', 'sigmoid', 'tanh', 'erf', 'softmax', 'exp'
#: Exports a model with other outputs; None if nothing can.
Exporter = Optional[Callable[[Model], ExportedFile]]


def first_different(checkpoint: Reference, again: Exporter, data: Data, own: bool, at: int) -> str:
    """The first node, in the graph's order, on which output `at` depends and which differs: that
    of the output itself if the graph cannot be run with all nodes as outputs; '' if nodes only
    make something else of NaN, or of infinity. `own` says whether the data have the sizes of the
    checkpoint's own graph."""
    graph = checkpoint.model.graph
    found = _inner(checkpoint, again, data, own, at)
    odd: set[Entry] = set()  # what such nodes make, and all that is made of it
    for entry, (got, wanted, noise) in found.items():
        node = graph.nodes[entry.node]
        if not odd.isdisjoint(node.inputs):
            odd.add(entry)
        elif beyond(known(got, wanted), wanted, noise).any():
            read = [~np.isfinite(found[each][1]) for each in node.inputs if each in found]
            lost = [places for places in read if places.any()]
            if not lost or got.shape != wanted.shape:
                return _said(graph, entry)
            # An element of an operator with one input, element by element, reads its own place.
            kept = ~lost[0] if has(node.op, 'elementwise') else np.zeros(got.shape, bool)
            if beyond(got[kept], wanted[kept], noise[kept]).any():
                return _said(graph, entry)
            odd.add(entry)
    return '' if odd else _said(graph, graph.heads[at])


def first_with_numbers(checkpoint: Reference, again: Exporter, data: Data, own: bool, at: int
                       ) -> str:
    """The first node, as in `first_different`, that has numbers in the file and NaN in the
    checkpoint, although its inputs are finite; '' if there is none."""
    graph = checkpoint.model.graph
    found = _inner(checkpoint, again, data, own, at)
    odd = {entry for entry, (_, wanted, _) in found.items() if not np.isfinite(wanted).all()}
    return next((_said(graph, entry) for entry, (*pair, _) in found.items() if _has_numbers(*pair)
                 and odd.isdisjoint(graph.nodes[entry.node].inputs)), '')


def _said(graph: Graph, entry: Entry) -> str:
    node = graph.nodes[entry.node]
    return '%s (%s)' % (node.name, node.op or 'an input')


def _inner(checkpoint: Reference, again: Exporter, data: Data, own: bool, at: int
           ) -> dict[Entry, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """What the file and the checkpoint give for all entries on which output `at` depends, and for
    itself, when they are outputs, and its noise; {} if that cannot be found out."""
    model = checkpoint.model
    nodes, head = model.graph.nodes, model.graph.heads[at]
    read = {entry for place in model.graph._replace(heads=(head,)).needed()
            for entry in nodes[place].needed_inputs if not nodes[entry.node].is_variable}
    heads = sorted(read | {head})
    if again is None:
        return {}
    part = model._replace(graph=model.graph.ending_in(heads))
    try:
        got, other = again(part).outputs(data, []), checkpoint.of(part)
        data = {name: array for name, array in data.items() if name in part.graph.arguments}
        wanted = other.outputs(data, own)
        noise = noise_of(other, data, own, got, wanted)
    except (ValueError, NotImplementedError):
        return {}
    return dict(zip(heads, zip(got, wanted, noise)))


def of_file(model: Model, file: ExportedFile, path: str) -> Model:
    """The model with the outputs that a file has; the file's inputs must be the model's.

    In ONNX, an output is numbered if it occurs twice or has an input's name. An output that is an
    input is renamed.
    """
    inputs, graph = [name for name, _, _ in file.inputs], model.graph
    if not set(inputs) <= set(model.inputs):
        labels = graph.labels()
        raise other_model(path, 'inputs are %s, the checkpoint has %s', inputs, [
            name for name in model.inputs if name not in labels])
    if len(file.names) == len(graph.heads) and all(
            re.fullmatch(re.escape(own) + r'(_output)?(_\d+)?', name)
            for name, own in zip(file.names, graph.outputs)):
        return model
    known = {**{name + '_output': name for name in graph.arguments}, **{
        name: name for node in graph.nodes for name in (
            output_name(node, at) for at in range(node.num_outputs))}}
    try:
        return model._replace(graph=graph.select([
            known.get(name, known.get(re.sub(r'_\d+$', '', name), name)) for name in file.names]))
    except ValueError:
        raise other_model(path, 'outputs are %s, the checkpoint has %s', file.names,
                          graph.outputs) from None


def draws(node: Node) -> bool:
    """Whether a node draws at random, also in inference."""
    return has(node.op, 'samples') or node.op == 'Dropout' and node.mode == 'always'


def outputs_that_draw(graph: Graph) -> dict[str, str]:
    """By output that depends on random numbers, the node that draws them."""
    if not any(map(draws, graph.walk())):
        return {}
    found = {name: next((node.title for node in graph.ending_in([head]).walk() if draws(node)), '')
             for name, head in zip(graph.outputs, graph.heads)}
    return {name: node for name, node in found.items() if node}


def difference(got: np.ndarray, wanted: np.ndarray) -> float:
    """The largest difference relative to the largest value; infinite if NaNs or infinities differ,
    or shapes. It says how exact an output is, not whether all of it is right: a number may be wrong
    beside a much larger one (`beyond`)."""
    return part(_apart(got, wanted), wanted)


def _apart(got: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """By number, the difference; infinite if one of both is NaN or infinite, or the shape is
    another."""
    if got.shape != wanted.shape:
        return np.array(np.inf)
    one, other = got.astype('float64'), wanted.astype('float64')
    same = (one == other) | np.isnan(one) & np.isnan(other)
    with np.errstate(invalid='ignore'):
        return np.where(same, 0, np.nan_to_num(np.abs(one - other), nan=np.inf, posinf=np.inf))


def part(apart: np.ndarray, wanted: np.ndarray) -> float:
    """The largest of these differences, relative to the largest value."""
    return float(apart.max(initial=0.0) / (_largest(wanted) or 1.0))


def _largest(array: np.ndarray) -> float:
    return float(np.abs(array[np.isfinite(array)].astype('float64')).max(initial=0.0))


def beyond(got: np.ndarray, wanted: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Which numbers differ by more than rounding: by more than 1e-5, or a few units in the last
    place, of the largest number with the same place along some axis, such as that of a feature, and
    several times the `noise` beside."""
    if got.shape != wanted.shape:
        return np.array(True)
    near, tiny = _limits(wanted)
    size = np.abs(np.where(np.isfinite(wanted), wanted, 0)).astype('float64')
    every = range(size.ndim)
    size = functools.reduce(np.minimum, [size.max(axis=tuple({*every} - {axis}), initial=0,
                                                  keepdims=True) for axis in every], size.max(
                                                      initial=0))
    return np.asarray(_apart(got, wanted) > near * size + NOISE * noise + tiny)


def _limits(array: np.ndarray) -> tuple[float, float]:
    """The relative difference that rounding may make, and the type's smallest normal number."""
    kind = np.finfo(array.dtype if array.dtype.kind == 'f' else 'float32')
    return max(1e-5, 8 * float(kind.eps)), float(kind.tiny)


def telling(got: np.ndarray, wanted: np.ndarray, noise: np.ndarray) -> list[np.ndarray]:
    """Both with NaN where rounding alone may change a number by half the largest value, or where
    they differ by less than the type's smallest normal number, below which libraries make 0."""
    apart, largest, (near, tiny) = _apart(got, wanted), _largest(wanted), _limits(wanted)
    lost = (NOISE * noise > .5 * largest) | (near * largest < apart) & (apart <= tiny)
    return [np.where(lost, np.nan, each) if lost.any() and got.shape == wanted.shape else each
            for each in (got, wanted)]


def noise_of(checkpoint: Reference, data: Data, own: bool, got: Sequence[np.ndarray],
             wanted: Sequence[np.ndarray]) -> list[np.ndarray]:
    """How far each number of the outputs moves if all that is read and computed on the way changes
    by as much as rounding changes it: the most in some runs, which end when that explains how far
    `got` is from `wanted`. A node of float16 makes only what is computed from it less exact."""
    noise, runs = [np.zeros(each.shape) for each in wanted], _moves(checkpoint, data, own, wanted)
    got = [*map(known, got, wanted)]
    for _ in range(_RUNS):
        if not any(places.any() for places in map(beyond, got, wanted, noise)):
            break
        noise = [*map(np.maximum, noise, next(runs))]
    return noise


def _moves(checkpoint: Reference, data: Data, own: bool, wanted: Sequence[np.ndarray]
           ) -> Iterator[list[np.ndarray]]:
    """By run, how far rounding moves each number. Only torch's operations can all be rounded in
    another way; without it, what is read is, and the most of an output counts for all of it; and
    so are the results of `_SATURATING`."""
    try:
        rounding, torch = checkpoint.in_torch()
        before = torch.outputs(data, own)
    except (ImportError, ValueError, NotImplementedError):
        rounding = None
    for seed in itertools.count():
        random = np.random.RandomState(seed)
        changed = {
            name: array if array.dtype.kind != 'f' or (array == np.round(array)).all() else
            (array * (1 + np.finfo(array.dtype).eps * random.uniform(-1, 1, array.shape))
             ).astype(array.dtype)
            for name, array in {**checkpoint.model.arg_params, **data}.items()}
        if rounding is None:
            other = checkpoint.changed(functools.partial(_rounded, random=random))
            yield [np.maximum(_apart(rounded, each), max(
                _apart(moved, each).max(initial=0), 1e-5 / NOISE * _largest(each)))
                for rounded, moved, each in zip(
                    other.outputs(data, own), checkpoint.outputs(changed, own), wanted)]
        else:
            with rounding(seed):
                yield [*map(_apart, torch.outputs(changed, own), before)]


def _rounded(graph: Graph, random: np.random.RandomState) -> Graph:
    """The graph in which results of `_SATURATING` are the next smaller or larger numbers."""
    nodes: list[Node] = []
    places: list[int] = []

    def now(entries: Sequence[Entry]) -> tuple[Entry, ...]:
        return tuple([Entry(places[entry.node], entry.output) for entry in entries])
    for node in graph.nodes:
        nodes.append(node._replace(inputs=now(node.inputs)))
        if node.op in _SATURATING:
            factor = str(1 + random.choice([-1, 1]) * 2. ** -23)
            nodes.append(Node('_mul_scalar', node.name + '_rounded', {'scalar': factor},
                              (Entry(len(nodes) - 1, 0),)))
        places.append(len(nodes) - 1)
    return graph._replace(nodes=tuple(nodes), heads=now(graph.heads))


def known(got: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """An array of a file with NaN where the checkpoint has it."""
    return np.where(np.isnan(wanted), np.nan, got) if got.shape == wanted.shape else got


def _has_numbers(got: np.ndarray, wanted: np.ndarray) -> bool:
    """Whether an array of a file has a number where the checkpoint has NaN."""
    return bool(np.isnan(known(got, wanted)).sum() > np.isnan(got).sum())


class Seen:
    """Compares outputs for data of one range after the other, and keeps what that shows of each.

    What file and checkpoint make of NaN is no difference yet: onnxruntime's LSTM and GRU make
    numbers of it, and MXNet's relu makes 0. The output must then be finite, and equal, for data of
    another range.

    Attributes
    ----------
    finite : dict
        By output, the largest share of finite numbers in a run that was compared.
    passed : set of str
        Outputs with numbers for NaN.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.finite = dict.fromkeys(names, 0.)
        self.passed: set[str] = set()

    def difference(self, name: str, got: np.ndarray, wanted: np.ndarray) -> float:
        """The `difference`, without numbers of the file for NaN."""
        if _has_numbers(got, wanted):
            self.passed.add(name)
        return difference(known(got, wanted), wanted)

    def keep(self, name: str, wanted: np.ndarray) -> None:
        """Note that an output was compared."""
        share = float(np.isfinite(wanted).mean()) if wanted.size else 1.
        self.finite[name] = max(self.finite[name], share)

    def whole(self) -> bool:
        """Whether each output was finite in a run."""
        return all(share == 1 for share in self.finite.values())

    def missed(self) -> dict[str, str]:
        """By output of which no run shows that it is equal, the reason."""
        reasons = ('has no finite number, depends on NaN, is too close to 0, or changes a lot by '
                   'rounding alone, for all data that were tried',
                   'is NaN in places for all data that were tried, and the file has numbers there')
        return {name: reasons[share > 0] for name, share in self.finite.items()
                if not share or share < 1 and name in self.passed}
