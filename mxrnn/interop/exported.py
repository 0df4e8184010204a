"""Exported files, ready to run: one with states runs in chunks, and looks whole from outside."""
from __future__ import annotations

import contextlib
import json
import os
from typing import Any, Callable, Iterator, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from .._files import CheckpointError, reason_of
from .._graph.graph import Graph
from .onnx_layout import Layout

__all__ = ['File', 'Input', 'needed', 'open_file', 'open_torch', 'refusing', 'run_module']

#: Name, shape (None or a name for any size) and type of an input.
Input = Tuple[str, Optional[Sequence[Any]], np.dtype]


class File(NamedTuple):
    """A file that is ready to run.

    Attributes
    ----------
    inputs : list of Input
    names : list of str
        Of its outputs.
    outputs : function
        Of arrays by names of inputs.
    chunks : function or None
        The numbers of steps that are run at a time, for such arrays; None for a file without
        states.
    """

    inputs: list[Input]
    names: list[str]
    outputs: Callable[[Mapping[str, np.ndarray]], list[np.ndarray]]
    chunks: Callable[[Mapping[str, np.ndarray]], list[int]] | None = None


def open_file(path: str) -> File:
    """Open an ONNX file if `path` ends in '.onnx', else one of `save_torch`."""
    if not os.path.isfile(path):
        raise FileNotFoundError('there is no file %s' % path)
    return _onnx_file(path) if path.endswith('.onnx') else _torch_file(path)


def _onnx_file(path: str) -> File:
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
        with refusing('onnxruntime', path, data):
            arrays: list[np.ndarray] = session.run(None, {
                name: data[name].astype(kind) for name, _, kind in inputs})
        return arrays
    file = File(inputs, [each.name for each in session.get_outputs()], outputs)
    known = session.get_modelmeta().custom_metadata_map.get('mxrnn.states')
    if known is None:
        return file
    try:
        table = json.loads(known)
        states = [(state['in'], state['out']) for state in table['states']]
        axes = {name: Layout(each) for name, each in table['axes'].items()}
        encoder = table['encoder'] and os.path.join(
            os.path.dirname(path), os.path.basename(table['encoder']))
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        raise ValueError('the table of states in %s is damaged: %r' % (path, error)) from None
    return _in_chunks(path, file, states, axes, open_file(encoder) if encoder else None)


def open_torch(path: str, roll: bool = True) -> Any:
    """The module of a file of torch; weights of a source are refused with what to read."""
    from . import load_torch
    from ._source.target import is_source
    try:
        return load_torch(path, roll=roll)
    except CheckpointError:
        source = os.path.splitext(path)[0] + '.py'
        if not is_source(source):
            with open(path, 'rb') as file:
                if file.read(2) == b'PK':
                    raise
            raise CheckpointError('%s is neither an ONNX file (FILE.onnx) nor one of export '
                                  '--torch (save_torch)' % path) from None
        raise ValueError(
            '%s is part of a source, which export has run beside the graph: see "Checked" in %s. '
            'Give a file of --onnx, or of --torch under another name' % (path, source)) from None


def _torch_file(path: str) -> File:
    module = open_torch(path)
    file = _module(module, path)
    if not module.states:
        return file
    encoder = None if module.encoder is None else _module(module.encoder, path)
    return _in_chunks(path, file, module.states, {
        name: Layout(axes) for name, axes in module.axes.items()}, encoder)


def _module(module: Any, path: str) -> File:
    reals = [value.dtype for value in module.parameters() if value.is_floating_point()]
    kind = np.dtype(str(reals[0]).partition('.')[2] if reals else 'float32')
    read = needed(module.graph)
    return File([(name, module.axes.get(name), kind) for name in module.inputs if name in read],
                module.outputs, lambda data: run_module(module, path, data))


def _in_chunks(path: str, step: File, states: Sequence[tuple[str, str]],
               axes: Mapping[str, Layout], encoder: File | None) -> File:
    """A file of steps as one of whole sequences: what begins it is computed, or zeros."""
    once = encoder or File([], [], lambda data: [])
    after = [name for _, name in states]
    held = [each for each in step.inputs if each[0] in {*once.names, *dict(states)}]
    moving = [each for each in step.inputs if each not in held]
    inputs = list({each[0]: each for each in [*once.inputs, *moving]}.values())
    names = [name for name in step.names if name not in after]
    computed = [name for name in once.names if name not in [each[0] for each in held]]
    untold = [name for name in [*(each[0] for each in moving), *names] if name not in axes]
    if untold or all(axes[name].time is None for name, _, _ in moving):
        raise ValueError('%s does not say which axis of %s has the steps: export it again'
                         % (path, ', '.join(untold) or 'its inputs'))

    def chunks(data: Mapping[str, np.ndarray]) -> list[int]:
        for name, shape, _ in moving:
            if len(shape or ()) != data[name].ndim:
                raise ValueError('%s must have the shape (%s), got %s' % (
                    name, ', '.join(map(str, shape or ())), data[name].shape))
        times = [(name, axes[name].time) for name, _, _ in moving]
        length = next(data[name].shape[time] for name, time in times if time is not None)
        return [1, length - 1] if length > 1 else [1]

    def outputs(data: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        sizes: dict[Any, Any] = {size: number for name, shape, _ in inputs
                                 for size, number in zip(shape or (), data[name].shape)}
        first = dict(zip(once.names, once.outputs({
            name: data[name] for name, _, _ in once.inputs})))
        feeds = {name: first[name] if name in first else np.zeros(
            [sizes[size] if size in sizes else size for size in shape or ()], kind)
            for name, shape, kind in held}
        parts: list[list[np.ndarray]] = []
        begin = 0
        for count in chunks(data):
            for name, _, _ in moving:
                time = axes[name].time
                feeds[name] = data[name] if time is None else np.take(
                    data[name], range(begin, begin + count), time)
            found = dict(zip(step.names, step.outputs(feeds)))
            feeds.update((before, found[name]) for before, name in states)
            parts.append([axes[name].to_caller(found[name], count) for name in names])
            begin += count
        return [first[name] for name in computed] + [
            axes[name].to_file(arrays[-1] if axes[name].time is None else np.concatenate(arrays, 1))
            for name, arrays in zip(names, zip(*parts))]
    return File(inputs, [*computed, *names], outputs, chunks)


def run_module(module: Any, what: str, data: Mapping[str, np.ndarray],
               stated: Mapping[str, Sequence[Any]] = {}) -> list[np.ndarray]:
    """The outputs of a module of torch, as in inference; `what` and `stated` are for `refusing`."""
    import torch
    with torch.no_grad(), refusing('torch', what, data, stated):
        results = module.eval()(**{name: torch.from_numpy(array) for name, array in data.items()})
    return [each.numpy() for each in (results if isinstance(results, tuple) else (results,))]


@contextlib.contextmanager
def refusing(runner: str, what: str, data: Mapping[str, np.ndarray],
             stated: Mapping[str, Sequence[Any]] = {}) -> Iterator[None]:
    """Say that `what`, the checkpoint or the file, does not take `data`, and the runner's reason.

    The message has the shapes `stated`, which are those of the graph. The runners have no class of
    errors for this: torch raises whatever the operator at which the calculation ends does, and
    onnxruntime classes that derive from Exception alone.
    """
    try:
        yield
    except Exception as error:
        # MXNet puts the call or its stack before the reason.
        _, _, reason = ' '.join(str(error).split()).rpartition('MXNetError: ')
        own = ' '.join('%s=%s' % (name, ','.join(map(str, shape)))
                       for name, shape in stated.items())
        raise ValueError(
            'the graph of %s does not take %s%s (sizes that --input does not give are made up). '
            '%s says: %s' % (
                what, ' and '.join('%s of shape %s' % (name, array.shape)
                                   for name, array in data.items()),
                own and ', but ' + own, runner,
                reason if runner == 'MXNet' else reason_of(error))) from None


def needed(graph: Graph) -> set[str]:
    """Names of the variables that outputs depend on, labels of losses not counted."""
    return {graph.nodes[place].name for place in graph.needed()}
