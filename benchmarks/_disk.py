"""Corpora on disk: what `data.py --disk` measures."""
from __future__ import annotations

import argparse
import gc
import itertools
import logging
import os
import random
import shutil
import tempfile
import threading
import time
from typing import Any, Callable, Iterator

import numpy as np
from _common import Table, median, mx

import mxrnn as rnn

__all__ = ['TASKS', 'compare']

SHORTEST, LONGEST, WORDS = 5, 55, 30000  # 30 tokens in the mean
BUCKETS = [15, 25, 35, 45, 55]
BATCHES = 3000  # of an epoch, where speeds are compared


def compare(options: argparse.Namespace, in_a_process: Callable[..., dict[str, float]]) -> None:
    """Write a corpus, measure each thing in a process of its own, print the table."""
    folder = tempfile.mkdtemp(dir=options.folder)
    try:
        whole, part = os.path.join(folder, 'whole'), os.path.join(folder, 'part')
        table = Table('measure', 'unit', 'value')
        found = in_a_process('write', whole, options.sentences)
        table.add('sentences', '', options.sentences)
        table.add('tokens', '', int(found['tokens']))
        table.add('write_tokens', 's', found['seconds'])
        table.add('most memory of write_tokens', 'MB', found['memory'] / 2 ** 20)
        table.add('size of the files', 'MB', found['bytes'] / 2 ** 20)
        found = in_a_process('epoch', whole, options.batch)
        for name in ('construct', 'reset', 'epoch'):
            table.add('%s from disk' % name, 's', found[name])
        for name in ('construct', 'reset', 'epoch'):
            table.add('memory beyond the mapped file up to the end of %s' % name,
                      'bytes a sentence', found[name + '_memory'] / options.sentences)
        in_a_process('write', part, options.fits)
        table.add('sentences that fit into memory', '', options.fits)
        rounds: dict[str, list[dict[str, float]]] = {}
        for i in range(options.rounds):
            for source in ('disk', 'memory', 'mxnet.rnn')[::-1 if i % 2 else 1]:
                rounds.setdefault(source, []).append(
                    in_a_process('speed', part, options.batch, source, options.layout))
        for source in rounds:
            table.add('batches a second of %s' % source, '1/s', median(
                result['batches'] for result in rounds[source]))
        for what, name, fast, slow in (
                ('speed of batches: disk / memory', 'batches', 'memory', 'disk'),
                ('speed of batches: memory / mxnet.rnn', 'batches', 'mxnet.rnn', 'memory'),
                ('speed of batches: disk / mxnet.rnn', 'batches', 'mxnet.rnn', 'disk'),
                ('epoch with its reset: mxnet.rnn / disk', 'epoch', 'disk', 'mxnet.rnn'),
                ('construct: mxnet.rnn / memory', 'construct', 'memory', 'mxnet.rnn'),
                ('construct: mxnet.rnn / disk', 'construct', 'disk', 'mxnet.rnn'),
                ('reset: mxnet.rnn / disk', 'reset', 'disk', 'mxnet.rnn')):
            table.add(what, 'ratio', median(a[name] / b[name] for a, b in
                                            zip(rounds[slow], rounds[fast])))
        if len({result['check'] for found in rounds.values() for result in found}) > 1:
            raise SystemExit('the batches from disk, memory and mxnet.rnn differ')
    finally:
        shutil.rmtree(folder)


def corpus(count: int) -> Iterator[list[int]]:
    """Random sentences, the word of rank r being as frequent as 1 / r."""
    draw = np.random.RandomState(0)
    for first in range(0, count, 10000):
        lengths = draw.randint(SHORTEST, LONGEST + 1, min(10000, count - first))
        ranks = ((WORDS ** draw.random_sample(lengths.sum())).astype(np.int32) - 1).tolist()
        ends = lengths.cumsum().tolist()
        for start, end in zip([0, *ends], ends):
            yield ranks[start:end]


def write(folder: str, count: str) -> dict[str, float]:
    """Write the corpus; seconds, most memory taken, size."""
    with Watch() as watch:
        start = time.perf_counter()
        made = rnn.write_tokens(folder, corpus(int(count)))
        seconds = time.perf_counter() - start
    return {'seconds': seconds, 'memory': watch.most, 'tokens': made.tokens.size,
            'bytes': sum(entry.stat().st_size for entry in os.scandir(folder))}


def epoch(folder: str, batch: str) -> dict[str, float]:
    """Seconds and memory to construct, reset, and read every batch."""
    result = {}
    with Watch() as watch:
        start = time.perf_counter()
        batches = rnn.BucketSentenceIter(folder, int(batch), BUCKETS, seed=1)
        result['construct'], result['construct_memory'] = time.perf_counter() - start, watch.most
        start = time.perf_counter()
        batches.reset()
        result['reset'], result['reset_memory'] = time.perf_counter() - start, watch.most
        start = time.perf_counter()
        for each in batches:
            for array in each.data + each.label:
                array.wait_to_read()
        result['epoch'], result['epoch_memory'] = time.perf_counter() - start, watch.most
    return result


def speed(folder: str, batch: str, source: str, layout: str) -> dict[str, float]:
    """Seconds to construct and reset, batches a second after that; processor time."""
    tokens = rnn.read_tokens(folder)
    for array in (tokens.tokens, tokens.offsets):
        array.max()  # now they are in the system's memory
    sentences: Any = tokens
    make = rnn.BucketSentenceIter
    if source != 'disk':
        sentences = [sentence.tolist() for sentence in tokens]
    if source == 'mxnet.rnn':
        make = mx.rnn.BucketSentenceIter
    result = {}
    random.seed(1)
    np.random.seed(1)
    gc.collect()
    start = time.process_time()
    batches = make(sentences, int(batch), BUCKETS[:], layout=layout)
    mx.nd.waitall()
    result['construct'] = time.process_time() - start
    start = time.process_time()
    batches.reset()
    mx.nd.waitall()
    result['reset'] = time.process_time() - start
    check, done = 0.0, 0
    for each in itertools.islice(batches, 100):
        check += float((each.data[0] * 3 + each.label[0]).sum().asscalar())
    start = time.process_time()
    for each in itertools.islice(batches, BATCHES):
        for array in each.data + each.label:
            array.wait_to_read()
        done += 1
    mx.nd.waitall()
    seconds = time.process_time() - start
    return {**result, 'batches': done / seconds, 'check': check,
            'epoch': result['reset'] + seconds / done * len(batches.idx)}


TASKS = {'write': write, 'epoch': epoch, 'speed': speed}


class Watch:
    """The most memory that the process takes beyond what it took at first and mapped files."""

    def __enter__(self) -> Watch:
        logging.getLogger('mxrnn').setLevel(logging.ERROR)
        gc.collect()
        self._first = self._most = anonymous()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._ended.wait(0.01):
            self._most = max(self._most, anonymous())

    @property
    def most(self) -> int:
        """In bytes, so far."""
        self._most = max(self._most, anonymous())
        return self._most - self._first


def anonymous() -> int:
    """Bytes of memory that this process holds, mapped files not counted."""
    with open('/proc/self/status', encoding='ascii') as lines:
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith('RssAnon'))
