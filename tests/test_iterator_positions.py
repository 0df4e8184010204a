"""Positions of iterators: what a run goes on from."""
import copy
import pickle
import random

import numpy as np
import pytest

from . import differs, mx, rnn
from .iterators import POSITIONS, SMALL, TEXT, each_position, run, seen

pytestmark = differs


# differences.md: position and size of an iterator
@each_position
@pytest.mark.parametrize('seeds', [False, True])
@pytest.mark.parametrize('broken_off', [None, 9])
@pytest.mark.parametrize('done', [0, 7, 13, 40])
def test_going_on_from_a_position(make, done, broken_off, seeds):
    iterator = make()
    run(iterator, done, broken_off, seeds)
    position = pickle.loads(pickle.dumps(iterator.state_dict()))
    generators = random.getstate(), np.random.get_state()
    expected = run(iterator, 60)
    random.seed(100)
    np.random.seed(100)
    other = make()
    run(other, 17)
    before = random.getstate(), np.random.get_state()[1].tolist()
    other.load_state_dict(position)
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before
    assert pickle.dumps(other.state_dict()) == pickle.dumps(position)
    random.setstate(generators[0])  # as a checkpoint does
    np.random.set_state(generators[1])
    assert run(other, 60) == expected


@each_position
def test_a_position_is_of_batches_done_though_more_were_handed_out(make):
    iterator = make()
    run(iterator, 10)
    generators = random.getstate(), np.random.get_state()
    iterator.reset()
    expected = run(iterator, 3)
    position = iterator.state_dict(batches=1)
    random.setstate(generators[0])
    np.random.set_state(generators[1])
    other = make()
    other.load_state_dict(position)
    assert run(other, 2) == expected[1:]
    assert [iterator.state_dict(batches)['batches'] for batches in (0, len(iterator))] == [
        0, len(iterator)]
    for wrong in (-1, len(iterator) + 1):
        with pytest.raises(ValueError, match='batches'):
            iterator.state_dict(batches=wrong)


@each_position
def test_positions_where_the_iterator_is_read_ahead(make):
    random.seed(3)
    np.random.seed(3)
    iterator = make()
    ahead = mx.io.PrefetchingIter(iterator)
    found = [seen(next(ahead)) for _ in range(3)]
    position = iterator.state_dict(batches=2)
    del ahead
    other = make()
    other.load_state_dict(position)
    assert seen(next(mx.io.PrefetchingIter(other))) == found[2]


# differences.md: position and size of an iterator
@pytest.mark.parametrize('make, name', [
    (lambda: rnn.BucketSentenceIter(SMALL, 3, [2, 4], seed=6), 'seed=5'),
    (lambda: rnn.BucketSentenceIter(SMALL, 3, [2, 4]), 'seed=5'),
    (lambda: rnn.BucketSentenceIter(SMALL, 4, [2, 4], seed=5), 'batch_size=3'),
    (lambda: rnn.BucketSentenceIter(SMALL, 3, [3, 4], seed=5), r'buckets=\[2, 4\]'),
    (lambda: rnn.BucketSentenceIter(SMALL, 3, [2, 4], seed=5, shuffle=False), 'shuffle=True'),
    (lambda: rnn.BucketSentenceIter(SMALL, 3, [2, 4], seed=5, last_batch='pad'), 'last_batch='),
    (lambda: rnn.BucketSentenceIter(SMALL[:-4], 3, [2, 4], seed=5), 'same data.*sequences=26'),
    (lambda: rnn.BucketSentenceIter([s[::-1] for s in SMALL], 3, [2, 4], seed=5),
     'same data.*checksum='),
    (lambda: rnn.BucketSentenceIter([s[1:] + s[:1] for s in SMALL[:-1]] + [[250, 252]], 3, [2, 4],
                                    seed=5), 'same data.*checksum='),
    (lambda: rnn.BucketSentenceIter([[i + 0.25 for i in s] for s in SMALL], 3, [2, 4], seed=5),
     'same data.*checksum='),
    (lambda: rnn.StreamIter(TEXT, 3, 4), 'for a StreamIter, but is for a BucketSentenceIter')])
def test_a_position_of_something_else_is_named(make, name):
    position = POSITIONS['seeded']().state_dict()
    iterator = make()
    generators = random.getstate(), np.random.get_state()
    expected = run(copy.deepcopy(iterator), 9)
    with pytest.raises(ValueError, match=name):
        iterator.load_state_dict(position)
    random.setstate(generators[0])
    np.random.set_state(generators[1])
    assert run(iterator, 9) == expected


@each_position
def test_a_position_that_is_none(make):
    iterator = make()
    run(iterator, 2)
    position = iterator.state_dict()
    for wrong, error in ((None, TypeError), ([], TypeError), ({}, ValueError),
                         ({**position, 'batches': 99}, ValueError),
                         ({**position, 'batches': -1}, ValueError),
                         ({**position, 'batches': 1.5}, TypeError),
                         ({**position, 'settings': None}, TypeError),
                         ({**position, 'data': {}}, ValueError)):
        with pytest.raises(error, match='state'):
            iterator.load_state_dict(wrong)
    if position['epochs']:
        for epochs in (None, [], [3], [{}], [{'ended': False, 'generators': {'python': [1]}}],
                       [{'ended': True, 'generators': {'python': [1], 'numpy': [1, 2]}}],
                       *([{'ended': True, 'generators': {
                           'python': random.getstate()[1], 'numpy': [*[1] * 624, at]}}]
                         for at in (625, -1, 4 * 10 ** 9, 2 ** 70))):
            with pytest.raises(ValueError, match='state'):
                iterator.load_state_dict({**position, 'epochs': epochs})
    assert pickle.dumps(iterator.state_dict()) == pickle.dumps(position)


def test_shared_generators_that_cannot_be_stored():
    before = np.random.get_bit_generator() if hasattr(np.random, 'get_bit_generator') else None
    if before is None:
        pytest.skip('this NumPy has one shared generator')
    np.random.set_bit_generator(np.random.PCG64(1))
    try:
        iterator = rnn.BucketSentenceIter(SMALL, 3, [2, 4])
        assert len(run(iterator, 20)) == 20
        with pytest.raises(RuntimeError, match='seed'):
            iterator.state_dict()
        assert rnn.BucketSentenceIter(SMALL, 3, [2, 4], seed=1).state_dict()['batches'] == 0
    finally:
        np.random.set_bit_generator(before)


def test_a_subclass_has_the_positions_of_its_class():
    class Renamed(rnn.BucketSentenceIter):
        pass

    renamed = Renamed(SMALL, 3, [2, 4], seed=5)
    position = POSITIONS['seeded']().state_dict()
    renamed.load_state_dict(position)
    assert renamed.state_dict() == position
    original = POSITIONS['seeded']()
    original.load_state_dict(renamed.state_dict())
    assert run(original, 5) == run(renamed, 5)
