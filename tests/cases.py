"""The cells and compositions over which every property is tested, and what they are tested with.

``CASES`` are those that mxnet.rnn builds and unrolls too; ``OURS`` work only here. A case makes its
cell from the module that it is given, so that both modules build the same one::

    @each_case
    def test_something(case):
        result = run(case.make(rnn), case.step, length=3, batch=2)     # of tests/running.py
"""
from __future__ import annotations

import functools
from typing import Any, Callable, NamedTuple

import pytest

from . import mx
from . import own_cells as own
from .running import stack

LEAKY = functools.partial(mx.sym.LeakyReLU, act_type='leaky', slope=0.125)


class Case(NamedTuple):
    """A cell to test: how to make it from a module, and what to feed it with."""

    name: str
    make: Callable[[Any], Any]
    #: Shape of the input of one step, without the batch: (features,), or (channels, rows, columns).
    step: tuple[int, ...] = (4,)
    #: Whether the cell can be called for one step.
    can_step: bool = True
    #: Whether training draws random numbers (dropout, zoneout): its gradients then do not repeat.
    random: bool = False
    #: Whether it contains a FusedRNNCell: on the CPU only float32 is right everywhere.
    fused: bool = False
    #: Whether it can be bound on the CPU, whose convolutions take no NHWC.
    binds: bool = True
    #: Whether mxnet.rnn has a begin_state for it: not for modifiers over containers.
    begins: bool = True
    #: Whether it keeps more from one step to the next than its states, so that it has no loop.
    keeps: bool = False

    def __str__(self):
        return self.name

    @property
    def loops(self):
        """Whether dynamic_unroll makes a loop of it."""
        return self.can_step and not self.keeps

    @property
    def dtypes(self):
        """The types in which it can be bound, and is right, on the CPU."""
        return ('float32',) if self.fused else ('float32', 'float64')


def _case(name, make, *flags, step=(4,)):
    """A case from its flags.

    'whole' cannot be stepped, 'graph' not be bound, 'over' is a modifier over a container;
    'random', 'fused' and 'keeps' are as in Case.
    """
    assert set(flags) <= {'whole', 'graph', 'over', 'random', 'fused', 'keeps'}
    return Case(name, make, step, 'whole' not in flags and 'fused' not in flags, 'random' in flags,
                'fused' in flags, 'graph' not in flags, 'over' not in flags, 'keeps' in flags)


def _fused_case(mode, layers, both, states):
    name = 'fused_%s_%d%s%s' % (mode.replace('rnn_', ''), layers, '_both' * both,
                                '_states' * states)
    return _case(name, lambda rnn: rnn.FusedRNNCell(3, layers, mode, both, get_next_state=states),
                 'fused')


IMAGE = (2, 5, 6)
_conv = functools.partial(_case, step=IMAGE)

CASES = [
    # Ordinary cells
    _case('rnn', lambda rnn: rnn.RNNCell(3)),
    _case('rnn_relu', lambda rnn: rnn.RNNCell(3, 'relu')),
    _case('rnn_sigmoid', lambda rnn: rnn.RNNCell(3, activation='sigmoid')),
    _case('rnn_callable', lambda rnn: rnn.RNNCell(3, activation=LEAKY)),
    _case('rnn_positional', lambda rnn: rnn.RNNCell(3, 'tanh', 'a_', rnn.RNNParams('b_'))),
    _case('lstm', lambda rnn: rnn.LSTMCell(3)),
    _case('lstm_one_unit', lambda rnn: rnn.LSTMCell(1), step=(1,)),
    _case('lstm_no_prefix', lambda rnn: rnn.LSTMCell(3, prefix='')),
    _case('lstm_forget_bias', lambda rnn: rnn.LSTMCell(3, forget_bias=0.25)),
    _case('lstm_positional', lambda rnn: rnn.LSTMCell(3, 'a_', rnn.RNNParams('b_'), 2.0)),
    _case('gru', lambda rnn: rnn.GRUCell(3)),
    _case('gru_positional', lambda rnn: rnn.GRUCell(3, 'a_', rnn.RNNParams('b_'))),
    _case('shared_with_another', own.shared_with_another),
    # The fused cell, besides the grid below
    _case('fused_positional',
          lambda rnn: rnn.FusedRNNCell(3, 2, 'lstm', True, 0.0, True, 0.5, 'a_',
                                       rnn.RNNParams('b_')), 'fused'),
    _case('fused_gru_3_both', lambda rnn: rnn.FusedRNNCell(3, 3, 'gru', True), 'fused'),
    _case('fused_dropout',
          lambda rnn: rnn.FusedRNNCell(3, 2, 'lstm', dropout=0.3, get_next_state=True),
          'fused', 'random'),
    *(_fused_case(mode, layers, both, states)
      for mode in ('rnn_tanh', 'rnn_relu', 'lstm', 'gru') for layers in (1, 2)
      for both in (False, True) for states in (False, True)),
    _case('unfused_gru_both',
          lambda rnn: rnn.FusedRNNCell(3, 2, 'gru', bidirectional=True).unfuse(), 'whole'),
    # Stacks
    _case('stack_empty', lambda rnn: rnn.SequentialRNNCell()),
    _case('stack', lambda rnn: stack(rnn, rnn.LSTMCell(3, 'l0_'), rnn.LSTMCell(2, 'l1_'))),
    _case('stack_mixed', lambda rnn: stack(rnn, rnn.LSTMCell(3), rnn.GRUCell(5), rnn.RNNCell(2))),
    _case('stack_dropout',
          lambda rnn: stack(rnn, rnn.LSTMCell(3, 'l0_'), rnn.DropoutCell(0.3),
                            rnn.LSTMCell(3, 'l1_'), rnn.DropoutCell(0.3, 'last_')), 'random'),
    _case('stack_of_stacks',
          lambda rnn: stack(rnn, stack(rnn, rnn.LSTMCell(3, 'a_'), rnn.GRUCell(3, 'b_')),
                            stack(rnn, stack(rnn, rnn.RNNCell(3, prefix='c_'))))),
    _case('stack_shared', own.shared_stack),
    _case('stack_fused',
          lambda rnn: stack(rnn, rnn.FusedRNNCell(3, mode='gru', get_next_state=True),
                            rnn.LSTMCell(3, 'top_')), 'fused'),
    _case('stack_of_fused',
          lambda rnn: stack(rnn, rnn.FusedRNNCell(3, 1, 'lstm', True, prefix='f0_'),
                            rnn.DropoutCell(0.2), rnn.FusedRNNCell(2, 1, 'lstm', prefix='f1_')),
          'fused', 'random'),
    # Both directions
    _case('both', lambda rnn: rnn.BidirectionalCell(rnn.LSTMCell(3, 'l_'), rnn.LSTMCell(3, 'r_')),
          'whole'),
    _case('both_mixed', lambda rnn: rnn.BidirectionalCell(rnn.LSTMCell(3), rnn.GRUCell(2)),
          'whole'),
    _case('both_prefix',
          lambda rnn: rnn.BidirectionalCell(rnn.RNNCell(3, prefix='l_'), rnn.RNNCell(3, 'relu'),
                                            output_prefix='joined_'), 'whole'),
    _case('both_shared', own.shared_directions, 'whole'),
    _case('both_stacks',
          lambda rnn: rnn.BidirectionalCell(
              stack(rnn, rnn.LSTMCell(3, 'l0_'), rnn.LSTMCell(2, 'l1_')),
              stack(rnn, rnn.GRUCell(3, 'r0_'), rnn.DropoutCell(0.2))), 'whole', 'random'),
    _case('both_fused',
          lambda rnn: rnn.BidirectionalCell(
              rnn.FusedRNNCell(3, mode='gru', prefix='l_', get_next_state=True),
              rnn.FusedRNNCell(3, mode='gru', prefix='r_', get_next_state=True)), 'fused'),
    # Dropout, zoneout, residual
    _case('dropout', lambda rnn: rnn.DropoutCell(0.5), 'random'),
    _case('dropout_prefix', lambda rnn: rnn.DropoutCell(0.5, 'noise_', rnn.RNNParams('n_')),
          'random'),
    _case('dropout_zero', lambda rnn: rnn.DropoutCell(0.0)),
    _case('zoneout_both', lambda rnn: rnn.ZoneoutCell(rnn.GRUCell(3), 0.3, 0.2), 'random'),
    _case('zoneout_of_residual',
          lambda rnn: rnn.ZoneoutCell(rnn.ResidualCell(rnn.LSTMCell(4)), 0.3, 0.2), 'random'),
    _case('residual', lambda rnn: rnn.ResidualCell(rnn.LSTMCell(4))),
    _case('residual_of_both',
          lambda rnn: rnn.ResidualCell(rnn.BidirectionalCell(rnn.LSTMCell(2, 'l_'),
                                                             rnn.LSTMCell(2, 'r_'))), 'whole',
          'over'),
    _case('residual_of_fused', lambda rnn: rnn.ResidualCell(rnn.FusedRNNCell(4, mode='gru')),
          'fused'),
    _case('residual_of_dropout', lambda rnn: rnn.ResidualCell(rnn.DropoutCell(0.3)), 'random'),
    _case('stack_residual',
          lambda rnn: stack(rnn, rnn.ResidualCell(rnn.LSTMCell(4, 'l0_')),
                            rnn.ResidualCell(rnn.GRUCell(4, 'l1_')))),
    _case('three_deep', own.attention_stack, 'whole', 'random'),
    # Convolutional cells
    _conv('conv_rnn', lambda rnn: rnn.ConvRNNCell((1,) + IMAGE, 3)),
    _conv('conv_lstm', lambda rnn: rnn.ConvLSTMCell((1,) + IMAGE, 3)),
    _conv('conv_gru', lambda rnn: rnn.ConvGRUCell((1,) + IMAGE, 3)),
    _conv('conv_lstm_kernels',
          lambda rnn: rnn.ConvLSTMCell((1,) + IMAGE, 2, h2h_kernel=(1, 3), h2h_dilate=(1, 2),
                                       i2h_kernel=(5, 3), i2h_stride=(2, 1), i2h_pad=(1, 0),
                                       i2h_dilate=(1, 2))),
    _conv('conv_gru_initialisers',
          lambda rnn: rnn.ConvGRUCell((1,) + IMAGE, 3, i2h_weight_initializer=mx.init.Xavier(),
                                      h2h_weight_initializer=mx.init.Orthogonal(),
                                      i2h_bias_initializer='ones',
                                      h2h_bias_initializer=mx.init.Constant(0.5))),
    _case('conv_lstm_nhwc',
          lambda rnn: rnn.ConvLSTMCell((1, 5, 6, 2), 3, conv_layout='NHWC'), 'graph',
          step=(5, 6, 2)),
    _conv('conv_both',
          lambda rnn: rnn.BidirectionalCell(rnn.ConvRNNCell((1,) + IMAGE, 3, prefix='l_'),
                                            rnn.ConvGRUCell((1,) + IMAGE, 2, prefix='r_')),
          'whole'),
    # Cells of programs
    _case('own_layer_norm', own.layer_norm),
    _case('own_reset', own.recurrent_dropout, 'random', 'keeps'),
    _case('own_context', own.context_fed),
    _case('own_base', own.written_from_scratch),
    _case('own_state_info', own.own_state_info),
    _case('own_modifier', own.own_modifier),
    _case('own_in_stack',
          lambda rnn: stack(rnn, own.layer_norm(rnn), rnn.DropoutCell(0.1),
                            rnn.ResidualCell(own.written_from_scratch(rnn))), 'random'),
    _case('own_in_both',
          lambda rnn: rnn.BidirectionalCell(own.layer_norm(rnn, 'l_'), own.own_state_info(rnn)),
          'whole'),
]

#: Cases that mxnet.rnn cannot build, or cannot unroll.
OURS = [
    _case('zoneout_of_stack',
          lambda rnn: rnn.ZoneoutCell(stack(rnn, rnn.LSTMCell(3), rnn.GRUCell(4)), 0.2, 0.3),
          'random', 'over'),
    _case('zoneout_consistent',
          lambda rnn: rnn.ZoneoutCell(rnn.LSTMCell(3), 0.2, 0.3, consistent=True), 'random'),
    _case('variational',
          lambda rnn: rnn.VariationalDropoutCell(rnn.LSTMCell(3), 0.2, 0.3, 0.4), 'random',
          'keeps'),
    _case('variational_both',
          lambda rnn: rnn.VariationalDropoutCell(
              rnn.BidirectionalCell(rnn.LSTMCell(3, 'l_'), rnn.GRUCell(2, 'r_')), 0.2, 0, 0.4),
          'whole', 'random'),
    _case('weight_drop', lambda rnn: rnn.WeightDropCell(rnn.LSTMCell(3), 0.5), 'random'),
    _case('weight_drop_in_stack',
          lambda rnn: stack(
              rnn, rnn.WeightDropCell(rnn.GRUCell(4, 'l0_'), 0.3),
              rnn.ResidualCell(rnn.WeightDropCell(rnn.ZoneoutCell(rnn.LSTMPCell(5, 4, 'l1_'), 0.1),
                                                  0.3)),
              rnn.WeightDropCell(rnn.RNNCell(3, 'relu', 'l2_', bias=False), 0.2)), 'random'),
    _case('stack_params',
          lambda rnn: stack(rnn, rnn.LSTMCell(3), rnn.GRUCell(2), params=rnn.RNNParams('all_'))),
    _case('both_params',
          lambda rnn: rnn.BidirectionalCell(rnn.LSTMCell(3), rnn.GRUCell(3),
                                            params=rnn.RNNParams('all_')), 'whole'),
    _case('lstmp', lambda rnn: rnn.LSTMPCell(5, 3)),
    _case('lstmp_in_stack',
          lambda rnn: stack(rnn, rnn.LSTMPCell(5, 3, 'l0_'), rnn.DropoutCell(0.2),
                            rnn.ResidualCell(rnn.ZoneoutCell(rnn.LSTMPCell(5, 3, 'l1_'), 0.1, 0.2)),
                            rnn.LSTMCell(2, 'l2_')), 'random'),
    _case('lstm_clip', lambda rnn: rnn.LSTMCell(3, state_clip=(-0.1, 0.1))),
    _case('fused_projection',
          lambda rnn: rnn.FusedRNNCell(4, 2, 'lstm', True, 0.2, True, projection_size=3), 'whole',
          'random'),
    _case('stack_fused_clip',
          lambda rnn: stack(rnn, rnn.FusedRNNCell(3, get_next_state=True, state_clip=(-0.1, 0.1)),
                            rnn.LSTMCell(2, 'top_')), 'whole'),
    _case('rnn_no_bias', lambda rnn: rnn.RNNCell(3, bias=False)),
    _case('lstm_no_bias', lambda rnn: rnn.LSTMCell(3, bias=False)),
    _case('gru_no_bias', lambda rnn: rnn.GRUCell(3, bias=False)),
    _case('no_bias_in_stack',
          lambda rnn: stack(
              rnn, rnn.BidirectionalCell(rnn.LSTMCell(4, 'l_', bias=False), rnn.LSTMCell(4, 'r_')),
              rnn.ResidualCell(rnn.LSTMPCell(5, 8, 'l1_', bias=False)),
              rnn.LSTMCell(3, 'l2_'), rnn.LSTMCell(3, 'l3_', bias=False),
              rnn.LayerNormGRUCell(2, 'l4_', bias=False)), 'whole'),
    _case('layer_norm_no_bias', lambda rnn: rnn.LayerNormLSTMCell(3, bias=False)),
    _case('conv_rnn_1d', lambda rnn: rnn.ConvRNNCell((1, 2, 7), 3), step=(2, 7)),
    _case('conv_lstm_1d_kernels',
          lambda rnn: rnn.ConvLSTMCell((1, 2, 7), 3, (5,), (2,), (4,), (2,), (0,), (1,),
                                       conv_layout='NCW'), step=(2, 7)),
    _case('conv_1d_in_stack',
          lambda rnn: stack(
              rnn, rnn.BidirectionalCell(rnn.ConvGRUCell((1, 2, 5), 2, prefix='l_'),
                                         rnn.ConvRNNCell((1, 2, 5), 1, prefix='r_')),
              rnn.ResidualCell(rnn.ConvLSTMCell((1, 3, 5), 3))), 'whole', step=(2, 5)),
    _case('conv_lstm_3d', lambda rnn: rnn.ConvLSTMCell((1, 2, 3, 4, 2), 3), step=(2, 3, 4, 2)),
    _case('conv_gru_3d_zoneout',
          lambda rnn: rnn.ZoneoutCell(rnn.ConvGRUCell((1, 2, 3, 4, 2), 3, conv_layout='NCDHW'),
                                      0.2, 0.3), 'random', step=(2, 3, 4, 2)),
    _case('conv_gru_ndhwc',
          lambda rnn: rnn.BidirectionalCell(
              rnn.ConvGRUCell((1, 3, 4, 2, 2), 3, prefix='l_', conv_layout='NDHWC'),
              rnn.ConvRNNCell((1, 3, 4, 2, 2), 2, prefix='r_', conv_layout='NHWC')), 'graph',
          'whole', step=(3, 4, 2, 2)),
    _conv('conv_lstm_no_bias', lambda rnn: rnn.ConvLSTMCell((1,) + IMAGE, 3, bias=False)),
    _case('layer_norm_lstm', lambda rnn: rnn.LayerNormLSTMCell(3)),
    _case('layer_norm_gru', lambda rnn: rnn.LayerNormGRUCell(3)),
    _case('layer_norm_both',
          lambda rnn: rnn.BidirectionalCell(
              rnn.LayerNormLSTMCell(3, 'l_'), rnn.VariationalDropoutCell(
                  rnn.LayerNormGRUCell(2, 'r_'))), 'whole'),
    _case('both_sum',
          lambda rnn: rnn.BidirectionalCell(rnn.LSTMCell(3, 'l_'), rnn.LSTMCell(3, 'r_'),
                                            merge='sum'), 'whole'),
    _case('both_mean_in_stack',
          lambda rnn: stack(
              rnn, rnn.BidirectionalCell(rnn.GRUCell(4, 'l_'), rnn.GRUCell(4, 'r_')),
              rnn.ResidualCell(rnn.BidirectionalCell(rnn.GRUCell(8, 'a_'), rnn.GRUCell(8, 'b_'),
                                                     output_prefix='mean_', merge='mean')),
              rnn.BidirectionalCell(rnn.LSTMCell(3, 'c_'), rnn.LSTMPCell(4, 3, 'd_'),
                                    output_prefix='mixed_', merge='mean')), 'whole'),
    _conv('conv_both_sum',
          lambda rnn: rnn.BidirectionalCell(rnn.ConvLSTMCell((1,) + IMAGE, 3, prefix='l_'),
                                            rnn.ConvGRUCell((1,) + IMAGE, 3, prefix='r_'),
                                            merge='sum'), 'whole'),
]

#: Cases that mxnet.rnn cannot unpack: it looks for names by the cell's prefix instead of its
#: container's, or a second time for weights that two cells share.
NOT_UNPACKED = {'rnn_positional', 'lstm_positional', 'gru_positional', 'fused_positional',
                'shared_with_another', 'stack_shared', 'both_shared'}

STEPPED = [case for case in CASES if case.can_step]
BOUND = [case for case in CASES if case.binds]

#: Cases that have each class, option and kind of composition once. The others run with all tests.
TYPICAL = set('''
    rnn_callable lstm lstm_forget_bias gru_positional shared_with_another fused_positional
    fused_dropout fused_tanh_1 fused_relu_2_both fused_lstm_2_both_states fused_gru_1_states
    unfused_gru_both stack_empty stack_mixed stack_dropout stack_of_stacks stack_shared
    stack_of_fused both_mixed both_prefix both_shared both_stacks dropout zoneout_both
    zoneout_of_residual residual_of_both residual_of_fused three_deep conv_rnn conv_lstm_kernels
    conv_gru_initialisers conv_lstm_nhwc conv_both own_layer_norm own_reset own_context own_base
    own_modifier own_in_both
    zoneout_of_stack zoneout_consistent variational_both weight_drop_in_stack stack_params
    both_params lstmp_in_stack lstm_clip fused_projection stack_fused_clip no_bias_in_stack
    conv_1d_in_stack conv_gru_3d_zoneout conv_gru_ndhwc layer_norm_both both_mean_in_stack
    conv_both_sum'''.split())
assert not TYPICAL - {case.name for case in CASES + OURS}


def each(cases):
    """Parametrizes `case`."""
    return pytest.mark.parametrize('case', [
        pytest.param(case, id=case.name, marks=[pytest.mark.nightly] * (case.name not in TYPICAL))
        for case in cases])


def each_way(pairs):
    """Parametrizes `case` and `way`."""
    return pytest.mark.parametrize('case, way', [
        pytest.param(case, way, id='%s-%s' % (case, way),
                     marks=[pytest.mark.nightly] * (case.name not in TYPICAL))
        for case, way in pairs])


each_case, each_stepped = each(CASES), each(STEPPED)
