"""Loads forecasters that GluonTS saved from MXNet as predictors of today's GluonTS, on torch.

This module can be imported without GluonTS and torch; only `load_predictor` needs them.
"""
from __future__ import annotations

import json
import os
import shlex
from typing import Any, Mapping

import numpy as np

from .. import _check
from .._files import CheckpointError
from .._files.find_model import names_in
from .gluonts_field_shapes import shapes_of_fields
from .gluonts_lacking_transforms import LACKING, older_arguments, older_time
from .gluonts_without_graph import CONFIG, TYPE, class_in, entries, lacking, read, rebuilt, told
from .model import Model, load, with_shapes
from .prepare.input_shapes import graph_shapes, shapes_found
from .registry import ExportError

__all__ = ['is_folder', 'is_in_archive', 'load_predictor', 'network_of']

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


def is_folder(path: str) -> bool:
    """Whether GluonTS wrote a predictor into the folder `path`."""
    return any(os.path.isfile(os.path.join(path, name)) for name in (CONFIG, TYPE))


def is_in_archive(path: str) -> bool:
    """Whether `path` is an archive with the files of such a folder."""
    return not {CONFIG, TYPE}.isdisjoint(names_in(path))


def network_of(folder: str | os.PathLike[str], epoch: int | None = None) -> tuple[
        dict[str, str], Model]:
    """GluonTS's fields by the names of the network's inputs, and the network.

    The fields are like ``{'data0': 'feat_static_cat', …}``. GluonTS and MXNet build the network of
    a folder without a graph.

    Raises
    ------
    ValueError
        The folder has another predictor, or a network that cannot be built.
    CheckpointError
        A file in the folder cannot be read.
    ImportError
        The folder has no graph, and GluonTS or MXNet is not installed.
    """
    folder = str(_check.instance('folder', folder, (str, os.PathLike), 'a path'))
    _refuse_others(folder)
    kind = _check.choice('the predictor in %s' % folder, told(folder, 'type').rpartition('.')[2],
                         ['RepresentableBlockPredictor', 'SymbolBlockPredictor'])
    if kind == 'RepresentableBlockPredictor':
        fields, model = rebuilt(folder, epoch)
    else:
        fields, = entries(folder, 'parameters.json', 'input_names')
        if not isinstance(fields, list) or not all(isinstance(field, str) for field in fields):
            raise lacking(folder, 'parameters.json', 'input_names')
        model = load(os.path.join(folder, 'prediction_net'), epoch)
    names = {'data%s' % (i if len(fields) > 1 else ''): field for i, field in enumerate(fields)}
    try:
        shapes = shapes_of_fields(read(folder, 'input_transform.json'),
                                  read(folder, 'parameters.json')['prediction_length'])
    except (KeyError, TypeError, AttributeError, RecursionError, OSError, CheckpointError):
        return names, model  # a network does not need them
    known = {name: shapes[field] for name, field in names.items() if shapes.get(field)}
    _refuse_other_axes(folder, names, model, known)
    return names, model._replace(graph=with_shapes(model.graph, known))


def _refuse_others(folder: str) -> None:
    """Refuse a path that is no folder of GluonTS."""
    if os.path.isfile(folder):
        raise CheckpointError(
            "%s is a file, not a folder of GluonTS. If GluonTS' folder is in it, unpack it: mkdir "
            "deepar && tar xf %s -C deepar. SageMaker's DeepAR is a network without a predictor: "
            'python -m mxrnn export %s --onnx deepar.onnx' % (folder, *[shlex.quote(folder)] * 2))
    if not is_folder(folder):
        raise CheckpointError('%s is not a folder of GluonTS: it has neither %s nor %s' % (
            folder, CONFIG, TYPE))


def _refuse_other_axes(folder: str, names: Mapping[str, str], model: Model,
                       stated: Mapping[str, tuple[int, ...]]) -> None:
    """Refuse a transformation whose fields have shapes that the network's weights do not take."""
    params = model.params
    alone = graph_shapes(model.graph, params)
    for name, shape in stated.items():
        if name not in alone:
            continue
        try:
            own = shapes_found(model.graph, params, {}, [*alone], {name: len(shape)}).shapes[name]
        except ExportError:
            own = ()
        if len(own) != len(shape) or any(
                size and isinstance(wanted, int) and size != wanted
                for size, wanted in zip(shape, own)):
            raise ValueError(
                '%s gives the field %s (%s of the network) the shape (%s), but the weights take '
                '(%s). Mend it, or export the network by its prefix, %s' % (
                    os.path.join(folder, 'input_transform.json'), names[name], name,
                    ', '.join(str(size or '…') for size in shape),
                    ', '.join(map(str, alone[name])), os.path.join(folder, 'prediction_net')))


def load_predictor(folder: str | os.PathLike[str], device: Any = 'auto') -> Any:
    """Read a forecaster that GluonTS saved where MXNet ran.

    Parameters
    ----------
    folder : path
        A folder of GluonTS 0.4 or newer. ``predictor.as_symbol_block_predictor(dataset=…)`` saves
        it with its graph; without one, MXNet is needed, too.
    device : str or torch.device
        As `PyTorchPredictor` takes it.

    Returns
    -------
    gluonts.torch.model.predictor.PyTorchPredictor
        Its network is the folder's. It also takes the transformation, fields, lengths, batch
        size and kind of forecast from the folder.

    Raises
    ------
    ValueError
        The folder names a class that mxrnn does not make.
    CheckpointError
        A file in the folder cannot be read.
    ImportError
        GluonTS or torch is not installed; for a folder without a graph, also MXNet.
    """
    (names, model), folder = network_of(folder), os.fspath(folder)
    with _check.needing('load_predictor needs GluonTS with torch', '"gluonts[torch]"'):
        from gluonts.torch.model.predictor import PyTorchPredictor

        from .forecaster_module import Network
    keys = 'batch_size', 'prediction_length', 'forecast_generator'
    settings = _made(dict(zip(keys, entries(folder, 'parameters.json', *keys))))
    quantiles = hasattr(settings['forecast_generator'], 'quantiles')
    form, file = None, 'prediction_net-in_out_format.json'  # today's, of a network built here
    if told(folder, 'type').endswith('SymbolBlockPredictor') and (
            quantiles or os.path.isfile(os.path.join(folder, file))):  # GluonTS 0.4 wrote none
        form, = entries(folder, file, 'out_format')
    missing = [name for name in model.graph.needed_variables()
               if name not in {*names, *model.arg_params, *model.aux_params}]
    if missing:
        raise ValueError('parameters in %s have no values for %s' % (folder, _check.some(missing)))
    return PyTorchPredictor(
        prediction_net=Network(model, names, quantiles, form), device=device, **settings,
        input_names=[*names.values()],
        lead_time=read(folder, 'parameters.json').get('lead_time', 0),  # from 0.6 on
        input_transform=_made(read(folder, 'input_transform.json')))


# ---- from the JSON of GluonTS, which names classes

def _made(value: Any) -> Any:
    """The object that the JSON describes, made only of classes in the tables, inner ones first."""
    return json.loads(json.dumps(value), object_hook=_instance)


def _instance(value: dict[str, Any]) -> Any:
    if '__kind__' not in value:
        return value
    kind, path, args, given = class_in(value)
    home, _, name = path.rpartition('.')
    name = _RENAMED.get(name, name)
    if name not in {*_KNOWN, *LACKING} or home.partition('.')[0] not in ('gluonts', 'numpy'):
        raise ValueError('the folder names %s, which mxrnn does not make' % ascii(path[-100:]))
    from gluonts import time_feature, transform
    from gluonts.model import forecast_generator
    homes = (transform, transform.sampler, transform.split, time_feature, forecast_generator, np)
    found = LACKING.get(name) or next(getattr(each, name) for each in homes if hasattr(each, name))
    if kind == 'type':
        return found
    if name in _TIMES:
        return older_time(name, found, **given)
    return found(*args, **{_RENAMED.get(key, key): each
                           for key, each in older_arguments(given).items()})
