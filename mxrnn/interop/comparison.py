"""An exported file against its checkpoint, on the same data."""
from __future__ import annotations

import contextlib
import os
import zipfile
from typing import Any, Callable, Iterator, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from .._files import CheckpointError, reason_of
from .._graph.graph import Entry, Graph
from .._graph.reading import graph_to_json
from .model import Model
from .random_data import data_for, settle_shapes
from .registry import ExportError

__all__ = ['Differences', 'compare']


class Differences(NamedTuple):
    """The result of `compare`.

    Attributes
    ----------
    runner : str
        What ran the checkpoint: 'MXNet' or 'torch'.
    shapes : dict
        Of the inputs, by name.
    outputs : list of (str, float)
        The largest difference for each output, relative to the output's largest value; NaN where
        a value is not a number.
    """

    runner: str
    shapes: dict[str, tuple[int, ...]]
    outputs: list[tuple[str, float]]


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
    their number, since the checkpoint runs as it is.
    """
    given = {} if data_path is None else _arrays(data_path)
    unknown = sorted((set(shapes) | set(given)) - set(model.inputs))
    if unknown:
        raise ValueError('inputs must be of %s, got %s' % (', '.join(model.inputs),
                                                           ', '.join(unknown)))
    run = _onnx_file(path) if path.endswith('.onnx') else _torch_file(path)
    inputs = [name for name, _, _ in run.inputs]
    if any(name.endswith('_in') and name[:-2] + 'out' in run.names for name in inputs):
        raise ValueError('%s has states, which the checkpoint has inside: compare a file that was '
                         'exported without --states' % path)
    if not set(inputs) <= set(model.inputs):
        raise ValueError('%s is of another model: its inputs are %s, those of the checkpoint %s'
                         % (path, ', '.join(inputs), ', '.join(model.inputs)))
    model = model._replace(graph=_of_file(model.graph, path, run.names))
    stated = _own_shapes(model)
    data = _data(model.graph, _as_unrolled(run.inputs, stated), shapes, given,
                 np.random.RandomState(seed))
    runner, wanted = _reference(model, data, stated)
    got = run.outputs(data)
    for name, one, other in zip(run.names, got, wanted):
        if one.shape != other.shape:
            raise ValueError('%s is of another model: its output %s has the shape %s, that of the '
                             'checkpoint %s' % (path, name, one.shape, other.shape))
    return Differences(runner, {name: array.shape for name, array in data.items()},
                       [(name, _difference(*pair)) for name, pair in
                        zip(model.graph.outputs, zip(got, wanted))])


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


#: Name, shape (None or a name for any size) and type of an input.
_Input = Tuple[str, Optional[Sequence[Any]], np.dtype]


class _File(NamedTuple):
    """A file that is ready to run."""

    inputs: list[_Input]
    #: Of its outputs.
    names: list[str]
    outputs: Callable[[Mapping[str, np.ndarray]], list[np.ndarray]]


def _onnx_file(path: str) -> _File:
    try:
        import onnxruntime
    except ImportError:
        raise ImportError('ONNX files are run by onnxruntime: pip install onnxruntime') from None
    try:
        session = onnxruntime.InferenceSession(path, providers=['CPUExecutionProvider'])
    except Exception as error:  # its own classes, which derive from Exception alone
        raise ValueError('onnxruntime cannot read %s: %s' % (path, error)) from None
    kinds = {'tensor(float)': 'float32', 'tensor(double)': 'float64'}
    inputs = [(each.name, each.shape, np.dtype(kinds.get(each.type, each.type[7:-1])))
              for each in session.get_inputs()]

    def outputs(data: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        with _refusing('onnxruntime', path, data):
            arrays: list[np.ndarray] = session.run(None, {
                name: data[name].astype(kind) for name, _, kind in inputs})
        return arrays
    return _File(inputs, [each.name for each in session.get_outputs()], outputs)


def _torch_file(path: str) -> _File:
    from . import load_torch
    from ._source.target import is_source
    try:
        module = load_torch(path)
    except CheckpointError:
        source = os.path.splitext(path)[0] + '.py'
        if not is_source(source):
            raise
        raise ValueError(
            '%s belongs to a source, which export has run beside the graph: see "Checked" in %s. '
            'Compare a file of --onnx, or of --torch under another name' % (path, source)) from None
    needed = _needed(module.graph)
    return _File([(name, None, np.dtype('float32')) for name in module.inputs if name in needed],
                 module.outputs, lambda data: _run_module(module, path, data))


def _run_module(module: Any, what: str, data: Mapping[str, np.ndarray],
                stated: Mapping[str, Sequence[Any]] = {}) -> list[np.ndarray]:
    import torch
    with torch.no_grad(), _refusing('torch', what, data, stated):
        results = module.eval()(**{name: torch.from_numpy(array) for name, array in data.items()})
    return [each.numpy() for each in (results if isinstance(results, tuple) else (results,))]


@contextlib.contextmanager
def _refusing(runner: str, what: str, data: Mapping[str, np.ndarray],
              stated: Mapping[str, Sequence[Any]] = {}) -> Iterator[None]:
    """Say that `what`, the checkpoint or the file, does not take `data`, and the runner's reason.

    The message names the shapes that are `stated`.

    The runners have no class of errors for this: torch raises whatever the operator at which the
    calculation ends does, and onnxruntime classes that derive from Exception alone.
    """
    try:
        yield
    except Exception as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        # MXNet puts the call or its stack before the reason.
        reason = lines[-1] if runner == 'MXNet' and lines else reason_of(error)
        own = ' '.join('%s=%s' % (name, ','.join(map(str, shape)))
                       for name, shape in stated.items())
        raise ValueError(
            'the graph of %s does not take %s%s (in a graph that was unrolled, the number of steps '
            'is fixed). %s says: %s' % (
                what, ' and '.join('%s of shape %s' % (name, array.shape)
                                   for name, array in data.items()),
                own and ', but ' + own, runner, reason)) from None


def _needed(graph: Graph) -> set[str]:
    """Names of the variables that outputs depend on, labels of losses not counted."""
    return {graph.nodes[place].name for place in graph.needed()}


# ---- data

def _own_shapes(model: Model) -> Mapping[str, Sequence[Any]]:
    """Shapes of inputs as the graph has them, not rolled up; {} if it does not tell them."""
    from ._onnx import without_onnx
    try:
        if without_onnx(model.graph):
            return {}
    except ImportError:  # a comparison of torch's files does not need the package
        return {}
    from ._onnx.inputs import found_shapes
    params, needed = {**model.arg_params, **model.aux_params}, _needed(model.graph)
    names = [name for name in model.inputs if name in needed and name not in params]
    try:
        return found_shapes(model.graph, params, {}, {}, names)[0]
    except ExportError:
        return {}


def _as_unrolled(inputs: Sequence[_Input], stated: Mapping[str, Sequence[Any]]) -> list[_Input]:
    """Inputs in which axes that may be any in the file have the sizes of the graph, if any."""
    numbers = {size: own for name, shape, _ in inputs
               for size, own in zip(shape or (), stated.get(name, ()))
               if not isinstance(size, int) and isinstance(own, int)}
    return [(name, stated.get(name) if shape is None else [numbers.get(size, size)
                                                           for size in shape], kind)
            for name, shape, kind in inputs]


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


def _data(graph: Graph, inputs: Sequence[_Input],
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
               ) -> tuple[str, list[np.ndarray]]:
    """The outputs of the checkpoint, and the library that ran it."""
    try:
        from .._runtime.mxnet import mx
        mx.nd  # noqa: B018  (imported when it is first used)
    except ImportError:
        pass  # what torch says next has nothing to do with it
    else:
        return 'MXNet', _run_mxnet(mx, model, data, stated)
    try:
        from . import to_torch
    except ImportError:
        raise ImportError('the checkpoint is run by MXNet or by torch, and neither is '
                          'installed: pip install torch') from None
    return 'torch', _run_module(to_torch(model, roll=False), 'the checkpoint', data, stated)


def _run_mxnet(mx: Any, model: Model, data: Mapping[str, np.ndarray],
               stated: Mapping[str, Sequence[Any]]) -> list[np.ndarray]:
    os.environ.setdefault('MXNET_SUBGRAPH_VERBOSE', '0')
    symbol = mx.sym.load_json(_predictions(model.graph))
    shapes = {name: array.shape for name, array in data.items()}
    shapes.update((name, array.shape) for name, array in model.arg_params.items())
    kinds = {name: array.dtype for name, array in {**model.arg_params, **data}.items()}
    with _refusing('MXNet', 'the checkpoint', data, stated):
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
    needed, nodes = _needed(graph), []
    for node in graph.nodes:
        labels = {entry: _variable(graph, entry) for entry in node.inputs_of('label')}
        nodes.append(node._replace(inputs=tuple(
            labels[entry] if entry in labels and graph.nodes[labels[entry].node].name not in needed
            else entry for entry in node.inputs)))
    return graph_to_json(graph._replace(nodes=tuple(nodes)).ending_in(graph.heads))


def _variable(graph: Graph, entry: Entry) -> Entry:
    """The first variable that an output is computed of."""
    while graph.nodes[entry.node].inputs:
        entry = graph.nodes[entry.node].inputs[0]
    return entry
