"""Cells as programs write them for mxnet.rnn, and compositions of theirs."""

from . import mx
from .running import stack


def layer_norm(rnn, prefix='ln_'):
    """An LSTM whose gates are normalised: __call__ overridden, more parameters asked for."""
    class LayerNormLSTM(rnn.LSTMCell):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            shape = (4 * self._num_hidden,)
            self._gamma = self.params.get('norm_gamma', shape=shape, init=mx.init.One())
            self._beta = self.params.get('norm_beta', shape=shape)

        def __call__(self, inputs, states):
            self._counter += 1
            name = '%st%d_' % (self._prefix, self._counter)
            i2h = mx.sym.FullyConnected(inputs, self._iW, self._iB, name='%si2h' % name,
                                        num_hidden=4 * self._num_hidden)
            h2h = mx.sym.FullyConnected(states[0], self._hW, self._hB, name='%sh2h' % name,
                                        num_hidden=4 * self._num_hidden)
            gates = mx.sym.LayerNorm(i2h + h2h, gamma=self._gamma, beta=self._beta,
                                     name='%snorm' % name)
            i, f, c, o = mx.sym.SliceChannel(gates, num_outputs=4, name='%sslice' % name)
            c = (self._get_activation(f, 'sigmoid', name='%sf' % name) * states[1] +
                 self._get_activation(i, 'sigmoid', name='%si' % name) *
                 self._get_activation(c, 'tanh', name='%sc' % name))
            h = self._get_activation(o, 'sigmoid') * self._get_activation(c, 'tanh')
            return h, [h, c]
    return LayerNormLSTM(3, prefix)


def recurrent_dropout(rnn):
    """An LSTM with one dropout mask per sequence: reset overridden, the state fed through it."""
    class RecurrentDropoutLSTM(rnn.LSTMCell):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self._mask = None

        def reset(self):
            super().reset()
            self._mask = None

        def __call__(self, inputs, states):
            if self._mask is None:
                self._mask = mx.sym.Dropout(mx.sym.ones_like(states[0]), p=0.3,
                                            name='%smask' % self._prefix)
            return super().__call__(inputs, [states[0] * self._mask, states[1]])
    return RecurrentDropoutLSTM(3, prefix='drop_')


def context_fed(rnn):
    """A GRU that reads a context besides its input, as decoders with attention do."""
    class ContextGRU(rnn.GRUCell):
        def __call__(self, inputs, states):
            context = mx.sym.FullyConnected(states[0], num_hidden=2,
                                            weight=self.params.get('context_weight'), no_bias=True)
            return super().__call__(mx.sym.concat(inputs, context, dim=1), states)
    return ContextGRU(3, prefix='context_')


def written_from_scratch(rnn):
    """A cell over the base class alone: its own state_info, gates and names."""
    class Highway(rnn.BaseRNNCell):
        def __init__(self, num_hidden, prefix='highway_', params=None):
            super().__init__(prefix=prefix, params=params)
            self._num_hidden = num_hidden
            for group in ('i2h', 'h2h'):
                self.params.get('%s_weight' % group)
                self.params.get('%s_bias' % group, init=mx.init.Constant(0.5))

        @property
        def state_info(self):
            return [{'shape': (0, self._num_hidden), '__layout__': 'NC'}]

        @property
        def _gate_names(self):
            return ('_transform', '_carry')

        def __call__(self, inputs, states):
            self._counter += 1
            name = '%st%d_' % (self._prefix, self._counter)
            parts = [mx.sym.FullyConnected(data, self.params.get('%s_weight' % group),
                                           self.params.get('%s_bias' % group),
                                           num_hidden=2 * self._num_hidden, name=name + group)
                     for group, data in (('i2h', inputs), ('h2h', states[0]))]
            transform, carry = mx.sym.split(mx.sym.add_n(*parts), num_outputs=2, axis=1)
            carry = self._get_activation(carry, 'sigmoid')
            out = mx.sym.elemwise_add(states[0] * carry, transform * (1 - carry),
                                      name='%sout' % name)
            return out, [out]
    return Highway(3)


def own_state_info(rnn):
    """A cell with a further state, a running sum of its outputs."""
    class SummingRNN(rnn.RNNCell):
        @property
        def state_info(self):
            return super().state_info + [{'shape': (0, self._num_hidden), '__layout__': 'NC'}]

        def __call__(self, inputs, states):
            output, inner = super().__call__(inputs, states[:1])
            return output, inner + [states[1] + output]
    return SummingRNN(3, prefix='sum_')


def own_modifier(rnn):
    """A modifier that scales the outputs of its base cell."""
    class ScaledCell(rnn.ModifierCell):
        def __call__(self, inputs, states):
            output, states = self.base_cell(inputs, states)
            return output * 0.5, states
    return ScaledCell(rnn.LSTMCell(3, prefix='scaled_'))


def shared_stack(rnn):
    """Two layers with the same weights."""
    params = rnn.RNNParams('tied_')
    return stack(rnn, rnn.GRUCell(4, 'lower_', params), rnn.GRUCell(4, 'upper_', params))


def shared_directions(rnn):
    """Both directions with the same weights."""
    params = rnn.RNNParams('tied_')
    return rnn.BidirectionalCell(rnn.LSTMCell(3, 'forward_', params),
                                 rnn.LSTMCell(3, 'backward_', params))


def shared_with_another(rnn):
    """A cell over the container of another one."""
    return rnn.LSTMCell(3, 'second_', rnn.LSTMCell(3, 'first_').params)


def attention_stack(rnn):
    """Three deep: residual connections over zoneout, between a bidirectional layer and a stack."""
    return stack(
        rnn,
        rnn.BidirectionalCell(rnn.LSTMCell(2, 'forward_'), rnn.LSTMCell(2, 'backward_')),
        rnn.ResidualCell(rnn.ZoneoutCell(rnn.GRUCell(4, 'middle_'), 0.1, 0.2)),
        stack(rnn, rnn.DropoutCell(0.2), rnn.ResidualCell(rnn.RNNCell(4, prefix='top_'))))
