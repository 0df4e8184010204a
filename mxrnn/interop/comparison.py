"""An exported file against its checkpoint, on the same data."""
from __future__ import annotations

import os
import zipfile
from typing import Any, Mapping, NamedTuple, Sequence

import numpy as np

from .._graph.graph import Entry, Graph
from .._graph.reading import graph_to_json
from .._graph.rolling import bounds
from .._graph.rolling import roll as roll_graph
from .._graph.shapes.inputs import ShapesError, found_shapes
from .exported import Input, needed, open_file, refusing, run_module
from .model import Model
from .random_data import data_for, settle_shapes

__all__ = ['Differences', 'compare']


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
        a value is not a number.
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
    any, too. MXNet 1.9.1 may give wrong numbers if it was imported before the call
    (docs/mxnet-defects.md: MXNET_DISABLE_MKLDNN_FUSE_FC_ELTWISE). A file with states runs one step
    and then the others, from zeros or from what its encoder gives; begin states that are inputs of
    the checkpoint are zeros then.
    """
    given = {} if data_path is None else _arrays(data_path)
    unknown = sorted((set(shapes) | set(given)) - set(model.inputs))
    if unknown:
        raise ValueError('inputs must be of %s, got %s' % (', '.join(model.inputs),
                                                           ', '.join(unknown)))
    run = open_file(path)
    inputs = [name for name, _, _ in run.inputs]
    if not set(inputs) <= set(model.inputs):
        raise ValueError('%s is of another model: its inputs are %s, those of the checkpoint %s'
                         % (path, ', '.join(inputs), ', '.join(model.inputs)))
    model = model._replace(graph=_of_file(model.graph, path, run.names))
    stated = _own_shapes(model)
    begins = [] if run.chunks is None else sorted(
        needed(model.graph).intersection(model.inputs) - set(inputs))
    for name in begins:
        if name in given:
            raise ValueError('%s must not be given for a file with states, which begin with zeros'
                             % name)
    data = _data(model.graph, _as_unrolled(run.inputs, stated, begins), shapes, given,
                 np.random.RandomState(seed))
    data.update((name, np.zeros_like(data[name])) for name in begins)
    chunks = [] if run.chunks is None else run.chunks(data)
    runner, rolled, wanted = _reference(model, data, stated)
    got = run.outputs(data)
    for name, one, other in zip(run.names, got, wanted):
        if one.shape != other.shape:
            raise ValueError('%s is of another model: its output %s has the shape %s, that of the '
                             'checkpoint %s' % (path, name, one.shape, other.shape))
    return Differences(runner, rolled, {name: array.shape for name, array in data.items()},
                       [(name, _difference(*pair)) for name, pair in
                        zip(model.graph.outputs, zip(got, wanted))],
                       chunks)


def _of_file(graph: Graph, path: str, names: Sequence[str]) -> Graph:
    """The graph of the outputs that a file has; one that is there twice is numbered in ONNX."""
    if len(names) == len(graph.heads) > len(set(graph.outputs)):
        return graph
    try:
        return graph.select(names)
    except ValueError:
        raise ValueError('%s is of another model: its outputs are %s, those of the checkpoint %s'
                         % (path, ', '.join(names), ', '.join(graph.outputs))) from None


def _difference(got: np.ndarray, wanted: np.ndarray) -> float:
    if not got.size:
        return 0.0
    one, other = got.astype('float64'), wanted.astype('float64')
    return float(np.abs(one - other).max() / (np.abs(other).max() or 1.0))


# ---- data

def _own_shapes(model: Model) -> Mapping[str, Sequence[Any]]:
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


def _data(graph: Graph, inputs: Sequence[Input],
          shapes: Mapping[str, Sequence[Any]], given: Mapping[str, np.ndarray],
          random: np.random.RandomState) -> dict[str, np.ndarray]:
    """The given data, and random data for the other inputs."""
    for name, array in given.items():
        if not array.size:
            raise ValueError('the sizes of %s must be at least 1, got %s' % (name, array.shape))
    settled = settle_shapes({name: shape for name, shape, _ in inputs if name not in given}, shapes)
    batches = {shape[0] for shape in settled.values() if len(shape) == 1}
    pairs = [shape[:2] for shape in settled.values() if len(shape) > 1]
    # Lengths are one for each row of the batch, and no larger than the other axis.
    steps = min([size for pair in pairs for size in (set(pair) - batches or pair)] or [1])
    return {name: given[name] if name in given else data_for(
        graph, name, settled[name], kind, steps, random) for name, _, kind in inputs}


# ---- the checkpoint itself

def _reference(model: Model, data: Mapping[str, np.ndarray], stated: Mapping[str, Sequence[Any]]
               ) -> tuple[str, bool, list[np.ndarray]]:
    """The library that ran the checkpoint, whether its steps were rolled up, and its outputs."""
    # MXNet reads these where it is imported. What it fuses may be wrong: docs/mxnet-defects.md.
    os.environ.setdefault('MXNET_SUBGRAPH_VERBOSE', '0')
    os.environ.setdefault('MXNET_DISABLE_MKLDNN_FUSE_FC_ELTWISE', '1')
    length: int | None = None
    try:
        from .._runtime.mxnet import mx
        mx.nd  # noqa: B018  (imported when it is first used)
    except ImportError:  # what torch says next has nothing to do with it
        try:
            from . import to_torch
        except ImportError:
            raise ImportError('the checkpoint is run by MXNet or by torch, and neither is '
                              'installed: pip install torch') from None
        runner = 'torch'

        def run(roll: bool) -> list[np.ndarray]:
            graph = roll_graph(model.graph, length=length).graph if roll else model.graph
            return run_module(to_torch(model._replace(graph=graph), roll=False), 'the checkpoint',
                              data, stated)
    else:
        runner = 'MXNet'

        def run(roll: bool) -> list[np.ndarray]:
            return _run_mxnet(mx, model, data, stated, roll, length)
    try:
        return runner, False, run(False)
    except ValueError as error:
        rolled = roll_graph(model.graph)
        if rolled.graph is model.graph:
            raise
        numbers = {each.steps for each in rolled.findings} | bounds(model.graph)
        length = numbers.pop() if len(numbers) == 1 else None
        try:
            return runner, True, run(True)
        except ValueError:
            raise error from None


def _run_mxnet(mx: Any, model: Model, data: Mapping[str, np.ndarray],
               stated: Mapping[str, Sequence[Any]], roll: bool, length: int | None
               ) -> list[np.ndarray]:
    symbol = mx.sym.load_json(_predictions(model.graph))
    if roll:
        from .._inference.rewriting import roll as roll_symbol
        symbol = roll_symbol(symbol, training=False, length=length)
    shapes = {name: array.shape for name, array in data.items()}
    shapes.update((name, array.shape) for name, array in model.arg_params.items())
    kinds = {name: array.dtype for name, array in {**model.arg_params, **data}.items()}
    with refusing('MXNet', 'the checkpoint', data, stated):
        executor = symbol.simple_bind(mx.cpu(), grad_req='null', type_dict=kinds, **shapes)
    for target, arrays in ((executor.arg_dict, model.arg_params), (executor.arg_dict, data),
                           (executor.aux_dict, model.aux_params)):
        for name, array in arrays.items():
            if name in target:
                target[name][:] = array
    return [each.asnumpy() for each in executor.forward(is_train=False)]


def _predictions(graph: Graph) -> str:
    """JSON of the graph in which loss heads read a label's variable as it is.

    Its shape then follows from the prediction's, whatever the program makes of its labels.
    """
    read, nodes = needed(graph), []
    for node in graph.nodes:
        labels = {entry: _variable(graph, entry) for entry in node.inputs_of('label')}
        nodes.append(node._replace(inputs=tuple(
            labels[entry] if entry in labels and graph.nodes[labels[entry].node].name not in read
            else entry for entry in node.inputs)))
    return graph_to_json(graph._replace(nodes=tuple(nodes)).ending_in(graph.heads))


def _variable(graph: Graph, entry: Entry) -> Entry:
    """The first variable that an output is computed of."""
    while graph.nodes[entry.node].inputs:
        entry = graph.nodes[entry.node].inputs[0]
    return entry
