"""StreamIter."""
import logging

import numpy as np
import pytest

from . import differs, mx, rnn
from .iterators import streams


@differs
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


@differs
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


@differs
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
