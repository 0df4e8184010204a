"""An exported file against its checkpoint, on the same data."""
from __future__ import annotations

import functools
import re
import zipfile
from typing import Any, Mapping, NamedTuple, Sequence

import numpy as np

from .._graph.graph import Graph, output_name
from .._graph.shapes.inputs import Found, ShapesError, found_shapes
from .file_runners import ExportedFile, open_file
from .model import Model
from .mxnet_process import begin, forget, of_mxnet
from .random_data import data_for, settle_shapes
from .reference import Input, ReferenceModel, needed, of_torch

__all__ = ['Differences', 'Inputs', 'compare', 'difference', 'of_file']


class Differences(NamedTuple):
    """The result of `compare`.

    Attributes
    ----------
    runner : str
        What ran the checkpoint: 'MXNet' or 'torch'.
    rolled : bool
        Whether it ran with its steps rolled up, as its graph does not take the data otherwise.
    shapes : dict
        Of the inputs, by name.
    outputs : list of (str, float)
        The largest difference for each output, relative to the output's largest value; NaN where
        one alone of two values is not a number.
    chunks : list of int
        The numbers of steps that a file with states ran at a time; empty for other files.
    """

    runner: str
    rolled: bool
    shapes: dict[str, tuple[int, ...]]
    outputs: list[tuple[str, float]]
    chunks: list[int]


def compare(model: Model, path: str, shapes: Mapping[str, Sequence[Any]],
            data_path: str | None = None, seed: int = 0) -> Differences:
    """Run `model` in MXNet, or in torch where there is no MXNet, and the file, on the same data.

    Parameters
    ----------
    model : Model
    path : str
        An ONNX file if it ends in '.onnx', else one of `save_torch`.
    shapes : dict
        Of inputs, by name.
    data_path : str, optional
        ExportedFile of `numpy.savez` with the data; random data otherwise.
    seed : int
        Of the random data.

    Raises
    ------
    ImportError
        A package that is needed is not installed.
    ValueError
        A shape is missing or does not fit, or the file has other inputs or outputs than `model`.

    Notes
    -----
    Without a shape, axes of any size get 2, 3, ...; but steps for which `model` was unrolled have
    their number. With another number the checkpoint runs rolled up, as the file does; if all its
    recurrences have one number of steps, that number in a Reshape or in bounds of lengths becomes
    any, too. A file with states runs one step and then the others, from zeros or from what its
    encoder gives; begin states that are inputs of the checkpoint are zeros then.
    """
    given = {} if data_path is None else _arrays(data_path)
    unknown = sorted((set(shapes) | set(given)) - set(model.inputs))
    if unknown:
        raise ValueError('inputs must be of %s, got %s' % (', '.join(model.inputs),
                                                           ', '.join(unknown)))
    begin()
    file = open_file(path)
    model = of_file(model, file, path)
    library = of_mxnet() or of_torch()
    if library is None:
        raise ImportError('the checkpoint is run by MXNet or by torch, and neither is installed: '
                          'pip install torch')
    inputs = Inputs(model, file)
    for name in inputs.begins:
        if name in given:
            raise ValueError('%s must not be given for a file with states, which begin with zeros'
                             % name)
    data = inputs.drawn(shapes, given, seed)
    length = file.steps(data) if file.steps else 0
    chunks = [count for count in (1, length - 1) if length and count]
    try:
        rolled, wanted = ReferenceModel(model, *library).outputs(data)
    except ValueError as error:
        own = ' '.join('%s=%s' % (name, ','.join(map(str, shape)))
                       for name, shape in inputs.stated.items())
        said, dot, reason = str(error).partition('. ')
        raise ValueError('%s%s (sizes that --input does not give are made up)%s%s' % (
            said, own and ', but ' + own, dot, reason)) from None
    finally:
        forget()
    got = file.outputs(data, chunks)
    for name, one, other in zip(file.names, got, wanted):
        if one.shape != other.shape:
            raise ValueError('%s is of another model: its output %s has the shape %s, that of the '
                             'checkpoint %s' % (path, name, one.shape, other.shape))
    return Differences(library[0], rolled, {name: array.shape for name, array in data.items()},
                       [(name, difference(*pair)) for name, pair in
                        zip(model.graph.outputs, zip(got, wanted))], chunks)


def of_file(model: Model, file: ExportedFile, path: str) -> Model:
    """The model with the outputs that a file has, whose inputs have to be its own.

    In ONNX an output that is there twice, or has the name of an input, is numbered; one that is an
    input is renamed.
    """
    inputs, graph = [name for name, _, _ in file.inputs], model.graph
    if not set(inputs) <= set(model.inputs):
        raise ValueError('%s is of another model: its inputs are %s, those of the checkpoint %s'
                         % (path, ', '.join(inputs), ', '.join(model.inputs)))
    if len(file.names) == len(graph.heads) and all(
            re.fullmatch(re.escape(own) + r'(_\d+)?', name)
            for name, own in zip(file.names, graph.outputs)):
        return model
    renamed = {name + '_output': name for name in graph.arguments}
    known = {output_name(node, at) for node in graph.nodes for at in range(node.num_outputs)}
    try:
        return model._replace(graph=graph.select([
            renamed[name] if name in renamed and name not in known else name
            for name in file.names]))
    except ValueError:
        raise ValueError('%s is of another model: its outputs are %s, those of the checkpoint %s'
                         % (path, ', '.join(file.names), ', '.join(graph.outputs))) from None


def difference(got: np.ndarray, wanted: np.ndarray) -> float:
    """The largest difference, relative to the largest value; both have the same infinities."""
    one, other = got.astype('float64'), wanted.astype('float64')
    apart = ~((one == other) | np.isnan(one) & np.isnan(other))
    largest = np.abs(other[np.isfinite(other)]).max(initial=0.0)
    return float(np.abs(one[apart] - other[apart]).max(initial=0.0) / (largest or 1.0))


# ---- data

class Inputs:
    """The inputs of a file and of its checkpoint.

    Attributes
    ----------
    begins : list of str
        Begin states of the checkpoint that a file with states does not take: they are zeros.
    names : list of str
        The axes that may be any size in the file.
    """

    def __init__(self, model: Model, file: ExportedFile) -> None:
        self._model, self._file = model, file
        self._needed = sorted(needed(model.graph).intersection(model.inputs))
        own = {name for name, _, _ in file.inputs}
        self.begins = [name for name in self._needed if name not in own] if file.steps else []
        self.names = list(dict.fromkeys(size for _, shape, _ in file.inputs
                                        for size in shape or () if isinstance(size, str)))

    @functools.cached_property
    def _found(self) -> Found:
        try:
            return found_shapes(self._model.graph, {
                name: np.shape(array) for each in (self._model.arg_params, self._model.aux_params)
                for name, array in each.items()}, {}, self._needed)
        except ShapesError:
            return Found({}, [], {}, {}, {})

    @property
    def stated(self) -> Mapping[str, Sequence[Any]]:
        """Shapes as the graph has them, not rolled up; {} if it does not tell them."""
        return self._found.shapes

    def _pairs(self) -> list[tuple[Any, Any]]:
        """Axes that may be any size in the file, and their sizes in the graph."""
        return [(size, own) for name, shape, _ in self._file.inputs
                for size, own in zip(shape or (), self.stated.get(name, ()))
                if not isinstance(size, int)]

    def numbers(self) -> dict[str, int]:
        """The axes that may be any size in the file and have a number in the graph, or of which
        its windows leave a number."""
        found = self._found
        told = {**found.shares, **{key: sizes[0] for each in (found.cut, found.taken)
                                   for key, sizes in each.items()}}
        return {**{size: told[name, at] for name, shape, _ in self._file.inputs
                   for at, size in enumerate(shape or ()) if not isinstance(size, int)
                   and (name, at) in told},
                **{size: own for size, own in self._pairs() if isinstance(own, int)}}

    def drawn(self, shapes: Mapping[str, Sequence[Any]] = {},
              given: Mapping[str, np.ndarray] = {}, seed: int = 0,
              sizes: Mapping[str, int] | None = None) -> dict[str, np.ndarray]:
        """Data: `given`, or random ones. Axes of any size have the `sizes` for their names, without
        these as many elements as the graph says; `shapes` of inputs are for others."""
        numbers = self.numbers() if sizes is None else sizes
        names = {own: size for size, own in self._pairs() if isinstance(own, str)
                 } if self.begins else {}

        def sized(shape: Sequence[Any] | None) -> Sequence[Any] | None:
            return shape and [numbers.get(names.get(size, size), size) for size in shape]
        data = data_of(self._model.graph, [
            (name, self.stated.get(name) if shape is None else sized(shape), kind)
            for name, shape, kind in self._file.inputs] + [
                (name, sized(self.stated.get(name)), np.dtype('float32')) for name in self.begins],
            shapes, given, seed)
        data.update((name, np.zeros_like(data[name])) for name in self.begins)
        return data


def _arrays(path: str) -> dict[str, np.ndarray]:
    """The arrays of a file of numpy.savez."""
    try:
        with open(path, 'rb') as file:
            arrays = np.load(file)
            if not isinstance(arrays, np.ndarray):
                return {name: arrays[name] for name in arrays.files}
    except (ValueError, EOFError, zipfile.BadZipFile):
        pass  # NumPy advises to read it as a pickle, which would run its code
    raise ValueError('%s is no file of numpy.savez with arrays of numbers' % path)


def data_of(graph: Graph, inputs: Sequence[Input],
            shapes: Mapping[str, Sequence[Any]], given: Mapping[str, np.ndarray] = {},
            seed: int = 0) -> dict[str, np.ndarray]:
    """The given data, and random data for the other inputs."""
    for name, array in given.items():
        if not array.size:
            raise ValueError('the sizes of %s must be at least 1, got %s' % (name, array.shape))
    settled = settle_shapes({name: shape for name, shape, _ in inputs if name not in given}, shapes)
    batches = {shape[0] for shape in settled.values() if len(shape) == 1}
    pairs = [shape[:2] for shape in settled.values() if len(shape) > 1]
    # Lengths are one for each row of the batch, and no larger than the other axis.
    steps = min([size for pair in pairs for size in (set(pair) - batches or pair)] or [1])
    random = np.random.RandomState(seed)
    return {name: given[name] if name in given else data_for(
        graph, name, settled[name], kind, steps, random) for name, _, kind in inputs}
