"""Every operator that to_onnx converts, alone, in onnxruntime against MXNet."""
import re
from pathlib import Path

import numpy as np
import pytest

from mxrnn.interop import Model, graph_from_json

from .. import mx
from .models import S, V
from .onnx_runs import compare, exportable, exported, session
from .operator_cases import OPS, SAMPLERS, draws, each_name

from mxrnn.interop import ExportError  # noqa: E402, I001  isort: skip


#: Why ONNX refuses some of the cases that both back ends share.
REFUSED = {
    'erfinv': 'not have erfinv', 'gamma': 'not have gamma',
    'gamma_poles': 'not have gamma', 'gammaln': 'not have gammaln',
    'SoftmaxActivation_rows': 'of 3 axes, for which builds of',
    'Pooling_max_full': 'where windows do not fit',
    'Pooling_avg_full': 'where windows do not fit',
    'mean_of_many_uint8': 'unsupported type: tensor.uint8',
    'mean_of_many_int8': 'unsupported type: tensor.int8',
    'sqrt_of_int32': 'unsupported type: tensor.int32', 'L2Normalization_vector': 'for 1 axes',
    'div_sqrt_dim_of_odd_int32': 'not fit the type int32',
    'arange_like_of_int32': 'not fit the type int32',
    'clip_of_int32': 'not fit the type int32', 'BatchNorm_all': 'returns mean and variance',
    'BatchNorm_v1_all': 'returns mean and variance',
    'LayerNorm_all': 'returns mean and variance', 'GroupNorm_all': 'returns mean and variance',
}
#: ONNX needs these sizes when the file is written.
SIZE_REFUSED = re.compile('any size|unknown|not equal|unequal|depend on|do not fit')
_LONGEST = sorted(REFUSED, key=len, reverse=True)


@each_name()
def test_cases_of_both_back_ends(name):
    op = OPS[name]
    symbol = S.Group(list(op.build()))
    needed = graph_from_json(symbol.tojson()).needed_variables()  # a file takes no others
    shapes = {each: getattr(value, 'shape', value) for each, value in op.inputs.items()
              if each in needed}

    def value(each, shape, shapes):
        given = op.inputs[each]
        if not isinstance(given, np.ndarray):
            return None
        return given if given.dtype == 'int32' else given.astype('float32')
    types = {each: 'int32' for each in shapes if getattr(op.inputs[each], 'dtype', None) == 'int32'}
    why = next((REFUSED[each] for each in _LONGEST
                if name == each or name.startswith(each + '_') and each.endswith('_all')),
               None)
    if name.startswith('CTCLoss'):
        graph = graph_from_json(symbol.tojson())
        assert exportable(Model(graph, {}, {}), {'a': shapes['a']}).left_out == graph.outputs
        return
    if why is not None:
        with pytest.raises(ExportError, match=why):
            compare(symbol, shapes, [shapes], values=value, types=types)
        return
    compare(symbol, shapes, [shapes], values=value, types=types)
    free = {each: tuple(size if size < 2 else 'of_%d' % size for size in shape)
            for each, shape in shapes.items()}
    try:  # sizes that are known only when the file runs, as far as the operator lets them be
        compare(symbol, free, [shapes, *grown(symbol, op)], values=value, types=types)
    except ExportError as error:
        assert SIZE_REFUSED.search(str(error)), 'only an open size may be a reason: %s' % error


def grown(symbol, op):
    """Larger inputs, if all of them may be any numbers and the parameters stay as they are."""
    if any(isinstance(each, np.ndarray) for each in op.inputs.values()):
        return []
    inputs = {name: shape for name, shape in op.inputs.items() if name in symbol.list_arguments()}
    others = {name: tuple(size + (size > 1) for size in shape) for name, shape in inputs.items()}
    try:
        found, larger = (dict(zip(symbol.list_arguments(), symbol.infer_shape(**each)[0]))
                         for each in (inputs, others))
    except mx.base.MXNetError:
        return []
    return [others] * all(found[name] == larger[name] for name in found.keys() - inputs.keys())


#: Further operators that draw, and the mean and the variance of what they draw.
DRAWN = {
    'dropout': (lambda data: S.Dropout(S.ones_like(data), p=0.25, mode='always'), 1, 1 / 3),
    'randint': (lambda data: S.cast(S.random.randint(-1, 3, shape=(0, 4000)), 'float32'), .5, 1.25),
    'multinomial': (lambda data: S.cast(S.sample_multinomial(S.slice_axis(
        data, axis=1, begin=0, end=4) + 1, shape=4000), 'float32'), 1.5, 1.25)}


@pytest.mark.parametrize('name', [*SAMPLERS, *DRAWN])
def test_samplers_draw_from_the_same_distribution_each_time_anew(name):
    data = V('data')
    draw, mean, variance = (SAMPLERS if name in SAMPLERS else DRAWN)[name]
    drawn = [draw(data)] if name in DRAWN else draws(
        name, data, (0, 4000), lambda number: S.sum(data, axis=1) + number, 4000)
    serving = session(exported(S.Group([each + data for each in drawn]), {}, {
        'data': ('batch', 4000)}))
    for batch in (2, 5):
        for pair in zip(*[serving.run(None, {'data': np.zeros((batch, 4000), 'f')})
                          for _ in range(2)]):
            assert pair[0].shape == (batch, 4000) and (pair[0] != pair[1]).any()
            assert abs(pair[0].mean() - mean) < .15 * mean
            assert abs(pair[0].var() - variance) < .15 * variance


def test_no_loop_waits_for_numbers_that_do_not_exist():
    alpha = V('alpha')
    drawn = [S.sample_gamma(alpha, S.ones_like(alpha), shape=2), S.sample_poisson(alpha, shape=2)]
    serving = session(exported(S.Group(drawn), {}, {'alpha': ('batch',)}))
    for drawn in serving.run(None, {'alpha': np.array([-1, np.nan, np.inf, 0, 1], 'f')}):
        np.testing.assert_array_equal(drawn[1:4], [[np.nan] * 2, [np.nan] * 2, [0, 0]])
        assert np.isfinite(drawn[4]).all()


def test_multinomial_numbers_come_with_their_logarithms():
    chances = np.array([[[0.25, 0.75, 0]], [[0, 0, 1]]], 'f')
    symbol = S.Group(list(S.sample_multinomial(V('data'), shape=(3, 1000), get_prob=True,
                                               dtype='float32')))
    drawn, logs = session(exported(symbol, {}, {'data': ('batch', 1, 3)})).run(
        None, {'data': chances})
    assert drawn.shape == logs.shape == (2, 1, 3, 1000) and drawn.dtype == logs.dtype == 'float32'
    assert abs(drawn[0].mean() - 0.75) < 0.1 and (drawn[1] == 2).all()
    wanted = np.where(drawn == 2, 0, np.where(drawn == 1, np.log(0.75), np.log(0.25)))
    np.testing.assert_allclose(logs, wanted, rtol=1e-6)


#: Converters of operators that are tested elsewhere, or that MXNet's CPU builds do not run.
ELSEWHERE = {'RNN', '_foreach', 'Dropout', '_random_normal', '_random_normal_like',
             '_random_uniform',
             '_random_uniform_like', '_random_exponential', '_random_exponential_like',
             '_random_randint', '_sample_uniform', '_sample_normal', '_sample_exponential',
             '_sample_multinomial', *(kind + name + like for name in (
                 'gamma', 'poisson', 'negative_binomial', 'generalized_negative_binomial')
                 for kind, like in (('_random_', ''), ('_random_', '_like'), ('_sample_', ''))),
             '_identity_with_attr_like_rhs', '_CrossDeviceCopy',
             '_zeros_without_dtype', 'BatchNorm_v1', 'Convolution_v1', 'CuDNNBatchNorm',
             'Pooling_v1', 'WarpCTC', '_contrib_SyncBatchNorm', 'amp_multicast'}


def test_no_converter_is_without_a_test():
    from mxrnn.interop._onnx import conversion  # noqa: F401
    from mxrnn.interop.registry import ONNX
    made = [S.Group(list(op.build())) for op in OPS.values()]
    tested = {node.op for symbol in made for node in graph_from_json(symbol.tojson()).walk()}
    assert ONNX.maps[1].keys() - tested <= ELSEWHERE


def test_the_page_lists_what_has_no_converter():
    from mxrnn.interop._onnx import conversion  # noqa: F401
    from mxrnn.interop.registry import ONNX
    text = (Path(__file__).parents[2] / 'docs' / 'operators.md').read_text(encoding='utf-8')
    runs, _, rest = text.partition('## What runs')[2].partition('\n## ')
    absent = re.findall(r'`(\w+)`', rest.partition('Not in ONNX:')[2].partition('.')[0])
    listed = set(re.findall(r'`(\w+)`', runs)) - {'_foreach'}
    assert sorted(absent) == sorted(listed - ONNX.maps[1].keys())


@pytest.mark.parametrize('make, message', [
    (lambda data: S.smooth_l1(S.cast(data, 'int32'), scalar=3), 'not fit the type int32'),
    (lambda data: S.Pooling(data, kernel=(2, 1), pad=(1, 1)), 'only padding'),
    (lambda data: S.amp_cast(data, dtype='int8'), 'an amp_cast to integers'),
    (lambda data: S.LRN(data, alpha=-1, nsize=3), 'an LRN with alpha -1'),
    (lambda data: S.split_v2(data, 4, axis=2), 'split into unequal parts'),
    (lambda data: S.cast(data, 'int32') + np.inf, 'inf.* not fit the type int32'),
    (lambda data: S.norm(S.cast(data, 'int32')), 'a norm of the type int32'),
    (lambda data: data + S.cast(S.random.randint(0, 2 ** 60, shape=(0, 4, 6, 6)), 'float32'),
     'integers from 0 to'),
    (lambda data: S.UpSampling(data, data, scale=2, sample_type='nearest', num_args=2),
     'that is not nearest with one input'),
    (lambda data: S.GroupNorm(data, output_mean_var=True)[0], 'returns mean and variance'),
], ids=['part', 'Pooling', 'amp_cast', 'LRN', 'split', 'inf', 'norm', 'randint', 'UpSampling',
        'GroupNorm'])
def test_what_would_be_wrong_is_refused(make, message):
    symbol = make(V('data'))
    params = {name: np.ones(4, 'f') for name in symbol.list_arguments() if name != 'data'}
    with pytest.raises(ExportError, match=message):
        exported(symbol, params, {'data': (2, 4, 6, 6)})


def test_indices_out_of_range_are_refused_where_mxnet_refuses_them():
    data, other = V('data'), V('other')
    serving = session(exported(S.take(data, other, axis=1, mode='raise'), {},
                               {'data': ('batch', 5), 'other': ('count',)}))
    for index in (-1, 5):
        with pytest.raises(Exception, match='(?i)out of|bounds'):
            serving.run(None, {'data': np.zeros((2, 5), 'f'), 'other': np.array([0, index])})
