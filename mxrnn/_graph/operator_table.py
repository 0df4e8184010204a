"""MXNet's operators: one row for each known operator.

A row states the operator's names, its inputs, its attributes with kinds and defaults, and its
outputs, as in the registry of MXNet 1.9.1. All other modules ask these rows. Neither torch nor
ONNX runs a few of them, such as `IdentityAttachKLSparseReg`, which only training needs, and
`_linalg_gemm`; graphs with them are read and drawn.
"""
from __future__ import annotations

from typing import Sequence

from .attributes import Attribute, Bool, Choice, Double, Float, Int, Shape, Sizes, Slots
from .operator_rows import (
    ROWS,
    AnyNode,
    Input,
    Row,
    add,
    canonical,
    has,
    mark,
    row,
    typed,
    types_of,
)

__all__ = ['ROWS', 'Input', 'Row', 'canonical', 'has', 'numbers_of', 'row', 'types_of']

# ---- element by element

add('''abs sign ceil floor trunc fix round rint square sqrt rsqrt cbrt rcbrt exp expm1 log log10
    log2 log1p sin cos tan arcsin arccos arctan sinh cosh tanh arcsinh arccosh arctanh degrees
    radians gamma gammaln erf erfinv negative reciprocal relu sigmoid softsign logical_not
    zeros_like ones_like _copy=identity _CrossDeviceCopy BlockGrad=stop_gradient''', 'data')
_UNARY = list(ROWS)
add('''elemwise_add=_Plus=_plus=_add=_grad_add elemwise_sub=_Minus=_minus=_sub
    elemwise_mul=_Mul=_mul elemwise_div=_Div=_div broadcast_add=broadcast_plus
    broadcast_sub=broadcast_minus broadcast_mul broadcast_div''', 'lhs rhs')
add('_identity_with_attr_like_rhs', 'lhs rhs:like')
for _name in '''mod power maximum minimum hypot equal not_equal greater greater_equal lesser
        lesser_equal logical_and logical_or logical_xor'''.split():
    add('_%s broadcast_%s' % (_name, _name), 'lhs rhs')
    add('_%s_scalar' % _name, 'data', scalar=Double(1), is_int=Bool(True))
add('''_plus_scalar _minus_scalar _rminus_scalar _mul_scalar _div_scalar _rdiv_scalar _rpower_scalar
    _rmod_scalar''', 'data', scalar=Double(1), is_int=Bool(True))
add('smooth_l1', 'data', scalar=Double(1))
add('add_n=ElementWiseSum', 'args...', num_args=Int())
add('where', 'condition x y')
add('clip', 'data', a_min=Float(), a_max=Float())
add('hard_sigmoid', 'data', alpha=Float(.2), beta=Float(.5))
add('Activation', 'data', act_type=Choice('relu sigmoid softrelu softsign tanh'))
add('LeakyReLU', 'data gamma[]?', lambda value: 1 + (value('act_type') == 'rrelu'), 'output mask',
    act_type=Choice('elu gelu leaky prelu rrelu selu', 'leaky'), slope=Float(.25),
    lower_bound=Float(.125), upper_bound=Float(.334))

# ---- types

_REALS = 'float16 float32 float64'
_NUMBERS = _REALS + ' int32 int64 int8'
_KEYS = _REALS + ' int32 int64 uint8'
_PLAIN = _NUMBERS + ' uint8'
_WIDE = _PLAIN + ' bfloat16'
_ALL = _WIDE + ' bool'

add('Cast=cast', 'data', dtype=Choice(_ALL))
add('amp_cast', 'data', dtype=Choice(_WIDE))
add('amp_multicast', 'data...', lambda value: value('num_outputs'), num_outputs=Int(),
    cast_narrow=Bool(False))

# ---- shapes, parts, joins

add('Flatten=flatten shape_array size_array argmax_channel _shuffle=shuffle', 'data')
add('Reshape=reshape', 'data', shape=Shape(()), reverse=Bool(False), target_shape=Shape(()),
    keep_highest=Bool(False))
add('reshape_like', 'lhs rhs', lhs_begin=Int(None), lhs_end=Int(None), rhs_begin=Int(None),
    rhs_end=Int(None))
add('transpose', 'data', axes=Shape(()))
add('SwapAxis=swapaxes', 'data', dim1=Int(0), dim2=Int(0))
add('expand_dims', 'data', axis=Int())
add('squeeze', 'data', axis=Shape(None))
add('depth_to_space space_to_depth', 'data', block_size=Int())
add('slice_axis', 'data', axis=Int(), begin=Int(), end=Int(none=True))
add('slice=crop', 'data', begin=Slots(), end=Slots(), step=Slots(()))
add('slice_like', 'data shape_like', axes=Shape(()))
add('SliceChannel=split', 'data', lambda value: value('num_outputs'), 'output0', num_outputs=Int(),
    axis=Int(1), squeeze_axis=Bool(False))
add('_split_v2', 'data', lambda value: value('sections') or len(value('indices')), indices=Shape(),
    axis=Int(1), squeeze_axis=Bool(False), sections=Int(0))
add('Concat=concat _rnn_param_concat', 'data...', num_args=Int(), dim=Int(1))
add('stack', 'data...', axis=Int(0), num_args=Int())
add('tile', 'data', reps=Shape())
add('repeat', 'data', repeats=Int(), axis=Int(None))
add('Pad=pad', 'data', mode=Choice('constant edge reflect'), pad_width=Shape(),
    constant_value=Double(0))
add('reverse=flip', 'data', axis=Shape())
add('broadcast_to', 'data', shape=Shape(()))
add('broadcast_axis=broadcast_axes', 'data', axis=Shape(()), size=Shape(()))
add('broadcast_like', 'lhs rhs', lhs_axes=Shape(None), rhs_axes=Shape(None))

# ---- reductions, order

add('sum=sum_axis max=max_axis min=min_axis mean prod nansum nanprod', 'data', axis=Shape(None),
    keepdims=Bool(False), exclude=Bool(False))
add('norm', 'data', ord=Int(2), axis=Shape(None), out_dtype=Choice(_NUMBERS, None),
    keepdims=Bool(False))
add('moments', 'data', 2, axes=Shape(None), keepdims=Bool(False))
add('_np_cumsum=cumsum=_npi_cumsum', 'a', axis=Int(None), dtype=Choice(_NUMBERS, None))
add('argmax argmin', 'data', axis=Int(None), keepdims=Bool(False))
add('sort', 'data', 2, axis=Int(-1, none=True), is_ascend=Bool(True))
add('argsort', 'data', axis=Int(-1, none=True), is_ascend=Bool(True),
    dtype=Choice(_KEYS, 'float32'))
add('topk', 'data', lambda value: 1 if value('ret_typ') in ('indices', 'mask') else 2,
    axis=Int(-1, none=True), k=Int(1), ret_typ=Choice('both indices mask value', 'indices'),
    is_ascend=Bool(False), dtype=Choice(_KEYS, 'float32'))

# ---- look-ups, products

add('Embedding _contrib_SparseEmbedding', 'data:index weight[input_dim,output_dim]',
    input_dim=Int(), output_dim=Int(), dtype=Choice(_WIDE, 'float32'))
add('take', 'a indices:index', axis=Int(0), mode=Choice('clip raise wrap', 'clip'))
add('batch_take', 'a indices:index')
add('pick=choose_element_0index', 'data index:index', axis=Int(-1, none=True), keepdims=Bool(False),
    mode=Choice('clip wrap', 'clip'))
add('gather_nd', 'data indices:index')
add('scatter_nd', 'data indices:index', shape=Shape())
add('one_hot', 'indices:index', depth=Int(), on_value=Double(1), off_value=Double(0),
    dtype=Choice(_WIDE, 'float32'))
add('dot batch_dot', 'lhs rhs', transpose_a=Bool(False), transpose_b=Bool(False))
add('_linalg_gemm2=linalg_gemm2', 'A B', transpose_a=Bool(False), transpose_b=Bool(False),
    alpha=Double(1), axis=Int(-2))
add('_linalg_gemm=linalg_gemm', 'A B C', transpose_a=Bool(False), transpose_b=Bool(False),
    alpha=Double(1), beta=Double(1), axis=Int(-2))
add('_linalg_trmm=linalg_trmm', 'A B', transpose=Bool(False), rightside=Bool(False),
    lower=Bool(True), alpha=Double(1))
add('_linalg_gelqf=linalg_gelqf _linalg_syevd=linalg_syevd', 'A', 2)

# ---- layers

add('FullyConnected', 'data weight[num_hidden] bias[num_hidden]?', num_hidden=Int(),
    no_bias=Bool(False), flatten=Bool(True))
_KERNEL = {'kernel': Shape(), 'stride': Shape(()), 'dilate': Shape(()), 'pad': Shape(())}
_FILTERS = {'num_filter': Int(), 'num_group': Int(1)}
_LAYOUTS = 'NCDHW NCHW NCW NDHWC NHWC'
add('Convolution', 'data weight[num_filter] bias[num_filter]?', no_bias=Bool(False),
    layout=Choice(_LAYOUTS, None), **_KERNEL, **_FILTERS)
add('Convolution_v1', 'data weight[num_filter] bias[num_filter]?', no_bias=Bool(False),
    layout=Choice('NCDHW NCHW NDHWC NHWC', None), **_KERNEL, **_FILTERS)
add('Deconvolution', 'data weight[] bias[num_filter]?', no_bias=Bool(True), adj=Shape(()),
    target_shape=Shape(()), layout=Choice(_LAYOUTS, None), **_KERNEL, **_FILTERS)
_WINDOW = {'kernel': Shape(()), 'global_pool': Bool(False), 'stride': Shape(()), 'pad': Shape(())}
# Builds with MKL-DNN have a hidden output for training.
add('Pooling', 'data', pool_type=Choice('avg lp max sum', 'max'), p_value=Int(None),
    pooling_convention=Choice('full same valid', 'valid'), count_include_pad=Bool(None),
    layout=Choice(_LAYOUTS + ' NWC', None), **_WINDOW)
add('Pooling_v1', 'data', pool_type=Choice('avg max sum', 'max'),
    pooling_convention=Choice('full valid', 'valid'), **_WINDOW)
add('UpSampling', 'data...', scale=Int(), num_filter=Int(0),
    sample_type=Choice('bilinear nearest'), multi_input_mode=Choice('concat sum', 'concat'),
    num_args=Int())
add('Dropout', 'data', 2, 'output mask', p=Float(.5), mode=Choice('always training', 'training'),
    axes=Shape(()))
_STATES = 'data gamma[] beta[] moving_mean:aux moving_var:aux'
_BATCH = {'momentum': Float(.9), 'fix_gamma': Bool(True), 'use_global_stats': Bool(False),
          'output_mean_var': Bool(False)}
_EPS = Double(0.0010000000474974513)  # .001 in 32 bits
add('BatchNorm CuDNNBatchNorm', _STATES, 3, 'output mean var', eps=_EPS, axis=Int(1), **_BATCH)
add('_contrib_BatchNormWithReLU', _STATES, 4, 'output mean var workspace', eps=_EPS,
    axis=Int(1), **_BATCH)
add('BatchNorm_v1 _contrib_SyncBatchNorm', _STATES, 3, 'output mean var', eps=Float(1e-3), **_BATCH)
add('LayerNorm', 'data gamma[] beta[]', 3, 'output mean std', axis=Int(-1), eps=Float(1e-5),
    output_mean_var=Bool(False))
add('GroupNorm', 'data gamma[] beta[]', 3, 'output mean std', num_groups=Int(1), eps=Float(1e-5),
    output_mean_var=Bool(False))
add('InstanceNorm', 'data gamma[] beta[]', 3, 'output mean var', eps=Float(1e-3))
add('L2Normalization', 'data', 2, 'output norm', eps=Float(1e-10),
    mode=Choice('channel instance spatial', 'instance'))
add('LRN', 'data', 2, 'output tmp_norm', alpha=Float(1e-4), beta=Float(.75), knorm=Float(2),
    nsize=Int())
add('IdentityAttachKLSparseReg', 'data moving_avg:aux', sparseness_target=Float(.1),
    penalty=Float(1e-3), momentum=Float(.9))
add('SpatialTransformer', 'data loc', 3, 'output grid_dst grid_src', target_shape=Shape((0, 0)),
    transform_type=Choice('affine'), sampler_type=Choice('bilinear'))
add('Correlation', 'data1 data2', 3, 'output tmp1 tmp2', kernel_size=Int(1),
    max_displacement=Int(1), stride1=Int(1), stride2=Int(1), pad_size=Int(0),
    is_multiply=Bool(True))
add('_contrib_div_sqrt_dim', 'data')
_HEAT = {'axis': Int(-1), 'temperature': Double(None), 'dtype': Choice(_REALS, None),
         'use_length': Bool(False, none=True)}
add('softmax', 'data length:length', **_HEAT)
add('log_softmax softmin', 'data', **_HEAT)
add('SoftmaxActivation', 'data', mode=Choice('channel instance', 'instance'))

# ---- losses

_NORMALIZATION = Choice('batch null valid', 'null')
add('SoftmaxOutput=Softmax', 'data label:label', grad_scale=Float(1), ignore_label=Float(-1),
    multi_output=Bool(False), use_ignore=Bool(False), preserve_shape=Bool(False),
    normalization=_NORMALIZATION, out_grad=Bool(False), smooth_alpha=Float(0))
add('LinearRegressionOutput LogisticRegressionOutput MAERegressionOutput', 'data label:label',
    grad_scale=Float(1))
add('SVMOutput', 'data label:label', margin=Float(1), regularization_coefficient=Float(1),
    use_linear=Bool(False))
add('MakeLoss', 'data', grad_scale=Float(1), valid_thresh=Float(0), normalization=_NORMALIZATION)
add('make_loss', 'data', 1, 'loss')
add('softmax_cross_entropy', 'data label:index')
add('CTCLoss=ctc_loss=_contrib_CTCLoss=_contrib_ctc_loss',
    'data label data_lengths:length label_lengths:length', 2, use_data_lengths=Bool(False),
    use_label_lengths=Bool(False), blank_label=Choice('first last', 'first'))
add('WarpCTC', 'data label:label', label_length=Int(0), input_length=Int(0))

# ---- sequences, loops

add('RNN', 'data parameters[] state state_cell? sequence_length:length',
    lambda value: (3 if value('mode') == 'lstm' else 2) if value('state_outputs') else 1,
    'output state_output statecell_output', state_size=Int(), num_layers=Int(),
    bidirectional=Bool(False), mode=Choice('gru lstm rnn_relu rnn_tanh'), p=Float(0),
    state_outputs=Bool(False), projection_size=Int(None), lstm_state_clip_min=Double(None),
    lstm_state_clip_max=Double(None), lstm_state_clip_nan=Bool(False),
    use_sequence_length=Bool(False))
_LENGTHS = {'use_sequence_length': Bool(False), 'axis': Int(0)}
add('SequenceLast SequenceReverse', 'data sequence_length:length', **_LENGTHS)
add('SequenceMask', 'data sequence_length:length', value=Float(0), **_LENGTHS)
_LOOP = {'num_args': Int(), 'num_outputs': Int()}
add('_foreach', 'fn:body data...', lambda value: value('num_outputs'), num_out_data=Int(),
    in_state_locs=Shape(), in_data_locs=Shape(), remain_locs=Shape(), **_LOOP)
add('_while_loop', 'cond:body func:body data...', lambda value: value('num_outputs'),
    num_out_data=Int(), max_iterations=Int(), cond_input_locs=Shape(), func_input_locs=Shape(),
    func_var_locs=Shape(), **_LOOP)
add('_cond', 'cond:body then_branch:body else_branch:body data...',
    lambda value: value('num_outputs'), cond_input_locs=Shape(), then_input_locs=Shape(),
    else_input_locs=Shape(), **_LOOP)

# ---- operators that make arrays: constants, ranges, random numbers

add('_zeros _ones', shape=Sizes((), none=True), dtype=Choice(_ALL, 'float32'))
add('_zeros_without_dtype', shape=Sizes(None), dtype=Int(-1))
add('_full', shape=Sizes(None), dtype=Choice(_ALL, 'float32'), value=Double())
add('_arange', start=Double(), stop=Double(None), step=Double(1), repeat=Int(1),
    infer_range=Bool(False), dtype=Choice(_WIDE, 'float32'))
add('_linspace', start=Double(), stop=Double(), num=Int(), endpoint=Bool(True),
    dtype=Choice(_WIDE, 'float32'))
add('_eye', N=Int(), M=Int(0), k=Int(0), dtype=Choice(_PLAIN, 'float32'))
add('_contrib_arange_like', 'data', start=Double(0), step=Double(1), repeat=Int(1), axis=Int(None))
_DISTRIBUTIONS: Sequence[tuple[str, str, dict[str, Attribute]]] = (
    ('uniform', 'low high', {'low': Float(0), 'high': Float(1)}),
    ('normal', 'mu sigma', {'loc': Float(0), 'scale': Float(1)}),
    ('exponential', 'lam', {'lam': Float(1)}),
    ('gamma', 'alpha beta', {'alpha': Float(1), 'beta': Float(1)}),
    ('poisson', 'lam', {'lam': Float(1)}),
    ('negative_binomial', 'k p', {'k': Int(1), 'p': Float(1)}),
    ('generalized_negative_binomial', 'mu alpha', {'mu': Float(1), 'alpha': Float(1)}))
for _name, _arrays, _numbers in _DISTRIBUTIONS:
    _plain = _name if _name in ('uniform', 'normal') else ''
    add('='.join(filter(None, ('_random_' + _name, 'random_' + _name, _plain))),
        shape=Shape(None), dtype=Choice(_REALS, None), **_numbers)
    add('_random_%s_like' % _name, 'data', **_numbers)
    add('_sample_%s=sample_%s' % (_name, _name), _arrays, shape=Shape(()),
        dtype=Choice(_REALS, None))
add('_random_randint=random_randint', low=Int(), high=Int(), shape=Shape(None),
    dtype=Choice('int32 int64', None))
add('_sample_multinomial=sample_multinomial=_sample_categorical=sample_categorical', 'data',
    lambda value: 2 if value('get_prob') else 1, shape=Shape(()), get_prob=Bool(False),
    dtype=Choice(_REALS + ' int32 uint8', 'int32'))


def numbers_of(node: AnyNode) -> list[float]:
    """The parameters of the distribution in a node of `_random_*`."""
    known = ROWS[node.op]
    return [known.value(node, key) for key in known.attributes if key not in ('shape', 'dtype')]


# ---- more facts: see Row.traits
mark('draws', 'Dropout RNN')
_SAMPLERS = ' '.join(['_random_randint _sample_multinomial _shuffle', *(
    '_random_%s _random_%s_like _sample_%s' % ((_name,) * 3) for _name, *_ in _DISTRIBUTIONS)])
mark('draws', _SAMPLERS)
mark('samples', _SAMPLERS)
mark('trained', '''BatchNorm BatchNorm_v1 CuDNNBatchNorm Dropout _contrib_BatchNormWithReLU
    _contrib_SyncBatchNorm''')
mark('reals', 'Convolution FullyConnected RNN')
mark('no half', '''Convolution Deconvolution FullyConnected RNN batch_dot dot _linalg_gemm
    _linalg_gemm2 _linalg_trmm''')
mark('moves', '''BlockGrad Cast Flatten Reshape SequenceLast SequenceReverse SliceChannel SwapAxis
    _copy _identity_with_attr_like_rhs _split_v2 amp_cast broadcast_axis broadcast_like broadcast_to
    expand_dims repeat reshape_like reverse slice slice_axis slice_like squeeze tile transpose''')
mark('gathers', 'Concat _rnn_param_concat add_n stack')
mark('joins', 'Concat _rnn_param_concat')
mark('recurs', 'RNN _foreach _while_loop')
mark('loss', '''LinearRegressionOutput LogisticRegressionOutput MAERegressionOutput MakeLoss
    SVMOutput SoftmaxOutput WarpCTC make_loss''')
mark('value', 'CTCLoss MakeLoss make_loss softmax_cross_entropy')
mark('kernel', 'RNN')
mark('pair', ' '.join(name for name, each in ROWS.items() if not each.attributes and [
    given.name for given in each.inputs] == ['lhs', 'rhs']))
mark('elementwise', ' '.join([*_UNARY, *(name for name in ROWS if name.endswith('_scalar'))]))
mark('elementwise', 'Activation clip hard_sigmoid Cast amp_cast smooth_l1')
mark('one shape', '''Dropout softmax log_softmax reverse elemwise_add elemwise_sub elemwise_mul
    elemwise_div add_n _maximum _minimum SequenceReverse SequenceMask''')

# ---- types of outputs that neither an attribute nor the first input tells
typed('shape_array size_array', lambda node, *inputs: 'int64')
typed('Embedding _contrib_SparseEmbedding', lambda node, index, weight: weight)
typed('where', lambda node, condition, x, y: x)
typed('sort', lambda node, data: (data, 'int64'))
typed('topk', lambda node, data: {'indices': node.dtype, 'mask': data, 'value': (data, node.dtype),
                                  'both': (data, node.dtype)}[node.ret_typ])
typed('_sample_multinomial', lambda node, data: (node.dtype, data))
typed('_random_randint', lambda node: node.dtype or 'int32')
typed('amp_cast', lambda node, data: None if 'float' in data else data)
