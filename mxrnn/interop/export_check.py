"""The check of an export: what was written, run as users run it, beside the checkpoint."""
from __future__ import annotations

import itertools
import logging
from typing import Any, Callable, Mapping, Sequence

import numpy as np

from .._files import CheckpointError
from .._files.atomic import without_stage
from .._graph.graph import Entry, Graph
from .._graph.operators import has, row
from .._graph.rolling import bounds
from .comparison import begins_of, data_of, difference, of_file, own_shapes
from .file_runners import ExportedFile
from .model import Model
from .mxnet_process import EndedError, of_mxnet
from .reference import Data, ReferenceModel, of_onnx, of_torch
from .registry import ONNX, TORCH, ExportError

__all__ = ['check_export', 'log_unchecked', 'tolerance']

_log = logging.getLogger('mxrnn.interop')

#: Sizes of axes of any size, in the order of their names: where the graph has no number of its own,
#: and two more that it surely was not unrolled for.
_SIZES = (3, 2, 5, 4, 7, 6), (4, 11, 6, 13, 8, 15), (2, 16, 9, 5, 12, 10)
#: How many sets of sizes are tried; how many times the effect of rounding is no difference, and
#: from which effect on nothing is compared.
_TRIES, _NOISE, _CHAOS = 64, 16, 1e-3
#: What onnxruntime says of operators of ONNX that it cannot run, as an LSTM of float64.
_LACKS = 'does not support', 'NOT_IMPLEMENTED'
_REMEDY = 'Nothing was written. check=False (--no-check) writes it without this check'


def tolerance(arrays: Sequence[Any]) -> float:
    """The largest difference allowed, relative to the largest value: a few units in the last place
    of the coarsest type among `arrays`, and 1e-5 at least."""
    return max([1e-5, *(8 * float(np.finfo(array.dtype).eps) for array in arrays
                        if array.dtype.kind == 'f')])


def check_export(model: Model, open_written: Callable[[], ExportedFile], *, by_torch: bool,
                 shapes: Mapping[str, Sequence[Any]] | None = None,
                 length: int | None = 0, again: Callable[[Model], ExportedFile] | None = None
                 ) -> tuple[str, str]:
    """Run what an export has written, and the model, on random data.

    Parameters
    ----------
    model : Model
    open_written : callable
        Opens it through the reader that users have.
    by_torch : bool
        Whether torch runs it: if there is no MXNet, the model is run as ONNX then, else in torch.
    shapes : dict, optional
        Of the inputs by name, if the file does not tell them.
    length : int, optional
        As for `Checkpoint`: the number of steps in the graph that was made any.
    again : callable, optional
        Exports a model with other outputs in the same way, to find the node that differs.

    Returns
    -------
    title, sentence : str
        What was checked, or why nothing was.

    Raises
    ------
    ExportError
        It cannot be opened, or gives something else than the model.
    """
    reason = _unfit(model.graph)
    if reason:
        return 'not checked', reason
    try:
        file = open_written()
    except ImportError:
        return 'not checked', '%s is not installed' % ('torch' if by_torch else 'onnxruntime')
    except (ValueError, CheckpointError) as error:
        if any(each in str(error) for each in _LACKS):
            return 'not checked', without_stage(str(error))
        raise ExportError('what was written cannot be read: %s\n%s' % (
            without_stage(str(error)), _REMEDY)) from None
    if shapes is not None:
        file = file._replace(inputs=[(name, shapes.get(name, shape), kind)
                                     for name, shape, kind in file.inputs])
    untold = [name for name, shape, _ in file.inputs if shape is None]
    if untold:
        return 'not checked', 'nothing tells the shape of %s' % ', '.join(untold)
    model = of_file(model, file, 'the file')
    reasons = []
    for import_it in (of_mxnet, of_onnx if by_torch else of_torch):
        library = import_it()
        if library is None:
            continue
        check = _Check(ReferenceModel(model, *library, length), file, again)
        try:
            check.own_run()
        except ExportError:
            raise
        except (ValueError, NotImplementedError) as error:
            reasons.append(str(error))
        else:
            return check.others()
    return 'not checked', reasons[0] if reasons else 'neither MXNet nor %s is installed' % (
        'onnxruntime, with onnx,' if by_torch else 'torch')


def log_unchecked(path: str, found: tuple[str, str]) -> None:
    """Log a warning if a file was not checked."""
    if found[0] != 'checked':
        _log.warning('%s was not checked: %s', path, found[1])


def _unfit(graph: Graph) -> str:
    """Why no other library gives the same numbers; '' if one does."""
    for node in graph.walk():
        if node.op in TORCH.maps[0] or node.op in ONNX.maps[0] or not node.is_variable and (
                row(node.op) is None):
            return '%s (%s) is an operator of a program' % (node.name, node.op)
        if has(node.op, 'draws') and node.op not in ('Dropout', 'RNN') or (
                node.op == 'Dropout' and node.mode == 'always'):
            return '%s (%s) draws at random' % (node.name, node.op)
    return ''


def _numbers(graph: Graph) -> list[int]:
    """Numbers of steps that an axis may have, the likely ones first."""
    cuts = [node for node in graph.nodes if node.op == 'SliceChannel']
    steps = [node.num_outputs for node in cuts if node.squeeze_axis]
    parts = [node.num_outputs for node in cuts]
    sizes = [each for node in graph.nodes if node.op == 'Reshape' for each in node.shape]
    return [each for each in dict.fromkeys([
        *sorted(steps), *sorted(bounds(graph)), *sorted(sizes), *sorted(parts)]) if each > 1]


class _Incomparable(ValueError):
    """Rounding alone changes an output too much, or there are no numbers to compare."""


class _Check:
    """Compares a file and a checkpoint, run after run."""

    def __init__(self, checkpoint: ReferenceModel, file: ExportedFile,
                 again: Callable[[Model], ExportedFile] | None) -> None:
        self._checkpoint, self._file, self._again = checkpoint, file, again
        self._names = list(dict.fromkeys(size for _, shape, _ in file.inputs
                                         for size in shape or () if isinstance(size, str)))
        #: Begin states of the checkpoint that a file with states does not take.
        self._begins: dict[str, Sequence[Any]] = {}
        if begins_of(checkpoint.model, file):
            found = own_shapes(checkpoint.model)
            self._begins = {name: found[name] for name in begins_of(checkpoint.model, file)
                            if name in found}
        #: Whether the graph has a number of steps in it, and so takes no other.
        self._unrolled = False
        self._said: list[str] = []
        self._worst, self._rounding = 0.0, 0.0

    def _drawn(self, sizes: Mapping[str, int]) -> dict[str, np.ndarray]:
        """Data of some sizes; zeros for begin states that the file does not take."""
        def settled(shape: Sequence[Any]) -> list[int]:
            return [sizes[size] if size in sizes else size for size in shape]
        data = data_of(self._checkpoint.model.graph, [
            (name, settled(shape or ()), kind) for name, shape, kind in self._file.inputs], {})
        data.update((name, np.zeros(settled(shape), 'float32'))
                    for name, shape in self._begins.items())
        return data

    def own_run(self) -> None:
        """Compare a run of data that the graph takes as it was unrolled.

        Raises
        ------
        ExportError
            An output differs, or the file takes no such data.
        ValueError
            The graph takes none of the data that are tried.
        """
        steps = _numbers(self._checkpoint.model.graph)
        choices = [[None, *steps] if name == 'batch' else [*steps[:4], None, 1, 32, *steps[4:]]
                   for name in self._names]
        reason: ValueError | None = None
        refused = ''
        alike = [[None if name == 'batch' else size for name in self._names]
                 for size in (*steps, 1)]
        for chosen in itertools.islice(itertools.chain(
                itertools.product(*(each[:1] for each in choices)), alike,
                itertools.product(*choices)), _TRIES):
            data = self._drawn({name: size or own for name, size, own in zip(
                self._names, chosen, itertools.cycle(_SIZES[0]))})
            try:
                wanted = self._checkpoint.as_is(data)
            except EndedError:
                raise
            except ValueError as error:
                reason = reason or error
                continue
            self._unrolled = any(size in steps for size in chosen)
            try:
                self.run(data, wanted)
                return
            except (ExportError, _Incomparable):
                raise
            except ValueError as error:  # MXNet leaves out what a Reshape has no room for
                refused = refused or str(error)
        if any(each in refused for each in _LACKS):
            raise _Incomparable(without_stage(refused))
        if refused:
            raise ExportError('%s\n%s' % (without_stage(refused), _REMEDY))
        raise reason or ValueError('there are no sizes to try')

    def run(self, data: Data, wanted: Sequence[np.ndarray], rolled: bool = False) -> None:
        """Compare one run; a file with states in chunks of 1, 2 and the rest.

        `rolled` tells whether the checkpoint's graph was rolled up to take the data.

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
            apart = difference(one, other) if same else np.inf
            if not apart <= allowed:
                noise = self._noise(data, at, other) if same else 0.0
                if not noise < _CHAOS:
                    raise _Incomparable('rounding alone moves the output %s by %.1g of its largest '
                                        'value' % (name, noise))
                self._rounding = max(self._rounding, noise)
                if not apart <= _NOISE * noise:
                    raise ExportError(
                        'the output %s differs from that of the checkpoint in %s %s, for %s. The '
                        'first node that differs is %s\n%s' % (
                            name, self._checkpoint.name, 'by %.3g of the largest value' % apart
                            if same else 'in its shape: %s, not %s' % (one.shape, other.shape),
                            said, self._first(data, at), _REMEDY))
            self._worst = max(self._worst, apart)
        self._said.append(said)

    def _noise(self, data: Data, at: int, wanted: np.ndarray) -> float:
        """How far an output moves where all numbers are changed by as much as rounding does."""
        random = np.random.RandomState(0)

        def rounded(arrays: Data) -> dict[str, np.ndarray]:
            return {name: array if array.dtype.kind != 'f' or (array == np.round(array)).all() else
                    (array * (1 + np.finfo(array.dtype).eps * random.uniform(-1, 1, array.shape))
                     ).astype(array.dtype) for name, array in arrays.items()}
        model = self._checkpoint.model
        _, moved = self._checkpoint.of(model._replace(
            arg_params=rounded(model.arg_params))).outputs(rounded(data))
        return difference(moved[at], wanted)

    def others(self) -> tuple[str, str]:
        """Compare runs of other sizes, if the file takes any; what there is to say of all."""
        refused = 0
        for sizes in _SIZES[1:] if self._names else ():
            for more in (0, 16):
                data = self._drawn({name: size + more for name, size in zip(
                    self._names, itertools.cycle(sizes))})
                try:
                    rolled, wanted = (True, self._checkpoint.rolled(data)) if (
                        self._unrolled) else self._checkpoint.outputs(data)
                    self.run(data, wanted, rolled)
                except ExportError:
                    raise
                except EndedError:
                    refused += 1
                    break
                except ValueError:
                    refused += more > 0
                else:
                    break
        return 'checked', 'outputs differ by %.1g of the largest value at most from those of the ' \
            'checkpoint in %s, for %s%s%s' % (
                self._worst, self._checkpoint.name, '; '.join(self._said),
                ', which does not take the other sizes that were tried' if refused else '',
                '. Rounding alone moves them by %.1g' % self._rounding if self._rounding else '')

    # ---- the node to blame

    def _first(self, data: Data, at: int) -> str:
        """The first node, in the graph's order, whose output differs."""
        model = self._checkpoint.model
        head = model.graph.heads[at]
        inner = [Entry(place, 0) for place in sorted(model.graph._replace(heads=(head,)).needed())
                 if not model.graph.nodes[place].is_variable and place != head.node]
        found = self._differing(inner, data)  # all at once, as far as that changes no rolling
        low, high = 0, len(inner)
        while low < high and not found:
            middle = (low + high) // 2
            if inner[middle] in self._differing([*model.graph.heads, inner[middle]], data):
                high = middle
            else:
                low = middle + 1
        node = model.graph.nodes[(found or [*inner, head][high:])[0].node]
        return '%s (%s)' % (node.name, node.op or 'an input')

    def _differing(self, heads: Sequence[Entry], data: Data) -> list[Entry]:
        """Those of some entries that differ where they are outputs; none if that cannot be seen."""
        if self._again is None or not heads:
            return []
        model = self._checkpoint.model
        part = model._replace(graph=model.graph.ending_in(heads))
        try:
            got = self._again(part).outputs(data, [])
            _, wanted = self._checkpoint.of(part).outputs({
                name: array for name, array in data.items() if name in part.graph.arguments})
        except (ValueError, NotImplementedError, CheckpointError):
            return []
        allowed = tolerance([*wanted, *model.arg_params.values()])
        return [head for head, one, other in zip(heads, got, wanted)
                if one.shape != other.shape or not difference(one, other) <= allowed]


def _chunks(length: int) -> list[int]:
    """Chunks of 1, 2 and the rest of the steps."""
    return [count for count in (min(1, length), min(2, length - 1), length - 3) if count > 0]
