"""Finds the newest of several checkpoints that can be read, and says why others were skipped."""
from __future__ import annotations

import logging
import os
from typing import Callable, Generic, Sequence, TypeVar

from .. import _check
from . import CheckpointError
from .checkpoint_files import Place, path_of, why_none
from .params import was_there

__all__ = ['Candidates']

_log = logging.getLogger('mxrnn.rnn')
_Loaded = TypeVar('_Loaded')


class Candidates(Generic[_Loaded]):
    """The existing checkpoints, tried from the highest number on.

    Parameters
    ----------
    prefix : str
    places : sequence of Place
        The existing checkpoints, in ascending order.
    load : callable
        Called with a place; raises `CheckpointError` to skip it.

    Attributes
    ----------
    place : Place
        The place of the last loaded checkpoint; (-1, 0) before.
    loaded : object or None
        The result of `load` for it; None if no checkpoint can be read.
    errors : list of CheckpointError
        Why others were skipped.
    """

    def __init__(self, prefix: str, places: Sequence[Place], load: Callable[[Place], _Loaded]
                 ) -> None:
        self._prefix, self._places, self._load = prefix, list(places), load
        self._lower = list(places)  #: not tried yet
        #: By the reason without the number: the full reason, and the names of files.
        self._alike: dict[str, list[str]] = {}
        self.place: Place = (-1, 0)
        self.loaded: _Loaded | None = None
        self.errors: list[CheckpointError] = []

    def newest(self, at_most: Place | None = None) -> _Loaded | None:
        """Load the next readable one, at most `at_most`, or None."""
        self.loaded = None
        while self.loaded is None and self._lower:
            place = self._lower.pop()
            if at_most is not None and place > at_most:
                continue
            try:
                self.place, self.loaded = place, self._load(place)
            except CheckpointError as error:
                name = os.path.basename(path_of(self._prefix, 'params', *place))
                reason = str(error).replace(name[:-len('.params')], '')
                self._alike.setdefault(reason, [str(error)]).append(name)
                self.errors.append(error)
        return self.loaded

    def refusal(self) -> CheckpointError:
        """The error that none of them can be read, with each reason once."""
        return CheckpointError('no checkpoint of %s can be read: %s' % (
            self._prefix, '; '.join(self._reasons()) or why_none(self._prefix)))

    def warn(self) -> None:
        """Log each reason why others were skipped, and a lower number that was saved later."""
        for reason in self._reasons():
            _log.warning('Skipped a checkpoint: %s', reason)
        path = path_of(self._prefix, 'params', *self.place)
        later = [lower for lower in self._places if lower < self.place
                 and was_there(path, path_of(self._prefix, 'params', *lower))]
        if later:
            _log.warning('%s has the highest number, but %s was saved after it, probably by '
                         'another run with the same prefix: give epoch=%d, or delete the files of '
                         'the run that you do not need', path,
                         path_of(self._prefix, 'params', *later[-1]), later[-1][0])

    def _reasons(self) -> list[str]:
        """The reason of the first of those that fail alike, and the names of the others."""
        return [first + (' (the same of %s)' % _check.some(others) if others else '')
                for first, _, *others in self._alike.values()]
