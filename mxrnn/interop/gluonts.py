"""Loads forecasters that GluonTS saved from MXNet as predictors of today's GluonTS, on torch.

This module can be imported without GluonTS and torch; only `load_predictor` needs them.
"""
from __future__ import annotations

import importlib
import json
import os
import re
from functools import partial
from typing import Any

import numpy as np

from .. import _check
from .._files import named
from .model import load

__all__ = ['input_names', 'load_predictor', 'network_of']

#: Classes that a folder may name, by their module in today's GluonTS. No others are made.
_HOMES = {
    'gluonts.transform': '''AddAgeFeature AddConstFeature AddObservedValuesIndicator AddTimeFeatures
        AsNumpyArray CanonicalInstanceSplitter CausalMeanValueImputation Chain ConcatFeatures
        DummyValueImputation ExpandDimArray Identity InstanceSplitter LastValueImputation
        LeavesMissingValues ListFeatures MeanValueImputation RemoveFields RenameFields
        RollingMeanValueImputation SampleTargetDim SelectFields SetField SetFieldIfNotPresent
        SwapAxes TargetDimIndicator VstackFeatures''',
    'gluonts.transform.sampler': 'PredictionSplitSampler',
    'gluonts.transform.split': 'TFTInstanceSplitter',
    'gluonts.time_feature': ' '.join(unit + end for end in ('', '_index') for unit in '''
        second_of_minute minute_of_hour hour_of_day day_of_week day_of_month day_of_year
        week_of_year month_of_year'''.split()),
    'gluonts.model.forecast_generator': 'QuantileForecastGenerator SampleForecastGenerator'}
_KNOWN = {name: home for home, names in _HOMES.items() for name in names.split()}

#: Older names of classes and of parameters.
_RENAMED = {'TestSplitSampler': 'PredictionSplitSampler', 'trans': 'transformations',
            'train_sampler': 'instance_sampler'}

_NO_GRAPH = '''%s has no graph: GluonTS saved a RepresentableBlockPredictor. Run these lines where \
MXNet and that GluonTS still work, to save the graph:

    from pathlib import Path
    from gluonts.model.predictor import Predictor
    Path('with_graph').mkdir()
    predictor = Predictor.deserialize(Path(%r)).as_symbol_block_predictor(dataset=dataset)
    predictor.serialize(Path('with_graph'))'''


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
    if kind != 'SymbolBlockPredictor':
        raise ValueError('%s must be a folder of a SymbolBlockPredictor of GluonTS, got one of %s'
                         % (folder, _check.shown(kind)))
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
    try:
        from gluonts.torch.model.predictor import PyTorchPredictor
    except ImportError as error:
        raise ModuleNotFoundError('load_predictor needs GluonTS with torch (%s): pip install '
                                  '"gluonts[torch]"' % error, name=error.name) from None
    from . import to_torch
    settings = _read(folder, 'parameters.json')
    form = _read(folder, 'prediction_net-in_out_format.json')['out_format']
    generator = _made(settings['forecast_generator'])
    transform = _made(_read(folder, 'input_transform.json'))
    names, network = input_names(folder), to_torch(load(prefix))
    missing = [name for name in network.inputs if name not in names]
    if missing:
        raise ValueError('%s has no values for %s, because its parameters were not saved'
                         % (folder, _check.some(missing)))
    network.register_forward_pre_hook(partial(_given, names), with_kwargs=True)
    if hasattr(generator, 'quantiles'):
        network.register_forward_hook(partial(_of_quantiles, form))
    return PyTorchPredictor(
        prediction_net=network, input_transform=transform, device=device,
        forecast_generator=generator, **{key: settings[key] for key in (
            'input_names', 'batch_size', 'prediction_length', 'lead_time')})


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
    path, args = value['class'], value.get('args', [])
    home, _, name = path.rpartition('.')
    if home == 'numpy':
        return np.array(*args) if name == 'array' else np.dtype(*args or [name]).type
    if home.startswith('gluonts.time_feature'):  # classes called HourOfDay, later hour_of_day
        name = re.sub('(?<=[a-z])(?=[A-Z])', '_', name).lower()
    name = _RENAMED.get(name, name)
    if not path.startswith('gluonts.') or name not in {**_KNOWN, **_OWN}:
        raise ValueError('the folder names %s, which is not among the classes of GluonTS that '
                         'mxrnn makes' % path)
    given = {_RENAMED.get(key, key): each for key, each in value.get('kwargs', {}).items()}
    if name in _OWN:
        from gluonts.transform import AdhocTransform
        function = partial(_OWN[name], **given)
        return function if name == 'FourierDateFeatures' else AdhocTransform(function)
    found = getattr(importlib.import_module(_KNOWN[name]), name)
    return found(*args, **given) if isinstance(found, type) else found


# ---- classes that today's GluonTS lacks without MXNet

def _forked(data: dict[str, Any], enc_len: int, dec_len: int, **given: Any) -> Any:
    """ForkingSequenceSplitter: the last `enc_len` steps, and what each of them looks ahead at."""
    series, off, decoded, undecoded, excluded = (given[key] or () for key in (
        'encoder_series_fields', 'encoder_disabled_fields', 'decoder_series_fields',
        'decoder_disabled_fields', 'prediction_time_decoder_exclude'))
    target, steps = given['target_field'], len(data[given['target_field']])
    past, forks = (np.arange(steps - count, steps)[:, None] for count in (
        enc_len, given['num_forking'] or enc_len))
    data = {**data, 'past_' + given['is_pad_out']: (past[:, 0] < 0).astype(float),
            'forecast_start': data[given['start_input_field']] + steps}
    for field in {target, *series, *decoded}:
        array = np.atleast_2d(data.pop(field)).T
        data['past_' + field] = array[past[:, 0].clip(0)] * ((past >= 0) & (field not in off))
        if field in decoded and field not in (*excluded, target):
            ahead = array[(forks + range(1, dec_len + 1)).clip(0)] * (
                (forks >= 0) & (field not in undecoded))[..., None]
            data['future_' + field] = ahead[..., 0] if array.shape[1] == 1 else ahead
    return data


def _quantized(data: dict[str, Any], bin_edges: Any, past_target: str, future_target: str,
               scale: str) -> Any:
    """QuantizeScaled: which bin a target is in, in units of the mean of its past."""
    size = np.mean(np.abs(data[past_target])) or 1.0
    binned = {field: np.digitize(data[field] / size, bins=np.array(bin_edges))
              for field in (past_target, future_target)}
    return {**data, **binned, scale: np.array([size])}


def _broadcast(data: dict[str, Any], field: str, ext_length: int, target_field: str) -> Any:
    """BroadcastTo: as many steps as the target and its forecast have."""
    steps = data[target_field].shape[-1] + ext_length
    return {**data, field: np.broadcast_to(data[field], (*data[field].shape[:-1], steps))}


def _fourier(index: Any, freq: str) -> Any:
    """FourierDateFeatures: cosine and sine of a unit of the calendar."""
    values = np.asarray(getattr(index, _check.choice('freq', freq, _UNITS)))
    angles = values * 2 * np.pi / (values.max() + 1)
    return np.vstack([np.cos(angles), np.sin(angles)])


_UNITS = ('month', 'day', 'hour', 'minute', 'weekofyear', 'weekday', 'dayofweek', 'dayofyear',
          'daysinmonth')
_OWN: Any = {'ForkingSequenceSplitter': _forked, 'QuantizeScaled': _quantized,
             'BroadcastTo': _broadcast, 'FourierDateFeatures': _fourier}
