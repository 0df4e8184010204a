"""The inputs of a file and of its checkpoint for a comparison: their shapes, and data for them."""
from __future__ import annotations

import contextlib
import functools
import itertools
import zipfile
from typing import Any, Callable, Iterator, Mapping, Sequence

import numpy as np

from .._graph.graph import Graph
from .._graph.shapes.missing_shapes import ShapesError, found_shapes
from .._graph.shapes.numbers_told_by_nodes import told_sizes
from .file_runners import ExportedFile
from .input_shapes import settle_shapes
from .model import Model
from .random_data import data_for
from .roll_without_steps import roll_once

__all__ = ['Inputs', 'arrays_of', 'own_sizes']

#: Sizes to try for axes of images, and how many sets of sizes are tried.
_IMAGES, _TRIES = (8, 16, 32), 64


class Inputs:
    """The inputs of a file and of its checkpoint, whose `whole` graph may have more outputs.

    Attributes
    ----------
    begins : list of str
        Begin states of the checkpoint that a file with states does not take: they are zeros.
    names : list of str
        The axes that may have any size in the file.
    """

    def __init__(self, model: Model, file: ExportedFile, whole: Graph | None = None) -> None:
        self._model, self._file, self._whole = model, file, whole or model.graph
        self._needed = sorted({*model.graph.needed_variables()}.intersection(model.inputs))
        own = {name for name, _, _ in file.inputs}
        self.begins = [name for name in self._needed if name not in own] if file.steps else []
        self.names = list(dict.fromkeys(size for _, shape, _ in file.inputs
                                        for size in shape if isinstance(size, str)))

    @functools.cached_property
    def stated(self) -> Mapping[str, Sequence[Any]]:
        """Shapes in the graph that is not rolled up; {} if the graph does not tell them."""
        try:
            return found_shapes(self._model.graph, self._params(), {}, self._needed).shapes
        except ShapesError:
            return {}

    def _params(self) -> dict[str, tuple[int, ...]]:
        return {name: array.shape for each in (self._model.arg_params, self._model.aux_params)
                for name, array in each.items()}

    @functools.cached_property
    def numbers(self) -> Mapping[str, int]:
        """The axes that may have any size in the file but are a number in the graph, or of which
        its windows leave a number. Outputs that the file lacks, such as CTC losses, tell more."""
        return self._told(self._model.graph, self._whole)

    @functools.cached_property
    def lasting(self) -> Mapping[str, int]:
        """Those of `numbers` that also the rolled-up graph has, so that no number of steps changes
        them."""
        return self._told(*(roll_once(each).graph for each in (self._model.graph, self._whole))
                          ) if self.numbers else {}

    def _told(self, graph: Graph, whole: Graph) -> dict[str, int]:
        shapes = {name: shape for name, shape, _ in self._file.inputs}
        numbers = told_sizes(graph, self._params(), shapes)
        if self._whole is not self._model.graph:
            names = [name for name in whole.needed_variables() if name not in self._params()]
            with contextlib.suppress(ShapesError):
                numbers.update(
                    (str(shapes[name][axis]), sizes[0]) for (name, axis), sizes in found_shapes(
                        whole, self._params(), {}, names).taken.items()
                    if name in shapes and isinstance(shapes[name][axis], str))
        return numbers

    def drawn(self, shapes: Mapping[str, Sequence[Any]] = {},
              given: Mapping[str, np.ndarray] = {}, seed: int = 0,
              sizes: Mapping[str, int] | None = None) -> dict[str, np.ndarray]:
        """Data: `given`, otherwise random. A named axis has its size in `sizes`, otherwise its
        size in the graph; `shapes` has the shapes of the other inputs."""
        numbers = self.numbers if sizes is None else sizes
        names = {own: size for name, shape, _ in self._file.inputs if self.begins
                 for size, own in zip(shape, self.stated.get(name, ()))
                 if isinstance(own, str) and not isinstance(size, int)}

        def sized(shape: Sequence[Any] | None) -> Sequence[Any] | None:
            return shape and [numbers.get(names.get(size, size), size) for size in shape]
        data = data_of(self._model.graph, {
            **{name: (sized(shape), kind) for name, shape, kind in self._file.inputs},
            **{name: (sized(self.stated.get(name)), np.dtype('float32')) for name in self.begins}},
            shapes, given, seed)
        data.update((name, np.zeros_like(data[name])) for name in self.begins)
        return data


def own_sizes(names: Sequence[str], steps: Sequence[int], told: Callable[[], Mapping[str, int]],
              counted: Mapping[str, int]) -> Iterator[dict[str, int]]:
    """Sizes to try for the axes `names` of a graph of so many `steps`: first the user's numbers of
    steps, `counted`, then those `told` by the graph, unless there is one axis beside the batch; no
    size if it may be any."""
    tried = [*steps, 0, *_IMAGES, *(each * size for each in (2, 4, 8, 16) for size in steps)]

    def together(known: Mapping[str, int]) -> Iterator[dict[str, int]]:
        choices = [[known[name]] if name in known else [0, *steps] if name == 'batch' else tried
                   for name in names]
        for chosen in itertools.islice(itertools.product(*choices), _TRIES):
            yield {name: size for name, size in zip(names, chosen) if size}
    yield from itertools.islice(together(counted), 8 * bool(counted))
    plain, known = together({}), told()
    if len({*names} - {'batch'}) < 2 and 'batch' not in known:
        yield from itertools.islice(plain, 8)
    ways = [*[together(known)] * bool(known), plain]
    alone = ({name: each * size} for each in (1, 2, 4, 8, 16) for size in steps
             for name in names if name != 'batch')
    yield from itertools.chain(*[itertools.islice(way, 8) for way in ways], alone, *ways)


def arrays_of(path: str) -> dict[str, np.ndarray]:
    """The arrays in a numpy.savez file."""
    try:
        with open(path, 'rb') as file:
            arrays = np.load(file)
            if not isinstance(arrays, np.ndarray):
                return {name: arrays[name] for name in arrays.files}
    except (ValueError, EOFError, zipfile.BadZipFile):
        pass  # NumPy suggests allow_pickle=True, which would run code from the file
    raise ValueError('%s is not a file of numpy.savez with arrays of numbers' % path)


def data_of(graph: Graph, inputs: Mapping[str, tuple[Sequence[Any] | None, np.dtype]],
            shapes: Mapping[str, Sequence[Any]], given: Mapping[str, np.ndarray] = {},
            seed: int = 0) -> dict[str, np.ndarray]:
    """The given data, and random data for the other inputs."""
    for name, array in given.items():
        if not array.size:
            raise ValueError('the sizes of %s must be at least 1, got %s' % (name, array.shape))
    settled = settle_shapes({name: shape for name, (shape, _) in inputs.items()
                             if name not in given}, shapes)
    batches = {shape[0] for shape in settled.values() if len(shape) == 1}
    pairs = [shape[:2] for shape in settled.values() if len(shape) > 1]
    # Lengths: one for each row of the batch, at most the other axis' size.
    steps = min([size for pair in pairs for size in (set(pair) - batches or pair)] or [1])
    random = np.random.RandomState(seed)
    return {name: given[name] if name in given else data_for(
        graph, name, settled[name], kind, steps, random) for name, (_, kind) in inputs.items()}
