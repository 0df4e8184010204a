"""Transformations of series that today's GluonTS lacks, or has only with MXNet."""
from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from .. import _check

__all__ = ['LACKING', 'older_arguments', 'older_time']


def _last(array: np.ndarray, count: int) -> np.ndarray:
    """The last `count` rows, after zeros if there are fewer."""
    return np.concatenate([np.zeros((count, *array.shape[1:]), array.dtype), array])[-count:]


def _forked(data: dict[str, Any], enc_len: int, dec_len: int, **given: Any) -> dict[str, Any]:
    """ForkingSequenceSplitter: the last `enc_len` steps, and what each of them looks ahead at."""
    series, off, decoded, undecoded, excluded = (given.get(key) or () for key in (
        'encoder_series_fields', 'encoder_disabled_fields', 'decoder_series_fields',
        'decoder_disabled_fields', 'prediction_time_decoder_exclude'))
    target, steps = given['target_field'], len(data[given['target_field']])
    data = {**data, 'past_' + given['is_pad_out']: 1 - _last(np.ones(steps), enc_len),
            'forecast_start': data[given['start_input_field']] + steps}
    forks = given.get('num_forking') or enc_len
    ahead = np.arange(steps)[-forks:, None] + range(1, dec_len + 1)
    for field in {target, *series, *decoded}:
        array = np.atleast_2d(data.pop(field)).T
        data['past_' + field] = _last(array[:steps] * (field not in off), enc_len)
        if field in decoded and field not in (*excluded, target):
            windows = _last(array[ahead] * (field not in undecoded), forks)
            data['future_' + field] = windows[..., 0] if array.shape[1] == 1 else windows
    return data


def _broadcast(data: dict[str, Any], field: str, ext_length: int, target_field: str
               ) -> dict[str, Any]:
    """BroadcastTo: as many steps as the target and its forecast have."""
    steps = data[target_field].shape[-1] + ext_length
    return {**data, field: np.broadcast_to(data[field], (*data[field].shape[:-1], steps))}


def _fourier(index: Any, freq: str) -> np.ndarray:
    """FourierDateFeatures: cosine and sine of a unit of the calendar."""
    values = np.asarray(getattr(index, _check.choice('freq', freq, _UNITS)))
    angles = values * 2 * np.pi / (values.max() + 1)
    return np.vstack([np.cos(angles), np.sin(angles)])


def _quantized(bin_edges: Any, past_target: str, future_target: str, scale: str) -> Any:
    """QuantizeScaled: today's class weighs what was observed, and no field has these weights."""
    from gluonts.transform import QuantizeMeanScaled
    return QuantizeMeanScaled(bin_edges, past_target, '', future_target, scale)


def _last_window(**given: Any) -> Any:
    """A sampler for training, which forecasts of GluonTS 0.4 to 0.6 did not ask."""
    from gluonts.transform.sampler import PredictionSplitSampler
    return PredictionSplitSampler()


def older_arguments(given: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a transformation of GluonTS 0.4 to 0.6, as today's take them."""
    given.pop('pick_incomplete', None)  # for training
    if 'target_in' in given:
        if given.pop('time_series_fields', None):
            raise ValueError('the folder names ForkingSequenceSplitter with time_series_fields, '
                             'which mxrnn does not make')
        given.update(target_field=given.pop('target_in'), start_input_field=given.pop('start_in'))
    if 'convert_nans' in given:
        from gluonts.transform import DummyValueImputation, LeavesMissingValues
        dummy = DummyValueImputation(given.pop('dummy_value', 0.0))
        given['imputation_method'] = dummy if given.pop('convert_nans') else LeavesMissingValues()
    return given


def older_time(name: str, function: Any, normalized: bool | None = None) -> Any:
    """A feature of the calendar: GluonTS 0.4 to 0.6, which said `normalized`, counted from 1."""
    if normalized is False:
        raise ValueError('the folder names %s with normalized=False, which mxrnn does not make'
                         % name)
    return partial(_from_one, *_FROM_ONE[name]) if normalized and name in _FROM_ONE else function


def _from_one(unit: str, largest: int, index: Any) -> np.ndarray:
    return np.asarray(getattr(index, unit)) / largest - 0.5


def _adhoc(function: Any, **given: Any) -> Any:
    from gluonts.transform import AdhocTransform
    return AdhocTransform(partial(function, **given))


_UNITS = 'month day hour minute weekofyear weekday dayofweek dayofyear daysinmonth'.split()
_FROM_ONE = {'day_of_month': ('day', 30), 'day_of_year': ('dayofyear', 364),
             'month_of_year': ('month', 11)}
#: By name in a folder, what makes one.
LACKING: Any = {
    'ForkingSequenceSplitter': partial(_adhoc, _forked), 'QuantizeScaled': _quantized,
    'BroadcastTo': partial(_adhoc, _broadcast), 'FourierDateFeatures': partial(partial, _fourier),
    'ExpectedNumInstanceSampler': _last_window}
