"""Loads forecasters that GluonTS saved from MXNet as predictors of today's GluonTS, on torch.

This module can be imported without GluonTS and torch; only `load_predictor` needs them.
"""
from __future__ import annotations

import json
import os
import shlex
from typing import Any, Iterator, Mapping

import numpy as np

from .. import _check
from .._files import CheckpointError
from .._files.find_model import names_in
from .gluonts_lacking_transforms import LACKING, older_arguments, older_time
from .gluonts_without_graph import CONFIG, TYPE, class_in, entries, lacking, read, rebuilt, told
from .model import Model, load, with_shapes
from .prepare.input_shapes import graph_shapes, shapes_found
from .registry import ExportError

__all__ = ['is_folder', 'is_in_archive', 'load_predictor', 'network_of', 'shapes_of_fields']

#: Steps that leave the sizes of the fields that they take as they are.
_SAME_SIZES = frozenset('''AsNumpyArray CDFtoGaussianTransform Identity ListFeatures QuantizeScaled
    RemoveFields SampleTargetDim SelectFields SetField SetFieldIfNotPresent TargetDimIndicator
    '''.split())


def shapes_of_fields(transform: Any, prediction_length: int) -> dict[str, tuple[int, ...]]:
    """By field, its shape for a batch of series; 0 is the batch, or a size that is not told.

    Parameters
    ----------
    transform
        The JSON of ``input_transform.json``.
    prediction_length : int

    Raises
    ------
    KeyError, TypeError, AttributeError, RecursionError
        It has a step that is not known here, or names its parts in another way.
    """
    axes = {'target': 2}
    widths: dict[str, int] = {}
    shapes: dict[str, tuple[int, ...]] = {}
    for name, given in _steps(transform):
        made = given.get('output_field', given.get('field', ''))
        if name == 'SetField' and isinstance(given.get('value'), list):
            shapes[made] = 0, len(given['value'])
        elif name == 'AsNumpyArray' and given['expected_ndim'] > 1:
            axes[made] = 3
        elif name in ('AddAgeFeature', 'AddConstFeature'):
            widths[made] = 1
        elif name == 'AddTimeFeatures':
            widths[made] = sum(1 + ('Fourier' in each['class']) for each in given['time_features'])
        elif name == 'VstackFeatures':
            parts = [widths.get(each, 0) for each in given['input_fields']]
            widths[made] = sum(parts) if all(parts) else 0
        elif name == 'AddObservedValuesIndicator':
            axes[made] = axes.get(given['target_field'], 2)
        elif name == 'RenameFields':
            for old, new in given['mapping'].items():
                widths[new] = widths.get(old, 0)
                shapes[new] = shapes.get(old, ())
        elif name == 'InstanceSplitter':
            shapes['past_' + given['is_pad_field']] = 0, given['past_length']
            for start, steps in (('past_', given['past_length']), ('future_', min(
                    given['future_length'], prediction_length))):
                for each in (given['target_field'], *given['time_series_fields']):
                    shape = 0, steps, widths.get(each, 0)
                    shapes[start + each] = shape[:axes.get(each, 3)] if given['output_NTC'] or (
                        axes.get(each) == 2) else (0, shape[2], steps)
        elif name == 'ForkingSequenceSplitter':
            past = given['enc_len']
            for each in (given['target_field'], *given['encoder_series_fields']):
                shapes['past_' + each] = 0, past, widths.get(each, 0)
            for each in given['decoder_series_fields']:
                width = widths.get(each, 0)
                if width:  # one feature has no axis of its own
                    shapes['future_' + each] = (0, given.get('num_forking') or past,
                                                given['dec_len'], width)[:3 + (width > 1)]
        elif name not in _SAME_SIZES and not (
                name == 'ExpandDimArray' and given.get('axis') is None):
            raise KeyError(name)
    return shapes


def _steps(transform: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """The names of a transformation's classes and their arguments, in order."""
    given = transform['kwargs']
    parts = given.get('transformations', given.get('trans'))
    if parts is None:
        yield transform['class'].rpartition('.')[2], given
    for each in parts or ():
        yield from _steps(each)


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
