"""Runs models in torch or in MXNet (through `mxnet_process`), and sessions of onnxruntime."""
from __future__ import annotations

import contextlib
import re
from typing import Any, Callable, Iterator, List, Mapping, Sequence, Tuple

import numpy as np

from .._files import reason_of
from .._graph.graph import Graph
from .model import Model

__all__ = ['Data', 'Input', 'Run', 'Runner', 'inputs_of', 'of_torch', 'refusing', 'run_onnx']

#: An input's name, shape (a name stands for any size) and type.
Input = Tuple[str, Sequence[Any], np.dtype]
Data = Mapping[str, np.ndarray]
#: What onnxruntime puts before its reason: a status, the node, a place in its own source.
_STATUS = re.compile(r"^\[ONNXRuntimeError\].*?Name:('[^']*') Status Message: (?:/\S+ )?"
                     r'(?:[\w:]+\([^)]*\) )?')
Run = Callable[[Data], List[np.ndarray]]
#: Makes a function that computes a graph's outputs with a model's weights.
Runner = Callable[[Model, Graph], Run]


def of_torch() -> tuple[str, Runner] | None:
    """The package's own evaluator; None if torch cannot be imported."""
    try:
        import torch

        from .run import evaluator
    except ImportError:
        return None

    def make(model: Model, graph: Graph) -> Run:
        def run(data: Data) -> list[np.ndarray]:
            with refusing('torch', 'the checkpoint', data):
                return [each.numpy() for each in evaluator.run(graph, model, {
                    name: torch.from_numpy(array) for name, array in data.items()})]
        return run
    return 'torch', make


@contextlib.contextmanager
def refusing(runner: str, what: str, data: Data) -> Iterator[None]:
    """Raise ValueError with the reason if `what`, the checkpoint or the file, refuses `data`.

    The runners have no error class for this. torch raises the error of the operator that fails, and
    onnxruntime's classes share no base but Exception.
    """
    try:
        yield
    except Exception as error:
        # MXNet puts the call or its stack before the reason.
        _, _, reason = ' '.join(str(error).split()).rpartition('MXNetError: ')
        shapes = ' and '.join('%s of shape %s' % (name, array.shape)
                              for name, array in data.items())
        if runner != 'MXNet':
            reason = _STATUS.sub(r'\1: ', reason_of(error)).replace(
                'the graph does not take %s' % shapes, '').strip()  # a module says so, too
        raise ValueError('the graph of %s does not take %s. %s says: %s' % (
            what, shapes, runner, reason)) from None


# ---- onnxruntime

def inputs_of(session: Any) -> list[Input]:
    """A session's inputs."""
    kinds = {'tensor(float)': 'float32', 'tensor(double)': 'float64'}
    return [(each.name, each.shape, np.dtype(kinds.get(each.type, each.type[7:-1])))
            for each in session.get_inputs()]


def run_onnx(session: Any, what: str, data: Data) -> list[np.ndarray]:
    """A session's outputs."""
    with refusing('onnxruntime', what, data):
        arrays: list[np.ndarray] = session.run(None, {
            name: data[name].astype(kind) for name, _, kind in inputs_of(session)})
    return arrays
