"""The table of differences (docs/differences.md): one test a row, which mxnet.rnn itself fails."""
import numpy as np
import pytest

from . import differs, mx, rnn
from .cases import BOUND, IMAGE, OURS, each
from .comparing import assert_close, same
from .running import flat, run, run_symbols, stack, text_of

pytestmark = differs

X = mx.sym.Variable('x')
BINDABLE = [case for case in BOUND + OURS if case.binds]


def lstm(prefix='lstm_', units=4, **kwargs):
    return rnn.LSTMCell(units, prefix, **kwargs)


def both(units=2, **kwargs):
    return rnn.BidirectionalCell(lstm('l_', units), lstm('r_', units), **kwargs)


CELLS = {'LSTMCell': lstm, 'BidirectionalCell': both,
         'FusedRNNCell': lambda: rnn.FusedRNNCell(4, 2, 'lstm', True),
         'SequentialRNNCell': lambda: stack(rnn, lstm('a_'), rnn.GRUCell(4, 'b_')),
         'ResidualCell': lambda: rnn.ResidualCell(lstm()),
         'ResidualCell-BidirectionalCell': lambda: rnn.ResidualCell(both()),
         'ZoneoutCell': lambda: rnn.ZoneoutCell(rnn.GRUCell(4), 0.3, 0.3),
         'ConvGRUCell': lambda: rnn.ConvGRUCell((1,) + IMAGE, 3)}


def each_cell(names):
    names = names.split()
    return pytest.mark.parametrize('make', [CELLS[name] for name in names], ids=names)


def unroll(cell, length=3, **kwargs):
    return cell.unroll(length, mx.sym.Variable('data'), **kwargs)


def names(symbols):
    return [symbol.name for symbol in flat(symbols)]


# Structure and names

# differences.md: `FusedRNNCell.unfuse()`
def test_unfuse_carries_forget_bias():
    cell = rnn.FusedRNNCell(3, 2, 'lstm', True, forget_bias=2.5).unfuse()
    attributes = unroll(cell, merge_outputs=True)[0].attr_dict()
    found = [attributes[name]['__init__'] for name in sorted(cell.params._params)
             if name.endswith('i2h_bias')]
    assert found == [mx.init.LSTMBias(2.5).dumps()] * 4


# differences.md: `reset()` of modifiers
def test_reset_of_a_modifier_reaches_its_base():
    for cell in (rnn.ZoneoutCell(lstm(), 0.1, 0.1), rnn.ZoneoutCell(rnn.ResidualCell(lstm()), 0.1)):
        cell.unroll(3, X)
        cell.reset()
        states = cell.begin_state()
        cell(X, states)
        assert names(states) == ['lstm_begin_state_0', 'lstm_begin_state_1']
        assert lstm_step(cell) == 0


def lstm_step(cell):
    while hasattr(cell, 'base_cell'):
        cell = cell.base_cell
    return cell._counter


# differences.md: `reset()` of modifiers
def test_a_second_unroll_of_a_modifier_names_its_steps_from_zero():
    cell = rnn.ZoneoutCell(lstm(), zoneout_states=0.1)
    assert text_of(lambda: cell.unroll(3, X)) == text_of(lambda: cell.unroll(3, X))


class FailingLSTM(rnn.LSTMCell):
    """Fails at its second step."""

    def __call__(self, inputs, states):
        if self._counter == 0:
            raise RuntimeError('a fault of the program')
        return super().__call__(inputs, states)


# differences.md: an unroll that fails
@pytest.mark.parametrize('modify', [
    lambda base: base, rnn.ResidualCell, rnn.ZoneoutCell, lambda base: stack(rnn, base),
    lambda base: rnn.BidirectionalCell(rnn.ResidualCell(base), lstm('r_'))],
    ids=['bare', 'ResidualCell', 'ZoneoutCell', 'SequentialRNNCell', 'BidirectionalCell'])
def test_a_failed_unroll_leaves_the_cells_as_they_were(modify):
    base = FailingLSTM(4)
    cell = modify(base)
    before = [dict(vars(each)) for each in (cell, base)]
    with pytest.raises(RuntimeError, match='a fault of the program'):
        cell.unroll(3, X)
    assert [dict(vars(each)) for each in (cell, base)] == before


# differences.md: `SequentialRNNCell(params=)`, `BidirectionalCell(params=)`
@pytest.mark.parametrize('container', ['SequentialRNNCell', 'BidirectionalCell'])
def test_containers_hand_params_to_ordinary_cells(container):
    params = rnn.RNNParams('shared_')
    given = params._params['lstm_h2h_weight'] = mx.sym.Variable('lstm_h2h_weight', lr_mult=0.5)
    cells = lstm(), rnn.ResidualCell(rnn.GRUCell(4))
    if container == 'SequentialRNNCell':
        cell = stack(rnn, *cells, params=params)
    else:
        cell = rnn.BidirectionalCell(*cells, params=params)
    attributes = unroll(cell, merge_outputs=True)[0].attr_dict()
    assert mx.sym.Group([cells[0]._hW, given]).list_arguments() == ['lstm_h2h_weight']
    assert attributes['lstm_h2h_weight']['__lr_mult__'] == '0.5'
    assert sorted(params._params) == sorted(
        prefix + name for prefix in ('lstm_', 'gru_')
        for name in ('i2h_weight', 'i2h_bias', 'h2h_weight', 'h2h_bias'))


# differences.md: `SequentialRNNCell(params=)`, `BidirectionalCell(params=)`
@pytest.mark.parametrize('make', [lstm, lambda: rnn.fuse(lstm())], ids=['cell', 'fuse'])
def test_params_that_were_read_are_not_replaced(make):
    cell = make()
    assert 'lstm_i2h_weight' in cell.params._params
    with pytest.raises(ValueError, match='cell already shares its params'):
        rnn.SequentialRNNCell(params=rnn.RNNParams()).add(cell)


# differences.md: two cells with one prefix and separate weights
def test_equal_prefixes_without_shared_weights_warn():
    with pytest.warns(UserWarning, match=r"prefix 'lstm_'.*give each cell its own prefix") as found:
        cell = rnn.SequentialRNNCell()
        cell.add(lstm())
        cell.add(lstm())
        rnn.BidirectionalCell(lstm(), lstm(units=3))
    assert [warning.filename for warning in found] == [__file__] * 2


# differences.md: a container added to itself, also indirectly
def test_a_container_is_not_added_to_itself():
    inner = stack(rnn, lstm())
    outer = stack(rnn, inner)
    for cell in (inner, outer):
        with pytest.raises(ValueError, match='cell must'):
            inner.add(cell)


# States

# differences.md: `begin_state(func=)` of modifiers; any `begin_state` of modifiers
@each_cell('LSTMCell SequentialRNNCell BidirectionalCell ResidualCell')
def test_begin_state_of_modifiers_takes_func(make):
    states = rnn.ResidualCell(make()).begin_state(func=mx.sym.Variable, lr_mult=2.0)
    assert names(states) == mx.sym.Group(states).list_arguments()
    assert {state.attr('__lr_mult__') for state in states} == {'2.0'}
    assert mx.sym.Group(rnn.ResidualCell(make()).begin_state()).list_arguments() == []


# differences.md: `begin_state(func=)` of modifiers; any `begin_state` of modifiers
@pytest.mark.parametrize('name, count', [('SequentialRNNCell', 3), ('BidirectionalCell', 4)])
def test_begin_state_of_containers_takes_func_by_position(name, count):
    states = CELLS[name]().begin_state(mx.sym.Variable)
    assert names(states) == mx.sym.Group(states).list_arguments() and len(states) == count


# differences.md: `begin_state` of a modified cell
@pytest.mark.parametrize('make', [lstm, both, rnn.SequentialRNNCell, lambda: rnn.fuse(lstm())],
                         ids=['lstm', 'both', 'stack', 'fuse'])
def test_a_base_cell_sends_begin_state_to_its_modifier(make):
    base = make()
    rnn.ResidualCell(base)
    with pytest.raises(ValueError, match='begin_state.* must be called on the modifier'):
        base.begin_state()


# differences.md: states of `BidirectionalCell.unroll`
@pytest.mark.parametrize('cell', [
    both(), stack(rnn, both(), lstm('top_')), rnn.ResidualCell(both()),
    rnn.BidirectionalCell(both(output_prefix='in_'), stack(rnn, lstm('a_'), lstm('b_')))],
    ids=['BidirectionalCell', 'SequentialRNNCell', 'ResidualCell', 'nested'])
def test_states_are_fed_back_nested_or_flat(cell):
    _, states = unroll(cell)
    graphs = {text_of(lambda given=given: unroll(cell, begin_state=given, merge_outputs=True))
              for given in (states, flat(states), tuple(states))}
    assert len(graphs) == 1


# differences.md: states of `BidirectionalCell.unroll`
def test_states_of_nested_lists_are_taken_by_steps():
    cell = rnn.ZoneoutCell(stack(rnn, lstm('a_'), rnn.GRUCell(4, 'b_')), 0.1, 0.2)
    a, c, b = cell.begin_state()
    _, states = cell(X, [[a, c], [b]])
    assert len(states) == 3


# differences.md: a wrong number of states
@pytest.mark.parametrize('name, count', [('RNNCell', 2), ('LSTMCell', 1), ('LSTMCell', 3),
                                         ('GRUCell', 0)])
def test_a_wrong_number_of_states_is_named(name, count):
    cell = getattr(rnn, name)(4)
    message = r'states of %s.* must be %d Symbols.*got %d' % (name, len(cell.state_info), count)
    with pytest.raises(ValueError, match=message):
        cell(X, [X] * count)


# differences.md: float16 and float64
@each(BINDABLE)
def test_float64_from_end_to_end(case):
    outputs, states = unroll(case.make(rnn), merge_outputs=True, dtype='float64')
    result = run_symbols(outputs, states, {'data': (2, 3) + case.step}, dtype='float64')
    arrays = [result.outputs, *result.states, *result.grads.values()]
    assert {array.dtype for array in arrays} == {np.dtype('float64')}
    assert all(np.isfinite(array).all() for array in arrays)
    assert np.abs(result.grads['data']).sum() > 0


# differences.md: float16 and float64
@each(BINDABLE)
def test_type_of_begin_state_reaches_every_state(case):
    def by_unroll():
        return unroll(case.make(rnn), merge_outputs=True, dtype='float16')

    def by_begin_state():
        cell = case.make(rnn)
        return unroll(cell, merge_outputs=True, begin_state=cell.begin_state(dtype='float16'))

    text = text_of(by_unroll)
    assert text == text_of(by_begin_state)
    assert set(mx.sym.load_json(text).infer_type(data='float16')[1]) == {np.float16}


# differences.md: float16 and float64
def test_zoneout_begins_with_the_type_of_the_states_given():
    cell = rnn.ZoneoutCell(lstm(), 0.3)
    for dtype in ('float64', 'float32', 'float64'):
        outputs, states = unroll(cell, begin_state=lstm().begin_state(dtype=dtype))
        result = run_symbols(outputs, states, {'data': (2, 3, 4)}, dtype=dtype)
        assert result.outputs.dtype == np.dtype(dtype)


# What is refused, and works, in graphs

# differences.md: wrong inputs, lengths and layouts
@pytest.mark.parametrize('arguments, message', [
    ({'length': 0}, r'length must be an integer of at least 1, got 0'),
    ({'inputs': [X, X]}, r'inputs must have one Symbol for each of length=3 steps, got 2'),
    ({'inputs': mx.sym.Group([X, X, X])}, r'inputs must be one Symbol.*list\(group\)'),
    ({'inputs': None}, r'inputs must be a Symbol or a list of Symbols.*got NoneType'),
    ({'inputs': mx.sym.zeros((2, 5, 4))}, r'length must be the number of steps.*has 5 .*got 3'),
    ({'inputs': mx.sym.Variable('x', shape=(0, 2, 4))}, r'length must be .*has 2 .*got 3'),
    ({'inputs': mx.sym.zeros((2,))}, r'inputs must have axes for batch and time.*\(2,\)'),
    ({'layout': 'NCT'}, r"layout must be 'NTC' .* or 'TNC' .*got 'NCT'"),
    ({'merge_outputs': 'yes'}, r"merge_outputs must be True or False, got 'yes'"),
    ({'begin_state': [X]}, r'states of LSTMCell.* must be 2 Symbols.*got 1'),
], ids=lambda value: '-'.join(value) if isinstance(value, dict) else '')
def test_unroll_refuses_at_once(arguments, message):
    cell = lstm()
    with pytest.raises((TypeError, ValueError), match=message):
        cell.unroll(**{'length': 3, 'inputs': X, **arguments})
    assert cell._counter == cell._init_counter == -1


# differences.md: wrong inputs, lengths and layouts
def test_inputs_of_the_wrong_rank_for_the_fused_cell():
    with pytest.raises(ValueError, match=r'inputs of FusedRNNCell.* must have 3 axes \(NTC\)'):
        rnn.FusedRNNCell(4).unroll(3, mx.sym.zeros((2, 3)))


# differences.md: stepping a stack with a cell that can't be stepped
def test_a_stack_that_cannot_be_stepped_names_the_cell():
    cell = stack(rnn, lstm('a_'), rnn.ResidualCell(both()))
    with pytest.raises(NotImplementedError, match='because it contains Bidirectional'):
        cell(X, cell.begin_state())


# differences.md: `ZoneoutCell` over `SequentialRNNCell`
@pytest.mark.parametrize('base', [
    lambda: rnn.FusedRNNCell(4), both, lambda: rnn.ResidualCell(both()),
    lambda: stack(rnn, lstm('a_'), rnn.FusedRNNCell(4))],
    ids=['FusedRNNCell', 'BidirectionalCell', 'ResidualCell', 'SequentialRNNCell'])
def test_zoneout_names_the_cell_that_cannot_be_stepped(base):
    with pytest.raises(ValueError, match='base_cell .*but (Fused|Bidirectional).* cannot'):
        rnn.ZoneoutCell(base())


# differences.md: `ZoneoutCell` over `SequentialRNNCell`
@pytest.mark.parametrize('outputs, states', [(0.4, 0.0), (0.0, 0.4), (0.4, 0.4)])
def test_zoneout_over_a_stack(outputs, states):
    """At inference zoneout does nothing; in training, zoned-out elements are the step before's."""
    def cell():
        return stack(rnn, lstm('a_', 5), rnn.DropoutCell(0.0), rnn.GRUCell(4, 'b_'))

    plain, zoned = cell(), rnn.ZoneoutCell(cell(), outputs, states)
    assert_close(run(zoned, (4,), train=False)[:2], run(plain, (4,), train=False)[:2], 0)
    trained = run(zoned, (4,), length=6)
    kept = np.mean(trained.outputs[:, 1:] == trained.outputs[:, :-1])
    assert (kept > 0.1) == (outputs > 0)


# differences.md: `ZoneoutCell(zoneout_outputs=)` over convolutional cells
def test_zoneout_outputs_of_images():
    cell = rnn.ZoneoutCell(rnn.ConvLSTMCell((1,) + IMAGE, 3), zoneout_outputs=0.5)
    result = run(cell, IMAGE, length=4)
    assert np.mean(result.outputs[:, 0] == 0) > 0.3  # 0 comes before the first output
    assert np.mean(result.outputs[:, 1:] == result.outputs[:, :-1]) > 0.3


# differences.md: `ResidualCell` over both directions, or of unequal widths
def test_residual_names_sizes_that_do_not_match():
    cell = stack(rnn, lstm('a_', 6), rnn.ResidualCell(both(units=2)))
    with pytest.raises(ValueError, match=r'inputs of ResidualCell.*\(0, 6\) for \(0, 4\)'):
        unroll(cell)


# differences.md: NumPy's shape semantics (`mx.util.np_shape`)
@pytest.mark.skipif(not hasattr(mx.util, 'np_shape'), reason='MXNet has no NumPy semantics')
@each_cell('LSTMCell BidirectionalCell FusedRNNCell ZoneoutCell ResidualCell')
def test_shapes_of_numpy(make):
    with mx.util.np_shape(True):  # where 0 is a size, and -1 what is not known
        cell = make()
        outputs, states = unroll(cell, merge_outputs=True)
        found = run_symbols(outputs, states, {'data': (2, 3, 4)}, train=False)
    np.testing.assert_array_equal(found.outputs, run(make(), (4,), train=False).outputs)


# Constructors


# differences.md: NumPy's numbers as arguments
def test_numpy_numbers_are_numbers():
    """In mxnet.rnn the attributes of the variables cannot be written down."""
    attributes = unroll(rnn.FusedRNNCell(np.int64(3), forget_bias=np.float32(0.5)),
                        merge_outputs=True)[0].attr_dict()
    assert '"num_hidden": 3' in attributes['lstm_parameters']['__init__']
    attributes = unroll(lstm(forget_bias=np.float32(0.5)), merge_outputs=True)[0].attr_dict()
    assert attributes['lstm_i2h_bias']['__init__'] == mx.init.LSTMBias(0.5).dumps()


# Weights

def weights(cell, width=4):
    outputs, _ = unroll(cell, merge_outputs=True)
    shapes = zip(outputs.list_arguments(), outputs.infer_shape(data=(2, 3, width))[0])
    return {name: mx.nd.array(np.arange(np.prod(shape)).reshape(shape))
            for name, shape in shapes if name != 'data'}


# differences.md: missing weights, in `pack_weights`, `unpack_weights` or a checkpoint
@each_cell('LSTMCell FusedRNNCell SequentialRNNCell BidirectionalCell ResidualCell '
           'ResidualCell-BidirectionalCell ConvGRUCell')
@pytest.mark.parametrize('direction', ['unpack_weights', 'pack_weights'])
def test_missing_weights_are_listed(make, direction):
    with pytest.raises(KeyError) as error:
        getattr(make(), direction)({'fc_weight': mx.nd.ones((2, 2)), 'data': mx.nd.ones((1,))})
    message = str(error.value)
    for part in ('the weights for ', ' lack ', ' of shape (', 'there are: data, fc_weight'):
        assert part in message


# differences.md: already packed or unpacked weights
@each_cell('LSTMCell FusedRNNCell SequentialRNNCell BidirectionalCell ResidualCell '
           'ResidualCell-BidirectionalCell')
def test_weights_that_are_as_they_should_be_pass_through(make):
    packed = weights(make())
    unpacked = make().unpack_weights(packed)
    for method, args in (('pack_weights', packed), ('unpack_weights', unpacked)):
        again = getattr(make(), method)(args)
        assert again is not args
        assert again == args
        other = unpacked if args is packed else packed  # what is to be converted counts
        mixed = getattr(make(), method)({**{name: 0 * args[name] for name in args}, **other})
        assert same(mixed, args)


# differences.md: weights of a wrong shape
def test_weights_of_a_wrong_shape_are_named():
    packed = weights(lstm())
    unpacked = lstm().unpack_weights(packed)
    fused = rnn.FusedRNNCell(4)
    for cell, method, args, name in [
            (lstm(units=5), 'unpack_weights', packed, 'lstm_i2h_weight'),
            (lstm(units=5), 'pack_weights', unpacked, 'lstm_i2h_i_weight'),
            (lstm(), 'pack_weights', dict(unpacked, lstm_h2h_f_weight=mx.nd.ones((4, 5))),
             'lstm_h2h_weight'),
            (fused, 'unpack_weights', {'lstm_parameters': mx.nd.ones((77,))}, 'lstm_parameters'),
            (fused, 'pack_weights', dict(fused.unpack_weights(weights(fused)),
                                         lstm_l0_h2h_o_bias=mx.nd.ones((3,))),
             'lstm_l0_h2h_o_bias')]:
        with pytest.raises(ValueError, match=r'\b%s\b' % name) as error:
            getattr(cell, method)(args)
        assert not isinstance(error.value, mx.base.MXNetError)


# differences.md: weights of cells with `params=` of another prefix
@pytest.mark.parametrize('make', [
    lambda params: lstm('a_', params=params),
    lambda params: stack(rnn, lstm('a_', params=params), rnn.ResidualCell(
        lstm('b_', params=params)))], ids=['LSTMCell', 'SequentialRNNCell'])
def test_weights_of_a_shared_container(make):
    """They are called as in the graph, by the prefix of the container."""
    packed = weights(make(rnn.RNNParams('shared_')))
    unpacked = make(rnn.RNNParams('shared_')).unpack_weights(packed)
    assert len(packed) == 4
    assert 'shared_i2h_f_weight' in unpacked and len(unpacked) == 16
    assert same(make(rnn.RNNParams('shared_')).pack_weights(unpacked), packed)


# differences.md: gates of several types, NumPy arrays
@pytest.mark.parametrize('change', [
    lambda name, value: value.astype('float64') if '_f_' in name else value,
    lambda name, value: value.asnumpy()], ids=['types', 'NumPy'])
def test_gates_of_other_types_are_packed_in_the_first_ones(change):
    packed = lstm().pack_weights({name: change(name, value) for name, value in
                                  lstm().unpack_weights(weights(lstm())).items()})
    assert same(packed, weights(lstm()))
    assert same(packed, lstm().pack_weights(lstm().unpack_weights({
        name: value.asnumpy() for name, value in packed.items()})))


# differences.md: missing weights, in `pack_weights`, `unpack_weights` or a checkpoint
def test_weights_under_another_prefix_are_said_to_be_so():
    args = {**weights(lstm('theirs_')), 'fc_weight': mx.nd.ones((2, 2))}
    cell = lstm('ours_')
    for method, given in (('unpack_weights', args),
                          ('pack_weights', lstm('theirs_').unpack_weights(args))):
        with pytest.raises(KeyError, match=r"are of 1 layer \('theirs_'\), and none of "
                                           "'ours_': .*; the weights for LSTMCell"):
            getattr(cell, method)(given)


# Sequences


def test_unknown_sizes_of_numpy_are_unknown():
    with mx.util.np_shape(True):
        data = mx.sym.Variable('data', shape=(2, -1, 5))
        outputs, _ = rnn.LSTMCell(3).unroll(3, data, merge_outputs=True)
        assert outputs.infer_shape(data=(2, 3, 5))[1] == [(2, 3, 3)]
