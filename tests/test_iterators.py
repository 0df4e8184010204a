"""Iterators: streams, parts for several workers, and what all of them say of themselves."""
import collections
import doctest
import importlib
import logging
import pickle
import pickletools

import numpy as np
import pytest

from mxrnn import interop

from . import differs, mx, ours, rnn
from .iterators import POSITIONS, SMALL, TEXT, UNIQUE, in_parts, rows, streams

pytestmark = differs


# differences.md: position and size of an iterator
def test_sizes_of_iterators():
    sentences = rnn.BucketSentenceIter(SMALL, 3, [2, 4])
    assert len(sentences) == len(list(sentences)) == 8
    assert repr(sentences) == 'BucketSentenceIter(26 sentences, buckets [2, 4], 8 batches of 3)'
    stream = rnn.StreamIter(TEXT, 3, 4)
    assert len(stream) == len(list(stream)) == 8
    assert repr(stream) == 'StreamIter(99 tokens, 8 batches of 4 steps of 3 streams)'
    rolling = POSITIONS['roll_over']()
    for _ in range(3):
        assert len(rolling) == len(list(rolling))
        rolling.reset()
    assert rnn.BucketSentenceIter(SMALL, 100, [4])  # though it has no batch


#: What pickles of iterators and cells name, below mxrnn. Those of users keep these names.
PICKLED = {
    *('_cells.' + name for name in (
        'containers.BidirectionalCell', 'dense.GRUCell', 'dense.LSTMCell', 'modifiers.DropoutCell',
        'modifiers.ResidualCell', 'noise.VariationalDropoutCell', 'noise.ZoneoutCell',
        'normalised.LayerNormLSTMCell', 'variables.RNNParams')),
    *('_data.' + name for name in (
        'bucketed.Column', 'corpus.read_tokens', 'order.Order', 'order._Generators',
        'sentences.BucketSentenceIter', 'sentences.SentencePairIter', 'tokens.Packed')),
    '_graph.graph.Entry', '_graph.graph.Graph', '_graph.graph.Node', 'interop.model.Model',
    '_operator.fuse.FusedUnroll', '_operator.fused_cell.FusedRNNCell'}


@ours
def test_pickles_name_what_those_of_earlier_versions_do(tmp_path):
    rnn.write_tokens(tmp_path / 'corpus', SMALL)
    found = {
        arg.replace(' ', '.') for each in (
            rnn.BucketSentenceIter(SMALL, 2, [4, 9], seed=1),
            rnn.BucketSentenceIter(tmp_path / 'corpus', 2, [4, 9], seed=1),
            rnn.SentencePairIter(SMALL, SMALL, 2, [(9, 9)]), rnn.FusedRNNCell(3, 2),
            rnn.ZoneoutCell(rnn.LSTMCell(3)), rnn.fuse(rnn.LSTMCell(3)),
            rnn.BidirectionalCell(rnn.GRUCell(3, 'l_'), rnn.LayerNormLSTMCell(3, 'r_')),
            rnn.ResidualCell(rnn.DropoutCell(.1)), rnn.VariationalDropoutCell(rnn.LSTMCell(3)),
            interop.Model(interop.graph_from_json(mx.sym.relu(mx.sym.Variable(
                'data')).tojson()), {}, {}))
        for op, arg, _ in pickletools.genops(pickle.dumps(each, protocol=2))
        if op.name == 'GLOBAL' and arg.startswith('mxrnn')}
    assert found == {'mxrnn.' + name for name in PICKLED}


@ours
def test_examples_of_data():
    for module in ('base_iterator', 'corpus', 'sentences', 'stream', 'sentence_encoding'):
        result = doctest.testmod(importlib.import_module('mxrnn._data.' + module))
        assert not result.failed and (result.attempted or module != 'base_iterator')


# differences.md: several workers (each has all sentences, or cuts them by hand)
@pytest.mark.parametrize('last_batch', ['discard', 'pad', 'roll_over'])
@pytest.mark.parametrize('shuffle', [False, True])
@pytest.mark.parametrize('count, batch_size', [(1, 4), (2, 4), (3, 5), (5, 2), (7, 3), (2, 20)])
def test_parts_have_the_same_buckets_and_no_sentence_in_common(count, batch_size, shuffle,
                                                               last_batch):
    parts = in_parts(count, UNIQUE, batch_size, [3, 6, 7, 10], shuffle=shuffle, seed=4,
                     last_batch=last_batch)
    owner = {}
    for _ in range(3):
        batches = [[(batch.bucket_key, rows(batch), batch.pad) for batch in part] for part in parts]
        assert len({tuple(key for key, _, _ in part) for part in batches}) == 1
        handed_out = collections.Counter()
        for i, part in enumerate(batches):
            for _, sentences, pad in part:
                assert len(sentences) == batch_size
                for sentence in sentences[:batch_size - pad]:
                    handed_out[tuple(sentence)] += 1
                    assert owner.setdefault(tuple(sentence), i) == i
                for sentence in sentences[batch_size - pad:]:
                    assert not sentence or owner.setdefault(tuple(sentence), i) == i
        if last_batch == 'pad':
            assert sorted(handed_out.elements()) == sorted(map(tuple, UNIQUE))
            assert parts[0].remainder == 0
        elif last_batch == 'discard':
            assert max(handed_out.values()) == 1
            assert len(UNIQUE) - len(handed_out) == parts[0].remainder
        for part in parts:
            part.reset()
    assert len({(part.remainder, part.discarded, part.truncated) for part in parts}) == 1
    if last_batch == 'roll_over' and batch_size < 10:
        assert len(owner) == len(UNIQUE) - parts[0].remainder


def test_a_part_without_a_sentence_of_a_bucket_gets_padding():
    parts = in_parts(3, [[1], [2], [3, 4]], 2, [1, 2], last_batch='pad', shuffle=False,
                     provide_length=True)
    found = [[(rows(batch), batch.pad, batch.data[1].asnumpy().tolist()) for batch in part]
             for part in parts]
    assert found == [[([[1], [1]], 1, [1, 1]), ([[3, 4], [3, 4]], 1, [2, 2])],
                     [([[2], [2]], 1, [1, 1]), ([[], []], 2, [0, 0])],
                     [([[], []], 2, [0, 0]), ([[], []], 2, [0, 0])]]


# differences.md: several workers (each has all sentences, or cuts them by hand)
@pytest.mark.parametrize('last_batch', ['discard', 'pad'])
def test_parts_of_a_text_are_its_streams(last_batch):
    whole, label, iterator = streams(TEXT, 6, 4, last_batch=last_batch)
    parts = [streams(TEXT, 2, 4, last_batch=last_batch, num_parts=3, part_index=i)
             for i in range(3)]
    assert np.concatenate([part[0] for part in parts]).tolist() == whole.tolist()
    assert np.concatenate([part[1] for part in parts]).tolist() == label.tolist()
    assert {(part.discarded, len(part)) for _, _, part in parts} == {
        (iterator.discarded, len(iterator))}


@pytest.mark.parametrize('layout', ['NT', 'TN', 'NTC', 'TNC'])
@pytest.mark.parametrize('last_batch', ['discard', 'pad'])
@pytest.mark.parametrize('count, batch_size, bptt', [
    (41, 4, 5), (42, 4, 5), (60, 4, 5), (100, 7, 3), (11, 1, 10), (11, 10, 1), (5000, 3, 35)])
def test_streams_go_on(count, batch_size, bptt, last_batch, layout):
    text = np.random.randint(0, 90000, count)
    data, label, iterator = streams(text, batch_size, bptt, layout=layout, last_batch=last_batch,
                                    epochs=2)
    steps = (count - 1) // batch_size
    if last_batch == 'discard':
        steps -= steps % bptt
    assert data.shape[1] == iterator.num_batches * bptt == -(-steps // bptt) * bptt
    assert data[:, :steps].ravel().tolist() == text[:batch_size * steps].tolist()
    assert label[:, :steps].ravel().tolist() == text[1:batch_size * steps + 1].tolist()
    assert (label[:, steps:] == -1).all()
    assert iterator.discarded == count - 1 - batch_size * steps
    assert iterator.provide_data[0].shape == iterator.next().data[0].shape


def test_stream_tells_where_an_epoch_begins():
    for wrap in (lambda iterator: iterator, mx.io.PrefetchingIter):
        iterator = wrap(rnn.StreamIter(range(50), 4, 3))
        for _ in range(2):
            batches = list(iterator)
            assert [batch.index[0] == 0 for batch in batches] == [True, False, False, False]
            if isinstance(iterator, rnn.StreamIter):
                assert [batch.new_epoch for batch in batches] == [True, False, False, False]
            iterator.reset()
    iterator.next()
    iterator.reset()
    assert iterator.next().index.tolist() == [0, 12, 24, 36]


def test_stream_losses_are_logged(caplog):
    caplog.set_level(logging.INFO)
    rnn.StreamIter(range(50), 4, 5)
    rnn.StreamIter(range(42), 4, 5)
    rnn.StreamIter(range(41), 4, 5)
    rnn.StreamIter(range(51), 4, 5, last_batch='pad')
    found = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert [level for level, _ in found] == ['WARNING', 'WARNING', 'INFO', 'WARNING']
    assert [text.split(',')[0] for _, text in found] == [
        '50 tokens: 9 discarded', '42 tokens: 1 discarded', '41 tokens: none is left out',
        '51 tokens: 2 discarded']
    assert ["last_batch='pad' keeps all but 1" in text for _, text in found] == [
        True, False, False, False]  # padding gains nothing in the others


def test_parts_that_would_get_no_batch_are_refused():
    with pytest.raises(ValueError, match='num_parts must leave each part a batch'):
        in_parts(8, UNIQUE, 19, [10])
    assert in_parts(2, UNIQUE, 7, None)[0].buckets == list(range(1, 11))
    with pytest.raises(ValueError, match='give buckets: there are no 16 sentences'):
        in_parts(2, UNIQUE, 8, None)
    with pytest.raises(TypeError, match=r"^buckets must be a list of integers, got '3' \(str\)$"):
        in_parts(2, UNIQUE, 8, '3')
    with pytest.raises(ValueError, match='tokens must be at least .* num_parts=50'):
        rnn.StreamIter(TEXT, 2, 1, num_parts=50)
