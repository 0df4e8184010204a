"""The inputs of a file and of its checkpoint for a comparison: their shapes, and data for them."""
from __future__ import annotations

import zipfile
from typing import Any, Mapping, Sequence

import numpy as np

from ..._graph.graph import Graph
from ..model import Model
from ..prepare.lengths import Settled
from ..run.exported_file import ExportedFile
from .random_data import data_for

__all__ = ['Inputs', 'arrays_of', 'data_of']


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
              sizes: Mapping[str, int] | None = None) -> dict[str, np.ndarray]:
        """Data: `given`, otherwise random. A named axis has its size in `sizes`, otherwise its
        size in the graph; `shapes` has the shapes of the other inputs."""
        numbers = {name: fits[0] for name, fits in self._own.items()} if sizes is None else sizes
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
    settled = _settle_shapes({name: shape for name, (shape, _) in inputs.items()
                             if name not in given}, shapes)
    batches = {shape[0] for shape in settled.values() if len(shape) == 1}
    pairs = [shape[:2] for shape in settled.values() if len(shape) > 1]
    # Lengths: one for each row of the batch, at most the other axis' size.
    steps = min([size for pair in pairs for size in (set(pair) - batches or pair)] or [1])
    random = np.random.RandomState(seed)
    return {name: given[name] if name in given else data_for(
        graph, name, settled[name], kind, steps, random) for name, (_, kind) in inputs.items()}


def _settle_shapes(inputs: Mapping[str, Sequence[Any] | None],
                  wanted: Mapping[str, Sequence[Any]]) -> dict[str, tuple[int, ...]]:
    """The shapes of inputs; axes with the same name get the same size.

    Parameters
    ----------
    inputs : dict
        Shapes by name. A name as a size stands for any size; None for an unknown shape.
    wanted : dict
        Shapes that the user wants. They also set the sizes of names; other names get 2, 3, …
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
                              sizes.setdefault(str(size), 2 + len(sizes)) for size in chosen)
    return settled
