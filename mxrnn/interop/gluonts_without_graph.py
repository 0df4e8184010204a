"""Builds the graph of a network that GluonTS saved as names and arguments of its classes.

GluonTS and MXNet then run here. The JSON of the folder only chooses among the classes below.
"""
from __future__ import annotations

import importlib
import json
import os
import re
from typing import Any, Callable

import numpy as np

from .. import _check
from .._files import CheckpointError, named, reason_of
from .._files.params import read_sealed
from .._graph.symbol_json import graph_from_json
from .._runtime.versions import mxnet, packages
from .model import Model

__all__ = ['CONFIG', 'TYPE', 'class_in', 'entries', 'lacking', 'read', 'rebuilt', 'told']

#: Files that tell what a folder of GluonTS is: from 0.14 on, and before.
CONFIG, TYPE = 'gluonts-config.json', 'type.txt'

#: The most characters of a file of JSON: those of GluonTS have a few thousand.
_MOST = 4 << 20

#: The oldest GluonTS that may be installed: the tables tell where older ones compute otherwise.
_OLDEST = '0.16'

#: Networks by their modules: the first version that computes what today's computes, and the
#: arguments of all versions from 0.4 to 0.14.
_NETWORKS = '''
model.canonical._network.CanonicalPredictionNetwork 0.4 distr_output embedder is_sequential model
    num_parallel_samples prediction_len
model.deep_factor._network.DeepFactorPredictionNetwork 0.4 embedder global_model local_model
    num_parallel_samples prediction_len
model.deepar._network.DeepARPredictionNetwork 0.4 cardinality cell_type context_length
    default_scale distr_output dropout_rate dropoutcell_type dtype embedding_dimension
    history_length impute_missing_values lags_seq minimum_scale nonnegative_pred_samples num_cells
    num_imputation_samples num_layers num_parallel_samples prediction_length scaling
model.deepvar._network.DeepVARPredictionNetwork 0.5 cardinality cell_type conditioning_length
    context_length distr_output dropout_rate embedding_dimension history_length lags_seq num_cells
    num_layers num_parallel_samples prediction_length scaling target_dim
model.gpvar._network.GPVARPredictionNetwork 0.5 cardinality cell_type conditioning_length
    context_length distr_output dropout_rate embedding_dimension history_length lags_seq num_cells
    num_layers num_parallel_samples prediction_length scaling target_dim target_dim_sample
model.seq2seq._forking_network.ForkingSeq2SeqPredictionNetwork 0.6 cardinality context_length
    decoder distr_output dtype embedding_dimension enc2dec encoder num_forking quantile_output
    scaling scaling_decoder_dynamic_feature
model.wavenet._network.WaveNetSampler 0.5 act_type bin_values cardinality dilation_depth
    embedding_dimension n_residue n_skip n_stacks num_samples pred_length temperature
'''

#: The same for the parts of networks.
_PARTS = '''
block.decoder.ForkingMLPDecoder 0.4 dec_len final_dim hidden_dimension_sequence prefix
block.enc2dec.FutureFeatIntegratorEnc2Dec 0.6
block.encoder.HierarchicalCausalConv1DEncoder 0.6 channels_seq dilation_seq kernel_size_seq prefix
    use_dynamic_feat use_residual use_static_feat
block.encoder.RNNEncoder 0.6 bidirectional hidden_size mode num_layers prefix use_dynamic_feat
    use_static_feat
block.feature.FeatureEmbedder 0.4 cardinalities dtype embedding_dims
block.quantile_output.IncrementalQuantileOutput 0.10 quantile_weights quantiles
block.quantile_output.QuantileOutput 0.4 is_iqf quantile_weights quantiles
block.rnn.RNN 0.4 bidirectional mode num_hidden num_layers
distribution.beta.BetaOutput 0.5
distribution.gamma.GammaOutput 0.5
distribution.gaussian.GaussianOutput 0.4
distribution.isqf.ISQFOutput 0.9 num_pieces qk_x tol
distribution.laplace.LaplaceOutput 0.4
distribution.lowrank_gp.LowrankGPOutput 0.5 dim dropout_rate mu_ratio rank sigma_init
distribution.lowrank_multivariate_gaussian.LowrankMultivariateGaussianOutput 0.5 dim rank
    sigma_init sigma_minimum
distribution.multivariate_gaussian.MultivariateGaussianOutput 0.5 dim
distribution.neg_binomial.NegativeBinomialOutput 0.9
distribution.piecewise_linear.PiecewiseLinearOutput 0.5 num_pieces
distribution.poisson.PoissonOutput 0.5
distribution.student_t.StudentTOutput 0.4
distribution.uniform.UniformOutput 0.4
model.deep_factor.RNNModel.RNNModel 0.4 bidirectional mode num_hidden num_layers num_output
'''

_TYPES = {'numpy.float32': np.float32, 'numpy.float64': np.float64}


# ---- files

def read(folder: str, name: str) -> Any:
    """The JSON or the text in a file of the folder."""
    path = os.path.join(folder, name)
    with named(path), open(path, encoding='utf-8') as stream:
        text = stream.read(_MOST + 1)
        if len(text) > _MOST:
            raise ValueError('it has more than %d characters' % _MOST)
        return json.loads(text) if name.endswith('.json') else text.strip()


def entries(folder: str, name: str, *keys: str) -> list[Any]:
    """The entries `keys` of a file."""
    content = read(folder, name)
    for key in keys:
        if not isinstance(content, dict) or key not in content:
            raise lacking(folder, name, key)
    return [content[key] for key in keys]


def lacking(folder: str, name: str, key: str) -> CheckpointError:
    return CheckpointError('%s is damaged: it does not tell %s' % (os.path.join(folder, name), key))


def told(folder: str, key: str) -> str:
    """The class of the predictor ('type') or the version of 'gluonts', as the folder tells it."""
    if os.path.isfile(os.path.join(folder, CONFIG)):
        return str(entries(folder, CONFIG, key)[0])
    return str(read(folder, TYPE) if key == 'type' else entries(folder, 'version.json', key)[0])


def class_in(item: Any) -> tuple[str, str, list[Any], dict[str, Any]]:
    """What an item of the JSON asks for: an instance or a type, its class, its arguments."""
    found = item if isinstance(item, dict) else {}
    kind, path = found.get('__kind__'), found.get('class')
    args, given = found.get('args', []), found.get('kwargs', {})
    if kind not in ('instance', 'type') or not (
            isinstance(path, str) and isinstance(args, list) and isinstance(given, dict)):
        raise ValueError('an item with a class must have __kind__ (instance or type), class, args '
                         'and kwargs, got %s' % _check.shown(item))
    return kind, path, args, given


# ---- networks

def _table(text: str) -> dict[str, tuple[str, set[str]]]:
    rows = (row.split() for row in text.replace('\n    ', ' ').split('\n') if row)
    return {place: (since, {*names}) for place, since, *names in rows}


def _numbers(version: str) -> tuple[int, int]:
    found = re.match(r'(\d{1,4})\.(\d{1,4})', version)
    if found is None:
        raise ValueError('a version of GluonTS must be like 0.8.1, got %s' % _check.shown(version))
    return int(found[1]), int(found[2])


def _walked(item: Any, table: str, version: str, make: Callable[[str, dict[str, Any]], Any]) -> Any:
    """An item of the JSON; for a class of the table and its arguments, what `make` returns."""
    if isinstance(item, list):
        return [_walked(each, _PARTS, version, make) for each in item]
    if not isinstance(item, dict):
        return item
    kind, path, args, given = class_in(item)
    if kind == 'type' and path in _TYPES and table is _PARTS:
        return _TYPES[path]
    place, rows = re.sub(r'^gluonts\.(mx\.)?', '', path), _table(table)
    if kind == 'type' or place == path or place not in rows:
        raise ValueError('it names %s, which mxrnn does not make' % ascii(path[-100:]))
    since, names = rows[place]
    if _numbers(version) < _numbers(since):
        raise ValueError('%s computed other numbers before GluonTS %s, and %s wrote it' % (
            place.rpartition('.')[2], since, version))
    unknown = [*map(_check.shown, args), *map(_check.shown, sorted({*given} - names))]
    if unknown:
        raise ValueError('%s has arguments that mxrnn does not know: %s' % (
            place.rpartition('.')[2], _check.some(unknown)))
    return make(place, {name: _walked(each, _PARTS, version, make) for name, each in given.items()})


def _made(place: str, given: dict[str, Any]) -> Any:
    """An instance of a class of today's GluonTS."""
    home, _, name = place.rpartition('.')
    given.pop('conditioning_length', None)  # until 0.8, where nothing read it
    if given.pop('is_iqf', False):  # in 0.9
        name = 'IncrementalQuantileOutput'
    return getattr(importlib.import_module('gluonts.mx.' + home), name)(**given)


def _imported(folder: str) -> Any:
    """MXNet, if a GluonTS that can build the networks is installed, too."""
    try:
        from gluonts import __version__ as version
        if _numbers(version) < _numbers(_OLDEST):
            raise ImportError('GluonTS %s is installed' % version, name='gluonts')
        from .._runtime.mxnet import mx
        return mx
    except ImportError as error:
        raise type(error)('%s has no graph. Building it needs GluonTS and MXNet (%s): %s && %s' % (
            folder, str(error).splitlines()[0], packages('gluonts[torch]>=' + _OLDEST), mxnet()),
            name=error.name) from None


def rebuilt(folder: str, epoch: int | None) -> tuple[list[str], Model]:
    """The fields that the folder's network takes, in order, and the network.

    Raises
    ------
    ValueError
        The tables lack what the folder names, or GluonTS cannot build it.
    ImportError
        GluonTS or MXNet is not installed; the message says what to type.
    """
    source, version = read(folder, 'prediction_net-network.json'), told(folder, 'gluonts')
    read_arrays, _ = read_sealed(os.path.join(folder, 'prediction_net-%04d.params' % (epoch or 0)))
    arrays = {name.replace('quantile_proj.projection.', 'quantile_proj.'): array  # until 0.9
              for name, array in read_arrays.items() if isinstance(array, np.ndarray)}
    try:
        class_in(source)
        _walked(source, _NETWORKS, version, lambda place, given: None)
        mx = _imported(folder)
        with mx.name.NameManager():  # names are as in a new process
            try:
                return _built(_walked(source, _NETWORKS, version, _made), arrays, mx)
            except ValueError:
                raise
            except Exception as error:
                raise ValueError('GluonTS raised %s: %s' % (
                    type(error).__name__, reason_of(error))) from None
    except (ValueError, RecursionError) as error:
        raise ValueError('%s has no graph, and it cannot be built here: %s. Save it with its graph '
                         'where MXNet runs: docs/gluonts.md' % (folder, reason_of(error))) from None


def _built(network: Any, arrays: dict[str, np.ndarray], mx: Any) -> tuple[list[str], Model]:
    from gluonts.mx.util import get_hybrid_forward_input_names
    fields = get_hybrid_forward_input_names(type(network))
    own = network._collect_params_with_prefix()
    if own.keys() != arrays.keys():
        raise ValueError('its weights and the network differ in %s' % _check.some(
            sorted(own.keys() ^ arrays.keys())))
    for name, array in arrays.items():
        own[name].shape = array.shape
    output = network(*[mx.sym.Variable('data%d' % at) for at in range(len(fields))])
    while not isinstance(output, mx.sym.Symbol):
        output = output[0]  # quantiles are in a tuple, beside None
    return fields, Model(graph_from_json(output.tojson()),
                         {own[name].name: array for name, array in arrays.items()}, {})
