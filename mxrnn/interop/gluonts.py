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
from .._files import CheckpointError, named
from .gluonts_lacking_transforms import LACKING
from .model import load

__all__ = ['input_names', 'load_predictor', 'network_of']

#: Functions of today's GluonTS, which were classes: hour_of_day was HourOfDay.
_TIMES = [unit + end for end in ('', '_index') for unit in '''
    second_of_minute minute_of_hour hour_of_day day_of_week day_of_month day_of_year week_of_year
    month_of_year'''.split()]

#: Classes and functions that a folder may name, beside those in `LACKING`. No others are made.
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
    fields, = _entries(os.fspath(folder), 'parameters.json', 'input_names')
    if not isinstance(fields, list) or not all(isinstance(field, str) for field in fields):
        raise _lacking(os.fspath(folder), 'parameters.json', 'input_names')
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

        from ._torch.to_and_from_torch import to_torch
    names = input_names(folder)
    keys = 'input_names', 'batch_size', 'prediction_length', 'lead_time', 'forecast_generator'
    settings = _made(dict(zip(keys, _entries(folder, 'parameters.json', *keys))))
    form, = _entries(folder, 'prediction_net-in_out_format.json', 'out_format')
    network = to_torch(load(prefix))
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


def _entries(folder: str, name: str, *keys: str) -> list[Any]:
    """The entries `keys` of a file."""
    content = _read(folder, name)
    for key in keys:
        if not isinstance(content, dict) or key not in content:
            raise _lacking(folder, name, key)
    return [content[key] for key in keys]


def _lacking(folder: str, name: str, key: str) -> CheckpointError:
    return CheckpointError('%s is damaged: it does not tell %s' % (os.path.join(folder, name), key))


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
    home, _, name = str(value.get('class')).rpartition('.')
    name = _RENAMED.get(name, name)
    if name not in {*_KNOWN, *LACKING} or home.partition('.')[0] not in ('gluonts', 'numpy'):
        raise ValueError('the folder names %s, which mxrnn does not make' % value.get('class'))
    from gluonts import time_feature, transform
    from gluonts.model import forecast_generator
    homes = (transform, transform.sampler, transform.split, time_feature, forecast_generator, np)
    found = LACKING.get(name) or next(getattr(each, name) for each in homes if hasattr(each, name))
    if value['__kind__'] == 'type' or name in _TIMES:
        return found
    return found(*value.get('args', []), **{
        _RENAMED.get(key, key): each for key, each in value.get('kwargs', {}).items()})
