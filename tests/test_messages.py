"""Refusals say what came, what is allowed, and what to use in its place."""
# differences.md: cells of Gluon or mxnet.rnn, classes instead of cells, arrays instead of numbers
import contextlib
import importlib
import traceback
import warnings
from pathlib import Path

import mxnet.rnn as stock
import numpy as np
import pytest

from mxrnn import interop

from . import mx, rnn
from .checkpoints import flipped
from .running import stack

if rnn.__name__ == 'mxnet.rnn':
    pytest.skip('mxnet.rnn prints arrays, or takes them', allow_module_level=True)

HUGE = mx.nd.full((100, 100), 12345)

TAKERS = {
    'stack': lambda cell: stack(rnn, cell),
    'both': lambda cell: rnn.BidirectionalCell(rnn.LSTMCell(3), cell),
    'variational': lambda cell: rnn.VariationalDropoutCell(cell, 0.1),
    'fuse': lambda cell: rnn.fuse(cell),
    'carry_states': lambda cell: rnn.carry_states(cell),
    'rnn_unroll': lambda cell: rnn.rnn_unroll(cell, 3),
    'Stepper': lambda cell: rnn.Stepper(cell, lambda run: run(mx.sym.Variable('data')), {}),
}
each_taker = pytest.mark.parametrize('take', TAKERS.values(), ids=TAKERS)


@pytest.mark.filterwarnings('ignore:rnn_unroll is deprecated')
@each_taker
@pytest.mark.parametrize('make, words', [
    (lambda: mx.gluon.rnn.LSTMCell(3), 'must be a cell of mxrnn, got .* of Gluon.*mxrnn.LSTM'),
    (lambda: mx.gluon.rnn.LSTM(3), 'must be a cell of mxrnn, got .* of Gluon.*mxrnn.LSTM'),
    (lambda: stock.GRUCell(3), 'must be a cell of mxrnn, got GRUCell of mxnet.rnn itself.*install'),
    (lambda: rnn.GRUCell, r'got the class GRUCell itself: call it.*GRUCell\(\.\.\.')],
    ids=['gluon', 'layer', 'of_the_original', 'class'])
def test_a_cell_of_another_kind_is_said_to_be_one(make, words, take):
    with pytest.raises(TypeError, match=words):
        take(make())


@pytest.mark.parametrize('call', [
    lambda cells, prefix, symbol, params: rnn.save_rnn_checkpoint(
        cells, prefix, 2, symbol, *params),
    lambda cells, prefix, symbol, params: rnn.load_rnn_checkpoint(cells, prefix, 1),
    lambda cells, prefix, symbol, params: rnn.do_rnn_checkpoint(cells, prefix)],
    ids=['save', 'load', 'do'])
def test_checkpoints_of_cells_of_the_original_are_warned_of(call, saved):
    _, prefix, symbol, *params = saved
    cell = stock.DropoutCell(0.1)
    with pytest.warns(UserWarning, match='^cells has DropoutCell of mxnet.rnn itself.*install'
                      ) as told, contextlib.suppress(rnn.CheckpointError):  # no cell packs them
        call([cell], prefix, symbol, params)
    assert [each.filename for each in told] == [__file__]


@pytest.mark.parametrize('wrong', [HUGE, [HUGE], {'a': HUGE}, (1, HUGE), HUGE.asnumpy()],
                         ids=['array', 'list', 'dict', 'tuple', 'numpy'])
@pytest.mark.parametrize('call', [
    lambda wrong: rnn.LSTMCell(wrong), lambda wrong: rnn.LSTMCell(3, prefix=wrong),
    lambda wrong: rnn.RNNCell(3, activation=wrong), lambda wrong: rnn.DropoutCell(wrong),
    lambda wrong: stack(rnn, wrong), lambda wrong: rnn.LSTMCell(3).begin_state(wrong),
    lambda wrong: rnn.LSTMCell(3).unroll(2, mx.sym.Variable('x'), layout=wrong),
    lambda wrong: rnn.LSTMCell(3).unroll(2, mx.sym.Variable('x'), merge_outputs=wrong),
    lambda wrong: rnn.LSTMCell(3).unroll(2, wrong), lambda wrong: rnn.LSTMCell(3)(wrong, []),
    lambda wrong: rnn.LSTMCell(3).unroll(2, mx.sym.Variable('x'), wrong)])
def test_the_numbers_of_arrays_are_not_printed(call, wrong):
    with pytest.raises((TypeError, ValueError)) as error:
        call(wrong)
    assert '12345' not in str(error.value) and '\n' not in str(error.value)
    assert len(str(error.value)) < 400


X = mx.sym.Variable('x')


def by_hand(first, second):
    outputs, _ = first.unroll(3, X, merge_outputs=True)
    return second.unroll(3, outputs)


def encoder_and_decoder(first, second):
    _, states = first.unroll(3, X)
    return second.unroll(3, X, states)


# differences.md: two cells with one prefix and separate weights
@pytest.mark.filterwarnings('error')  # but for what is expected
@pytest.mark.parametrize('build', [by_hand, encoder_and_decoder])
@pytest.mark.parametrize('make', [
    lambda **options: rnn.LSTMCell(3, **options),
    lambda **options: stack(rnn, rnn.DropoutCell(0.1), rnn.LSTMCell(3, **options)),
    lambda **options: rnn.fuse(rnn.LSTMCell(3, **options))], ids=['cell', 'stack', 'fuse'])
def test_two_cells_of_one_name_are_warned_of_where_they_meet(build, make):
    with pytest.warns(UserWarning, match=r"different weights of the same name 'lstm_\w+' .*prefix="
                      ) as told:
        build(make(), make())
    assert [each.filename for each in told] == [__file__]
    build(make(), make(prefix='l1_'))
    cell = make()
    build(cell, cell)  # one cell twice shares its weights
    shared = rnn.RNNParams('shared_')
    build(make(params=shared), make(params=shared))


def words_of(length, rows):
    """A network whose Embedding has so many rows."""
    embedded = mx.sym.Embedding(mx.sym.Variable('data'), input_dim=rows, output_dim=4, name='embed')
    scores = mx.sym.FullyConnected(embedded, num_hidden=5, flatten=False, name='score')
    label = mx.sym.reshape(mx.sym.Variable('softmax_label'), -1)
    return (mx.sym.SoftmaxOutput(mx.sym.reshape(scores, (-1, 5)), label, name='softmax'),
            ['data'], ['softmax_label'])


class Prefetching(mx.io.PrefetchingIter):
    """PrefetchingIter of an iterator in buckets."""

    def __init__(self, data):
        super().__init__(data)
        self.default_bucket_key = data.default_bucket_key


# differences.md: ids beyond an `Embedding`'s `input_dim`
@pytest.mark.parametrize('rows, most', [(4, 4), (5, 4), (4, 7)])
@pytest.mark.parametrize('make', [
    lambda most: rnn.BucketSentenceIter([[1, 2, most]] * 4, 2, invalid_label=0),
    lambda most: rnn.StreamIter([1, 2, most] * 4, 2, 3)], ids=['sentences', 'stream'])
@pytest.mark.parametrize('prefetched', [False, True])
def test_an_embedding_of_too_few_rows_in_training(make, rows, most, prefetched, tmp_path):
    data = make(most)
    module = mx.mod.BucketingModule(lambda length: words_of(length, rows), data.default_bucket_key)
    options = {}
    if prefetched:  # which hides the iterator from `fit`
        options['epoch_end_callback'] = rnn.do_rnn_checkpoint(
            rnn.RNNCell(3), str(tmp_path / 'model'), module=module, data=data)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter('always')
        with contextlib.suppress(KeyError, ValueError):  # the cell has no weights here
            module.fit(Prefetching(data) if prefetched else data, num_epoch=2, **options)
        module.score(data, 'acc')
    told = [each for each in told if 'input_dim' in str(each.message)]
    assert [each.filename for each in told] == [__file__] * (most >= rows)
    said = [str(each.message) for each in told]
    assert said == ['data has the id %d, but embed, the Embedding that reads it, has '
                    'input_dim=%d and reads its last row for larger ids. Give it input_dim=%d '
                    'or more' % (most, rows, most + 1)] * (most >= rows)


# differences.md: ids beyond an `Embedding`'s `input_dim`
def test_an_embedding_of_too_few_rows_in_a_predictor():
    weights = {'embed_weight': mx.nd.ones((4, 4)), 'score_weight': mx.nd.ones((5, 4)),
               'score_bias': mx.nd.ones((5,))}

    def network(length):
        return mx.sym.softmax(words_of(length, 4)[0].get_internals()['score_output']), ['data'], []

    predict = rnn.Predictor(network, weights, buckets=[3, 5])
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        predict([[1, 2, 3], [0]])
    with pytest.warns(UserWarning, match='data has the id 6,.* input_dim=7') as told:
        predict([[1, 2, 6], [1, 2, 3, 1]])
    assert [each.filename for each in told] == [__file__]


# ---- mistakes of users: what is wrong, where, and what to do, in one traceback

def load_flipped(cell, prefix, at):
    path = Path(prefix + '-0001.params')
    path.write_bytes(flipped(path.read_bytes(), at))
    rnn.load_rnn_checkpoint(cell, prefix, 1)


def sublayers(prefix, symbol):
    cell = rnn.LSTMCell(3, 'lstm_l0_')
    rnn.save_rnn_checkpoint(cell, prefix, 2, symbol, weights_of(cell), {})
    return rnn.load_rnn_checkpoint(rnn.LSTMCell(3, 'lstm0_'), prefix, 2)


def weights_of(cell):
    return {cell._prefix + name: mx.nd.ones((12, 3) if 'weight' in name else (12,)) for name in (
        'i2h_weight', 'i2h_bias', 'h2h_weight', 'h2h_bias')}


#: What is done with the cell, the prefix and the symbol of a checkpoint, and what is said.
MISTAKES = {
    'missing epoch': (lambda cell, prefix, symbol: rnn.load_rnn_checkpoint(cell, prefix, 9),
                      r'model-0009\.params: these epochs are there: 1$'),
    'missing folder': (lambda cell, prefix, symbol: rnn.load_rnn_checkpoint(cell, 'nowhere/m', 9),
                       'there is no folder nowhere$'),
    'no folder': (lambda cell, prefix, symbol: rnn.load_rnn_checkpoint(cell, 'nowhere/m'),
                  '^no checkpoint of nowhere/m can be read: there is no folder nowhere$'),
    'missing checkpoint': (lambda cell, prefix, symbol: rnn.load_rnn_checkpoint(cell, 'moddel'),
                           r'there is no moddel-\*\.params; did you mean model\?$'),
    'rank in the prefix': (lambda cell, prefix, symbol: rnn.load_rnn_checkpoint(cell, 'model-1'),
                           'of several workers only that of rank 0 saves: load model$'),
    'prefix': (lambda cell, prefix, symbol: sublayers(prefix, symbol),
               r"0002\.params.*are of 1 layer \('lstm_l0_'\), and none of 'lstm0_': .*; the "
               r'weights for LSTMCell.* lack lstm0_i2h_i_weight'),
    'swapped': (lambda cell, prefix, symbol: rnn.do_rnn_checkpoint(prefix, cell),
                r"cells, the first argument, must be a cell or a list of cells, got '.* "
                r"\(str\): prefix is the second argument"),
    'period': (lambda cell, prefix, symbol: rnn.do_rnn_checkpoint(cell, prefix, mx.mod.Module(
        symbol)), 'period, the third argument, .* got a module: pass it as module=$'),
    'cells as params': (lambda cell, prefix, symbol: rnn.SequentialRNNCell([cell]),
                        r'params must be .*, got \[FusedRNNCell.*; to stack .* add\(\) each$'),
    'list of cells': (lambda cell, prefix, symbol: rnn.fuse([cell, cell]),
                      r'cell must be a cell of mxrnn, got \[FusedRNN.*; to stack .*Sequential'),
    'length and inputs': (lambda cell, prefix, symbol: cell.unroll(X, 3),
                          'length must be an integer of at least 1, got <Symbol x>'),
    'no batch': (lambda cell, prefix, symbol: mx.mod.Module(symbol).fit(
        rnn.BucketSentenceIter([[1, 2, 3]] * 8, 40, [3], invalid_label=0), num_epoch=1),
        r'0 batches of 40\) has nothing to train on: give a smaller batch_size'),
    'words': (lambda cell, prefix, symbol: rnn.BucketSentenceIter([['mon', 'tue']] * 8, 4),
              r"sentences\[0\] must be .*as encode_sentences makes them, got \['mon', 'tue'\]$"),
    'nested': (lambda cell, prefix, symbol: rnn.StreamIter([[1, 2, 3], [4, 5]], 2, 3),
               r'tokens must be a sequence of numbers.*, got \[\[1, 2, 3\], \[4, 5\]\]$'),
    'steps of Predictor': (lambda cell, prefix, symbol: rnn.Predictor(
        lambda length: (rnn.LSTMCell(3).unroll(length, X)[0], ['x'], []), {}, buckets=[3])(
            [np.ones((3, 5))]), 'of network must be a Symbol, got .*with merge_outputs=True'),
    'path to_onnx': (lambda cell, prefix, symbol: interop.to_onnx(prefix, 'm.onnx'),
                     r"model must be a Model, as load and from_torch return it, got '.*\(str\)"),
    'files to load': (lambda cell, prefix, symbol: interop.load(
        prefix + '-symbol.json', prefix + '-0001.params'),
        r"epoch must be an integer, got '\S+': give two files as symbol= and params=$"),
    'stepper of a model': (lambda cell, prefix, symbol: interop.load_stepper(
        interop.load(prefix, 1)), r'path must be a path, got Model\(epoch 1'),
    'gluonts': (lambda cell, prefix, symbol: interop.gluonts.load_predictor(prefix),
                'is not a folder of GluonTS: it has neither '),
    'header': (lambda cell, prefix, symbol: load_flipped(cell, prefix, 12),
               r'0001\.params is damaged: .*changed after it was written'),
    'numbers': (lambda cell, prefix, symbol: load_flipped(cell, prefix, 200),
                r'0001\.params is damaged: '),
}


@pytest.mark.parametrize('make, message', MISTAKES.values(), ids=MISTAKES)
@pytest.mark.filterwarnings('ignore:.*You created Module')
def test_a_mistake_is_told_once_with_its_place_and_its_remedy(make, message, saved):
    with pytest.raises((ValueError, TypeError, rnn.CheckpointError), match=message) as error:
        make(*saved[:3])
    text = ''.join(traceback.format_exception(type(error.value), error.value, None))
    assert text.count('\n') == 1, text  # no cause before it


@pytest.mark.parametrize('make', [
    lambda number: rnn.LSTMCell(number), lambda number: rnn.BucketSentenceIter([[1]], number),
    lambda number: rnn.LSTMCell(3, prefix=[number]), lambda number: rnn.StreamIter([number], 1, 1)])
def test_a_number_with_more_digits_than_python_writes_is_told_by_its_bits(make):
    with pytest.raises((TypeError, ValueError), match=r'got \[?a number with 16610 bits'):
        make(10 ** 5000)


def test_one_str_in_place_of_sentences_is_warned_of():
    with pytest.warns(UserWarning, match=r'sentences is one str, .* such as \[text\]') as told:
        assert len(rnn.encode_sentences('abc')[0]) == 3
    assert [each.filename for each in told] == [__file__]
    importlib.import_module('mxrnn._check').GIVEN.clear()
