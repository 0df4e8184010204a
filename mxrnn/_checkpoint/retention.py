"""Which checkpoints of a training are deleted when a newer one is there."""
from __future__ import annotations

import logging
from typing import Any, Dict, Tuple

from .._files import names as files
from . import parts

__all__ = ['Retention']

_log = logging.getLogger('mxrnn.rnn')

_Place = Tuple[int, int]  #: epoch and batch of a checkpoint
_Told = Dict[str, Any]  #: what `parts.save` returned for it


class Retention:
    """Deletes old checkpoints after each new one.

    Of several workers the one of rank 0 does. The others may still write their parts of the newest
    checkpoint then, so whether all of them can go on from it is known at the next one. Until one is
    known to be whole, only those are deleted that were saved through this object and that no worker
    can use.

    Parameters
    ----------
    prefix : str
        The prefix of all of them.
    data : DataIter or None
        What is trained on; of several workers, the part of the one of rank 0.
    keep : int, optional
        How many remain of those at the end of an epoch, and one more where several workers train;
        all if None.
    within : bool
        Whether checkpoints within epochs are written, of which only the last remains.
    """

    def __init__(self, prefix: str, data: Any, keep: int | None, within: bool) -> None:
        self._prefix, self._data, self._keep, self._within = prefix, data, keep, within
        self._before: tuple[_Place, _Told] | None = None  #: the last one of several workers
        self._whole: _Place | None = None  #: the newest that has all of its parts
        self._unused: set[_Place] = set()  #: of those saved through this, what no worker can use
        self._warned = False

    def saved(self, place: _Place, told: _Told | None) -> None:
        """Delete what is no longer needed, now that `place` is written.

        `told` is what `parts.save` returned for it, None if one worker trains alone.
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

    def _delete(self, places: list[_Place], newest: _Place, several: bool) -> None:
        every = self._whole is not None or not several
        for place in places:
            if place != self._whole and (every or place in self._unused):
                files.remove(self._prefix, *place)
                self._unused.discard(place)
        if several:  # all have written their parts of what is older than the newest
            files.remove_lone_parts(self._prefix, newest)

    def _judge_the_one_before(self) -> None:
        """Note whether the checkpoint before has all of its parts, which are written by now."""
        if self._before is None:
            return
        fault = parts.fault(self._prefix, *self._before, self._data)
        if not fault:
            self._whole = self._before[0]
            return
        self._unused.add(self._before[0])
        if not self._warned:
            self._warned = True
            _log.warning('No worker will go on from the checkpoint before this one: %s. All '
                         'workers need the same prefix, in a folder that all of them see, and '
                         'equal weights: the same seed of mx.random at the beginning, and the same '
                         'checkpoint where they go on from one', fault)
