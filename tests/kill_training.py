"""Kill processes while they train, let others go on, and compare the end with that of one run.

``python -m tests.kill_training FOLDER KILLS`` forks processes that train with a save after every
other batch. Each is killed with SIGKILL at a random batch, before or after its save, or after a
random time; the next one goes on from what is there. When a training has come to its end, its
parameters have to be those of a training that was never killed. Then it begins anew, with other
data, until there were enough kills, and enough of them within an epoch.
"""
from __future__ import annotations

import os
import random
import shutil
import signal
import sys
import threading
import time

import numpy as np

from . import rnn
from .test_position import KINDS

EPOCHS = 3


def train(kind: str, folder: str, kill: tuple | None) -> None:
    """Go on with a training to its end, and write its parameters."""
    training = KINDS[kind](seed=1)
    prefix = os.path.join(folder, 'model')
    loaded = None
    if any(name.endswith('.params') for name in os.listdir(folder)):
        loaded = rnn.load_rnn_checkpoint(training.cell, prefix, module=training.module,
                                         data=training.data)
    save = rnn.do_rnn_checkpoint(training.cell, prefix, module=training.module, data=training.data,
                                 batches=2)
    left = [kill[1] if kill and kill[0] != 'time' else -1]

    def die(*_):
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    if kill and kill[0] == 'time':
        timer = threading.Timer(kill[1], os.kill, (os.getpid(), signal.SIGKILL))
        timer.daemon = True
        timer.start()
    if kill and kill[0] == 'before':
        training.before = (*training.before, die)
    after = [die] if kill and kill[0] == 'after' else []
    if loaded is None or loaded.epoch < EPOCHS:
        params = training.fit(save, loaded, EPOCHS, after)
    else:
        params = loaded.arg_params, loaded.aux_params
    values = {name: array.asnumpy() for part in params for name, array in part.items()}
    np.savez(os.path.join(folder, 'end.npz'), **values)


def run(kind: str, folder: str, kill: tuple | None) -> bool:
    """Train in a process of its own; returns whether it was killed."""
    process = os.fork()
    if process == 0:
        try:
            train(kind, folder, kill)
            os._exit(0)
        finally:
            os._exit(1)
    _, status = os.waitpid(process, 0)
    assert os.WIFSIGNALED(status) or status == 0, 'a process failed by itself'
    return os.WIFSIGNALED(status)


def main(folder: str, wanted: int) -> None:
    choose = random.Random(0)
    expected = {}
    for kind in sorted(KINDS):
        place = os.path.join(folder, kind)
        os.mkdir(place)
        assert not run(kind, place, None)
        expected[kind] = dict(np.load(os.path.join(place, 'end.npz')))
    kills = within = rounds = 0
    while kills < wanted or within <= wanted / 5:
        kind = sorted(KINDS)[rounds % len(KINDS)]
        rounds += 1
        place = os.path.join(folder, 'round')
        os.mkdir(place)
        killed = True
        while killed:
            within += any('.batch-' in name for name in os.listdir(place))
            how = choose.choice(['before', 'after', 'time'])
            killed = run(kind, place, (how, choose.uniform(0.05, 0.6) if how == 'time'
                                       else choose.randint(1, 12)))
            kills += killed
        found = dict(np.load(os.path.join(place, 'end.npz')))
        assert sorted(found) == sorted(expected[kind])
        for name, value in found.items():
            assert np.array_equal(value, expected[kind][name]), (kind, name)
        shutil.rmtree(place)
    print('%d trainings, %d kills, %d resumed within an epoch; all equal' % (rounds, kills, within))


if __name__ == '__main__':
    start = time.time()
    main(sys.argv[1], int(sys.argv[2]))
    print('%.0f s' % (time.time() - start))
