"""The checkpoint of the highest number that can be read, and why others cannot."""
from __future__ import annotations

import logging
import os
import re
from typing import Callable, Generic, Sequence, TypeVar

from .errors import CheckpointError
from .names import Place, epochs, path_of
from .seal import was_there

__all__ = ['Candidates', 'why_none']

_log = logging.getLogger('mxrnn.rnn')
_Loaded = TypeVar('_Loaded')

_MOST_NAMES = 3  #: how many checkpoints are named that fail for one reason


class Candidates(Generic[_Loaded]):
    """The checkpoints that are there, tried from the highest number on.

    Parameters
    ----------
    prefix : str
    places : sequence of Place
        The checkpoints that are there, in ascending order.
    load : callable
        Called with a place; raises `CheckpointError` for one that is to be skipped.

    Attributes
    ----------
    place : Place
        Of the one that was loaded last; (-1, 0) before.
    loaded : object or None
        What `load` returned for it, if there was one that can be read.
    errors : list of CheckpointError
        Why others were skipped.
    """

    def __init__(self, prefix: str, places: Sequence[Place], load: Callable[[Place], _Loaded]
                 ) -> None:
        self._prefix, self._places, self._load = prefix, list(places), load
        self._lower = list(places)  #: those that were not tried yet
        self._alike: dict[str, list[Place]] = {}  #: by what is said without the number
        self._first: dict[str, str] = {}  #: of each of these, what is said of its first
        self.place: Place = (-1, 0)
        self.loaded: _Loaded | None = None
        self.errors: list[CheckpointError] = []

    def newest(self, at_most: Place | None = None) -> _Loaded | None:
        """Load the next that can be read, of those up to `at_most`; None if there is none."""
        self.loaded = None
        while self.loaded is None and self._lower:
            place = self._lower.pop()
            if at_most is not None and place > at_most:
                continue
            try:
                self.place, self.loaded = place, self._load(place)
            except CheckpointError as error:
                number = '%s-%04d' % (os.path.basename(self._prefix), place[0])
                reason = re.sub(re.escape(number) + r'(\.batch-\d+)?', '', str(error))
                self._alike.setdefault(reason, []).append(place)
                self._first.setdefault(reason, str(error))
                self.errors.append(error)
        return self.loaded

    def refusal(self) -> CheckpointError:
        """The error that none of them can be read, with each reason once."""
        return CheckpointError('no checkpoint of %s can be read: %s' % (
            self._prefix, '; '.join(map(self._in_words, self._alike)) or why_none(self._prefix)))

    def warn(self) -> None:
        """Log each reason why others were skipped, and a lower number that was saved later."""
        for reason in self._alike:
            _log.warning('Skipped a checkpoint: %s', self._in_words(reason, 300))
        path = path_of(self._prefix, 'params', *self.place)
        later = [lower for lower in self._places if lower < self.place
                 and was_there(path, path_of(self._prefix, 'params', *lower))]
        if later:
            _log.warning('%s has the highest number, but %s was saved after it, by another run '
                         'with the same prefix, it seems: give its epoch=%d, or delete the files '
                         'of the run that you do not need', path,
                         path_of(self._prefix, 'params', *later[-1]), later[-1][0])

    def _in_words(self, reason: str, most: int | None = None) -> str:
        """Say why the first of those that fail alike fails, and name the others."""
        names = [os.path.basename(path_of(self._prefix, 'params', *place))
                 for place in self._alike[reason][1:]]
        if len(names) > _MOST_NAMES:
            names[_MOST_NAMES:] = ['%d more' % (len(names) - _MOST_NAMES)]
        return self._first[reason][:most] + (' (the same of %s)' % ', '.join(names) if names
                                             else '')


def why_none(prefix: str) -> str:
    """Why there is no epoch of `prefix`, which may be a folder, or a file of a checkpoint."""
    text = 'there is no %s-*.params' % prefix
    shorter = re.sub(r'(-symbol\.json|-\d+\.(params|states)|\.\w+)$', '', prefix)
    if os.path.isdir(prefix):
        inside = (re.fullmatch(r'(.*)-\d{4,}\.params', name) for name in os.listdir(prefix))
        names = sorted({os.path.join(prefix, match.group(1)) for match in inside if match})
        text += '; %s is a folder: give the name that its files begin with, too%s' % (
            prefix, ', such as %s' % names[0] if names else '')
    elif shorter != prefix and epochs(shorter):
        text += '; give the prefix, %r' % shorter
    return text
