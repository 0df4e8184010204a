"""Operators to try, each with its inputs: one list for torch and ONNX."""
import re

import numpy as np
import pytest

from ..running import random_value
from .models import S, V

INTERNAL = S._internal
A, B, C, D = map(V, 'abcd')
SHAPE = (3, 4, 5)
POSITIVE = np.abs(random_value('positive', SHAPE)) + .2
WHOLE = np.arange(60).reshape(SHAPE) % 7 - 3.


class Op:
    """A graph to build, and its inputs."""

    def __init__(self, build, fixed='', train=True, **inputs):
        self.build, self.fixed, self.train = build, fixed, train
        self.inputs = inputs or {'a': SHAPE}

    def given(self):
        """Shapes of its inputs, and options of `bind`."""
        values = {name: value for name, value in self.inputs.items()
                  if isinstance(value, np.ndarray)}
        return {name: getattr(value, 'shape', value) for name, value in self.inputs.items()}, {
            'train': self.train, 'values': values, 'fixed': self.fixed}


OPS = {}
for _name in ('abs sign ceil floor trunc fix round rint square exp expm1 sin cos tan arcsin arccos '
              'arctan sinh cosh tanh arcsinh arctanh degrees radians erf erfinv negative relu '
              'sigmoid softsign logical_not identity BlockGrad zeros_like ones_like cbrt '
              'hard_sigmoid smooth_l1').split():
    OPS[_name] = Op(lambda name=_name: getattr(S, name)(A))
for _name in 'sqrt rsqrt log log10 log2 log1p gamma gammaln reciprocal rcbrt'.split():
    OPS[_name] = Op(lambda name=_name: getattr(S, name)(A), a=POSITIVE)
for _name in ('arccosh',):
    OPS[_name] = Op(lambda name=_name: getattr(S, name)(A), a=POSITIVE + 1)
for _name in ('elemwise_add elemwise_sub elemwise_mul elemwise_div').split():
    OPS[_name] = Op(lambda name=_name: getattr(S, name)(A, B), a=SHAPE, b=SHAPE)
for _name in ('mod power maximum minimum hypot equal not_equal greater greater_equal lesser '
              'lesser_equal logical_and logical_or logical_xor').split():
    _value = POSITIVE if _name in ('power', 'hypot', 'mod') else WHOLE
    OPS['broadcast_' + _name] = Op(lambda name=_name: getattr(S, 'broadcast_' + name)(A, B),
                                   a=_value, b=_value[:, :1])
    OPS['_' + _name] = Op(lambda name=_name: getattr(INTERNAL, '_' + name)(A, B), a=_value,
                          b=np.flip(_value, 1).copy())
for _name in 'add sub mul div'.split():
    OPS['broadcast_' + _name] = Op(lambda name=_name: getattr(S, 'broadcast_' + name)(A, B),
                                   a=SHAPE, b=POSITIVE[:, :1])
for _name in ('plus minus rminus mul div rdiv power rpower maximum minimum mod rmod hypot equal '
              'not_equal greater greater_equal lesser lesser_equal logical_and logical_or '
              'logical_xor').split():
    _value = WHOLE if 'e' in _name and 'power' not in _name else POSITIVE
    OPS['_%s_scalar' % _name] = Op(lambda name=_name: getattr(INTERNAL, '_%s_scalar' % name)(
        A, scalar=2.), a=_value)
for _name in 'sum mean prod max min nansum nanprod'.split():
    for _key, _kwargs in {'': {}, '_axis': {'axis': 1}, '_keep': {'axis': (0, 2), 'keepdims': True},
                          '_exclude': {'axis': 1, 'exclude': True}}.items():
        OPS[_name + _key] = Op(lambda name=_name, kwargs=_kwargs: getattr(S, name)(A, **kwargs),
                               a=WHOLE if _name in ('max', 'min') else SHAPE)
for _name in 'argmax argmin'.split():
    OPS[_name] = Op(lambda name=_name: getattr(S, name)(A))
    OPS[_name + '_axis'] = Op(lambda name=_name: getattr(S, name)(A, axis=1, keepdims=True))
for _name in ('relu', 'sigmoid', 'softrelu', 'softsign', 'tanh'):
    OPS['Activation_' + _name] = Op(lambda name=_name: S.Activation(A, act_type=name))
for _name in ('leaky', 'elu', 'selu', 'gelu'):  # MXNet's gradient of selu is wrong
    OPS['LeakyReLU_' + _name] = Op(lambda name=_name: S.LeakyReLU(A, act_type=name, slope=.3),
                                   train=_name != 'selu')
for _name in ('instance', 'channel', 'spatial'):
    OPS['L2Normalization_' + _name] = Op(lambda name=_name: S.L2Normalization(A, mode=name))

LABELS = np.array([1, 0, 3.])
GRID = np.array([[1, 0, 3, 2, 1], [0, -1, 2, -1, 3], [2, 2, -1, 1, 0.]])
IMAGE = (2, 3, 7, 8)

OPS.update({
    'add_n': Op(lambda: S.add_n(A, B, C), a=SHAPE, b=SHAPE, c=SHAPE),
    'where': Op(lambda: S.where(A, B, C), 'a', a=WHOLE, b=SHAPE, c=SHAPE),
    'where_rows': Op(lambda: S.where(A, B, C), 'a', a=np.array([1, 0, 2.]), b=SHAPE, c=SHAPE),
    'where_column': Op(lambda: S.where(A, B, C), 'a', a=WHOLE[..., :1], b=SHAPE, c=SHAPE),
    'where_zeros': Op(lambda: S.where(A > 0, B, S.zeros_like(B)), a=SHAPE, b=SHAPE),
    'where_columns': Op(lambda: S.where(A, B, C), 'a', a=WHOLE[:, :1, :1], b=SHAPE, c=SHAPE),
    'clip': Op(lambda: S.clip(A, -1, 2), a=WHOLE),
    'clip_largest': Op(lambda: S.clip(A, -1, 3.4028235e+38), a=WHOLE),
    'Cast': Op(lambda: S.Cast(S.Cast(A, dtype='float64'), dtype='float32')),
    'Cast_int': Op(lambda: S.Cast(A, dtype='int32'), train=False, a=WHOLE + .5),
    'smooth_l1_scalar': Op(lambda: S.smooth_l1(A, scalar=3.)),
    'prelu': Op(lambda: S.LeakyReLU(A, gamma=B, act_type='prelu'), a=SHAPE, b=(4,)),
    'rrelu': Op(lambda: S.LeakyReLU(A, act_type='rrelu')[0], train=False),
    'identity_like': Op(lambda: INTERNAL._identity_with_attr_like_rhs(A, B), 'b', a=SHAPE, b=SHAPE),
    # Shapes
    'Reshape': Op(lambda: S.Reshape(A, shape=(-1, 10))),
    'Reshape_0': Op(lambda: S.Reshape(A, shape=(0, -1))),
    'Reshape_2': Op(lambda: S.Reshape(A, shape=(0, -2))),
    'Reshape_3': Op(lambda: S.Reshape(A, shape=(-3, 0))),
    'Reshape_4': Op(lambda: S.Reshape(A, shape=(0, -4, 2, -1, 0))),
    'Reshape_reverse': Op(lambda: S.Reshape(A, shape=(-1, 0), reverse=True)),
    'Reshape_reverse_4': Op(lambda: S.Reshape(A, shape=(-2, 2, -1, -4, 0), reverse=True)),
    'Reshape_target': Op(lambda: S.Reshape(A, target_shape=(0, 15)), a=SHAPE),
    'Reshape_target_reverse': Op(lambda: S.Reshape(A, target_shape=(0, 15), reverse=True), a=SHAPE),
    'Reshape_target_keeping': Op(lambda: S.Reshape(A, target_shape=(7, 0), keep_highest=True),
                                 a=SHAPE),
    'reshape_like': Op(lambda: S.reshape_like(A, B), 'b', a=SHAPE, b=(6, 10)),
    'reshape_like_part': Op(lambda: S.reshape_like(A, B, lhs_begin=0, lhs_end=2, rhs_begin=0,
                                                   rhs_end=1), 'b', a=SHAPE, b=(12, 2)),
    'Flatten': Op(lambda: S.Flatten(A)),
    'transpose': Op(lambda: S.transpose(A)),
    'transpose_axes': Op(lambda: S.transpose(A, axes=(1, 0, 2))),
    'SwapAxis': Op(lambda: S.SwapAxis(A, dim1=0, dim2=2)),
    'expand_dims': Op(lambda: S.expand_dims(A, axis=-1)),
    'squeeze': Op(lambda: S.squeeze(A), a=(3, 1, 4, 1)),
    'squeeze_axis': Op(lambda: S.squeeze(A, axis=1), a=(3, 1, 4, 1)),
    'slice_axis': Op(lambda: S.slice_axis(A, axis=1, begin=1, end=3)),
    'slice_axis_end': Op(lambda: S.slice_axis(A, axis=-1, begin=-3, end=None)),
    'slice_axis_negative': Op(lambda: S.slice_axis(A, axis=2, begin=0, end=-2)),
    'slice': Op(lambda: S.slice(A, begin=(0, 1), end=(2, None))),
    'slice_step': Op(lambda: S.slice(A, begin=(None, 3), end=(None, 0), step=(2, -1))),
    'slice_like': Op(lambda: S.slice_like(A, B), 'b', a=SHAPE, b=(2, 3, 4)),
    'slice_like_axes': Op(lambda: S.slice_like(A, B, axes=(1,)), 'b', a=SHAPE, b=(2, 3, 4)),
    'SliceChannel': Op(lambda: S.SliceChannel(A, num_outputs=2)),
    'SliceChannel_squeeze': Op(lambda: S.SliceChannel(A, num_outputs=3, axis=0, squeeze_axis=True)),
    'split_v2': Op(lambda: S.split_v2(A, (1, 3), axis=2)),
    'split_v2_equal': Op(lambda: S.split_v2(A, 2, axis=1)),
    'Concat': Op(lambda: S.Concat(A, B, dim=1), a=SHAPE, b=(3, 2, 5)),
    'stack': Op(lambda: S.stack(A, B, axis=1), a=SHAPE, b=SHAPE),
    'rnn_param_concat': Op(lambda: INTERNAL._rnn_param_concat(A, B, dim=0), a=(6,), b=(4,)),
    'tile': Op(lambda: S.tile(A, reps=(2, 1, 3))),
    'tile_more': Op(lambda: S.tile(A, reps=(2, 1, 1, 3))),
    'repeat': Op(lambda: S.repeat(A, repeats=2, axis=1)),
    'repeat_flat': Op(lambda: S.repeat(A, repeats=2)),
    'Pad': Op(lambda: S.Pad(A, mode='constant', pad_width=(0, 0, 0, 0, 1, 2, 2, 1),
                            constant_value=3), a=IMAGE),
    'Pad_edge': Op(lambda: S.Pad(A, mode='edge', pad_width=(0, 0, 0, 0, 1, 2, 2, 1)), a=IMAGE),
    'Pad_reflect': Op(lambda: S.Pad(A, mode='reflect', pad_width=(0, 0, 0, 0, 1, 2, 2, 1)),
                      a=IMAGE),
    'reverse': Op(lambda: S.reverse(A, axis=1)),
    'flip': Op(lambda: S.flip(A, axis=(0, 2))),
    'broadcast_to': Op(lambda: S.broadcast_to(A, shape=(0, 6)), a=(3, 1)),
    'broadcast_axis': Op(lambda: S.broadcast_axis(A, axis=(1,), size=(6,)), a=(3, 1)),
    'broadcast_like': Op(lambda: S.broadcast_like(A, B), 'b', a=(3, 1), b=(3, 5)),
    'broadcast_like_axes': Op(lambda: S.broadcast_like(A, B, lhs_axes=(1,), rhs_axes=(0,)), 'b',
                              a=(3, 1), b=(4, 5)),
    'depth_to_space': Op(lambda: S.depth_to_space(A, block_size=2), a=(2, 8, 3, 4)),
    'space_to_depth': Op(lambda: S.space_to_depth(A, block_size=2), a=(2, 2, 4, 6)),
    'shape_array': Op(lambda: S.shape_array(A), train=False),
    'size_array': Op(lambda: S.size_array(A), train=False),
    # Constants
    'zeros': Op(lambda: S.broadcast_add(A, S.zeros((1, 4, 1)))),
    'ones': Op(lambda: S.broadcast_add(A, S.ones((1, 4, 1)))),
    'full': Op(lambda: S.broadcast_add(A, S.full((1, 4, 1), 2.5))),
    'arange': Op(lambda: S.broadcast_add(A, S.Reshape(S.arange(1, 3, .5), shape=(1, 4, 1)))),
    'arange_from_1': Op(lambda: S.broadcast_add(A, S.Reshape(S.arange(1, 5), shape=(1, 4, 1)))),
    'arange_stop': Op(lambda: S.broadcast_add(A, S.Reshape(S.arange(5), shape=(1, 1, 5)))),
    'arange_repeat': Op(lambda: S.broadcast_add(A, S.Reshape(S.arange(0, 2, repeat=2),
                                                             shape=(1, 4, 1)))),
    'arange_like': Op(lambda: S.contrib.arange_like(A, axis=1), train=False),
    'arange_like_all': Op(lambda: S.contrib.arange_like(A, start=1, step=2), train=False),
    'linspace': Op(lambda: S.broadcast_add(A, S.Reshape(S.linspace(0, 1, 5), shape=(1, 1, 5)))),
    'eye': Op(lambda: S.dot(A, S.eye(5, 6, 1))),
    # Reductions and order
    'norm': Op(lambda: S.norm(A)),
    'norm_1': Op(lambda: S.norm(A, ord=1, axis=1, keepdims=True)),
    'norm_2': Op(lambda: S.norm(A, axis=(0, 2))),
    'moments': Op(lambda: S.moments(A, axes=(0, 2))),
    'cumsum': Op(lambda: S.cumsum(A, axis=1)),
    'cumsum_flat': Op(lambda: S.cumsum(A)),
    'argmax_channel': Op(lambda: S.argmax_channel(A), train=False, a=(3, 4)),
    'sort': Op(lambda: S.sort(A, axis=1)),
    'sort_down': Op(lambda: S.sort(A, is_ascend=False), train=False),
    'argsort': Op(lambda: S.argsort(A, axis=0)),
    'topk': Op(lambda: S.topk(A, k=2)),
    'topk_value': Op(lambda: S.topk(A, k=2, axis=1, ret_typ='value', is_ascend=True)),
    'topk_both': Op(lambda: S.topk(A, k=3, ret_typ='both'), train=False),
    'topk_mask': Op(lambda: S.topk(A, k=2, ret_typ='mask')),
    'topk_flat': Op(lambda: S.topk(A, k=4, axis=None)),
    # Look-ups and products
    'Embedding': Op(lambda: S.Embedding(A, B, input_dim=6, output_dim=3), 'a',
                    a=np.abs(WHOLE[0]), b=(6, 3)),
    'take': Op(lambda: S.take(A, B), 'b', a=SHAPE, b=np.array([[0, 2], [1, 7.]])),
    'take_axis': Op(lambda: S.take(A, B, axis=1, mode='wrap'), 'b', a=SHAPE,
                    b=np.array([0, 5, -1.])),
    'batch_take': Op(lambda: S.batch_take(A, B), 'b', train=False, a=(3, 4),
                     b=np.array([0, 3, 1], 'int32')),
    'pick': Op(lambda: S.pick(A, B, axis=1), 'b', a=SHAPE, b=np.abs(GRID)),
    'pick_keep': Op(lambda: S.pick(A, B, keepdims=True), 'b', a=(3, 4), b=LABELS),
    'gather_nd': Op(lambda: S.gather_nd(A, B), 'b', a=SHAPE, b=np.array([[0, 2, 1], [3, 1, 0.]])),
    'scatter_nd': Op(lambda: S.scatter_nd(A, B, shape=(3, 4)), 'b', a=(3,),
                     b=np.array([[0, 2, 1], [3, 1, 0.]])),
    'one_hot': Op(lambda: S.one_hot(A, depth=4, on_value=2, off_value=-1), train=False, a=GRID),
    'dot': Op(lambda: S.dot(A, B), a=(3, 4), b=(4, 5)),
    'dot_transposed': Op(lambda: S.dot(A, B, transpose_a=True, transpose_b=True), a=(4, 3),
                         b=(5, 4)),
    'dot_vectors': Op(lambda: S.dot(A, B), a=(4,), b=(4,)),
    'dot_many': Op(lambda: S.dot(A, B), a=SHAPE, b=(5, 2)),
    'dot_vector_first': Op(lambda: S.dot(A, B, transpose_a=True), a=(4,), b=(4, 3)),
    'dot_vector_transposed': Op(lambda: S.dot(A, B, transpose_b=True), a=(3, 4), b=(4,)),
    'batch_dot': Op(lambda: S.batch_dot(A, B), a=(2, 3, 4), b=(2, 4, 5)),
    'batch_dot_transposed': Op(lambda: S.batch_dot(A, B, transpose_a=True, transpose_b=True),
                               a=(2, 4, 3), b=(2, 5, 4)),
    'batch_dot_of_four_axes': Op(lambda: S.batch_dot(A, B, transpose_a=True, transpose_b=True),
                                 a=(2, 3, 4, 3), b=(2, 3, 5, 4)),
    'gemm2': Op(lambda: S.linalg.gemm2(A, B, transpose_b=True, alpha=.5), a=(2, 3, 4), b=(2, 5, 4)),
    'trmm': Op(lambda: S.linalg.trmm(A, B, alpha=.5), a=(2, 3, 3), b=(2, 3, 4)),
    'trmm_of_the_right': Op(lambda: S.linalg.trmm(A, B, rightside=True, transpose=True),
                            a=(4, 4), b=(3, 4)),
    'trmm_upper': Op(lambda: S.linalg.trmm(A, B, lower=False), a=(2, 3, 3), b=(2, 3, 3)),
    # Layers
    'FullyConnected': Op(lambda: S.FullyConnected(A, B, C, num_hidden=6), a=SHAPE, b=(6, 20),
                         c=(6,)),
    'FullyConnected_rows': Op(lambda: S.FullyConnected(A, B, num_hidden=6, no_bias=True,
                                                       flatten=False), a=SHAPE, b=(6, 5)),
    'Convolution_1': Op(lambda: S.Convolution(A, kernel=(3,), num_filter=4, pad=(1,)), a=(2, 3, 7)),
    'Convolution_2': Op(lambda: S.Convolution(A, kernel=(3, 2), num_filter=4, stride=(2, 1),
                                              pad=(1, 0), dilate=(1, 2)), a=IMAGE),
    'Convolution_3': Op(lambda: S.Convolution(A, kernel=(2, 2, 2), num_filter=4, no_bias=True),
                        a=(2, 3, 4, 5, 4)),
    'Convolution_groups': Op(lambda: S.Convolution(A, kernel=(3, 3), num_filter=6, num_group=3),
                             a=IMAGE),
    'Deconvolution': Op(lambda: S.Deconvolution(A, kernel=(3, 2), num_filter=4, stride=(2, 1),
                                                pad=(1, 0), adj=(1, 0)), a=IMAGE),
    'UpSampling': Op(lambda: S.UpSampling(A, scale=2, sample_type='nearest'), a=IMAGE),
    'BatchNorm': Op(lambda: S.BatchNorm(A), a=IMAGE),
    'BatchNorm_gamma': Op(lambda: S.BatchNorm(A, fix_gamma=False, eps=1e-4, momentum=.7), a=IMAGE),
    'BatchNorm_axis': Op(lambda: S.BatchNorm(A, fix_gamma=False, axis=2), a=SHAPE),
    'BatchNorm_global': Op(lambda: S.BatchNorm(A, fix_gamma=False, use_global_stats=True), a=IMAGE),
    'BatchNorm_v1': Op(lambda: S.BatchNorm_v1(A, fix_gamma=False), a=IMAGE),
    'SyncBatchNorm': Op(lambda: S.contrib.SyncBatchNorm(A, key='x', fix_gamma=False), a=IMAGE),
    'Convolution_v1': Op(lambda: S.Convolution_v1(A, kernel=(3, 3), num_filter=4), a=IMAGE),
    'Pooling_v1': Op(lambda: S.Pooling_v1(A, kernel=(2, 2), stride=(2, 2), pool_type='max'),
                     a=IMAGE),
    'SparseEmbedding': Op(lambda: S.contrib.SparseEmbedding(A, B, input_dim=6, output_dim=3), 'a',
                          a=np.abs(WHOLE[0]), b=(6, 3)),
    'amp_cast': Op(lambda: S.amp_cast(A, dtype='float32')),
    'LayerNorm': Op(lambda: S.LayerNorm(A)),
    'LayerNorm_axis': Op(lambda: S.LayerNorm(A, axis=1, eps=1e-3)),
    'InstanceNorm': Op(lambda: S.InstanceNorm(A), a=IMAGE),
    'GroupNorm': Op(lambda: S.GroupNorm(A, num_groups=2), a=(2, 4, 7, 8)),
    'GroupNorm_channels': Op(lambda: S.GroupNorm(A, num_groups=4), a=(2, 4, 7, 8)),
    'LRN': Op(lambda: S.LRN(A, nsize=3, alpha=.1), a=IMAGE),
    'div_sqrt_dim': Op(lambda: S.contrib.div_sqrt_dim(A)),
    'softmax': Op(lambda: S.softmax(A)),
    'softmax_axis': Op(lambda: S.softmax(A, axis=1, temperature=2.)),
    'softmax_length': Op(lambda: S.softmax(A, B, axis=1, use_length=True), 'b', train=False,
                         a=(3, 4), b=np.array([1, 4, 2], 'int32')),
    'log_softmax': Op(lambda: S.log_softmax(A)),
    'softmin': Op(lambda: S.softmin(A, axis=1)),
    'SoftmaxActivation': Op(lambda: S.SoftmaxActivation(A), a=(3, 4)),
    'SoftmaxActivation_rows': Op(lambda: S.SoftmaxActivation(A), train=False),
    'SoftmaxActivation_channel': Op(lambda: S.SoftmaxActivation(A, mode='channel'), a=IMAGE),
    'Dropout': Op(lambda: S.Dropout(A, p=.5) + B, train=False, a=SHAPE, b=SHAPE),
    # Sequences
    'SequenceMask': Op(lambda: S.SequenceMask(A, B, use_sequence_length=True, value=-2), 'b',
                       a=SHAPE, b=np.array([1, 3, 2, 0.])),
    'SequenceMask_axis': Op(lambda: S.SequenceMask(A, B, use_sequence_length=True, axis=1), 'b',
                            a=SHAPE, b=np.array([1, 3, 4.])),
    'SequenceMask_none': Op(lambda: S.SequenceMask(A)),
    'SequenceLast': Op(lambda: S.SequenceLast(A, B, use_sequence_length=True), 'b', a=SHAPE,
                       b=np.array([1, 3, 2, 1.])),
    'SequenceLast_axis': Op(lambda: S.SequenceLast(A, B, use_sequence_length=True, axis=1), 'b',
                            a=SHAPE, b=np.array([1, 3, 2.])),
    'SequenceLast_none': Op(lambda: S.SequenceLast(A)),
    'SequenceReverse': Op(lambda: S.SequenceReverse(A, B, use_sequence_length=True), 'b', a=SHAPE,
                          b=np.array([1, 3, 2, 0.])),
    'SequenceReverse_none': Op(lambda: S.SequenceReverse(A)),
    # Losses
    'LinearRegressionOutput': Op(lambda: S.LinearRegressionOutput(A, B, grad_scale=2), 'b',
                                 a=(3, 4), b=(3, 4)),
    'LinearRegressionOutput_flat': Op(lambda: S.LinearRegressionOutput(A, B), 'b', a=(3, 1),
                                      b=(3,)),
    'LogisticRegressionOutput': Op(lambda: S.LogisticRegressionOutput(A, B), 'b', a=(3, 4),
                                   b=(3, 4)),
    'MAERegressionOutput': Op(lambda: S.MAERegressionOutput(A, B), 'b', a=(3, 4), b=(3, 4)),
    'MakeLoss': Op(lambda: S.MakeLoss(S.square(A), grad_scale=3)),
    'MakeLoss_batch': Op(lambda: S.MakeLoss(S.square(A), normalization='batch')),
    'MakeLoss_valid': Op(lambda: S.MakeLoss(S.square(A), normalization='valid', valid_thresh=.1)),
    'make_loss': Op(lambda: S.make_loss(S.square(A))),
    'SVMOutput': Op(lambda: S.SVMOutput(A, B, margin=.7, regularization_coefficient=.5), 'b',
                    a=(3, 4), b=LABELS),
    'SVMOutput_linear': Op(lambda: S.SVMOutput(A, B, use_linear=True), 'b', a=(3, 4), b=LABELS),
    'softmax_cross_entropy': Op(lambda: S.softmax_cross_entropy(A, B), 'b', a=(3, 4), b=LABELS),
    'CTCLoss': Op(lambda: S.CTCLoss(A, B), 'b', a=(6, 2, 5), b=np.array([[1, 2, 0], [3, 3, 4.]])),
    'CTCLoss_last': Op(lambda: S.CTCLoss(A, B, blank_label='last'), 'b', a=(6, 2, 5),
                       b=np.array([[1, 2, -1], [3, 3, 0.]])),
    'CTCLoss_lengths': Op(lambda: S.CTCLoss(A, B, C, D, use_data_lengths=True,
                                            use_label_lengths=True), 'bcd', a=(6, 2, 5),
                          b=np.array([[1, 2, 0], [3, 3, 4.]]), c=np.array([6, 5.]),
                          d=np.array([1, 2.])),
})
for _kind in ('max', 'avg', 'sum'):
    for _key, _kwargs in {
            '': {'kernel': (2, 3)}, '_pad': {'kernel': (3, 3), 'pad': (1, 1), 'stride': (2, 2)},
            '_full': {'kernel': (3, 3), 'stride': (2, 2), 'pooling_convention': 'full'},
            '_global': {'kernel': (1, 1), 'global_pool': True}}.items():
        if (_kind, _key) != ('sum', '_full'):
            OPS['Pooling_%s%s' % (_kind, _key)] = Op(lambda kind=_kind, kwargs=_kwargs: S.Pooling(
                A, pool_type=kind, **kwargs), a=IMAGE)
OPS['Pooling_1'] = Op(lambda: S.Pooling(A, pool_type='max', kernel=(2,)), a=(2, 3, 7))
OPS['Pooling_3'] = Op(lambda: S.Pooling(A, pool_type='avg', kernel=(2, 2, 2), pad=(1, 0, 0),
                                        count_include_pad=False), a=(2, 3, 4, 5, 4))
for _how in ('null', 'batch', 'valid'):
    for _ignore in (False, True):
        for _out in (False, True):
            _kwargs = {'normalization': _how, 'use_ignore': _ignore, 'out_grad': _out,
                       'grad_scale': 1.5, 'ignore_label': 1 if _ignore else -1}
            _key = '_%s%s%s' % (_how, '_ignore' * _ignore, '_out' * _out)
            OPS['SoftmaxOutput' + _key] = Op(lambda kwargs=_kwargs: S.SoftmaxOutput(
                A, B, **kwargs), 'b', a=(3, 4), b=LABELS)
            OPS['SoftmaxOutput_multi' + _key] = Op(lambda kwargs=_kwargs: S.SoftmaxOutput(
                A, B, multi_output=True, **kwargs), 'b', a=(3, 4, 5), b=np.abs(GRID))
            OPS['SoftmaxOutput_keep' + _key] = Op(lambda kwargs=_kwargs: S.SoftmaxOutput(
                A, B, preserve_shape=True, **kwargs), 'b', a=(3, 5, 4), b=np.abs(GRID))
OPS['SoftmaxOutput_smooth'] = Op(lambda: S.SoftmaxOutput(A, B, smooth_alpha=.1), 'b', a=(3, 4),
                                 b=LABELS)
OPS['SoftmaxOutput_probabilities'] = Op(lambda: S.SoftmaxOutput(A, B, grad_scale=2), 'b',
                                        a=(3, 4), b=(3, 4))
OPS['SoftmaxOutput_multi_keep'] = Op(lambda: S.SoftmaxOutput(
    A, B, multi_output=True, preserve_shape=True), 'b', train=False, a=(3, 4, 5), b=np.abs(GRID))
OPS['rint_halves'] = Op(lambda: S.rint(A), a=np.append(WHOLE / 2, 8388609.))
_whole, _divisor = S.cast(A, 'int32'), S.cast(B, 'int32')
for _name, _build in {
        'elemwise_div': lambda: S.elemwise_div(_whole, _divisor),
        'broadcast_div': lambda: S.broadcast_div(_whole, S.slice_axis(
            _divisor, axis=1, begin=0, end=1)),
        'div': lambda: S.broadcast_add(_whole / 2, _divisor * 0),
        'div_part': lambda: S.broadcast_add(_whole / -2.5, _divisor * 0),
        'rdiv': lambda: S.broadcast_add(7 / _divisor, _whole * 0),
        'rdiv_part': lambda: S.broadcast_add(-7.5 / _divisor, _whole * 0)}.items():
    OPS[_name + '_of_integers'] = Op(_build, train=False, a=WHOLE, b=WHOLE * 2 + 1)
OPS['Embedding_outside'] = Op(lambda: S.Embedding(A, B, input_dim=3, output_dim=2), 'a',
                              a=np.array([[-1., 0, 2], [3, 7, 1]]), b=(3, 2))
OPS['SoftmaxOutput_padding'] = Op(lambda: S.SoftmaxOutput(
    A, B, use_ignore=True, ignore_label=-1, normalization='valid', multi_output=True), 'b',
    a=(3, 4, 5), b=GRID)

#: Numbers at which the operators on an array and a number go wrong easily.
ODD = np.array([-np.inf, -7.25, -3, -2.5, -1, -.25, 0, .25, 1, 2, 2.5, 3, 7.25, np.inf, np.nan])
for _name in ('plus minus rminus mul div rdiv power maximum minimum mod rmod hypot equal not_equal '
              'greater greater_equal lesser lesser_equal logical_and logical_or '
              'logical_xor').split():
    for _number in (np.inf, -np.inf, np.nan, 0., -2., -2.5, 1e-8, 1e20):
        OPS['_%s_scalar_%s' % (_name, _number)] = Op(
            lambda name=_name, number=_number: getattr(INTERNAL, '_%s_scalar' % name)(
                A, scalar=number), train=False, a=ODD)
    if _name in ('power', 'hypot'):
        continue
    OPS['_%s_scalar_of_integers' % _name] = Op(
        lambda name=_name: getattr(INTERNAL, '_%s_scalar' % name)(A, scalar=-2.5),
        train=False, a=np.array([-7, -3, -2, -1, 1, 2, 3, 7], 'int32'))
for _name in 'rminus rdiv div greater'.split():  # the number does not fit the type
    OPS['_%s_scalar_of_int8' % _name] = Op(
        lambda name=_name: getattr(INTERNAL, '_%s_scalar' % name)(A, scalar=300), train=False,
        a=np.array([1, 2, 50, 100, -100], 'int8'))
for _name in 'sum mean prod max min nansum nanprod argmax argmin sqrt abs'.split():
    OPS[_name + '_of_int32'] = Op(lambda name=_name: getattr(S, name)(
        A, **({} if name in ('sqrt', 'abs') else {'axis': 1})), train=False,
        a=np.array([[1, 2, 4], [7, 1, 1]], 'int32'))
for _kind in ('uint8', 'int8', 'int32'):  # the sum does not fit the two
    OPS['mean_of_many_' + _kind] = Op(lambda kind=_kind: S.mean(S.cast(A, kind), axis=1),
                                      train=False, a=np.array([[90, 100, 120.], [-4, 1, 1]]))
OPS['mean_exclude_own_of_int32'] = Op(lambda: S.mean(A, axis=0, exclude=True), train=False,
                                      a=np.array([1, 2, 4], 'int32'))
for _name in 'sum mean prod max min'.split():
    OPS[_name + '_exclude_own'] = Op(lambda name=_name: getattr(S, name)(
        A, axis=0, exclude=True), a=(5,))
    OPS[_name + '_exclude_all'] = Op(lambda name=_name: getattr(S, name)(
        A, axis=(0, 1, 2), exclude=True))
OPS.update({
    'cumsum_to_int32': Op(lambda: S.cumsum(A, axis=1, dtype='int32') * 2, 'a'),
    'cumsum_of_int32': Op(lambda: S.cumsum(A, axis=0), train=False, a=np.arange(5, dtype='int32')),
    'arange_like_of_int32': Op(lambda: S.contrib.arange_like(A, start=2.5, step=1.5), train=False,
                               a=np.arange(5, dtype='int32')),
    'hard_sigmoid_ends': Op(lambda: S.hard_sigmoid(A), a=np.array([-3, -2.5, 0, 2.5, 3])),
    'moments_all': Op(lambda: S.moments(A, axes=(0, 1, 2))),
    'div_sqrt_dim_of_int32': Op(lambda: S.contrib.div_sqrt_dim(A), train=False,
                                a=np.arange(-4, 8, dtype='int32').reshape(3, 4)),
    'amp_cast_of_int32': Op(lambda: S.amp_cast(A, dtype='float16'), train=False,
                            a=np.arange(5, dtype='int32')),
    'gamma_poles': Op(lambda: S.gamma(A), train=False, a=np.array([-2., -1.5, -1, -.5, 0, 1, 3])),
    'broadcast_like_one_side': Op(lambda: S.broadcast_like(A, B, lhs_axes=(1,)), a=(3, 1, 5),
                                  b=SHAPE),
    'linspace_of_int32': Op(lambda: S.cast(A, 'int32') * 0 + S.linspace(.5, -2, 3, dtype='int32'),
                            train=False, a=(3,)),
    'linspace_of_float16': Op(lambda: S.cast(A, 'float16') * 0 + S.linspace(
        0, 5.5, 3, endpoint=False, dtype='float16'), train=False, a=(3,)),
    'smooth_l1_of_0': Op(lambda: S.smooth_l1(A, scalar=0)),
    'CTCLoss_too_short': Op(lambda: S.CTCLoss(A, B), train=False, a=(3, 2, 3),
                            b=np.array([[1, 1, 2], [1, 2, 0]])),
    'power_of_integers': Op(lambda: S.broadcast_power(S.cast(A, 'int32'), S.cast(B, 'int32')),
                            train=False, a=np.array([1, 2, -2, 3, 4]),
                            b=np.array([-1, -2, 3, 2, 0])),
    'power_of_integers_to_number': Op(lambda: S.cast(A, 'int32') ** -1, train=False,
                                      a=np.array([1, 2, -2, 3, 4])),
    'div_sqrt_dim_of_odd_int32': Op(lambda: S.contrib.div_sqrt_dim(A), train=False,
                                    a=np.arange(-4, 6, dtype='int32').reshape(2, 5)),
    'clip_of_int32': Op(lambda: S.clip(A, -1.5, 2.25), train=False,
                        a=np.arange(-4, 5, dtype='int32')),
    'MAERegressionOutput_equal': Op(lambda: S.MAERegressionOutput(A, B), 'b', a=WHOLE,
                                    b=WHOLE.round()),
    'SoftmaxOutput_probabilities_out_grad': Op(lambda: S.SoftmaxOutput(
        A, B, multi_output=True, out_grad=True), 'b', a=SHAPE, b=POSITIVE / 9),
    'slice_of_nothing': Op(lambda: S.slice(A, begin=(0, 3), end=(2, 3), step=(1, -1)), train=False),
    'pick_one': Op(lambda: S.pick(A, B, axis=0), 'b', a=(4,), b=np.array([2.])),
    'L2Normalization_vector': Op(lambda: S.L2Normalization(A, eps=.1), a=(4,)),
    'softmax_float64': Op(lambda: S.softmax(A, dtype='float64'), train=False),
    'SoftmaxOutput_multi_smooth': Op(lambda: S.SoftmaxOutput(
        A, B, multi_output=True, smooth_alpha=.1), 'b', a=SHAPE, b=GRID.clip(0)),
})

# ---- attributes as programs spell them: 1 for True, a number for a tuple of one
for _name in 'nansum nanprod sum max'.split():
    OPS[_name + '_exclude_all_of_nan'] = Op(lambda name=_name: getattr(S, name)(
        A, axis=(0, 1), exclude=True), a=np.array([[np.nan, 2.], [3, 4]]))
_pad = {'kernel': (3, 3), 'pad': (1, 1)}
OPS.update({
    'Pooling_avg_inside': Op(lambda: S.Pooling(A, pool_type='avg', count_include_pad=0, **_pad),
                             a=IMAGE),
    'Pooling_global_1': Op(lambda: S.Pooling(A, pool_type='avg', global_pool=1), a=IMAGE),
    'Convolution_kernel_3': Op(lambda: S.Convolution(
        A, kernel=3, num_filter=4, pad=1, stride=2, dilate=2), a=(2, 3, 9)),
    'FullyConnected_flatten_0': Op(lambda: S.FullyConnected(A, num_hidden=6, flatten=0), a=SHAPE),
    'SliceChannel_of_one': Op(lambda: S.SliceChannel(A, num_outputs=1), a=SHAPE),
    'broadcast_to_4': Op(lambda: S.broadcast_to(A, shape=4), a=(1,)),
    'tile_2': Op(lambda: S.tile(A, reps=2), a=(3,)),
    'slice_1': Op(lambda: S.slice(A, begin=1, end=3)),
    'sum_axis_none': Op(lambda: S.sum(A, axis=())),
    'reshape_like_last': Op(lambda: S.reshape_like(
        A, B, lhs_begin=-2, lhs_end=None, rhs_begin=-3, rhs_end=-1), 'b', a=SHAPE, b=(2, 10, 7)),
    'squeeze_one': Op(lambda: S.squeeze(A), a=(1,)),
    'take_raise': Op(lambda: S.take(A, B, mode='raise'), 'b', train=False, a=SHAPE,
                     b=np.array([[0, 2], [1, 2.]])),
    'gemm2_axis': Op(lambda: S.linalg.gemm2(A, B, axis=1), a=(2, 3, 4, 5), b=(2, 5, 4, 6)),
    # Loss heads
    'SoftmaxOutput_probabilities_3': Op(lambda: S.SoftmaxOutput(A, B), 'b', a=SHAPE,
                                        b=POSITIVE / 9),
    'SoftmaxOutput_4': Op(lambda: S.SoftmaxOutput(A, B), 'b', train=False, a=IMAGE,
                          b=np.ones((2, 3, 7))),
    'SoftmaxOutput_4_training': Op(lambda: S.SoftmaxOutput(A, B), 'b', a=IMAGE, b=np.arange(
        42.).reshape(2, 3, 7)),
    'SoftmaxOutput_1': Op(lambda: S.SoftmaxOutput(A, B), 'b', train=False, a=(4,), b=np.zeros(4)),
    'SoftmaxOutput_5': Op(lambda: S.SoftmaxOutput(A, B), 'b', train=False, a=(2, 3, 2, 1, 2),
                          b=np.ones((2, 3, 2, 1))),
    # All outputs of norms
    'BatchNorm_all': Op(lambda: S.BatchNorm(A, fix_gamma=False, output_mean_var=True), a=IMAGE),
    'BatchNorm_v1_all': Op(lambda: S.BatchNorm_v1(A, output_mean_var=True), a=IMAGE),
    'LayerNorm_all': Op(lambda: S.LayerNorm(A, output_mean_var=True)),
    'GroupNorm_all': Op(lambda: S.GroupNorm(A, num_groups=2, output_mean_var=True), a=(2, 4, 7, 8)),
})
for _how in ('null', 'batch', 'valid'):
    OPS['SoftmaxOutput_multi_keep_' + _how] = Op(lambda how=_how: S.SoftmaxOutput(
        A, B, multi_output=True, preserve_shape=True, normalization=how), 'b', a=SHAPE,
        b=np.abs(GRID))
#: Of integers, these numbers make float64, unless is_int is true, as it is by default.
for _name in ('plus minus rminus mul div rdiv maximum minimum mod rmod power rpower hypot equal '
              'not_equal greater greater_equal lesser lesser_equal logical_and logical_or '
              'logical_xor').split():
    for _number in (-2.5, 2.):
        OPS['_%s_scalar_%s_of_integers_to_float' % (_name, _number)] = Op(
            lambda name=_name, number=_number: getattr(INTERNAL, '_%s_scalar' % name)(
                A, scalar=number, is_int=False), train=False,
            a=np.array([-7, -3, -2, -1, 1, 2, 3, 7], 'int32'))

#: Samplers: their numbers, and the mean and the variance of what they draw.
SAMPLERS = {
    'uniform': ({'low': -1, 'high': 3}, 1, 4 / 3), 'normal': ({'loc': 2, 'scale': 3}, 2, 9),
    'exponential': ({'lam': 2}, .5, .25), 'gamma': ({'alpha': 3, 'beta': 2}, 6, 12),
    'poisson': ({'lam': 4}, 4, 4), 'negative_binomial': ({'k': 3, 'p': .4}, 4.5, 11.25),
    'generalized_negative_binomial': ({'mu': 2, 'alpha': .5}, 2, 4)}


def draws(name, data, shape, row, count):
    """The forms of a sampler: of a shape, like `data`, and `count` numbers for each row."""
    numbers, _, _ = SAMPLERS[name]
    return [getattr(S, 'random_' + name)(shape=shape, **numbers),
            getattr(S.random, name + '_like')(data=data, **numbers),
            getattr(S, 'sample_' + name)(*map(row, numbers.values()), shape=count)]


#: Cases of one operator with many numbers or settings, of which the others have one each.
MANY = re.compile(r'.*_scalar_(-|\d|inf|nan|of_).*|.*_exclude_(all|own)(_of_nan|_of_int32)?'
                  r'|SoftmaxOutput(_\w+)?_(null|batch|valid)(_\w+)?|.*_of_int32')


def each_name(names=OPS):
    """Parametrizes `name`."""
    return pytest.mark.parametrize('name', [
        pytest.param(name, marks=[pytest.mark.nightly] * bool(MANY.fullmatch(name)))
        for name in names])
