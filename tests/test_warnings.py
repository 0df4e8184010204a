"""Warnings of a FusedRNNCell: where MXNet's operators are wrong, and the slow layout."""
import warnings

import pytest

from mxrnn._operator import rnn_defects as environment

from . import differs, mx, rnn
from .running import stack

X = mx.sym.Variable('x')


@pytest.fixture
def build(request, monkeypatch):
    """A case that a program may meet: a type, settings of oneDNN, a build with CUDA."""
    monkeypatch.setattr(mx.runtime.Features, 'is_enabled',
                        lambda self, name: (name == 'CUDA') == (request.param == 'cuda'))
    for variable, off in (('MXNET_USE_MKLDNN_RNN', request.param == 'own'),
                          ('MXNET_MKLDNN_ENABLED', request.param == 'disabled')):
        monkeypatch.setenv(variable, '0' if off else '1')
    return request.param


def warned(build, *cells, **kwargs):
    """The warnings of unrolling `cells` twice."""
    dtype = 'float64' if build == 'float64' else 'float32'
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter('always')
        for cell in 2 * cells:
            cell.unroll(3, X, layout='TNC', begin_state=cell.begin_state(dtype=dtype), **kwargs)
    assert {warning.filename for warning in found} <= {__file__}
    return [str(warning.message) for warning in found]


def expects(messages, *parts):
    """Whether there is one message for each of `parts`, with it and the remedy."""
    return len(messages) == len(parts) and all(
        part in message and 'unfuse()' in message for part, message in zip(parts, messages))


def each_build(*builds):
    return pytest.mark.parametrize('build', builds, indirect=True)


needs_onednn = pytest.mark.skipif(environment.RELEASE < (1, 7),
                                  reason='oneDNN has no sym.RNN in this MXNet')

OWN = ['which docs/mxnet-defects.md lists: gradients are wrong']
LENGTHS = {'valid_length': mx.sym.Variable('lengths')}
#: Options of cells and of `unroll`, and what is said of them in some environments.
SAID = {
    'dropout between layers': ({'num_layers': 2, 'dropout': 0.5}, {}, {
        'float32': ['not applied in training'], 'disabled': ['breaks'], 'float64': OWN, 'own': OWN,
        'cuda': []}),
    'deep layers': ({'num_layers': 2}, {}, {
        'float32': [], 'disabled': ['breaks'], 'float64': OWN, 'own': OWN, 'cuda': []}),
    'one layer': ({'dropout': 0.5}, {}, {
        'float32': [], 'disabled': ['breaks'], 'float64': OWN, 'own': OWN, 'cuda': []}),
    'one layer over lengths': ({'dropout': 0.5}, LENGTHS, {'float64': OWN, 'own': OWN}),
    'layers that lengths part': ({'num_layers': 2, 'dropout': 0.5}, LENGTHS, {
        'float32': [], 'float64': [], 'own': [], 'cuda': []}),
    'layers that lengths part, with states': (
        {'num_layers': 2, 'get_next_state': True}, LENGTHS, {'disabled': ['breaks']}),
}


# differences.md: wrong dropout, gradients or results of a `FusedRNNCell`
@needs_onednn
@pytest.mark.parametrize('name, build', [
    pytest.param(name, build, marks=[differs] * bool(options or said[build]))
    for name, (_, options, said) in SAID.items() for build in said], indirect=['build'])
def test_what_is_wrong_is_said_once(name, build):
    cell, options, said = SAID[name]
    assert expects(warned(build, rnn.FusedRNNCell(3, **cell), **options), *said[build])


# differences.md: wrong dropout, gradients or results of a `FusedRNNCell`
@differs
@each_build('float32')
@pytest.mark.parametrize('bidirectional, lengths, told', [
    (False, {}, True), (True, {}, False),
    (False, {'valid_length': mx.sym.Variable('lengths')}, True),
    (True, {'valid_length': mx.sym.Variable('lengths')}, True)])
def test_one_unit_of_mxnet_1_7_is_warned_of(build, monkeypatch, bidirectional, lengths, told):
    monkeypatch.setattr(environment, '_ONEDNN', True)
    assert warned(build, rnn.FusedRNNCell(2), **lengths) == []
    monkeypatch.setattr(environment, 'RELEASE', (1, 7))
    said = warned(build, rnn.FusedRNNCell(1, bidirectional=bidirectional), **lengths)
    assert expects(said, *['corrupts memory'] * told)
    assert 'corrupts memory' in repr(rnn.fuse(rnn.LSTMCell(1)))
    assert 'sym.RNN' in repr(rnn.fuse(rnn.LSTMCell(2)))


@differs
@needs_onednn
@each_build('float64')
@pytest.mark.parametrize('lengths', [{}, {'valid_length': mx.sym.Variable('lengths')}])
def test_what_is_rounded_is_said_once(build, lengths):
    said = warned(build, rnn.FusedRNNCell(3, mode='rnn_relu'), **lengths)
    assert ['to float32' in each for each in said].count(True) == 1


# differences.md: advice to use 'TNC'
@differs
def test_time_major_layout_is_advised_once():
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter('always')
        for _ in range(2):
            rnn.FusedRNNCell(3).unroll(3, X, layout='NTC')
        rnn.FusedRNNCell(3).unroll(3, X, layout='TNC')
    found = [warning for warning in found if "'TNC'" in str(warning.message)]
    assert [warning.filename for warning in found] == [__file__]


@differs
def test_warnings_name_the_line_of_the_program():
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter('always')
        both = rnn.BidirectionalCell(rnn.FusedRNNCell(3), rnn.GRUCell(3))
        stack(rnn, rnn.LSTMCell(4), both).unroll(3, X)
    assert {warning.filename for warning in found} == {__file__}
