"""Loads forecasters that GluonTS saved from MXNet as predictors of today's GluonTS, on torch.

This module can be imported without GluonTS and torch; only `load_predictor` needs them.
"""
from __future__ import annotations

import json
import os
from functools import partial
from typing import Any

import numpy as np

from .. import _check
from .._files import named
from .model import load

__all__ = ['input_names', 'load_predictor', 'network_of']

#: Functions of today's GluonTS, which were classes: hour_of_day was HourOfDay.
_TIMES = [unit + end for end in ('', '_index') for unit in '''
    second_of_minute minute_of_hour hour_of_day day_of_week day_of_month day_of_year week_of_year
    month_of_year'''.split()]

#: Classes and functions that a folder may name, beside those in `_OWN`. No others are made.
_KNOWN = [*_TIMES, *'''AddAgeFeature AddConstFeature AddObservedValuesIndicator AddTimeFeatures
    AsNumpyArray CanonicalInstanceSplitter CausalMeanValueImputation Chain ConcatFeatures
    DummyValueImputation ExpandDimArray Identity InstanceSplitter LastValueImputation
    LeavesMissingValues ListFeatures MeanValueImputation PredictionSplitSampler
    QuantileForecastGenerator RemoveFields RenameFields RollingMeanValueImputation
    SampleForecastGenerator SampleTargetDim SelectFields SetField SetFieldIfNotPresent SwapAxes
    TFTInstanceSplitter TargetDimIndicator VstackFeatures array bool_ dtype float16 float32 float64
    int32 int64'''.split()]

#: Older names of classes, functions and parameters.
_RENAMED = {'TestSplitSampler': 'PredictionSplitSampler', 'trans': 'transformations',
            'train_sampler': 'instance_sampler', **{
                name.title().replace('_', ''): name for name in _TIMES}}

_NO_GRAPH = '''%s has no graph, only a RepresentableBlockPredictor. Save one where MXNet runs:

    from pathlib import Path
    from gluonts.model.predictor import Predictor
    predictor, folder = Predictor.deserialize(Path(%r)), Path('with_graph')
    folder.mkdir()
    predictor.as_symbol_block_predictor(dataset=dataset).serialize(folder)'''


def network_of(folder: str | os.PathLike[str]) -> str:
    """The prefix of the network's checkpoint in a folder of GluonTS.

    Raises
    ------
    ValueError
        It is not a folder of a `SymbolBlockPredictor`; the message says what to do.
    """
    folder = str(_check.instance('folder', folder, (str, os.PathLike), 'a path'))
    kind = str(_read(folder, 'type.txt')).rpartition('.')[2]
    if kind == 'RepresentableBlockPredictor':
        raise ValueError(_NO_GRAPH % (folder, folder))
    _check.choice('the predictor in %s' % folder, kind, ['SymbolBlockPredictor'])
    return os.path.join(folder, 'prediction_net')


def input_names(folder: str | os.PathLike[str]) -> dict[str, str]:
    """GluonTS's fields by the names of the graph's inputs: ``{'data0': 'feat_static_cat', …}``."""
    fields = _read(os.fspath(folder), 'parameters.json')['input_names']
    return {'data%s' % (i if len(fields) > 1 else ''): field for i, field in enumerate(fields)}


def load_predictor(folder: str | os.PathLike[str], device: Any = 'auto') -> Any:
    """Read a forecaster that GluonTS saved where MXNet ran.

    Parameters
    ----------
    folder : path
        The folder that ``predictor.as_symbol_block_predictor(dataset=…).serialize(folder)`` wrote,
        by GluonTS 0.9 or newer.
    device : str or torch.device
        As `PyTorchPredictor` takes it.

    Returns
    -------
    gluonts.torch.model.predictor.PyTorchPredictor
        Its network is the folder's graph. It also takes the transformation, fields, lengths, batch
        size and kind of forecast from the folder.

    Raises
    ------
    ValueError
        The folder has no graph, or names a class that this module does not make.
    CheckpointError
        A file in the folder cannot be read.
    ModuleNotFoundError
        GluonTS or torch is not installed.
    """
    prefix, folder = network_of(folder), os.fspath(folder)
    with _check.needing('load_predictor needs GluonTS with torch', '"gluonts[torch]"'):
        from gluonts.torch.model.predictor import PyTorchPredictor

        from . import to_torch
    settings = _read(folder, 'parameters.json')
    settings = _made({key: settings[key] for key in (
        'input_names', 'batch_size', 'prediction_length', 'lead_time', 'forecast_generator')})
    form = _read(folder, 'prediction_net-in_out_format.json')['out_format']
    names, network = input_names(folder), to_torch(load(prefix))
    missing = [name for name in network.inputs if name not in names]
    if missing:
        raise ValueError('parameters in %s have no values for %s' % (folder, _check.some(missing)))
    network.register_forward_pre_hook(partial(_given, names), with_kwargs=True)
    if hasattr(settings['forecast_generator'], 'quantiles'):
        network.register_forward_hook(partial(_of_quantiles, form))
    return PyTorchPredictor(prediction_net=network, device=device, **settings,
                            input_transform=_made(_read(folder, 'input_transform.json')))


def _read(folder: str, name: str) -> Any:
    path = os.path.join(folder, name)
    with named(path), open(path, encoding='utf-8') as stream:
        return json.load(stream) if name.endswith('.json') else stream.read().strip()


# ---- the network between GluonTS's fields and its own inputs and outputs

def _given(names: dict[str, str], module: Any, args: Any, batch: dict[str, Any]) -> Any:
    """The network's inputs, all of its parameters' type, as GluonTS passes them to MXNet."""
    kind = next(module.parameters()).dtype
    return (), {name: batch[names[name]].to(kind) for name in module.inputs}


def _of_quantiles(form: Any, module: Any, args: Any, array: Any) -> Any:
    """Quantiles in the form of today's GluonTS: (batch, time, quantiles), not changed later."""
    return (array.transpose(1, 2) if form == 0 else array,), None, None  # 0: of older versions


# ---- from the JSON of GluonTS, which names classes

def _made(value: Any) -> Any:
    """The object that the JSON describes, made only of classes in the tables, inner ones first."""
    return json.loads(json.dumps(value), object_hook=_instance)


def _instance(value: dict[str, Any]) -> Any:
    if '__kind__' not in value:
        return value
    home, _, name = value['class'].rpartition('.')
    name = _RENAMED.get(name, name)
    if name not in {*_KNOWN, *_OWN} or home.partition('.')[0] not in ('gluonts', 'numpy'):
        raise ValueError('the folder names %s, which mxrnn does not make' % value['class'])
    from gluonts import time_feature, transform
    from gluonts.model import forecast_generator
    homes = (transform, transform.sampler, transform.split, time_feature, forecast_generator, np)
    found = _OWN.get(name) or next(getattr(each, name) for each in homes if hasattr(each, name))
    if value['__kind__'] == 'type' or name in _TIMES:
        return found
    return found(*value.get('args', []), **{
        _RENAMED.get(key, key): each for key, each in value.get('kwargs', {}).items()})


# ---- classes that today's GluonTS lacks without MXNet

def _last(array: Any, count: int) -> Any:
    """The last `count` rows, after zeros if there are fewer."""
    return np.concatenate([np.zeros((count, *array.shape[1:]), array.dtype), array])[-count:]


def _forked(data: dict[str, Any], enc_len: int, dec_len: int, **given: Any) -> Any:
    """ForkingSequenceSplitter: the last `enc_len` steps, and what each of them looks ahead at."""
    series, off, decoded, undecoded, excluded = (given[key] or () for key in (
        'encoder_series_fields', 'encoder_disabled_fields', 'decoder_series_fields',
        'decoder_disabled_fields', 'prediction_time_decoder_exclude'))
    target, steps = given['target_field'], len(data[given['target_field']])
    data = {**data, 'past_' + given['is_pad_out']: 1 - _last(np.ones(steps), enc_len),
            'forecast_start': data[given['start_input_field']] + steps}
    forks = given['num_forking'] or enc_len
    ahead = np.arange(steps)[-forks:, None] + range(1, dec_len + 1)
    for field in {target, *series, *decoded}:
        array = np.atleast_2d(data.pop(field)).T
        data['past_' + field] = _last(array[:steps] * (field not in off), enc_len)
        if field in decoded and field not in (*excluded, target):
            windows = _last(array[ahead] * (field not in undecoded), forks)
            data['future_' + field] = windows[..., 0] if array.shape[1] == 1 else windows
    return data


def _broadcast(data: dict[str, Any], field: str, ext_length: int, target_field: str) -> Any:
    """BroadcastTo: as many steps as the target and its forecast have."""
    steps = data[target_field].shape[-1] + ext_length
    return {**data, field: np.broadcast_to(data[field], (*data[field].shape[:-1], steps))}


def _fourier(index: Any, freq: str) -> Any:
    """FourierDateFeatures: cosine and sine of a unit of the calendar."""
    values = np.asarray(getattr(index, _check.choice('freq', freq, _UNITS)))
    angles = values * 2 * np.pi / (values.max() + 1)
    return np.vstack([np.cos(angles), np.sin(angles)])


def _quantized(bin_edges: Any, past_target: str, future_target: str, scale: str) -> Any:
    """QuantizeScaled: today's class weighs what was observed, and no field has these weights."""
    from gluonts.transform import QuantizeMeanScaled
    return QuantizeMeanScaled(bin_edges, past_target, '', future_target, scale)


def _adhoc(function: Any, **given: Any) -> Any:
    from gluonts.transform import AdhocTransform
    return AdhocTransform(partial(function, **given))


_UNITS = 'month day hour minute weekofyear weekday dayofweek dayofyear daysinmonth'.split()
_OWN: Any = {'ForkingSequenceSplitter': partial(_adhoc, _forked), 'QuantizeScaled': _quantized,
             'BroadcastTo': partial(_adhoc, _broadcast),
             'FourierDateFeatures': partial(partial, _fourier)}
