"""Shared by the scripts that train: progress, interruption, stores of several workers."""
from __future__ import annotations

import argparse
import contextlib
import logging
import os
import shlex
import shutil
import signal
import sys
import time
from statistics import median
from typing import Any, Iterator

from _common import Table, mx

__all__ = ['QUIET', 'STORES', 'Progress', 'check_store', 'how_to_resume', 'open_store',
           'show_log']

#: The ways to add up gradients, of several GPUs and of several workers.
STORES = ['local', 'device', 'nccl', 'dist_sync', 'dist_device_sync', 'dist_async']

LOG = logging.getLogger('mxrnn.benchmarks')
QUIET = logging.getLogger('mxrnn.benchmarks.fit')  # what fit logs by itself is in the table
QUIET.setLevel(logging.ERROR)

EVERY = 50  # batches, between lines of the log
RATED = 4  # batches after the first that an epoch needs, or its speed is left open


def show_log() -> None:
    """Send the log lines of mxrnn and of these scripts to standard error."""
    logging.basicConfig(format='%(message)s')
    logging.getLogger('mxrnn').setLevel(logging.INFO)


class Bar:
    """A line of a terminal that is written over as training goes on."""

    WIDTH, SECONDS = 10, 0.1  # of the bar; between two of them

    def __init__(self) -> None:
        self._drawn = 0.0

    def draw(self, done: float, before: str, after: str) -> None:
        """Show the bar, of which the part `done` is full, between the two texts."""
        now = time.perf_counter()
        if now - self._drawn >= self.SECONDS:
            self._drawn = now
            full = '#' * round(self.WIDTH * done)
            line = '%s [%s] %s' % (before, full.ljust(self.WIDTH, '.'), after)
            self._write(line[:shutil.get_terminal_size().columns - 1])

    def clear(self) -> None:
        """Leave the line empty, for others to write on."""
        self._write('')

    def _write(self, line: str) -> None:
        sys.stderr.write('\r%s\033[K' % line)  # and clear what was behind it
        sys.stderr.flush()


def terminal_bar() -> Bar | None:
    """A bar where standard error is a terminal that can write over a line."""
    return Bar() if sys.stderr.isatty() and os.environ.get('TERM', 'dumb') != 'dumb' else None


class Progress:
    """Callbacks of fit that print a row for each epoch, and show how far training is.

    That is a bar on a terminal, and a line of the log now and then elsewhere.

    Epochs have the numbers of the checkpoints: the first is 1. `saved` is the last one whose
    checkpoint is complete.
    """

    def __init__(self, table: Table, batch_size: int, batches: int, epochs: int, *first: str,
                 begin: int = 0) -> None:
        self.table = table
        self.batch_size = batch_size
        self.batches = batches
        self.epochs = epochs
        self.first = first
        self.begin = self.saved = begin
        self._began: float | None = None
        self._bar = terminal_bar()
        self._interrupted = False

    def batch_end(self, param: Any) -> None:
        """Start the clock after the first batch; keep the count of those that follow."""
        if param.nbatch == 0:
            mx.nd.waitall()
            self.start = time.perf_counter()
            self._began = self._began or self.start
        self.timed, self.perplexity = param.nbatch, param.eval_metric.get_global()[1]
        if self._bar and param.nbatch:
            done = (param.nbatch + 1) / self.batches
            self._bar.draw(done, ' '.join([*self.first, 'epoch %d of %d' % (
                param.epoch + 1, self.epochs)]), 'perplexity %.1f, %s' % (
                self.perplexity, self._left(param.epoch + done)))
        elif param.nbatch and param.nbatch % EVERY == 0:
            LOG.info('epoch %d of %d, batch %d of %d: %.1f samples per second, perplexity %.3f, %s',
                     param.epoch + 1, self.epochs, param.nbatch, self.batches,
                     self.timed * self.batch_size / (time.perf_counter() - self.start),
                     self.perplexity, self._left(param.epoch + (param.nbatch + 1) / self.batches))
        self.check()

    def epoch_end(self, *_: Any) -> None:
        """Stop the clock, before the checkpoint and the validation."""
        mx.nd.waitall()
        self._clear()
        self.speed: float | str = ''
        if self.timed >= RATED:
            seconds = time.perf_counter() - self.start
            self.speed = round(self.timed * self.batch_size / seconds, 1)

    def after_save(self, epoch: int, *_: Any) -> None:
        """Note that the checkpoint of the epoch is there."""
        self.saved = epoch + 1

    def eval_end(self, param: Any) -> None:
        """Print the row."""
        self.table.add(*self.first, param.epoch + 1, '%.6f' % self.perplexity,
                       '%.6f' % param.eval_metric.get()[1], self.speed)
        if param.epoch + 1 < self.epochs:
            LOG.info('epoch %d of %d is done, %s', param.epoch + 1, self.epochs,
                     self._left(param.epoch + 1))

    def _left(self, done: float) -> str:
        """A rough time to go, after so many epochs."""
        passed = time.perf_counter() - (self._began or 0)
        minutes, seconds = divmod(
            round(passed * (self.epochs - done) / (done - self.begin)), 60)
        return 'about %d min %d s to go' % (minutes, seconds) if minutes else (
            'about %d s to go' % seconds)

    def _clear(self) -> None:
        if self._bar:
            self._bar.clear()

    def check(self, *_: Any) -> None:
        """Raise KeyboardInterrupt if Ctrl-C was pressed within `interruptible`."""
        if self._interrupted:
            raise KeyboardInterrupt

    @contextlib.contextmanager
    def interruptible(self) -> Iterator[None]:
        """Let Ctrl-C wait for the end of the batch; the second one does not wait.

        Python would raise KeyboardInterrupt anywhere, also where arrays are freed, and there it
        is dropped.
        """
        before = signal.getsignal(signal.SIGINT)

        def note(*_: Any) -> None:
            self._interrupted = True
            signal.signal(signal.SIGINT, before)

        if before is not signal.default_int_handler:  # whoever started this ignores Ctrl-C
            yield
            return
        signal.signal(signal.SIGINT, note)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)
            self._clear()

    def speed_line(self) -> str:
        """The median speed, for the end."""
        speeds = [row[-1] for row in self.table.rows if row[-1] != '']
        if not speeds:
            return 'epochs of %d batches are too short for a speed' % self.batches
        return 'median %.1f samples per second' % median(speeds)


def how_to_resume(prefix: str, saved: int, options: argparse.Namespace) -> str:
    """The line that ends an interrupted training."""
    if not saved:
        return 'Interrupted before the first checkpoint was saved.'
    text = 'Interrupted. The last checkpoint is %s-%04d.params; ' % (prefix, saved)
    if options.stock:
        return text + 'mxnet.rnn (--stock) cannot resume from it.'
    if saved == options.epochs:
        return text + 'all epochs are trained.'
    given, skip = [], False
    for argument in sys.argv[1:]:
        if not skip and not argument.startswith(('--resume=', '--checkpoint=')) and (
                argument not in ('--resume', '--checkpoint')):
            given.append(argument)
        skip = argument in ('--resume', '--checkpoint')
    command = ['python', sys.argv[0], *given, '--checkpoint', prefix, '--resume', str(saved)]
    return text + 'to go on: ' + ' '.join(map(shlex.quote, command))


def check_store(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """Refuse a store that this MXNet has not, or that misses what it needs."""
    features = mx.runtime.Features()
    needed = 'NCCL' if options.kv_store == 'nccl' else (
        'DIST_KVSTORE' if 'dist' in options.kv_store else None)
    if needed and not features.is_enabled(needed):
        parser.error('--kv-store must be one that this MXNet is built with (%s is not), got %s'
                     % (needed, options.kv_store))
    if 'dist' in options.kv_store and 'DMLC_ROLE' not in os.environ:
        parser.error('--kv-store %s needs the DMLC_ variables, by which MXNet finds the others: '
                     'see docs/distributed.md' % options.kv_store)


def open_store(options: argparse.Namespace) -> None:
    """Set `store`, what fit is given, and `rank` and `workers` of the options."""
    options.store, options.rank, options.workers = options.kv_store, 0, 1
    if 'dist' in options.kv_store:
        options.store = mx.kv.create(options.kv_store)
        options.rank, options.workers = options.store.rank, options.store.num_workers
