"""An exported file against its checkpoint, on the same data."""
from __future__ import annotations

import re
import zipfile
from typing import Any, Mapping, NamedTuple, Sequence

import numpy as np

from .._graph.graph import Graph, output_name
from .._graph.shapes.inputs import ShapesError, found_shapes
from .file_runners import ExportedFile, open_file
from .model import Model
from .mxnet_process import of_mxnet
from .random_data import data_for, settle_shapes
from .reference import Input, ReferenceModel, needed, of_torch

__all__ = ['Differences', 'begins_of', 'compare', 'data_of', 'difference', 'of_file', 'own_shapes']


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
        File of `numpy.savez` with the data; random data otherwise.
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
    file = open_file(path)
    model = of_file(model, file, path)
    library = of_mxnet() or of_torch()
    if library is None:
        raise ImportError('the checkpoint is run by MXNet or by torch, and neither is installed: '
                          'pip install torch')
    begins = begins_of(model, file)
    for name in begins:
        if name in given:
            raise ValueError('%s must not be given for a file with states, which begin with zeros'
                             % name)
    stated = own_shapes(model)
    data = data_of(model.graph, _as_unrolled(file.inputs, stated, begins), shapes, given, seed)
    data.update((name, np.zeros_like(data[name])) for name in begins)
    length = file.steps(data) if file.steps else 0
    chunks = [count for count in (1, length - 1) if length and count]
    try:
        rolled, wanted = ReferenceModel(model, *library).outputs(data)
    except ValueError as error:
        own = ' '.join('%s=%s' % (name, ','.join(map(str, shape)))
                       for name, shape in stated.items())
        said, dot, reason = str(error).partition('. ')
        raise ValueError('%s%s (sizes that --input does not give are made up)%s%s' % (
            said, own and ', but ' + own, dot, reason)) from None
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


def begins_of(model: Model, file: ExportedFile) -> list[str]:
    """The begin states of a checkpoint that a file with states does not take."""
    return sorted(needed(model.graph).intersection(model.inputs) - {
        name for name, _, _ in file.inputs}) if file.steps else []


def difference(got: np.ndarray, wanted: np.ndarray) -> float:
    """The largest difference, relative to the largest value; both have the same infinities."""
    one, other = got.astype('float64'), wanted.astype('float64')
    apart = ~((one == other) | np.isnan(one) & np.isnan(other))
    largest = np.abs(other[np.isfinite(other)]).max(initial=0.0)
    return float(np.abs(one[apart] - other[apart]).max(initial=0.0) / (largest or 1.0))


# ---- data

def own_shapes(model: Model) -> Mapping[str, Sequence[Any]]:
    """Shapes of inputs as the graph has them, not rolled up; {} if it does not tell them."""
    params, read = {**model.arg_params, **model.aux_params}, needed(model.graph)
    names = [name for name in model.inputs if name in read and name not in params]
    try:
        return found_shapes(model.graph, {
            name: np.shape(array) for name, array in params.items()}, {}, names).shapes
    except ShapesError:
        return {}


def _as_unrolled(inputs: Sequence[Input], stated: Mapping[str, Sequence[Any]],
                 begins: Sequence[str]) -> list[Input]:
    """Inputs in which axes that may be any in the file have the sizes of the graph, if any; and
    begin states that the file does not take."""
    pairs = [(size, own) for name, shape, _ in inputs
             for size, own in zip(shape or (), stated.get(name, ())) if not isinstance(size, int)]
    numbers = {size: own for size, own in pairs if isinstance(own, int)}
    names = {own: size for size, own in pairs if isinstance(own, str)}
    return [(name, stated.get(name) if shape is None else [numbers.get(size, size)
                                                           for size in shape], kind)
            for name, shape, kind in inputs] + [
        (name, [names.get(size, size) for size in stated[name]] if name in stated else None,
         np.dtype('float32')) for name in begins]


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
