"""What the iterators share: arguments, descriptions of batches, and positions to go on from."""
from __future__ import annotations

from typing import Any

import numpy as np

from .. import _check
from .._runtime.mxnet import mx
from . import tokens as _tokens

__all__ = ['TokenIter', 'extent']


class TokenIter(mx.io.DataIter):
    """Batches cut from rows of tokens, whose labels are the next tokens."""

    #: Whether row b of a batch goes on where row b of the batch before ended.
    continues = False

    def __init__(self, batch_size: int, invalid_label: float, data_name: str, label_name: str,
                 dtype: Any, layout: str, **names: str) -> None:
        super().__init__(extent('batch_size', batch_size, 1))
        self._dtype = _tokens.data_type('dtype', dtype)
        self._padding = _padding('invalid_label', invalid_label, self._dtype)
        self.invalid_label = invalid_label
        _check_names(data_name=data_name, label_name=label_name, **names)
        self.data_name = data_name
        self.label_name = label_name
        self.dtype = dtype
        self.layout = _check.choice('layout', layout, ('NT', 'TN', 'NTC', 'TNC'))
        self.major_axis = layout.find('N')

    def __bool__(self) -> bool:
        return True  # also where an epoch has no batch

    def _describe(self, length: int) -> tuple[list[mx.io.DataDesc], list[mx.io.DataDesc]]:
        """provide_data and provide_label of a batch of this length."""
        shape = (self.batch_size, length) if self.major_axis == 0 else (length, self.batch_size)
        return ([mx.io.DataDesc(self.data_name, shape, self._dtype.type, self.layout)],
                [mx.io.DataDesc(self.label_name, shape, layout=self.layout)])

    def _split(self, rows: np.ndarray) -> list[mx.nd.NDArray]:
        """Data and label from rows of one step more: all but the last, and all but the first."""
        return [mx.nd.array(part if self.major_axis == 0 else part.swapaxes(-1, -2),
                            dtype=self.dtype)
                for part in (rows[..., :-1], rows[..., 1:])]

    def _batch(self, data: list[mx.nd.NDArray], label: mx.nd.NDArray, length: int,
               pad: int = 0, index: Any = None) -> mx.io.DataBatch:
        provide_data, provide_label = self._describe(length)
        return mx.io.DataBatch(data, [label], pad=pad, index=index, bucket_key=length,
                               provide_data=provide_data, provide_label=provide_label)


def extent(name: str, value: Any, least: int) -> int:
    """Check what becomes a dimension of an array."""
    value = _check.integer(name, value, least)
    if value >= 2 ** 31:
        raise ValueError('%s must be less than 2**31, got a number of %d bits'
                         % (name, value.bit_length()))
    return value


def _padding(name: str, value: Any, dtype: np.dtype) -> Any:
    """Return what pads data of this type, as a number of the type."""
    if not _tokens.fits(np.asarray(_check.number(name, value)), dtype):
        raise ValueError('%s must be a number that dtype %s can represent, got %r'
                         % (name, dtype.name, value))
    return dtype.type(value)


def _check_names(**names: Any) -> None:
    """Check that the arrays of a batch have names, and each one of its own."""
    for name, value in names.items():
        _check.instance(name, value, str, 'a str')
    for name, value in names.items():
        others = [other for other in names if other != name and names[other] == value]
        if others:
            raise ValueError('%s must differ from %s, got %r for both' % (name, others[0], value))
