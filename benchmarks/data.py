"""Time and memory of encode_sentences and BucketSentenceIter, against mxnet.rnn's.

A million sentences of 5 to 60 words, of a vocabulary with Zipf's frequencies. Every round runs each
library in a fresh process, so that its memory can be told apart; figures are medians over the
rounds. Seconds are of processor time: all of it is work for one thread. Both libraries must encode
the same and, for equal seeds, hand out the same batches, or the script stops.

    python benchmarks/data.py
    python benchmarks/data.py --sentences 100000 --batch 32 --layout TN
    python benchmarks/data.py --disk --sentences 33000000   # a billion tokens

With --disk, a corpus is written to a temporary folder (2.3 GB for a billion tokens) and read from
there: the memory that is taken beyond the mapped files, and the speed against the same sentences in
memory and against mxnet.rnn, at a size that fits (--fits). It needs Linux.

If torch is installed, the last column is a Dataset of tensors with a shuffling DataLoader whose
collate_fn pads data and labels: what one writes there, not the same thing, since it has no buckets.
"""
from __future__ import annotations

import argparse
import contextlib
import gc
import importlib
import importlib.util
import json
import logging
import os
import random
import subprocess
import sys
import time
from typing import Any, Iterator

import numpy as np
from _common import Table, configuration, figure, median, mx, parse, parser, run, threads
from _disk import TASKS, compare
from _options import positive

SHORTEST, LONGEST, WORDS = 5, 60, 30000
BUCKETS = [10, 20, 30, 40, 50, 60]
UNITS = {'encode': 's', 'construct': 's', 'reset': 's', 'epoch': 's', 'resident': 'MB'}


def main() -> None:
    options = arguments()
    logging.getLogger('mxrnn').setLevel(logging.ERROR)  # what fills no batch is no news here
    if options.measure:
        task, *rest = options.measure
        print(json.dumps(TASKS[task](*rest) if task in TASKS else
                         {'encode': encode, 'iterate': iterate}[task](*rest, options)))
        return
    if options.disk:
        configuration(batch=options.batch, layout=options.layout, rounds=options.rounds)
        compare(options, in_a_process)
        return
    torch = importlib.util.find_spec('torch') is not None
    configuration(sentences=options.sentences, words=WORDS, batch=options.batch,
                  layout=options.layout, buckets=BUCKETS, rounds=options.rounds,
                  torch=subprocess_version('torch') if torch else 'not installed')
    libraries = ['mxnet.rnn', 'mxrnn'] + ['torch'] * torch
    found: dict[str, list[dict[str, float]]] = {library: [] for library in libraries}
    for i in range(options.rounds):
        for library in libraries[::-1 if i % 2 else 1]:
            results = {}
            for task in ('encode', 'iterate') if library != 'torch' else ('iterate',):
                results.update(in_a_process(task, library))
            found[library].append(results)
    for check in ('encode_check', 'iterate_check'):
        checks = {results[check] for library in libraries[:2] for results in found[library]}
        if len(checks) > 1:
            raise SystemExit('mxrnn and mxnet.rnn differ in %s' % check)

    table = Table('measure', 'unit', 'mxnet.rnn', 'mxrnn', 'ratio', 'torch')
    for measure, unit in UNITS.items():
        stock, ours = ([results[measure] for results in found[library]]
                       for library in libraries[:2])
        others = [results[measure] for results in found.get('torch', ()) if measure in results]
        table.add(measure, unit, median(stock), median(ours),
                  median(a / b for a, b in zip(stock, ours)), median(others) if others else '')
    if options.plot:
        with figure(options, 'Encoding and iterating', '', 'mxnet.rnn / mxrnn',
                    ratio=True) as axes:
            axes.bar([row[0] for row in table.rows], [row[4] - 1 for row in table.rows],
                     bottom=1, label='times as much as mxrnn takes')


def arguments() -> argparse.Namespace:
    options = parser(__doc__, ctx=False)
    options.add_argument('--sentences', type=positive, default=1000000,
                         help='how many (default: %(default)s)')
    options.add_argument('--batch', type=positive, default=64,
                         help='sentences in a batch (default: %(default)s)')
    options.add_argument('--layout', choices=['NT', 'TN'], default='NT',
                         help='of the batches (default: %(default)s)')
    options.add_argument('--rounds', type=positive, default=3,
                         help='processes of each library (default: %(default)s)')
    options.add_argument('--disk', action='store_true', help='measure corpora on disk instead')
    options.add_argument('--fits', type=positive, default=1000000,
                         help='sentences to compare disk, memory and mxnet.rnn with '
                              '(default: %(default)s)')
    options.add_argument('--folder', metavar='FOLDER', help='where the corpus is '
                         'written for a while (default: a temporary one)')
    options.add_argument('--measure', nargs='+', help=argparse.SUPPRESS)  # in its own process
    result = parse(options)
    if result.quick:
        result.sentences, result.fits, result.rounds = 20000, 20000, 1
    if min(result.sentences, result.fits) < len(BUCKETS):
        options.error('--sentences and --fits must be at least %d, got %d and %d'
                      % (len(BUCKETS), result.sentences, result.fits))
    if result.folder and not os.access(result.folder, os.W_OK | os.X_OK):
        options.error('--folder must be a folder that can be written, got ' + result.folder)
    return result


def in_a_process(task: str, *arguments: Any) -> dict[str, float]:
    """Measure one task (and library) alone, in a process of its own."""
    output = subprocess.run([sys.executable, *sys.argv, '--measure', task, *map(str, arguments)],
                            check=True, stdout=subprocess.PIPE, text=True).stdout
    return json.loads(output.splitlines()[-1])


def subprocess_version(module: str) -> str:
    """A library's version, without importing it here."""
    return subprocess.run([sys.executable, '-c', 'import %s as m; print(m.__version__)' % module],
                          check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


# ---- what is measured

def encode(library: str, options: argparse.Namespace) -> dict[str, float]:
    """Seconds to build a vocabulary and encode all sentences."""
    words = sentences(options.sentences, ['w%d' % i for i in range(WORDS)])
    with clock() as result:
        encoded, vocab = importlib.import_module(library).encode_sentences(words)
    return {'encode': result[0], 'encode_check': sum(map(sum, encoded)) + len(vocab)}


def iterate(library: str, options: argparse.Namespace) -> dict[str, float]:
    """Seconds to construct an iterator, to reset it, and for an epoch; its resident memory."""
    ids = sentences(options.sentences, list(range(WORDS)))
    make = torch_loader() if library == 'torch' else importlib.import_module(
        library).BucketSentenceIter
    random.seed(1)
    np.random.seed(1)
    gc.collect()
    before = resident()
    with clock() as construct:
        batches = make(ids, options.batch, BUCKETS[:], layout=options.layout)
    gc.collect()
    result = {'construct': construct[0], 'resident': resident() - before}
    if library == 'torch':
        with clock() as epoch:
            for _ in batches:
                pass
        return {**result, 'epoch': epoch[0]}
    with clock() as reset:
        batches.reset()
    check = 0.0
    with clock() as epoch:
        for batch in batches:
            for array in batch.data + batch.label:
                array.wait_to_read()
    random.seed(2)
    np.random.seed(2)
    batches.reset()
    for _, batch in zip(range(200), batches):
        data, label = batch.data[0].asnumpy(), batch.label[0].asnumpy()
        check += float((data * (1 + np.arange(data.size).reshape(data.shape)) - label).sum())
    return {**result, 'reset': reset[0], 'epoch': reset[0] + epoch[0], 'iterate_check': check}


def torch_loader() -> Any:
    """Return a maker of DataLoaders of data and labels, padded to the longest of a batch."""
    import torch
    from torch.nn.utils.rnn import pad_sequence
    from torch.utils.data import DataLoader, Dataset
    torch.set_num_threads(threads())

    class Sentences(Dataset):
        def __init__(self, ids: list[list[int]]) -> None:
            self.tensors = [torch.tensor(sentence) for sentence in ids]

        def __len__(self) -> int:
            return len(self.tensors)

        def __getitem__(self, i: int) -> Any:
            return self.tensors[i]

    def collate(tensors: list[Any]) -> tuple[Any, Any]:
        padded = pad_sequence(tensors, batch_first=True, padding_value=-1)
        return padded, torch.nn.functional.pad(padded[:, 1:], (0, 1), value=-1)

    def make(ids: list[list[int]], batch: int, buckets: list[int], layout: str) -> Any:
        return DataLoader(Sentences(ids), batch, shuffle=True, collate_fn=collate, drop_last=True)

    return make


# ---- what the measurements share

def sentences(count: int, words: list[Any]) -> list[list[Any]]:
    """Random sentences of these words, the word of rank r being as frequent as 1 / r."""
    draw = np.random.RandomState(0)
    ends = draw.randint(SHORTEST, LONGEST + 1, count).cumsum()
    ranks = (len(words) ** draw.random_sample(ends[-1])).astype(np.int32) - 1
    return [list(map(words.__getitem__, sentence.tolist()))
            for sentence in np.split(ranks, ends[:-1])]


@contextlib.contextmanager
def clock() -> Iterator[list[float]]:
    """The processor's seconds for a block, work left to MXNet's engine included."""
    seconds: list[float] = []
    gc.collect()
    mx.nd.waitall()
    start = time.process_time()
    yield seconds
    mx.nd.waitall()
    seconds.append(time.process_time() - start)


def resident() -> float:
    """Megabytes of memory that this process holds."""
    try:
        with open('/proc/self/status', encoding='ascii') as lines:
            return next(int(line.split()[1]) / 1024 for line in lines if line.startswith('VmRSS'))
    except OSError:
        return float('nan')  # not Linux


if __name__ == '__main__':
    run(main)
