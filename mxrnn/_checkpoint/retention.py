"""Deletes old checkpoints after each new one."""
from __future__ import annotations

import warnings

from .._files import checkpoint_files as files
from .._files.checkpoint_files import Place
from . import several_workers
from .optimizer_states_file import Extra
from .position import Data

__all__ = ['Retention']


class Retention:
    """Deletes old checkpoints after each new one.

    With several workers, the worker of rank 0 does it. The others may still write their parts of
    the newest checkpoint, so only the next save shows whether it is whole. Until one is known to be
    whole, only checkpoints are deleted that were saved through this object and that no worker can
    use.

    Parameters
    ----------
    prefix : str
        The prefix of the checkpoints.
    data : DataIter or None
        The training data; with several workers, the part of rank 0.
    keep : int, optional
        How many checkpoints at the end of epochs remain, plus one if several workers train; all if
        None.
    within : bool
        Whether checkpoints within epochs are written; only the last of these remains.
    """

    def __init__(self, prefix: str, data: Data | None, keep: int | None, within: bool) -> None:
        self._prefix, self._data, self._keep, self._within = prefix, data, keep, within
        self._before: tuple[Place, Extra] | None = None  #: the last one of several workers
        self._whole: Place | None = None  #: the newest with all of its parts
        self._unused: set[Place] = set()  #: saved through this object, but useless to all workers
        self._ours: set[Place] = set()  #: saved through this object
        self._warned = False

    def is_first(self, place: Place) -> bool:
        """Whether no checkpoint is known to be whole, and no others were saved here."""
        self._ours.add(place)
        return self._whole is None and self._ours.issuperset(
            files.places(self._prefix, batches=True))

    def saved(self, place: Place, told: Extra | None) -> None:
        """Delete files that are not needed any more, now that `place` is written.

        `told` is the result of `several_workers.save_part`, or None if one worker trains alone.
        """
        several = told is not None
        if several:
            self._unused.discard(place)
            self._judge_the_one_before()
        if self._within:
            kept = {place, self._before[0] if self._before else None}
            self._delete([old for old in files.places(self._prefix, batches=True)
                          if old[1] and old not in kept], place, several)
        epoch, batch = place
        if self._keep is not None and not batch:
            keep = self._keep + several
            self._delete([old for old in files.places(self._prefix) if old[0] <= epoch][:-keep],
                         place, several)
        self._before = None if told is None else (place, told)

    def _delete(self, places: list[Place], newest: Place, several: bool) -> None:
        every = self._whole is not None or not several
        for place in places:
            if place != self._whole and (every or place in self._unused):
                files.remove(self._prefix, *place)
                self._unused.discard(place)
        if several:  # all workers have written their parts of everything but the newest
            files.remove_lone_parts(self._prefix, newest)

    def _judge_the_one_before(self) -> None:
        """Note whether the previous checkpoint has all of its parts, which are written by now."""
        if self._before is None or self._data is None:
            return
        fault = several_workers.fault(self._prefix, *self._before, self._data)
        if not fault:
            self._whole = self._before[0]
            return
        self._unused.add(self._before[0])
        if not self._warned:
            self._warned = True
            warnings.warn('No worker can resume from the checkpoint before this one: %s. All '
                          'workers need one prefix in a shared folder, and equal weights: seed '
                          'mx.random equally, resume from one checkpoint' % fault, stacklevel=2)
