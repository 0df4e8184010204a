"""Kill processes while they save checkpoints, and look at what is left.

``python -m tests.kill_saves FOLDER ROUNDS`` forks a process that saves without end, kills it with
SIGKILL at a random moment of one of the first saves, loads everything, and does it again. Run as a
process of its own, so that nothing but the main thread is there when it forks.
"""
import os
import random
import re
import shutil
import signal
import sys
import time

import numpy as np

from . import mx, rnn

CELL = rnn.FusedRNNCell(96, 1, 'lstm', prefix='lstm_')
SYMBOL = CELL.unroll(2, mx.sym.Variable('data'), layout='TNC', merge_outputs=True)[0]
SIZE = 4 * 96 * (32 + 96 + 2)


def save(prefix, epoch, value):
    rnn.save_rnn_checkpoint(CELL, prefix, epoch, SYMBOL,
                            {'lstm_parameters': mx.nd.full((SIZE,), value)}, {})


def save_for_ever(prefix, report):
    """Save epochs 1, 2, …, each full of its number, and epoch 1 again after each third."""
    for epoch in range(1, 10 ** 6):
        save(prefix, epoch, epoch)
        os.write(report, b'%d ' % epoch)
        if epoch % 3 == 0:
            save(prefix, 1, epoch)


def kill_one(prefix, saves, seconds):
    """Let a process save some times, and then for some seconds; kill it, and return the last epoch
    that it reported."""
    reading, writing = os.pipe()
    process = os.fork()
    if process == 0:
        try:
            save_for_ever(prefix, writing)
        finally:
            os._exit(1)
    os.close(writing)
    reported, byte = b'', b'-'
    with os.fdopen(reading, 'rb') as reports:
        while byte and reported.count(b' ') < saves:
            byte = reports.read(1)
            reported += byte
        time.sleep(seconds)
        os.kill(process, signal.SIGKILL)
        _, status = os.waitpid(process, 0)
        assert os.WIFSIGNALED(status), 'the process ended by itself'
        reported += reports.read()
    return int((reported.split() or [b'0'])[-1])


def check(prefix, reported):
    """Every checkpoint is whole, and there are those that were reported; returns their number."""
    folder, base = os.path.split(prefix)
    names = [name for name in os.listdir(folder) if not name.startswith('.mxrnn-')]
    epochs = sorted(int(name[-11:-7]) for name in names if name.endswith('.params'))
    assert epochs[:reported] == list(range(1, reported + 1)), (epochs, reported)
    assert len(epochs) <= reported + 1
    assert all(re.fullmatch(base + r'-(\d{4}\.params|symbol\.json)', name) for name in names)
    if not os.path.exists(prefix + '-symbol.json'):  # killed between the first two renames
        assert len(epochs) <= 1
        return 0
    for epoch in epochs:
        loaded = rnn.load_rnn_checkpoint(CELL, prefix, epoch)
        values = np.unique(loaded.arg_params['lstm_parameters'].asnumpy())
        assert len(values) == 1 and (values[0] == epoch or (epoch == 1 and values[0] % 3 == 0))
        assert loaded.symbol.tojson() == SYMBOL.tojson()
    if epochs:
        assert rnn.load_rnn_checkpoint(CELL, prefix).epoch == epochs[-1]
    return len(epochs)


def main(folder, rounds):
    inside = whole = 0
    choose = random.Random(0)
    start = time.time()
    for epoch in range(1, 6):
        save(os.path.join(folder, 'first'), epoch, epoch)
    one = (time.time() - start) / 5
    for i in range(rounds):
        place = os.path.join(folder, str(i))
        os.mkdir(place)
        prefix = os.path.join(place, 'model')
        whole += check(prefix, kill_one(prefix, choose.randrange(6), choose.uniform(0, one)))
        inside += any(name.startswith('.mxrnn-') for name in os.listdir(place))
        save(prefix, 9999, 1)
        assert not [name for name in os.listdir(place) if name.startswith('.')]
        shutil.rmtree(place)
    print('%d processes killed, %d of them in a save; %d checkpoints, all whole'
          % (rounds, inside, whole))


if __name__ == '__main__':
    main(sys.argv[1], int(sys.argv[2]))
