"""Kill and stop processes of a distributed training that starts itself again; compare its end.

``python -m tests.kill_workers FOLDER KILLS [loop|torchrun]``, as root, follows docs/distributed.md:
`train.py` and one of the recipes, on two hosts that are network namespaces. While it trains, at a
random time, a worker, the server or the scheduler gets SIGKILL, or under torchrun SIGSTOP in half
of the cases. The script notes after how many seconds the others have ended, and after how many a
new checkpoint is written. When a training has come to its end, the sum of its weights must be that
of one that was left alone. Then the next one begins, until there were enough kills.

A line of CSV for each kill goes to the standard output, and a summary at the end.

``python -m tests.kill_workers FOLDER SECONDS calm`` kills nobody: it looks for false alarms while
ten times as many processes as processors compute, each host sends 1 Mbit/s at most, and one worker
is busy with something else for 30 seconds now and then, as with an evaluation.
"""
from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from .test_hosts import (
    FIRST_HOST,
    RECIPES,
    ROOT,
    SECOND_HOST,
    TRAIN,
    _hosts,
    processes,
    results,
    training,
)

EPOCHS = 120
TRAIN_LONG = TRAIN.replace('num_epoch=6', 'num_epoch=%d' % EPOCHS)


def newest(folder: Path) -> float:
    """Return when the last checkpoint was written, 0 if there is none."""
    times = [0.0]
    for path in folder.glob('checkpoints/lm-*.params'):
        try:
            times.append(path.stat().st_mtime)
        except FileNotFoundError:
            pass
    return max(times)


class Run:
    """A training on two hosts, from its first start to its end."""

    def __init__(self, hosts, folder: Path, recipes: list[str], text: str = TRAIN_LONG) -> None:
        self.folder = folder
        environment = training(folder)
        (folder / 'bin' / 'spy.py').write_text(
            'import runpy, sys\nsys.path[:0] = [%r, "."]\nsys.argv = sys.argv[1:]\n'
            'runpy.run_path(sys.argv[0], run_name="__main__")\n' % str(ROOT),
            encoding='utf-8')
        (folder / 'train.py').write_text(text, encoding='utf-8')
        environment['PATH'] += ':' + os.path.dirname(sys.executable)
        self.started = []
        for host, recipe in enumerate(recipes):
            with open(folder / ('printed-%d' % host), 'w', encoding='utf-8') as output:
                self.started.append(hosts.start(
                    host, ['bash', '-c', 'exec > %s 2>&1\n%s' % (output.name, recipe)],
                    cwd=str(folder), env=environment))

    def ended(self) -> bool:
        return all(process.poll() is not None for process in self.started)

    def at_work_since(self, moment: float, seconds: float) -> bool:
        """Wait until a checkpoint is written after a moment; False if the training has ended."""
        until = time.time() + seconds
        while newest(self.folder) <= moment:
            if self.ended():
                return False
            assert time.time() < until, self.printed()
            time.sleep(0.1)
        return True

    def printed(self) -> str:
        return ''.join((self.folder / ('printed-%d' % host)).read_text(encoding='utf-8')
                       for host in range(len(self.started)))


BUSY = """
import time

def evaluate(param, until=[time.time() + 30]):
    if store.rank == 1 and time.time() > until[0]:
        until[0] = time.time() + 30
        while time.time() < until[0]:
            pass
        until[0] += 30

module.fit("""


def calm(folder: str, seconds: int) -> None:
    """Watch a training that nothing happens to; it must not end."""
    spinning = [subprocess.Popen(['sh', '-c', 'while :; do :; done'])
                for _ in range(10 * (os.cpu_count() or 1))]
    try:
        with _hosts.Hosts(2) as hosts:
            for host in range(2):
                hosts.limit(host, '1mbit')
            text = TRAIN.replace('num_epoch=6', 'num_epoch=1000000').replace('module.fit(', BUSY)
            text = text.replace('batch_end_callback=save', 'batch_end_callback=[save, evaluate]')
            run = Run(hosts, Path(folder).resolve() / 'calm', [FIRST_HOST, SECOND_HOST],
                      text)
            start = time.time()
            assert run.at_work_since(start, 600), run.printed()
            print('# at work after %.0f s' % (time.time() - start), flush=True)
            start = last = time.time()
            longest = 0.0
            while time.time() < start + seconds:
                before = newest(run.folder)
                there = sorted(processes(run.folder).values())
                assert there == ['scheduler', 'server', 'worker', 'worker'], run.printed()
                time.sleep(5)
                if newest(run.folder) > before:
                    last = time.time()
                longest = max(longest, time.time() - last)
            names = sorted(path.name for path in run.folder.glob('checkpoints/*.params'))
            print('# %.0f s at a load of %.0f, up to %.0f s between two checkpoints, the last one '
                  '%s: no alarm' % (time.time() - start, os.getloadavg()[1], longest, names[-1]))
    finally:
        for process in spinning:
            process.kill()


def main(folder: str, wanted: int, kind: str) -> None:
    choose = random.Random(os.getpid())
    place = Path(folder).resolve() / kind
    rows: list[tuple[str, str, float, float]] = []
    rounds = 0
    with _hosts.Hosts(2) as hosts:
        run = Run(hosts, place / 'whole', RECIPES[kind])
        while not run.ended():
            time.sleep(0.2)
        expected = results(run.printed())[0]
        assert len(expected) == 2 and expected[0] == expected[1], run.printed()
        print('# an undisturbed run ends with %s' % expected[0], flush=True)
        print('role,signal,others_ended_s,goes_on_s', flush=True)
        while len(rows) < wanted:
            run = Run(hosts, place / 'round', RECIPES[kind])
            rounds += 1
            moment = 0.0
            while run.at_work_since(moment, 900):
                time.sleep(choose.uniform(0, 5))
                there = processes(run.folder)
                if sorted(there.values()) != ['scheduler', 'server', 'worker', 'worker']:
                    moment = time.time()  # it is about to end
                    continue
                victim = choose.choice(sorted(there))
                stops = kind == 'torchrun' and choose.random() < 0.5
                killed = time.time()
                os.kill(victim, signal.SIGSTOP if stops else signal.SIGKILL)
                while set(processes(run.folder)) & set(there) - {victim}:
                    assert time.time() < killed + 120, run.printed()
                    time.sleep(0.05)
                moment = time.time()
                ended = moment - killed
                if not run.at_work_since(moment, 900):
                    break
                rows.append((there[victim], 'SIGSTOP' if stops else 'SIGKILL', ended,
                             time.time() - killed))
                print('%s,%s,%.1f,%.1f' % rows[-1], flush=True)
            assert [process.returncode for process in run.started] == [0, 0], run.printed()
            sums = results(run.printed())[0]
            assert set(sums) == set(expected), (sums, expected)
            assert not processes(run.folder), 'processes are left'
            shutil.rmtree(run.folder)
    print('# %d trainings, all equal; no process left' % rounds)
    for name in ('SIGKILL', 'SIGSTOP'):
        found = [row for row in rows if row[1] == name]
        if found:
            print('# %d of %s: the others ended after at most %.1f s (median %.1f), training went '
                  'on after at most %.1f s (median %.1f)' % (
                      len(found), name, *(value for at in (2, 3) for value in (
                          max(row[at] for row in found),
                          sorted(row[at] for row in found)[len(found) // 2]))))


if __name__ == '__main__':
    KIND = (sys.argv[3:] or ['loop'])[0]
    if KIND == 'calm':
        calm(sys.argv[1], int(sys.argv[2]))
    else:
        main(sys.argv[1], int(sys.argv[2]), KIND)
