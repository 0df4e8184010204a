"""Wrong, extreme and odd arguments: each is refused at once, by name, and never by MXNet itself."""
# differences.md: `merge_outputs=1`; `length=0` where the length is not used
# differences.md: bad arguments, such as `mode='foo'`, `dropout=3.0`, `num_hidden=-3`,
import fractions
import re

import numpy as np
import pytest

from . import mx, rnn, running
from .running import text_of

if rnn.__name__ == 'mxnet.rnn':
    pytest.skip('mxnet.rnn takes some of this until memory runs out', allow_module_level=True)

X = mx.sym.Variable('x')
GROUP = mx.sym.Group([X, mx.sym.Variable('y')])
REFUSALS = TypeError, ValueError, NotImplementedError
NAN, INFINITE, HUGE = float('nan'), float('inf'), 10 ** 30
DIGITS = 10 ** 5000  # more digits than Python writes
STATE = [mx.sym.Variable('h'), mx.sym.Variable('c')]

#: Values that are wrong for a kind of argument.
COUNT = [None, '3', 2.5, NAN, True, np.True_, -3, 0, HUGE, DIGITS, -DIGITS, 2 ** 31, [], [3],
         np.array([3]), X]
FRACTION = [None, '0.5', -0.1, 1.5, NAN, INFINITE, HUGE, DIGITS, True, 1j, [], [0.5],
            np.array([0.5]), X]
NUMBER = [None, '1', NAN, INFINITE, -INFINITE, 10 ** 400, DIGITS, True, 1j, [], X]
TEXT = [None, 3, DIGITS, b'x', [], ['x'], X]
PARAMS = ['x', 3, {'x': DIGITS}, {}, [], X, rnn.LSTMCell]
FLAG = [None, 'yes', 2, DIGITS, -1, 0.5, NAN, [], X]
CELL = [None, 'lstm', 3, [DIGITS], [], X, rnn.LSTMCell, rnn.RNNParams()]
FUNCTION = ['zeros', 3, [], X.name, 0.5]
PAIR = [None, 3, '33', [], (3,), (3, 3, 3), (-1, 3), (3.5, 3), (True, 3), (HUGE, 3),
        (DIGITS, 3), (None, 3), (NAN, 3), X, np.array([3, 3])]
CLIP = [3, DIGITS, 'ab', (1,), (1, 2, 3), (1, 0), (None, 1), (NAN, 1), (0, INFINITE), (True, 2), X,
        np.array([0, 1])]
MODE = [None, 'foo', 'LSTM', '', 3, DIGITS, b'lstm', [], ['lstm'], X]
ACTIVATION = [None, 'swish', 'Tanh', '', 3, b'tanh', []]
INITIALIZER = [3, 0.5, [], {}, X, mx.nd.ones((1,)), mx.init.Zero]


def lstm(prefix='lstm_'):
    return rnn.LSTMCell(4, prefix)


def zoneout(*args, **kwargs):
    return rnn.ZoneoutCell(lstm(), *args, **kwargs)


def stack():
    return running.stack(rnn, lstm('l0_'), lstm('l1_'))


def both():
    return rnn.BidirectionalCell(lstm('l_'), lstm('r_'))


def conv(**kwargs):
    return rnn.ConvLSTMCell(**{'input_shape': (1, 2, 5, 6), 'num_hidden': 4, **kwargs})


def dense(cell):
    return lambda **kwargs: cell(**{'num_hidden': 4, **kwargs})


def fused(**kwargs):
    return rnn.FusedRNNCell(**{'num_hidden': 4, **kwargs})


CELLS = {'LSTMCell': lstm, 'FusedRNNCell': fused, 'SequentialRNNCell': stack,
         'BidirectionalCell': both, 'DropoutCell': lambda: rnn.DropoutCell(0.5),
         'ZoneoutCell': zoneout, 'ResidualCell': lambda: rnn.ResidualCell(lstm()),
         'VariationalDropoutCell': lambda: rnn.VariationalDropoutCell(lstm(), 0.1, 0.1, 0.1),
         'WeightDropCell': lambda: rnn.WeightDropCell(lstm(), 0.1), 'ConvLSTMCell': conv}


#: What all ordinary cells take.
OF_CELLS = {'num_hidden': COUNT, 'prefix': TEXT, 'params': PARAMS, 'bias': FLAG}
#: (public name, function of one keyword, {argument: wrong values})
ARGUMENTS = [
    ('RNNParams', rnn.RNNParams, {'prefix': TEXT}),
    ('RNNParams.get', rnn.RNNParams().get, {'name': TEXT}),
    ('BaseRNNCell', rnn.BaseRNNCell, {'prefix': TEXT, 'params': PARAMS}),
    ('RNNCell', dense(rnn.RNNCell), {**OF_CELLS, 'activation': ACTIVATION}),
    ('LSTMCell', dense(rnn.LSTMCell), {**OF_CELLS, 'forget_bias': NUMBER, 'state_clip': CLIP}),
    ('GRUCell', dense(rnn.GRUCell), OF_CELLS),
    ('LSTMPCell', lambda **kwargs: rnn.LSTMPCell(**{'num_hidden': 4, 'projection_size': 3,
                                                    **kwargs}),
     {**OF_CELLS, 'projection_size': COUNT, 'forget_bias': NUMBER, 'state_clip': CLIP}),
    ('LayerNormGRUCell', dense(rnn.LayerNormGRUCell), OF_CELLS),
    ('FusedRNNCell', fused, {'num_hidden': COUNT, 'num_layers': COUNT, 'mode': MODE,
                             'bidirectional': FLAG, 'dropout': FRACTION, 'get_next_state': FLAG,
                             'forget_bias': NUMBER, 'prefix': TEXT[1:], 'params': PARAMS,
                             'projection_size': COUNT[1:], 'state_clip': CLIP}),
    ('SequentialRNNCell', rnn.SequentialRNNCell, {'params': PARAMS}),
    ('SequentialRNNCell.add', rnn.SequentialRNNCell().add, {'cell': CELL}),
    ('BidirectionalCell', lambda **kwargs: rnn.BidirectionalCell(
        **{'l_cell': lstm('l_'), 'r_cell': lstm('r_'), **kwargs}),
     {'l_cell': CELL, 'r_cell': CELL, 'params': PARAMS, 'output_prefix': TEXT, 'merge': MODE}),
    ('DropoutCell', lambda **kwargs: rnn.DropoutCell(**{'dropout': 0.5, **kwargs}),
     {'dropout': FRACTION, 'prefix': TEXT, 'params': PARAMS}),
    ('ModifierCell', rnn.ModifierCell, {'base_cell': CELL}),
    ('ZoneoutCell', lambda **kwargs: rnn.ZoneoutCell(**{'base_cell': lstm(), **kwargs}),
     {'base_cell': CELL, 'zoneout_outputs': FRACTION, 'zoneout_states': FRACTION,
      'consistent': FLAG}),
    ('ResidualCell', rnn.ResidualCell, {'base_cell': CELL}),
    ('VariationalDropoutCell', lambda **kwargs: rnn.VariationalDropoutCell(
        **{'base_cell': lstm(), **kwargs}),
     {'base_cell': CELL, 'drop_inputs': FRACTION, 'drop_states': FRACTION,
      'drop_outputs': FRACTION}),
    ('WeightDropCell', lambda **kwargs: rnn.WeightDropCell(
        **{'base_cell': lstm(), 'dropout': 0.5, **kwargs}),
     {'base_cell': [*CELL, fused()], 'dropout': FRACTION}),
    ('ConvLSTMCell', conv,
     {'input_shape': [None, 3, '1234', [], (1, 2), (1, 2, 5, 6, 7, 8), (1, -2, 5, 6),
                      (1, 2.5, 5, 6), (1, HUGE, 5, 6), (1, None, 5, 6), X],
      'num_hidden': COUNT, 'h2h_kernel': PAIR + [(0, 3), (2, 3), (3, 4)],
      'h2h_dilate': PAIR + [(0, 3)],
      'i2h_kernel': PAIR + [(0, 3), (20, 20)], 'i2h_stride': PAIR + [(0, 3)],
      'i2h_dilate': PAIR + [(0, 3), (9, 9)],
      'i2h_pad': PAIR,
      'i2h_weight_initializer': INITIALIZER, 'h2h_weight_initializer': INITIALIZER,
      'i2h_bias_initializer': INITIALIZER, 'h2h_bias_initializer': INITIALIZER,
      'activation': ACTIVATION, 'prefix': TEXT, 'params': PARAMS, 'bias': FLAG,
      'conv_layout': [None, 'NCW', 'NCDHW', 'nchw', '', 3, [], X]}),
    ('ConvRNNCell', lambda **kwargs: rnn.ConvRNNCell(**{'input_shape': (1, 2, 5), 'num_hidden': 4,
                                                       **kwargs}),
     {'input_shape': [(1, 2, -5), (1, 2, 2.5), [0, 2]],
      'h2h_kernel': [3, (3, 3), (2,), (0,)], 'i2h_kernel': [3, (3, 3), (20,)],
      'h2h_dilate': [(1, 1)], 'i2h_stride': [(1, 1)], 'i2h_pad': [(1, 1), (-1,)],
      'conv_layout': ['NWC', 'NHWC', 'NCDHW', 'NDHWC', 'NC']}),
    ('ConvGRUCell', lambda **kwargs: rnn.ConvGRUCell(**{
        'input_shape': (1, 2, 5, 6, 7), 'num_hidden': 4, **kwargs}),
     {'h2h_kernel': [(3, 3), (3, 3, 4)], 'i2h_dilate': [(1, 1), (9, 1, 1)],
      'conv_layout': ['NCW', 'NWC', 'DHW']}),
    ('init.FusedRNN', lambda **kwargs: rnn.init.FusedRNN(
        **{'init': None, 'num_hidden': 4, 'num_layers': 1, 'mode': 'lstm', **kwargs}),
     {'init': [3, [], 'nonsense', 0.5], 'num_hidden': COUNT, 'num_layers': COUNT, 'mode': MODE,
      'bidirectional': FLAG, 'forget_bias': NUMBER, 'projection_size': COUNT[1:]}),
]

for name, make in CELLS.items():
    # Where nothing is split into steps, the length is not needed, and not looked at.
    whole = name in ('FusedRNNCell', 'DropoutCell')
    states = [] if name == 'DropoutCell' else [3, 'x', {}, [3], [None] * 2, STATE * 4, [X, 3], 'hc',
                                               [STATE, 3], [GROUP] * 3, [GROUP, GROUP, X]]
    ARGUMENTS += [
        (name + '.unroll', lambda make=make, **kwargs: make().unroll(
            **{'length': 3, 'inputs': X, **kwargs}),
         {'length': COUNT[1:] if whole else COUNT,
          'inputs': [None, 3, 'x', [], {}, GROUP, [X, X], [X] * 4, [X, X, None], [X, X, 3],
                     [X, X, GROUP], mx.nd.ones((2, 3, 4)), mx.sym.zeros((6,)),
                     *([] if whole else [mx.sym.zeros((2, 4, 4))])],
          'layout': [None, 3, '', 'T', 'NC', 'NCT', 'CTN', 'ntc', 'NTT', [], X],
          'merge_outputs': ['yes', 2, -1, 0.5, [], X],
          'dtype': ['float99', 3, [], X, NAN, ''],
          'valid_length': [3, [3, 3], np.array([3, 3]), 'x', GROUP, NAN, mx.sym.zeros((2, 3))],
          'begin_state': states}),
        (name + '.begin_state', lambda make=make, **kwargs: make().begin_state(**kwargs),
         {'func': FUNCTION, 'dtype': ['float99', 3, [], X],
          **({} if name == 'DropoutCell' else {'size': [3]})}),
        (name + '.unpack_weights', make().unpack_weights,
         {'args': [None, 3, 'x', [], X, [('a', mx.nd.ones((1,)))]]}),
        (name + '.pack_weights', make().pack_weights,
         {'args': [None, 3, 'x', [], X, [('a', mx.nd.ones((1,)))]]}),
    ]
    if make().can_step:
        ARGUMENTS += [(name + '.__call__', lambda make=make, **kwargs: make()(
            **{'inputs': X, 'states': make().begin_state(), **kwargs}),
            {'inputs': [None, 3, 'x', [], [X], GROUP, mx.nd.ones((2, 4))],
             'states': states and [None, mx.nd.ones((2, 4)), *states]})]

SENTENCES = [['a', 'b'], ['b', 'c']]
CODES = [[1, 2], [2, 3, 1]]
PATHS = [None, 3, b'x', [], X]
CHECKPOINT = {'cells': lstm(), 'prefix': 'never/written', 'epoch': 1}
LABEL = [None, '0', 2.5, NAN, True, [], X]
REAL = [None, '0', NAN, True, 1j, [], X]
FILES = {'cells': [None, 3, 'lstm', X, [3], [lstm(), None]], 'prefix': PATHS,
         'epoch': [value for value in COUNT if value is not None and not isinstance(value, int)]
         + [-1, True]}


OF_ITERATORS = {
    'batch_size': COUNT, 'invalid_label': REAL + [HUGE, DIGITS], 'data_name': TEXT,
    'label_name': [*TEXT, 'data'], 'num_parts': [0, None, 1.5, 50, DIGITS],
    'part_index': [1, -1, None, DIGITS],
    'dtype': ['float99', 3, [], X, NAN, '', None, 'floating', 'int16', 'complex64', 'U4', object],
    'layout': [None, 3, '', 'NTCH', 'nt', 'TT', [], X], 'last_batch': [None, 3, 'drop', '', [], X]}


def loop(**kwargs):
    return rnn.dynamic_unroll(**{'cell': lstm(), 'inputs': X, **kwargs})


ARGUMENTS += [
    ('fuse', rnn.fuse, {'cell': CELL}),
    ('carry_states', lambda **kwargs: rnn.carry_states(**{'cell': lstm(), **kwargs}),
     {'cell': CELL + [rnn.DropoutCell(0.5), rnn.SequentialRNNCell()],
      'dtype': ['float99', 3, [], X]}),
    ('carry_states.group', lambda **kwargs: rnn.carry_states(lstm()).group(
        **{'outputs': X, 'states': STATE, **kwargs}),
     {'outputs': [None, 3, 'x', [3], [None], mx.nd.ones((1,))],
      'states': [None, 3, [], [X], STATE * 2, [X, 3]]}),
    ('carry_states.carry', rnn.carry_states(lstm()).carry, {'module': [None, 3, 'x', [], X]}),
    ('carry_states.zero', rnn.carry_states(lstm()).zero, {'module': [None, 3, 'x', [], X]}),
    ('carry_states.__call__', rnn.carry_states(lstm()), {'param': [None, 3, 'x', {}, X]}),
    ('dynamic_unroll', loop,
     {'cell': CELL + [both(), fused()],
      'inputs': [None, 3, 'x', [], [X, X], GROUP, mx.nd.ones((2, 3, 4)), mx.sym.zeros((6,))],
      'begin_state': [3, 'x', {}, [3], [None] * 2, STATE * 4, [X, 3]],
      'layout': [None, 3, '', 'NC', 'NCT', 'ntc', [], X],
      'dtype': ['float99', 3, [], X, NAN], 'valid_length': [3, [3, 3], 'x', GROUP, NAN]}),

    ('rnn_unroll', lambda **kwargs: rnn.rnn_unroll(**{'cell': lstm(), 'length': 3, **kwargs}),
     {'cell': [None, 3, 'lstm', X], 'length': COUNT, 'input_prefix': TEXT,
      'layout': [3, '', 'NC', []], 'inputs': [3, 'x', [], GROUP, [X]],
      'begin_state': [3, 'x', [X], [None, None]]}),
    ('save_rnn_checkpoint', lambda **kwargs: rnn.save_rnn_checkpoint(
        **{**CHECKPOINT, 'symbol': X, 'arg_params': {}, 'aux_params': {}, **kwargs}),
     {**FILES, 'symbol': [3, 'x', [X], {}],
      'arg_params': [None, 3, 'x', [], {'a': 3}, {'a': X}, {'a': np.ones(1)}, {3: mx.nd.ones(1)}],
      'aux_params': [None, 3, 'x', [], {'a': 3}, {'a': X}]}),
    ('load_rnn_checkpoint', lambda **kwargs: rnn.load_rnn_checkpoint(**{**CHECKPOINT, **kwargs}),
     {**FILES, 'module': [3, 'x', X, []], 'strict': FLAG}),
    ('do_rnn_checkpoint', lambda **kwargs: rnn.do_rnn_checkpoint(
        **{'cells': lstm(), 'prefix': 'never/written', **kwargs}),
     {'cells': FILES['cells'], 'prefix': PATHS, 'period': REAL + [INFINITE], 'symbol': [3, 'x', []],
      'module': [3, 'x', X, []], 'keep': ['3', 2.5, NAN, True, -3, 0, [], [3], X]}),
    ('encode_sentences', lambda **kwargs: rnn.encode_sentences(**{'sentences': SENTENCES,
                                                                  **kwargs}),
     {'sentences': [None, 3, X, [3], [None], [['a'], 5], [[['a']]], [[{}]]],
      'vocab': [3, 'ab', [], ['a'], X, {'a': 'b'}, {'a': None}, {'a': [1]}, {'other': 1}],
      'invalid_label': LABEL, 'start_label': LABEL, 'invalid_key': [[], {}, (['x'],)],
      'unknown_token': [[], {}], 'lazy': FLAG}),
    ('encode_sentences', lambda **kwargs: rnn.encode_sentences(**{
        'sentences': SENTENCES, 'lazy': True, **kwargs}), {'sentences': [5], 'vocab': [5]}),
    ('decode_sentences', lambda **kwargs: rnn.decode_sentences(**{
        'sentences': [[0]], 'vocab': {'a': 0}, **kwargs}),
     {'sentences': [5, [5]], 'vocab': [None, ['a'], {'a': 'b'}], 'invalid_label': ['x', NAN]}),
    ('BucketSentenceIter', lambda **kwargs: rnn.BucketSentenceIter(
        **{'sentences': CODES, 'batch_size': 1, 'buckets': [3], **kwargs}),
     {'sentences': [None, 3, X, [3], [['a']], [[NAN, 1]], [[1, None]], [[1, X]], [], iter([]), {},
                    '', 'words', ['words'], [['two', 'words']], [['1']], [None], [[None]],
                    [[1], 5], [[1], [[2]]], [[[1, 2]]], [[1, [2, 3]]], [[2 ** 70]], [[10 ** 400]],
                    [[DIGITS]], [[1j]], [{1, 2}], [{1: 2}], [iter([1])], np.zeros(4),
                    np.zeros((2, 2, 2))],
      'buckets': [3, 'ab', [0], [-1], [2.5], [None], [True], [HUGE], [DIGITS], X, [[3]], 0, 2.5,
                  True, '36', ['3'], [-1, 4], [NAN], [1]],
      **OF_ITERATORS, 'shuffle': FLAG, 'seed': [-1, 2 ** 32, DIGITS, 2.5, 'x', [], NAN, True, X],
      'too_long': [None, 3, 'cut', '', [], X], 'provide_length': FLAG}),
    ('BucketSentenceIter', lambda **kwargs: rnn.BucketSentenceIter(
        CODES, 1, [3], provide_length=True, **kwargs),
     {'length_name': [*TEXT, 'data', 'softmax_label']}),
    ('StreamIter', lambda **kwargs: rnn.StreamIter(
        **{'tokens': range(20), 'batch_size': 2, 'bptt': 3, **kwargs}),
     {'tokens': [None, 3, X, [], ['a', 'b'], [None] * 9, [[1, 2]], [NAN] * 20, 'text',
                 [[1, 2], [3]], [1], [2 ** 70] * 9, [DIGITS] * 9, [1.5, NAN] * 9, np.zeros((9, 9)),
                 range(2)],
      **OF_ITERATORS, 'bptt': COUNT, 'last_batch': [*OF_ITERATORS['last_batch'], 'roll_over']}),
]


# differences.md: bad arguments, such as `mode='foo'`, `dropout=3.0`, `num_hidden=-3`,
@pytest.mark.filterwarnings('ignore:rnn_unroll is deprecated')
@pytest.mark.parametrize('function, argument, values', [
    pytest.param(function, argument, values, id='%s-%s' % (name, argument))
    for name, function, arguments in ARGUMENTS for argument, values in arguments.items()])
def test_refused_by_name(function, argument, values, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where what is not refused may write its files
    for value in values:
        try:
            function(**{argument: value})
        except REFUSALS as refusal:
            assert re.search(r'\b%s\b' % argument, str(refusal)), value
            assert not isinstance(refusal, mx.base.MXNetError), value  # some are ValueErrors, too
        else:
            pytest.fail('%s=%r is not refused' % (argument, value))
    assert not list(tmp_path.iterdir())


class Text(str):
    """A str of a program's own."""


@pytest.mark.parametrize('odd, plain', [
    (lambda: rnn.LSTMCell(np.int64(3), Text('a_'), forget_bias=np.float32(0.3)),
     lambda: rnn.LSTMCell(3, 'a_', forget_bias=0.3)),
    (lambda: rnn.FusedRNNCell(np.uint8(3), np.int32(2), Text('lstm'), np.True_, np.float32(0.1),
                              np.bool_(1), np.float64(2), np.str_('a_')),
     lambda: rnn.FusedRNNCell(3, 2, 'lstm', True, 0.1, True, 2.0, 'a_')),
    (lambda: rnn.DropoutCell(fractions.Fraction(1, 4)), lambda: rnn.DropoutCell(0.25)),
    (lambda: rnn.DropoutCell(np.float16(0.5)), lambda: rnn.DropoutCell(0.5)),
    (lambda: rnn.ZoneoutCell(lstm(), np.float32(0.3), 1), lambda: rnn.ZoneoutCell(lstm(), 0.3, 1)),
    (lambda: conv(input_shape=[np.int64(1), 2, 5, 6], h2h_kernel=(3, np.int8(3))), conv),
], ids=['LSTMCell', 'FusedRNNCell', 'DropoutCell', 'DropoutCell-float16', 'ZoneoutCell',
        'ConvLSTMCell'])
def test_odd_values_count_as_plain_ones(odd, plain):
    assert len({text_of(lambda make=make: make().unroll(
        np.int64(2), X, layout=Text('TNC'), merge_outputs=np.True_)) for make in (odd, plain)}) == 1


def weights(cell, packed):
    """The weights of a cell, all of shape (1,), by the names that it asks for."""
    args = {}
    for _ in range(2):
        try:
            (cell.unpack_weights if packed else cell.pack_weights)(args)
        except KeyError as error:
            names = re.findall(r'(\S+) of shape', str(error))
            args.update((name, mx.nd.ones((1,))) for name in names)
        except ValueError:
            break
    return args


@pytest.mark.parametrize('value', [None, 3, 'x', [], [1.0], {}, X, mx.nd.NDArray], ids=repr)
@pytest.mark.parametrize('packed', [True, False], ids=['unpack', 'pack'])
@pytest.mark.parametrize('name', [name for name in CELLS if name != 'DropoutCell'])
def test_weights_that_are_no_arrays_are_named(name, packed, value):
    cell = CELLS[name]()
    args = weights(cell, packed)
    for name in list(args)[:1]:
        with pytest.raises(REFUSALS, match=r'\b%s\b' % name):
            (cell.unpack_weights if packed else cell.pack_weights)({**args, name: value})
