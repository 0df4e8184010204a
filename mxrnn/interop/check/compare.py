"""compare: runs an ONNX file and its checkpoint on the same data."""
from __future__ import annotations

import itertools
from typing import Any, Callable, Iterator, List, Mapping, NamedTuple, Sequence, Tuple

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
from .difference import Seen, beyond, difference, known, noise_of, of_file, outputs_that_draw
from .random_inputs import Inputs, arrays_of

__all__ = ['Differences', 'compare']

#: Data, whether the checkpoint's own graph takes them, and its outputs.
_Run = Tuple[Data, bool, List[np.ndarray]]


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
        Of each output, the largest difference, where the checkpoint has numbers: relative to the
        output's largest value, or to the largest number that differs by more than rounding,
        whichever gives more.
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
    shapes, given = one.shapes(shapes), one.arrays(given)
    labelled = model._replace(graph=one.graph)
    model = of_file(labelled, file, path)
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
    _refuse_unfit(path, takes, labelled.inputs, {
        **shapes, **{name: array.shape for name, array in given.items()}})
    for name in [each for each in inputs.begins if each in given]:
        raise ValueError('leave out %s: a file with states begins with zeros' % name)
    reference = Reference(model, found.graph, *library, one)

    def runs(least: int) -> Iterator[_Run]:
        for data in inputs.drawn(shapes, given, seed, least=least):
            fits = _fits(found, file, data)
            yield data, fits, reference.outputs(data, fits)
    names = {title: name for title, name in zip(file.names, model.graph.outputs)
             if name not in random}
    seen, apart = Seen([*names]), dict.fromkeys(names, 0.)
    try:
        for data, fits, wanted in _begun(runs, lambda reason: _refusal(
                path, takes, inputs.stated, reason)):
            rolled = '' if fits else 'its own graph does not take these shapes'
            length = file.steps(data) if file.steps else 0
            chunks = [count for count in (1, length - 1) if length and count]
            got = file.outputs(data, chunks)
            noise = noise_of(reference, data, fits, got, wanted)
            for title, ours, other, moves in zip(file.names, got, wanted, noise):
                if ours.shape != other.shape:
                    raise other_model(path, "output %s has shape %s, the checkpoint's has %s",
                                      title, ours.shape, other.shape)
                if title in names:
                    wrong = beyond(known(ours, other), other, moves)
                    apart[title] = max(apart[title], seen.difference(title, ours, other),
                                       difference(known(ours, other)[wrong], other[wrong]))
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
    return Differences(
        library[0], rolled, {name: array.shape for name, array in data.items()}, outputs, chunks,
        {**{name: '%s draws at random' % node for name, node in random.items()},
         **{names[title]: 'it ' + why for title, why in missed.items()}})


def _refuse_unfit(path: str, takes: Shapes, known: Sequence[str], shapes: Shapes) -> None:
    """Refuse shapes of what is no input or label, or with another number of axes than the file."""
    unknown = [name for name in shapes if name not in known]
    if unknown:
        raise ValueError('%s takes %s, got %s' % (path, ', '.join(takes), ', '.join(unknown)))
    for name, own in shapes.items():
        if name in takes and len(own) != len(takes[name]):
            raise ValueError('%s takes %s, got %s' % (
                path, *as_typed({name: takes[name]}), *as_typed({name: own})))


def _begun(runs: Callable[[int], Iterator[_Run]], refusal: Callable[[str], ValueError]
           ) -> Iterator[_Run]:
    """The runs of the least sizes that the checkpoint takes."""
    reasons = []
    for least in (2, 18, 66):  # windows may need larger images
        every = runs(least)
        try:
            return itertools.chain([next(every)], every)
        except EndedError:
            raise
        except ValueError as error:
            reasons.append(str(error))
    raise refusal(reasons[0])


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
