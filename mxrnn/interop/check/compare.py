"""compare: runs an ONNX file and its checkpoint on the same data."""
from __future__ import annotations

import itertools
from typing import Any, Iterator, Mapping, NamedTuple, Sequence

import numpy as np

from ..._graph.rolling import OneInput, with_one_input
from ..model import Model
from ..prepare import glance
from ..prepare.input_shapes import Shapes, as_typed
from ..prepare.lengths import Settled
from ..run.exported_file import ExportedFile
from ..run.mxnet_process import EndedError, begin, forget, of_mxnet
from ..run.onnx_file import open_file
from ..run.reference import Data, Reference, of_torch
from ..seals import other_model, refuse_no_onnx, refuse_other_weights
from .difference import Seen, of_file, outputs_that_draw
from .random_inputs import Inputs, arrays_of

__all__ = ['Differences', 'compare']


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
        The `difference` of each output, where the checkpoint has numbers.
    chunks : list of int
        The numbers of steps per run for a file with states; empty for other files.
    missed : dict
        By output that is not compared, or only in places, the reason.
    """

    runner: str
    rolled: str
    shapes: dict[str, tuple[int, ...]]
    outputs: list[tuple[str, float]]
    chunks: list[int]
    missed: dict[str, str]


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
        A shape is missing or does not fit, the file has other inputs or outputs than `model`, or
        all outputs depend on random numbers.

    Notes
    -----
    Axes of any size without a shape get 2, 3, ..., or larger sizes if `model` does not take these;
    a number of steps that it was unrolled for stays. With another number of steps the checkpoint
    runs rolled up, as the file does. A file with states runs one step, then the other steps. It
    starts from zeros or from its encoder's outputs; the checkpoint's begin states are zeros then.
    """
    given = {} if data_path is None else arrays_of(data_path)
    one = with_one_input(model.graph, model.params)
    refuse_no_onnx(path)
    begin()
    file = open_file(path)
    if not any(name in one.inputs for name, _, _ in file.inputs):
        one = OneInput(model.graph)
    model = model._replace(graph=one.graph)
    shapes, given = one.shapes(shapes), one.arrays(given)
    labelled = model.inputs
    model = of_file(model, file, path)
    random = outputs_that_draw(model.graph)
    if random and len(random) == len({*model.graph.outputs}):
        raise ValueError(
            '%s draws at random, so all outputs of the file and of the checkpoint differ, and '
            'nothing is compared. Draw often with both, and compare means and quantiles; export '
            '--source compares a source with the same random numbers' % next(iter(random.values())))
    library = of_mxnet() or of_torch()
    if library is None:
        raise ImportError('neither MXNet nor torch is installed, and one of them must run the '
                          'checkpoint: pip install torch')
    found = glance(model)
    inputs = Inputs(model, file, found)
    takes = {name: shape for name, shape, _ in file.inputs}
    needed = [name for name in model.graph.needed_variables() if name in model.inputs]
    if not {*needed} <= {*takes, *inputs.begins}:
        raise other_model(path, 'inputs are %s, the checkpoint has %s', takes, needed)
    refuse_other_weights(path, model)
    unknown = [name for name in {**shapes, **given} if name not in labelled]
    if unknown:
        raise ValueError('%s takes %s, got %s' % (path, ', '.join(takes), ', '.join(unknown)))
    for name, own in {**shapes, **{name: array.shape for name, array in given.items()}}.items():
        if name in takes and len(own) != len(takes[name]):
            raise ValueError('%s takes %s, got %s' % (
                path, *as_typed({name: takes[name]}), *as_typed({name: own})))
    for name in inputs.begins:
        if name in given:
            raise ValueError('leave out %s: a file with states begins with zeros' % name)
    reference = Reference(model, found.graph, *library, one)

    def runs(least: int) -> Iterator[tuple[Data, bool, list[np.ndarray]]]:
        for data in inputs.drawn(shapes, given, seed, least=least):
            fits = _fits(found, file, data)
            yield data, fits, reference.outputs(data, fits)
    refused: ValueError | None = None
    try:
        for least in (2, 18, 66):  # windows may need larger images
            every = runs(least)
            try:
                first = next(every)
                break
            except EndedError:
                raise
            except ValueError as error:
                refused = refused or error
        else:
            raise _refusal(path, takes, inputs.stated, str(refused))
        length = file.steps(first[0]) if file.steps else 0
        chunks = [count for count in (1, length - 1) if length and count]
        names = {title: name for title, name in zip(file.names, model.graph.outputs)
                 if name not in random}
        seen, apart = Seen([*names]), dict.fromkeys(names, 0.)
        for data, _, wanted in itertools.chain([first], every):
            for title, ours, other in zip(file.names, file.outputs(data, chunks), wanted):
                if ours.shape != other.shape:
                    raise other_model(path, "output %s has shape %s, the checkpoint's has %s",
                                      title, ours.shape, other.shape)
                if title in names:
                    apart[title] = max(apart[title], seen.difference(title, ours, other))
                    seen.keep(title, other)
            if seen.whole():
                break
    finally:
        forget()
    missed = seen.missed()
    outputs = [(names[title], far) for title, far in apart.items() if far or seen.finite[title]]
    if not outputs:
        raise ValueError('the output %s of the checkpoint %s, so nothing can be compared: give '
                         'others with --data or --seed' % next(iter(missed.items())))
    return Differences(library[0], '' if first[1] else 'its own graph does not take these shapes',
                       {name: array.shape for name, array in data.items()}, outputs, chunks, {
                           **{name: '%s draws at random' % node for name, node in random.items()},
                           **{names[title]: 'it ' + why for title, why in missed.items()}})


def _fits(found: Settled, file: ExportedFile, data: Mapping[str, np.ndarray]) -> bool:
    """`Settled.fits`; if only the file takes these sizes, the error says with what to compare."""
    try:
        return found.fits(data)
    except ValueError as error:
        if not all(isinstance(size, str) or size == given for name, shape, _ in file.inputs
                   for size, given in zip(shape, data[name].shape)):
            raise
        raise ValueError(
            '%s\nThe file takes this size, but this graph does not. If it is of the same program, '
            'compare it with the graph that the program makes for this size: --symbol '
            'OTHER-symbol.json --params FILE.params in place of the prefix' % error) from None


def _refusal(path: str, takes: Shapes, own: Shapes, reason: str) -> ValueError:
    """The error if the checkpoint takes no data of the sizes that were tried."""
    for name, shape in takes.items():
        if name in own and len(own[name]) != len(shape):
            return other_model(path, "input %s has the axes %s, the checkpoint's %s", name, *(
                ','.join(map(str, each)) for each in (shape, own[name])))
    stated = ' '.join('%s=%s' % (name, ','.join(map(str, shape))) for name, shape in own.items())
    said, dot, more = reason.partition('. ')
    return ValueError('%s%s (sizes not given by --input are made up)%s%s' % (
        said, stated and ', but ' + stated, dot, more))
