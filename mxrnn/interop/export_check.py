"""The check of an export: runs the written file as users run it, and compares the checkpoint."""
from __future__ import annotations

import itertools
import logging
from typing import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np

from .._files.atomic import without_stage
from .._graph.graph import Graph
from .._graph.operator_table import has, row
from .._graph.rolling import certify, stated_steps
from .comparison import difference, of_file, tolerance
from .comparison_shapes_and_data import Inputs, own_sizes
from .file_runners import ExportedFile, open_file
from .first_node_that_differs import Exporter, first_different
from .model import Model
from .model_runners import Data, of_torch
from .mxnet_process import EndedError, forget, of_mxnet
from .reference_model_rolled_if_needed import ReferenceModel
from .registry import ONNX, TORCH, ExportError
from .roll_without_steps import CountedSteps, reading_windows, roll_once, rolled_up

__all__ = ['check_export', 'log_unchecked']

_log = logging.getLogger('mxrnn.interop')

#: Sizes for axes of any size, in the order of their names. The first set is for axes without a
#: number in the graph; the two others surely differ from what it was unrolled for.
_SIZES = (3, 2, 5, 4, 7, 6), (4, 11, 6, 13, 8, 15), (2, 16, 9, 5, 12, 10)
#: Up to how many times the effect of rounding a difference is allowed; and the effect of rounding
#: above which nothing is compared.
_NOISE, _CHAOS = 16, 1e-3
#: onnxruntime's words for ONNX operators that it cannot run, such as an LSTM of float64.
_LACKS = 'does not support', 'NOT_IMPLEMENTED'
_REMEDY = 'Nothing was written. check=False (--no-check) writes it without this check'


def check_export(model: Model, path: str, again: Callable[[Model], ExportedFile],
                 other: Graph | None, steps: CountedSteps | None) -> tuple[str, str]:
    """Run the written file and the model on random data, and compare.

    Parameters
    ----------
    model : Model
    path : str
        The written file.
    again : callable
        Exports a model with other outputs in the same way, to find the first node that differs.
    other : Graph or None
        The graph of another length with which the file was certified; it is also run.
    steps : CountedSteps or None
        The number of steps that became an axis of any size.

    Returns
    -------
    title, sentence : str
        What was checked, or why nothing was.

    Raises
    ------
    ExportError
        The file cannot be opened, or its outputs differ from the model's.
    """
    if _unfit(model.graph):
        return 'not checked', _unfit(model.graph)
    try:
        file = open_file(path)
    except ImportError:
        return 'not checked', 'onnxruntime is not installed'
    except ValueError as error:
        if any(each in str(error) for each in _LACKS):
            return 'not checked', without_stage(str(error))
        raise ExportError('the written file cannot be read: %s\n%s' % (
            without_stage(str(error)), _REMEDY)) from None
    model = reading_windows(model, {name: shape for name, shape, _ in file.inputs})
    whole, model = model.graph, of_file(model, file, 'the file')
    reasons, number = [], steps.number if steps else 0
    for import_it in (of_mxnet, of_torch):
        library = import_it()
        if library is None:
            continue
        try:
            check = _Check(ReferenceModel(model, *library, number), file, again, whole, steps)
            free = certify(model.graph, other) if other else steps and rolled_up(model.graph, steps)
            further = None if other is None else _Check(
                ReferenceModel(model._replace(graph=other), *library, number), file, None, other,
                None)
            return 'checked', check.all(free and ReferenceModel(
                model._replace(graph=free.graph), *library, number), further)
        except ExportError:
            raise
        except (ValueError, NotImplementedError) as error:
            reasons.append(str(error) or type(error).__name__)
        finally:
            forget()
    return 'not checked', (reasons or ['neither MXNet nor torch is installed'])[0]


def log_unchecked(path: str, found: tuple[str, str]) -> None:
    """Log a warning if a file was not checked."""
    if found[0] == 'not checked':
        _log.warning('%s was not checked: %s', path, found[1])


def _unfit(graph: Graph) -> str:
    """Why no other library can give the same numbers; '' if one can."""
    for node in graph.walk():
        if node.op in TORCH.maps[0] or node.op in ONNX.maps[0] or not node.is_variable and (
                row(node.op) is None):
            return '%s (%s) is an operator that a program defines' % (node.name, node.op)
        if has(node.op, 'samples') or (
                node.op == 'Dropout' and node.mode == 'always'):
            return '%s (%s) draws at random' % (node.name, node.op)
    return ''


class _Incomparable(ValueError):
    """Rounding changes an output too much for a comparison, or there are no finite numbers."""


class _Check:
    """Compares a file with a checkpoint, run after run."""

    def __init__(self, checkpoint: ReferenceModel, file: ExportedFile,
                 again: Exporter, whole: Graph, steps: CountedSteps | None) -> None:
        self._checkpoint, self._file, self._again = checkpoint, file, again
        self._named = dict.fromkeys(steps.names, steps.number) if steps else {}
        self._inputs = Inputs(checkpoint.model, file, whole)
        self._steps = sorted({node.num_outputs for node in checkpoint.model.graph.nodes
                              if node.op == 'SliceChannel' and node.squeeze_axis}.union(
                                  stated_steps(checkpoint.model.graph).values(),
                                  filter(None, [checkpoint.length]),
                                  (each.steps for each in roll_once(
                                      checkpoint.model.graph).findings if each.kind == 'fixed')))
        self._said: list[str] = []
        self._worst, self._rounding = 0.0, 0.0
        #: The axes that had a number of steps in the run with the graph's sizes.
        self._counted: set[str] = set()

    def all(self, certified: ReferenceModel | None = None, further: _Check | None = None) -> str:
        """Compare a run with the graph's sizes, and two with other sizes if the file takes any.

        Parameters
        ----------
        certified : ReferenceModel, optional
            The checkpoint rolled up, for other sizes.
        further : _Check, optional
            The check of the graph of another length, which is also run with its sizes.

        Returns
        -------
        str
            What was compared, for the user.

        Raises
        ------
        ExportError
            An output differs, or the file does not take data of the graph's sizes.
        ValueError
            The checkpoint does not take such data.
        """
        rolled, own = self._at_own_sizes()
        if further is not None:
            further._at_own_sizes()
            self._said += further._said
            self._worst = max(self._worst, further._worst)
            self._rounding = max(self._rounding, further._rounding)
        refused = [*filter(None, (self._refusal(ways, certified, rolled or own)
                                  for ways in self._others()))]
        return 'outputs differ by at most %.1g of the largest value from the checkpoint in %s, ' \
            'for %s%s%s' % (self._worst, self._checkpoint.name, '; '.join(self._said),
                '. Rounding alone changes them by %.1g' % self._rounding if self._rounding else '',
                '. Other sizes that were tried do not fit; if only these do, type them (--input). '
                'The reason: ' + refused[-1] if refused else '')

    def _refusal(self, ways: Iterable[Mapping[str, int]], certified: ReferenceModel | None,
                 rolled: bool) -> str:
        """Compare a run with the first sizes that fit; returns why none do, or ''."""
        checkpoint, reason = self._checkpoint, ''
        for sizes in ways:
            data = self._inputs.drawn(sizes=sizes)
            try:
                if certified is not None:
                    self.run(data, certified.as_is(data), True)
                elif rolled or checkpoint.length:
                    # As it is, a graph whose lengths are clipped takes more steps, and clips them.
                    self.run(data, checkpoint.rolled(data), True)
                else:
                    was_rolled, wanted = checkpoint.outputs(data)
                    self.run(data, wanted, was_rolled)
            except ExportError:
                raise
            except ValueError as error:
                reason = without_stage(str(error))
            else:
                return ''
        return reason

    def _at_own_sizes(self) -> tuple[bool, bool]:
        """Compare a run with the graph's sizes. Returns whether the graph had to be rolled up, and
        whether it has a number of steps."""
        inputs, checkpoint = self._inputs, self._checkpoint
        for chosen in own_sizes(inputs.names, self._steps, lambda: inputs.numbers,
                                self._named):
            data = inputs.drawn(sizes={**self._sizes(0), **chosen})
            self._counted = {name for name, size in chosen.items() if size in self._steps}
            own = bool(self._counted)
            try:
                rolled, wanted = False, checkpoint.as_is(data)
                break
            except EndedError:
                raise
            except ValueError:
                continue
        else:
            data, own = inputs.drawn(sizes={**self._sizes(0), **inputs.numbers}), True
            rolled, wanted = checkpoint.outputs(data)
        try:
            self.run(data, wanted, rolled)
        except (ExportError, _Incomparable):
            raise
        except ValueError as error:
            if any(each in str(error) for each in _LACKS):
                raise _Incomparable(without_stage(str(error))) from None
            raise ExportError('%s\n%s' % (without_stage(str(error)), _REMEDY)) from None
        return rolled, own

    def _others(self) -> Iterator[list[dict[str, int]]]:
        """For two more runs: sets of sizes, of which later ones are for graphs that refuse earlier
        ones. First with the numbers that windows leave for any number of steps, then with all such
        numbers, then larger ones."""
        inputs = self._inputs
        # If all other axes are steps, none of them keeps a number.
        lasting = {} if {*inputs.names} <= self._counted | {'batch'} else {
            name: size for name, size in inputs.lasting.items() if size not in self._steps}
        numbers = {name: size for name, size in inputs.numbers.items() if size not in self._steps}
        for which in (1, 2) if inputs.names else ():
            yield [{**self._sizes(which), **lasting}, {**self._sizes(which), **numbers},
                   {**self._sizes(which, 16), **lasting}]

    def _sizes(self, which: int, more: int = 0) -> dict[str, int]:
        return {name: size + more for name, size in zip(
            self._inputs.names, itertools.cycle(_SIZES[which]))}

    def run(self, data: Data, wanted: Sequence[np.ndarray], rolled: bool = False) -> None:
        """Compare one run. A file with states runs in chunks of 1, 2 and the remaining steps.

        `rolled` says whether the checkpoint's graph was rolled up to take the data.

        Raises
        ------
        ExportError
            An output differs.
        ValueError
            The file does not take the data.
        """
        file, model = self._file, self._checkpoint.model
        counts = _chunks(file.steps(data)) if file.steps else []
        got = file.outputs(data, counts)
        said = ', '.join('%s %s' % (name, array.shape) for name, array in data.items()) + (
            ' in chunks of %s' % ' and '.join(map(str, counts)) if counts else '') + (
            ' (rolled up)' if rolled else '')
        allowed = tolerance([*wanted, *model.arg_params.values()])
        for at, (name, one, other) in enumerate(zip(file.names, got, wanted)):
            if other.size and not np.isfinite(other).any():
                raise _Incomparable('the output %s has no finite number for %s' % (name, said))
            same = one.shape == other.shape
            apart = difference(one, other)
            if apart > allowed:
                noise = self._noise(data, at, other) if same else 0.0
                if noise >= _CHAOS:
                    raise _Incomparable('rounding alone changes the output %s by %.1g of its '
                                        'largest value' % (name, noise))
                self._rounding = max(self._rounding, noise)
                if apart > _NOISE * noise:
                    raise ExportError(
                        'the output %s differs from the checkpoint in %s %s, for %s. The first '
                        'node that differs is %s\n%s' % (
                            name, self._checkpoint.name, 'by %.3g of the largest value' % apart
                            if same else 'in its shape: %s, not %s' % (one.shape, other.shape),
                            said, first_different(
                                self._checkpoint, self._again, data, at), _REMEDY))
            self._worst = max(self._worst, apart)
        self._said.append(said)

    def _noise(self, data: Data, at: int, wanted: np.ndarray) -> float:
        """How far an output moves if all numbers are changed by as much as rounding does."""
        random = np.random.RandomState(0)

        def rounded(arrays: Data) -> dict[str, np.ndarray]:
            return {name: array if array.dtype.kind != 'f' or (array == np.round(array)).all() else
                    (array * (1 + np.finfo(array.dtype).eps * random.uniform(-1, 1, array.shape))
                     ).astype(array.dtype) for name, array in arrays.items()}
        model = self._checkpoint.model
        _, moved = self._checkpoint.of(model._replace(
            arg_params=rounded(model.arg_params))).outputs(rounded(data))
        return difference(moved[at], wanted)


def _chunks(length: int) -> list[int]:  # 1, 2 and the remaining steps
    return [count for count in (min(1, length), min(2, length - 1), length - 3) if count > 0]
