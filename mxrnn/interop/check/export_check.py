"""The check of an export: runs the written file as users run it, and compares the checkpoint."""
from __future__ import annotations

import functools
import itertools
import logging
from typing import Callable, Mapping, NamedTuple, Sequence, TypeVar

import numpy as np

from ..._files.atomic import without_stage
from ..._graph.graph import Graph
from ..._graph.operator_table import row
from ..model import Model
from ..prepare import Prepared
from ..prepare.input_shapes import other_types
from ..registry import ONNX, TORCH, ExportError
from ..run.exported_file import ExportedFile
from ..run.mxnet_process import EndedError, forget, of_mxnet
from ..run.onnx_file import open_file
from ..run.reference import Data, Reference, of_torch
from .difference import (
    Exporter,
    Seen,
    beyond,
    draws,
    first_different,
    first_with_numbers,
    known,
    noise_of,
    of_file,
    part,
    telling,
)
from .random_inputs import Inputs

__all__ = ['REMEDY', 'Compared', 'check_export', 'compared', 'drawing_alike', 'log_unchecked']

_Result = TypeVar('_Result')

_log = logging.getLogger('mxrnn.interop')

#: Sizes for axes of any size, in the order of their names. The first set is for axes without a
#: number in the graph; the two others surely differ from what it was unrolled for.
_SIZES = (3, 2, 5, 4, 7, 6), (4, 11, 6, 13, 8, 15), (2, 16, 9, 5, 12, 10)
#: onnxruntime's words for ONNX operators that it cannot run, such as an LSTM of float64.
_LACKS = 'does not support', 'NOT_IMPLEMENTED'
REMEDY = 'Nothing was written. check=False (--no-check) writes it without this check'


def check_export(plan: Prepared, path: str, again: Callable[[Model], ExportedFile]) -> Compared:
    """Run the written file and the model on random data, and compare.

    Parameters
    ----------
    plan : Prepared
        What the file was made of. A graph with which it was certified is also run.
    path : str
        The written file.
    again : callable
        Exports a model with other outputs in the same way, to find the first node that differs.

    Raises
    ------
    ExportError
        The file cannot be opened, or its outputs differ from the model's.
    """
    if _unfit(plan.model.graph):
        return Compared('not checked', _unfit(plan.model.graph))
    try:
        file = open_file(path)
    except ImportError:
        return Compared('not checked', 'onnxruntime is not installed: pip install onnxruntime')
    except ValueError as error:
        if any(each in str(error) for each in _LACKS):
            return Compared('not checked', without_stage(str(error)))
        raise ExportError('the written file cannot be read: %s\n%s' % (
            without_stage(str(error)), REMEDY)) from None
    own, heads = of_file(plan.model, file, 'the file').graph.heads, plan.model.graph.heads
    if own != heads:  # an encoder's outputs come first
        plan = plan.with_outputs([heads.index(head) for head in own])
    return compared(plan, file, again)


class Compared(NamedTuple):
    """What was checked, or why nothing was.

    Attributes
    ----------
    title : str
    said : str
        The beginning of the sentence, or all of it if nothing was checked.
    worst : float
        The largest difference, relative to the largest value of its output. It says how exact the
        file is; whether a number is right is decided for each alone (`beyond`).
    runs, rest : str
        What was run, in words, and the end of the sentence.
    sizes : str
        The sizes that were run, in words.
    data : sequence of dict
        The data of the last run, for each range.
    """

    title: str
    said: str
    worst: float = 0.0
    runs: str = ''
    rest: str = ''
    sizes: str = ''
    data: Sequence[Data] = ()

    @property
    def sentence(self) -> str:
        """All of it, for the user."""
        return '%s to %.1g (%s)%s' % (
            self.said, self.worst, self.runs, self.rest) if self.runs else self.said

    @property
    def remark(self) -> tuple[str, str]:
        return self.title, self.sentence


def compared(plan: Prepared, file: ExportedFile, again: Exporter, source: bool = False) -> Compared:
    """Compare an open file with the model of a plan; see `check_export`. A `source` runs in torch,
    where the evaluator can draw the same random numbers."""
    drawn = source and bool(_unfit(plan.model.graph))
    reasons = []
    for import_it in [of_torch] if drawn else [of_mxnet, of_torch]:
        library = import_it()
        if library is None:
            continue
        beside = "mxrnn's own evaluation of the graph" if source and library[0] == 'torch' else (
            'the checkpoint in ' + library[0])
        check = _Check(Reference(plan.model, plan.graph, *library, plan.one), file, again, plan)
        try:
            found, how = drawing_alike(functools.partial(check.all, beside), drawn)
            return found._replace(rest=found.rest + how)
        except ExportError:
            raise
        except (ValueError, NotImplementedError) as error:
            reasons.append(str(error) or type(error).__name__)
        finally:
            forget()
    return Compared('not checked', (reasons or ['neither MXNet nor torch is installed: pip install '
                                                  'torch'])[0])


def drawing_alike(compare: Callable[[], _Result], draws: bool) -> tuple[_Result, str]:
    """Compare with one seed. A source may draw in another order than its graph: constants then take
    the place of what is drawn, which is said."""
    try:
        return compare(), ''
    except ExportError:
        if not draws:
            raise
    from ..run.evaluator import ConstantDraws
    with ConstantDraws():
        return compare(), ', with constants for random numbers'


def log_unchecked(path: str, found: Compared) -> None:
    """Log a warning if a file was not checked."""
    if found.title == 'not checked':
        _log.warning('%s was not checked: %s', path, found.said)


def _unfit(graph: Graph) -> str:
    """Why no other library can give the same numbers; '' if one can."""
    for node in graph.walk():
        if node.op in TORCH.maps[0] or node.op in ONNX.maps[0] or not node.is_variable and (
                row(node.op) is None):
            return '%s (%s) is an operator that a program defines' % (node.name, node.op)
        if draws(node):
            return '%s (%s) draws at random' % (node.name, node.op)
    return ''


class _Incomparable(ValueError):
    """Rounding changes outputs too much for a comparison, or there are no finite numbers."""


class _Check:
    """Compares a file with a checkpoint, run after run."""

    def __init__(self, checkpoint: Reference, file: ExportedFile, again: Exporter, found: Prepared
                 ) -> None:
        self._checkpoint, self._file, self._again = checkpoint, file, again
        self._found, self._inputs = found, Inputs(checkpoint.model, file, found)

    def all(self, beside: str) -> Compared:
        """Compare a run with the graph's sizes, one with those of the other graph, if there is one,
        and two with other sizes if the file takes any.

        Returns
        -------
        Compared
            What was compared `beside` what.

        Raises
        ------
        ExportError
            An output differs, or the file does not take data of the graph's sizes.
        ValueError
            The checkpoint does not take such data.
        """
        #: The sizes of each run, in words, and how many are of a rewritten graph.
        self.said, self._rewritten = [], 0  # type: list[str], int
        self.data: Sequence[Data] = ()
        #: The largest difference, and the largest by rounding alone.
        self.worst, self._rounding = 0.0, 0.0
        self._missed: list[str] = []
        #: Outputs that differ for the graph's own sizes only since a node reads NaN.
        self._doubted: set[str] = set()
        other = self._found.certified
        own = {name: fits[0] for name, fits in self._found.own.items()}
        self._compare(self._checkpoint, 0, own)
        if other is not None:
            self._compare(self._checkpoint.of(self._checkpoint.model._replace(
                graph=other), self._found.certified_one), 0, {**own, **self._found.other})
        refused = ''
        for which in (1, 2) if self._inputs.names else ():
            try:
                self._compare(self._checkpoint, which, {})
            except ExportError:
                raise
            except _Incomparable as error:
                refused = '. At other sizes nothing was compared: %s' % error
            except ValueError as error:
                refused = ('. Other sizes that were tried do not fit; if only these do, type them '
                           '(--input). The reason: ' + without_stage(str(error)))
        count = len(self.said) - self._rewritten
        return Compared(
            'checked', '%sequal to %s%s' % (
                'in chunks, ' if self._file.steps else '', beside,
                ', and to the other graph,' if other is not None else ''), self.worst,
            '%d size%s%s' % (count or self._rewritten, 's' * ((count or self._rewritten) != 1), (
                ' in its own graph, %d' % self._rewritten if count else '') + (
                    ' in the graph rewritten for any size') if self._rewritten else ''),
            '%s%s%s' % (
                '. Rounding alone changes outputs by %.1g' % self._rounding if (
                    self._rounding and self.worst > 1e-5)
                else '', ''.join('. Not compared: ' + each for each in self._missed), refused),
            '; '.join(self.said), self.data)

    def _told(self, data: Data) -> list[str]:
        """The inputs whose shapes tell the sizes of all open axes."""
        told: list[str] = []
        seen: set[int | str] = set()
        for name in data:
            own = {size for size in self._found.shapes.get(name, ()) if isinstance(size, str)}
            if own - seen or not told:
                told.append(name)
            seen |= own
        return told

    def _compare(self, checkpoint: Reference, which: int, own: Mapping[str, int]) -> None:
        """Compare a run with sizes of the list `which`, larger ones if these do not fit. Those of
        the first list are the graph's, which are in `own`: the file must take them."""
        reason: ValueError | None = None
        ranges = {str(self._found.shapes[name][at]): sizes
                  for (name, at), sizes in self._found.ranges.items()}
        for more in (0, 16, 64):
            # Names of which the graph takes only some sizes have one of these.
            sizes = {name: ranges[name][0 if which < 2 else -1] if name in ranges else size + more
                     for name, size in zip(self._inputs.names, itertools.cycle(_SIZES[which]))}
            try:
                return self.run(checkpoint, which, {**sizes, **own})
            except (EndedError, ExportError, _Incomparable):
                raise
            except ValueError as error:
                reason = reason or error
        assert reason is not None
        raise reason

    def run(self, checkpoint: Reference, which: int, sizes: Mapping[str, int]) -> None:
        """Compare the file with the checkpoint for data of one range after the other, until each
        output was finite in one. A file with states runs in chunks of 1, 2 and the remaining steps.

        Raises
        ------
        ExportError
            An output differs, or the file does not take the first sizes.
        ValueError
            The checkpoint or the file does not take the data.
        """
        file, seen = self._file, Seen(self._file.names)
        every: list[Data] = []
        for data in self._inputs.drawn(sizes=sizes):
            own = checkpoint is not self._checkpoint or self._found.fits(data)
            counts = _chunks(file.steps(data)) if file.steps else []
            try:
                wanted = checkpoint.outputs(data, own)
            except EndedError:
                raise
            except ValueError:
                self._refuse_types(checkpoint, data, own, counts)
                raise
            try:
                got = file.outputs(data, counts)
            except ValueError as error:
                if which:
                    raise
                if any(each in str(error) for each in _LACKS):
                    raise _Incomparable(without_stage(str(error))) from None
                raise ExportError('%s\n%s' % (without_stage(str(error)), REMEDY)) from None
            said = ', '.join('%s %s' % (name, data[name].shape) for name in self._told(data)) + (
                ' in chunks of %s' % ' and '.join(map(str, counts)) if counts else '') + (
                '' if own else ' in the rewritten graph')
            noise = noise_of(checkpoint, data, own, got, wanted)
            for at, (name, one, other, moves) in enumerate(zip(file.names, got, wanted, noise)):
                one, other = telling(one, other, moves)
                apart, places = seen.difference(name, one, other), beyond(
                    known(one, other), other, moves)
                place, node = (checkpoint, self._again, data, own, at), ''
                if places.any():
                    node, same = first_different(*place), one.shape == other.shape
                    if same and (not node or name in self._doubted and not own):
                        seen.passed.add(name)
                        self._doubted.add(name)  # a rewritten graph does not tell the node
                        continue
                    how = 'in its shape: %s, not %s' % (one.shape, other.shape)
                    if same:
                        how = 'in %d of %d numbers, the first of which is %.9g, not %.9g' % (
                            places.sum(), places.size, one[places][0], other[places][0])
                elif name in seen.passed and not (self.said or every):  # once: it exports again
                    node, how = first_with_numbers(*place), 'by numbers for NaN'
                if node or one.shape != other.shape:
                    raise ExportError(
                        'the output %s differs from the checkpoint in %s %s, for %s. The first '
                        'node that differs is %s\n%s' % (
                            name, checkpoint.name, how, said, node, REMEDY))
                seen.keep(name, other)
                self.worst = max(self.worst, apart)
                self._rounding = max(self._rounding, part(moves[np.isfinite(other)], other))
            every.append(data)
            if seen.whole():
                break
        missed = seen.missed()
        if len(missed) == len(file.names):
            raise _Incomparable('the output %s %s' % next(iter(missed.items())))
        self._missed += ['the output %s for %s, since it %s' % (name, said, why)
                         for name, why in missed.items()]
        self.said.append(said)
        self._rewritten += not own
        self.data = every

    def _refuse_types(self, checkpoint: Reference, data: Data, own: bool, counts: Sequence[int]
                      ) -> None:
        """Say so if a checkpoint refuses data only for their types; if the file does, too, it is
        not written."""
        weights = np.result_type('f', *[
            array.dtype for array in checkpoint.model.arg_params.values()])
        reason = other_types({name: data[name].dtype for name in data
                              if name in self._found.types}, weights.name)
        if not reason:
            return
        checkpoint.outputs({name: array.astype(weights) for name, array in data.items()}, own)
        try:
            self._file.outputs(data, counts)
        except ValueError:
            raise ExportError('%s\n%s' % (reason, REMEDY)) from None
        raise _Incomparable('the checkpoint does not take these data. ' + reason)


def _chunks(length: int) -> list[int]:  # 1, 2 and the remaining steps
    return [count for count in (min(1, length), min(2, length - 1), length - 3) if count > 0]
