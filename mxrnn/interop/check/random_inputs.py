"""The inputs of a file and of its checkpoint: their shapes, and random data for them, chosen by the
operators that read them."""
from __future__ import annotations

import zipfile
from typing import Any, Callable, Iterator, Mapping, Sequence, Tuple

import numpy as np

from ..._graph.graph import Entry, Graph
from ..._graph.index_inputs import Reader, readers_of
from ..._graph.operator_table import has
from ..model import Model
from ..prepare.lengths import Settled
from ..run.exported_file import ExportedFile

__all__ = ['Inputs', 'arrays_of', 'data_for', 'data_of']

#: Draws numbers of a shape.
Values = Callable[[np.random.RandomState, Tuple[int, ...]], np.ndarray]
#: Ranges to draw from. All are compared in the first; the others are added where outputs are not
#: finite for it: outside their own range, operators such as sqrt and arccosh give NaN.
_RANGES: list[Values] = [
    lambda random, shape: random.normal(size=shape),
    lambda random, shape: random.uniform(.05, .95, shape),
    lambda random, shape: random.uniform(1.05, 2, shape)]

#: Attributes that state how many elements the last axis of an operator's output has, and
#: operators that mostly leave it as their first input has it.
_WIDTHS = ('num_hidden', 'num_filter', 'output_dim', 'state_size')
_KEEP = frozenset('LayerNorm LeakyReLU SliceChannel SwapAxis broadcast_add expand_dims slice_axis'
                  .split())


class Inputs:
    """The inputs of a file and of its checkpoint.

    Attributes
    ----------
    begins : list of str
        Begin states of the checkpoint that a file with states does not take: they are zeros.
    names : list of str
        The axes that may have any size in the file.
    """

    def __init__(self, model: Model, file: ExportedFile, found: Settled) -> None:
        self._model, self._file = model, file
        #: Shapes in the graph; {} if it does not tell them.
        self.stated: Mapping[str, Sequence[Any]] = found.shapes
        self._own = found.own
        own = {name for name, _, _ in file.inputs}
        self.begins = [name for name in sorted({*model.graph.needed_variables()}.intersection(
            model.inputs)) if name not in own] if file.steps else []
        self.names = list(dict.fromkeys(size for _, shape, _ in file.inputs
                                        for size in shape if isinstance(size, str)))

    def drawn(self, shapes: Mapping[str, Sequence[Any]] = {},
              given: Mapping[str, np.ndarray] = {}, seed: int = 0,
              sizes: Mapping[str, int] | None = None, least: int = 2
              ) -> Iterator[dict[str, np.ndarray]]:
        """Data, once for each range of random numbers: `given`, otherwise random. A named axis has
        its size in `sizes`, otherwise its size in the graph; `shapes` has the shapes of the other
        inputs. Other names get `least` and the numbers behind it."""
        numbers = sizes
        if numbers is None:  # the second is what the file leaves open and the graph ties
            numbers = {**{name: fits[0] for name, fits in self._own.items()}, **{
                size: own for name, shape, _ in self._file.inputs
                for size, own in zip(shape, self.stated.get(name, ()))
                if isinstance(size, str) and isinstance(own, int)}}
        names = {own: size for name, shape, _ in self._file.inputs if self.begins
                 for size, own in zip(shape, self.stated.get(name, ()))
                 if isinstance(own, str) and not isinstance(size, int)}

        def sized(shape: Sequence[Any] | None) -> Sequence[Any] | None:
            return shape and [numbers.get(names.get(size, size), size) for size in shape]
        inputs = {
            **{name: (sized(shape), kind) for name, shape, kind in self._file.inputs},
            **{name: (sized(self.stated.get(name)), np.dtype('float32')) for name in self.begins}}
        for values in _RANGES:
            data = data_of(self._model.graph, inputs, shapes, given, seed, least, values)
            yield {**data, **{name: np.zeros_like(data[name]) for name in self.begins}}


def arrays_of(path: str) -> dict[str, np.ndarray]:
    """The arrays in a numpy.savez file."""
    try:
        with open(path, 'rb') as file:
            arrays = np.load(file)
            if not isinstance(arrays, np.ndarray):
                return {name: arrays[name] for name in arrays.files}
    except (ValueError, EOFError, IsADirectoryError, zipfile.BadZipFile):
        pass  # NumPy suggests allow_pickle=True, which would run code from the file
    except OSError as error:
        raise ValueError('data (--data): cannot read %s: %s' % (path, error.strerror)) from None
    raise ValueError('data (--data) must be a file of numpy.savez with arrays of numbers, got %s'
                     % path)


def data_of(graph: Graph, inputs: Mapping[str, tuple[Sequence[Any] | None, np.dtype]],
            shapes: Mapping[str, Sequence[Any]], given: Mapping[str, np.ndarray] = {},
            seed: int = 0, least: int = 2, values: Values = _RANGES[0]) -> dict[str, np.ndarray]:
    """The given data, and random data for the other inputs."""
    for name, array in given.items():
        if not array.size:
            raise ValueError('the sizes of %s must be at least 1, got %s' % (name, array.shape))
    settled = _settle_shapes({name: shape for name, (shape, _) in inputs.items()
                             if name not in given}, shapes, least)
    batches = {shape[0] for shape in settled.values() if len(shape) == 1}
    pairs = [shape[:2] for shape in settled.values() if len(shape) > 1]
    # Lengths: one for each row of the batch, at most the other axis' size.
    steps = min([size for pair in pairs for size in (set(pair) - batches or pair)] or [1])
    random = np.random.RandomState(seed)
    return {name: given[name] if name in given else data_for(
        graph, name, settled[name], kind, steps, random, values)
        for name, (_, kind) in inputs.items()}


def _settle_shapes(inputs: Mapping[str, Sequence[Any] | None],
                  wanted: Mapping[str, Sequence[Any]], least: int) -> dict[str, tuple[int, ...]]:
    """The shapes of inputs; axes with the same name get the same size.

    Parameters
    ----------
    inputs : dict
        Shapes by name. A name as a size stands for any size; None for an unknown shape.
    wanted : dict
        Shapes that the user wants. They also set the sizes of names.
    """
    sizes: dict[str, int] = {}
    for name, shape in inputs.items():
        given = wanted.get(name)
        if given is None:
            continue
        if not all(isinstance(size, int) and size > 0 for size in given):
            raise ValueError('the sizes of %s must be integers of at least 1, got %s'
                             % (name, tuple(given)))
        sizes.update((size, number) for size, number in zip(shape or (), given)
                     if isinstance(size, str))
    settled = {}
    for name, shape in inputs.items():
        chosen = wanted.get(name, shape)
        if chosen is None:
            raise ValueError('the shape of %s must be given: a size for each axis, as in --input '
                             '%s=8,20 for two axes' % (name, name))
        settled[name] = tuple(size if isinstance(size, int) else
                              sizes.setdefault(str(size), least + len(sizes)) for size in chosen)
    return settled


# ---- one input

def data_for(graph: Graph, name: str, shape: tuple[int, ...], kind: Any, steps: int,
             random: np.random.RandomState, values: Values = _RANGES[0]) -> np.ndarray:
    """Data for one input.

    Parameters
    ----------
    graph : Graph
    name : str
    shape : tuple of int
    kind : dtype
        The type of numbers that are neither places nor lengths.
    steps : int
        The largest length.
    random : numpy.random.RandomState
    values : callable
        Draws numbers that are neither places nor lengths.
    """
    readers = list(readers_of(graph, name))
    looked_up = [_places(reader) for reader in readers if reader.input.role == 'index']
    if looked_up:  # in several tables, for instance factors of words
        return random.randint(0, max(min(looked_up), 1), shape).astype('float32')
    for reader in readers:
        if reader.node.op == 'CTCLoss' and reader.at == 1 and len(shape) == 2:
            return _labels(reader, shape, random)
    for reader in readers:
        if reader.input.role == 'length':
            if reader.node.op == 'CTCLoss':  # needs long data and short labels
                of_label = reader.at == 2 + reader.node.use_data_lengths
                return np.full(shape, 1 if of_label else steps, 'float32')
            return random.randint(1, steps + 1, shape).astype('float32')
    if any(reader.input.name == 'condition' for reader in readers):
        return random.randint(0, 2, shape).astype(kind)
    if len(shape) == 1:
        return random.randint(1, steps + 1, shape).astype('float32')
    return values(random, shape).astype(kind)


def _labels(reader: Reader, shape: tuple[int, ...], random: np.random.RandomState) -> np.ndarray:
    """Classes for CTC without the blank, at most half as many as there is room for."""
    classes = max(_width(reader.graph, reader.node.inputs[0]), 2) - 1
    first = reader.node.blank_label == 'first'
    labels = random.randint(1, classes + 1, shape) - (not first)
    lengths = random.randint(1, max(shape[1] // 2, 1) + 1, (shape[0], 1))
    return np.where(np.arange(shape[1]) < lengths, labels, 0 if first else -1).astype('float32')


def _places(reader: Reader) -> int:
    """How many entries a look-up's table has; 2, which is safe, if that is not known."""
    node = reader.node
    for key in ('input_dim', 'depth'):
        if hasattr(node, key):
            return int(getattr(node, key))
    last = getattr(node, 'axis', -1) == -1 and not node.op.endswith('_nd')
    return _width(reader.graph, node.inputs[0]) if last else 2


def _width(graph: Graph, entry: Entry) -> int:
    """How many elements an array's last axis has; 2, which is safe, if that is not known."""
    node = graph.nodes[entry.node]
    while node.op in _KEEP or has(node.op, 'one shape') or has(node.op, 'gathers') or (
            node.op == 'Reshape' and node.shape[-1:] == (0,)):
        node = graph.nodes[node.inputs[0].node]
    for key in _WIDTHS:
        if hasattr(node, key):
            return int(getattr(node, key))
    return node.shape[-1] if node.op == 'Reshape' and node.shape[-1:] > (0,) else 2

