"""params= of containers: every cell in them uses the variables given, wherever it keeps them."""
# differences.md: `params=` of containers around cells that share an RNNParams,
import pytest

from . import differs, mx, rnn
from .running import stack

pytestmark = differs


def marked(*names):
    """Params whose variables can be told from all others of their names."""
    params = rnn.RNNParams()
    for name in names:
        params.get(name, lr_mult=7)
    return params


def assert_used(cell, params, *names, step=(3,)):
    """The graph of `cell` has each of its arguments once, and those `names` of `params`."""
    outputs, states = cell.unroll(2, mx.sym.Variable('data'), merge_outputs=True)
    arguments = outputs.list_arguments()
    assert len(set(arguments)) == len(arguments)
    attributes = outputs.attr_dict()
    assert {name for name in arguments if '__lr_mult__' in attributes.get(name, {})} == set(names)
    outputs.simple_bind(mx.cpu(), data=(2, 2) + step)
    for name in names:
        assert params._params[name].list_attr()['__lr_mult__'] == '7'


def names_of(prefix, *kinds):
    return ['%s%s' % (prefix, kind) for kind in
            kinds or ('i2h_weight', 'i2h_bias', 'h2h_weight', 'h2h_bias')]


@pytest.mark.parametrize('wrap', [rnn.ResidualCell, rnn.ZoneoutCell, getattr(rnn, 'fuse', None),
                                  lambda cell: stack(rnn, cell)],
                         ids=['residual', 'zoneout', 'fuse', 'stack'])
def test_around_cells_around_a_cell(wrap):
    params = marked(*names_of('lstm_'))
    cell = stack(rnn, wrap(rnn.LSTMCell(3)), params=params)
    assert_used(cell, params, *names_of('lstm_'))


class Kept(rnn.BaseRNNCell):
    """Keeps its weights in the way that `keep` says."""

    def __init__(self, keep, prefix='kept_', params=None):
        super().__init__(prefix, params)
        weights = [self.params.get(kind) for kind in ('weight', 'bias')]
        self.kept = keep(*weights)

    @property
    def state_info(self):
        return [{'shape': (0, 3), '__layout__': 'NC'}]

    def __call__(self, inputs, states):
        self._counter += 1
        weight, bias = ([self.kept['w'], *self.kept['rest']] if isinstance(self.kept, dict) else
                        self.kept)
        output = mx.sym.FullyConnected(inputs, weight, bias, num_hidden=3) + states[0]
        return output, [output]


class Box:
    """Any object of a program."""

    def __init__(self, *weights):
        self.weights = weights

    def __iter__(self):
        return iter(self.weights)


class Called:
    """Keeps weights where nothing but a call finds them."""

    def __init__(self, *weights):
        self.weights = lambda: weights

    def __iter__(self):
        return iter(self.weights())


@pytest.mark.parametrize('keep', [
    lambda *weights: list(weights), lambda *weights: weights, lambda w, b: {'w': w, 'rest': [b]},
    Box, Called], ids=['list', 'tuple', 'dict', 'object', 'call'])
def test_around_weights_that_are_kept_anywhere(keep):
    params = marked('kept_weight', 'kept_bias')
    assert_used(stack(rnn, Kept(keep), params=params), params, 'kept_weight', 'kept_bias')


class Scaled(rnn.RNNCell):
    """Keeps what it made from a weight."""

    def __init__(self):
        super().__init__(3)
        self._scaled = self._iW * 2

    def _project_inputs_(self, inputs, name):
        return mx.sym.FullyConnected(inputs, self._scaled, self._iB, num_hidden=3)


REFUSED = r"^params of a container must .* weights of \w+\(Scaled\(3, prefix='rnn_'\).*each step"


@pytest.mark.parametrize('use', [
    lambda cell: cell(mx.sym.Variable('x'), cell.begin_state()),
    lambda cell: cell.unroll(2, mx.sym.Variable('x')),
    lambda cell: cell.unroll(2, mx.sym.Variable('x'), valid_length=mx.sym.Variable('n')),
    lambda cell: rnn.fuse(stack(rnn, cell, rnn.LSTMCell(3))).unroll(2, mx.sym.Variable('x')),
    lambda cell: rnn.dynamic_unroll(cell, mx.sym.Variable('x'))],
    ids=['step', 'unroll', 'valid_length', 'fuse', 'loop'])
def test_what_is_made_of_weights_is_refused(use):
    with pytest.raises(ValueError, match=REFUSED):
        use(stack(rnn, Scaled(), params=marked('rnn_i2h_weight')))
    use(stack(rnn, Scaled(), params=marked('other')))


@pytest.mark.parametrize('lengths', [{}, {'valid_length': mx.sym.Variable('n')}])
def test_what_is_made_of_weights_is_refused_in_a_direction(lengths):
    cell = rnn.BidirectionalCell(Scaled(), rnn.RNNCell(3, prefix='r_'), marked('rnn_i2h_weight'))
    with pytest.raises(ValueError, match=REFUSED):
        cell.unroll(2, mx.sym.Variable('x'), **lengths)

