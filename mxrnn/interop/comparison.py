"""Compares an exported file with its checkpoint on the same data."""
from __future__ import annotations

import re
from typing import Any, Mapping, NamedTuple, Sequence

import numpy as np

from .._files.checkpoint_refusals import refuse_torch
from .._graph.graph import output_name
from .comparison_shapes_and_data import Inputs, arrays_of
from .file_runners import ExportedFile, open_file
from .model import Model
from .model_runners import of_torch
from .mxnet_process import begin, forget, of_mxnet
from .prepare import glance
from .reference import Reference

__all__ = ['Differences', 'compare', 'difference', 'of_file', 'tolerance']


class Differences(NamedTuple):
    """The result of `compare`.

    Attributes
    ----------
    runner : str
        The library that ran the checkpoint: 'MXNet' or 'torch'.
    rolled : str
        Why the checkpoint ran with its steps rolled up; '' if it did not.
    shapes : dict
        Of the inputs, by name.
    outputs : list of (str, float)
        The `difference` of each output.
    chunks : list of int
        The numbers of steps per run for a file with states; empty for other files.
    """

    runner: str
    rolled: str
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
        An ONNX file.
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
    Axes of any size without a shape get 2, 3, ...; a number of steps that `model` was unrolled
    for stays. With another number of steps the checkpoint runs rolled up, as the file does. A file
    with states runs one step, then the other steps. It starts from zeros or from its encoder's
    outputs; the checkpoint's begin states are zeros then.
    """
    given = {} if data_path is None else arrays_of(data_path)
    unknown = sorted((set(shapes) | set(given)) - set(model.inputs))
    if unknown:
        raise ValueError('inputs must be of %s, got %s' % (', '.join(model.inputs),
                                                           ', '.join(unknown)))
    refuse_torch(path, onnx=True)
    begin()
    file = open_file(path)
    model = of_file(model, file, path)
    library = of_mxnet() or of_torch()
    if library is None:
        raise ImportError('neither MXNet nor torch is installed, and one of them must run the '
                          'checkpoint: pip install torch')
    found = glance(model)
    inputs = Inputs(model, file, found)
    for name in inputs.begins:
        if name in given:
            raise ValueError('leave out %s: a file with states begins with zeros' % name)
    data = inputs.drawn(shapes, given, seed)
    length = file.steps(data) if file.steps else 0
    chunks = [count for count in (1, length - 1) if length and count]
    own = found.fits(data)
    reference = Reference(model, found.graph, *library)
    try:
        try:
            wanted = reference.outputs(data, own)
        except ValueError as error:
            stated = ' '.join('%s=%s' % (name, ','.join(map(str, shape)))
                              for name, shape in inputs.stated.items())
            said, dot, reason = str(error).partition('. ')
            raise ValueError('%s%s (sizes not given by --input are made up)%s%s' % (
                said, stated and ', but ' + stated, dot, reason)) from None
        got = file.outputs(data, chunks)
    finally:
        forget()
    for name, one, other in zip(file.names, got, wanted):
        if one.shape != other.shape:
            raise ValueError('%s was exported from another model: its output %s has shape %s, '
                             "the checkpoint's has %s" % (path, name, one.shape, other.shape))
    return Differences(library[0], '' if own else 'its own graph does not take these shapes',
                       {name: array.shape for name, array in data.items()},
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
                         'has %s' % (path, ', '.join(inputs), ', '.join(model.inputs) or 'none'))
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
                             path, ', '.join(file.names) or 'none',
                             ', '.join(graph.outputs))) from None


def difference(got: np.ndarray, wanted: np.ndarray) -> float:
    """The largest difference relative to the largest value; infinite if NaNs or infinities differ,
    or shapes."""
    if got.shape != wanted.shape:
        return np.inf
    one, other = got.astype('float64'), wanted.astype('float64')
    apart = ~((one == other) | np.isnan(one) & np.isnan(other))
    largest = np.abs(other[np.isfinite(other)]).max(initial=0.0)
    differences = np.nan_to_num(np.abs(one[apart] - other[apart]), nan=np.inf, posinf=np.inf)
    return float(differences.max(initial=0.0) / (largest or 1.0))


def tolerance(arrays: Sequence[Any]) -> float:
    """The largest difference allowed, relative to the largest value: a few units in the last place
    of the coarsest type among `arrays`, and 1e-5 at least."""
    return max([1e-5, *(8 * float(np.finfo(array.dtype).eps) for array in arrays
                        if array.dtype.kind == 'f')])
