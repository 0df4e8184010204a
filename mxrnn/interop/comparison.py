"""Compares an exported file with its checkpoint on the same data."""
from __future__ import annotations

import functools
import re
import zipfile
from typing import Any, Mapping, NamedTuple, Sequence

import numpy as np

from .._graph.graph import Graph, output_name
from .._graph.shapes.missing_shapes import ShapesError, found_shapes, told_sizes
from .file_runners import ExportedFile, open_file
from .input_shapes import settle_shapes
from .load_and_save_model import Model
from .model_runners import Input, ReferenceModel, needed, of_torch
from .mxnet_process import begin, forget, of_mxnet
from .random_data import data_for

__all__ = ['Differences', 'Inputs', 'compare', 'difference', 'of_file']


class Differences(NamedTuple):
    """The result of `compare`.

    Attributes
    ----------
    runner : str
        The library that ran the checkpoint: 'MXNet' or 'torch'.
    rolled : bool
        Whether the checkpoint ran with its steps rolled up, because its graph does not take the
        data otherwise.
    shapes : dict
        Of the inputs, by name.
    outputs : list of (str, float)
        The largest difference of each output, relative to the output's largest value; NaN if only
        one of two values is NaN.
    chunks : list of int
        The numbers of steps per run for a file with states; empty for other files.
    """

    runner: str
    rolled: bool
    shapes: dict[str, tuple[int, ...]]
    outputs: list[tuple[str, float]]
    chunks: list[int]


def compare(model: Model, path: str, shapes: Mapping[str, Sequence[Any]],
            data_path: str | None = None, seed: int = 0) -> Differences:
    """Run `model` and the file on the same data; `model` runs in MXNet, or without MXNet in torch.

    Parameters
    ----------
    model : Model
    path : str
        An ONNX file if its name ends in '.onnx', otherwise a file of `save_torch`.
    shapes : dict
        Shapes of inputs, by name.
    data_path : str, optional
        A `numpy.savez` file with the data; random data if None.
    seed : int
        Seed of the random data.

    Raises
    ------
    ImportError
        A needed package is not installed.
    ValueError
        A shape is missing or does not fit, or the file has other inputs or outputs than `model`.

    Notes
    -----
    Axes of any size that no shape gives get 2, 3, ...; a number of steps that `model` was unrolled
    for stays. With another number of steps the checkpoint runs rolled up, as the file does. If all
    its recurrences have the same number of steps, that number is then also free in Reshapes and in
    bounds of lengths. A file with states runs one step, then the other steps. It starts from zeros
    or from its encoder's outputs; the checkpoint's begin states are zeros then.
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
        raise ImportError('neither MXNet nor torch is installed, and one of them must run the '
                          'checkpoint: pip install torch')
    inputs = Inputs(model, file)
    for name in inputs.begins:
        if name in given:
            raise ValueError('leave out %s: a file with states begins with zeros' % name)
    data = inputs.drawn(shapes, given, seed)
    length = file.steps(data) if file.steps else 0
    chunks = [count for count in (1, length - 1) if length and count]
    try:
        rolled, wanted = ReferenceModel(model, *library).outputs(data)
    except ValueError as error:
        own = ' '.join('%s=%s' % (name, ','.join(map(str, shape)))
                       for name, shape in inputs.stated.items())
        said, dot, reason = str(error).partition('. ')
        raise ValueError('%s%s (sizes not given by --input are made up)%s%s' % (
            said, own and ', but ' + own, dot, reason)) from None
    finally:
        forget()
    got = file.outputs(data, chunks)
    for name, one, other in zip(file.names, got, wanted):
        if one.shape != other.shape:
            raise ValueError('%s was exported from another model: its output %s has shape %s, the '
                             "checkpoint's has %s" % (path, name, one.shape, other.shape))
    return Differences(library[0], rolled, {name: array.shape for name, array in data.items()},
                       [(name, difference(*pair)) for name, pair in
                        zip(model.graph.outputs, zip(got, wanted))], chunks)


def of_file(model: Model, file: ExportedFile, path: str) -> Model:
    """The model with the outputs that a file has; the file's inputs must be the model's.

    In ONNX, an output is numbered if it occurs twice or has an input's name. An output that is an
    input is renamed.
    """
    inputs, graph = [name for name, _, _ in file.inputs], model.graph
    if not set(inputs) <= set(model.inputs):
        raise ValueError('%s was exported from another model: its inputs are %s, the checkpoint '
                         'has %s' % (path, ', '.join(inputs), ', '.join(model.inputs)))
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
        raise ValueError('%s was exported from another model: its outputs are %s, the '
                         'checkpoint has %s' % (
                             path, ', '.join(file.names), ', '.join(graph.outputs))) from None


def difference(got: np.ndarray, wanted: np.ndarray) -> float:
    """The largest difference relative to the largest value; infinities must agree."""
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
        The axes that may have any size in the file.
    """

    def __init__(self, model: Model, file: ExportedFile) -> None:
        self._model, self._file = model, file
        self._needed = sorted(needed(model.graph).intersection(model.inputs))
        own = {name for name, _, _ in file.inputs}
        self.begins = [name for name in self._needed if name not in own] if file.steps else []
        self.names = list(dict.fromkeys(size for _, shape, _ in file.inputs
                                        for size in shape or () if isinstance(size, str)))

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
        its windows leave a number."""
        return told_sizes(self._model.graph, self._params(), {
            name: shape for name, shape, _ in self._file.inputs if shape is not None})

    def drawn(self, shapes: Mapping[str, Sequence[Any]] = {},
              given: Mapping[str, np.ndarray] = {}, seed: int = 0,
              sizes: Mapping[str, int] | None = None) -> dict[str, np.ndarray]:
        """Data: `given`, otherwise random. A named axis has its size in `sizes`, otherwise its
        size in the graph; `shapes` gives the shapes of the other inputs."""
        numbers = self.numbers if sizes is None else sizes
        names = {own: size for name, shape, _ in self._file.inputs if self.begins
                 for size, own in zip(shape or (), self.stated.get(name, ()))
                 if isinstance(own, str) and not isinstance(size, int)}

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
    """The arrays in a numpy.savez file."""
    try:
        with open(path, 'rb') as file:
            arrays = np.load(file)
            if not isinstance(arrays, np.ndarray):
                return {name: arrays[name] for name in arrays.files}
    except (ValueError, EOFError, zipfile.BadZipFile):
        pass  # NumPy suggests allow_pickle=True, which would run code from the file
    raise ValueError('%s is not a file of numpy.savez with arrays of numbers' % path)


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
    # Lengths: one for each row of the batch, at most the other axis' size.
    steps = min([size for pair in pairs for size in (set(pair) - batches or pair)] or [1])
    random = np.random.RandomState(seed)
    return {name: given[name] if name in given else data_for(
        graph, name, settled[name], kind, steps, random) for name, _, kind in inputs}
