"""The page about several machines, followed to the letter on hosts that are network namespaces."""
from __future__ import annotations

import ast
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from .trainings import HANGS

ROOT = Path(__file__).resolve().parent.parent
SPEC = importlib.util.spec_from_file_location('_hosts', ROOT / 'benchmarks' / '_hosts.py')
_hosts = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(_hosts)
on_hosts = pytest.mark.skipif(bool(_hosts.why_not()), reason=_hosts.why_not() or 'never')
PAGE = (ROOT / 'docs' / 'distributed.md').read_text(encoding='utf-8')
BASH = re.findall(r'^```bash\n(.*?)^```', PAGE, re.MULTILINE | re.DOTALL)
FIRST_HOST, SECOND_HOST, AGAIN, FIRST_AGAIN, SECOND_AGAIN, *TORCHRUN, ROLES = BASH
MPIRUN, SLURM = re.findall(r'^```sh\n(.*?)^```', PAGE, re.MULTILINE | re.DOTALL)
PREPARE, TRAIN = re.findall(r'^```python\n(.*?)^```', PAGE, re.MULTILINE | re.DOTALL)

#: Run by `python` on the hosts: the script that it is given. When it is done, it says which
#: sentences it was given in each epoch. Where there is a file `hold`, it stays in the third epoch.
SPY = '''
import os, runpy, sys, time
sys.path.insert(0, {root!r})
from mxrnn import mx
import mxrnn as rnn

seen = [[]]
hand_out, begin = rnn.BucketSentenceIter.next, rnn.BucketSentenceIter.reset

def next_batch(self):
    batch = hand_out(self)
    seen[-1] += [[int(i) for i in row if i] for row in batch.data[0].asnumpy().T]
    while sum(map(bool, seen)) == 3 and len(seen[-1]) == 13 * 8 and os.path.exists('hold'):
        time.sleep(0.05)
    return batch

def reset(self):
    seen.append([])
    begin(self)

rnn.BucketSentenceIter.next, rnn.BucketSentenceIter.reset = next_batch, reset
runpy.run_path(sys.argv[1], run_name='__main__')
print('seen', [epoch for epoch in seen if epoch])
'''


def training(folder: Path) -> dict[str, str]:
    """Put the page's scripts into a folder; return the environment to run them in."""
    (folder / 'bin').mkdir(parents=True)
    (folder / 'bin' / 'spy.py').write_text(SPY.format(root=str(ROOT)), encoding='utf-8')
    python = folder / 'bin' / 'python'
    python.write_text('#!/bin/sh\nexec %s %s "$@"\n' % (sys.executable, folder / 'bin' / 'spy.py'),
                      encoding='utf-8')
    python.chmod(0o755)
    for name, text in (('prepare.py', PREPARE), ('train.py', TRAIN), ('roles.sh', ROLES)):
        (folder / name).write_text(text, encoding='utf-8')
    environment = dict(os.environ, OMP_NUM_THREADS='1', MXNET_SUBGRAPH_VERBOSE='0',
                       PATH='%s:%s' % (folder / 'bin', os.environ['PATH']),
                       PS_HEARTBEAT_TIMEOUT='4')
    subprocess.run(['python', 'prepare.py'], cwd=str(folder), env=environment, check=True,
                   stdout=subprocess.PIPE)
    return environment


def wait_for_batch_10(folder: Path) -> None:
    """Wait until both workers have saved in the middle of the third epoch."""
    until = time.monotonic() + HANGS
    while len(list(folder.glob('checkpoints/lm-0002.batch-0010.p*'))) < 3:
        assert time.monotonic() < until
        time.sleep(0.01)


def processes(folder: Path) -> dict[int, str]:
    """Return the roles of the processes that train in a folder and have not ended."""
    found = {}
    for entry in os.listdir('/proc'):
        try:
            if os.readlink('/proc/%s/cwd' % entry) == str(folder):
                command = Path('/proc/%s/cmdline' % entry).read_bytes()
                environment = Path('/proc/%s/environ' % entry).read_bytes().split(b'\0')
                role = [each[10:].decode() for each in environment if each[:10] == b'DMLC_ROLE=']
                if role and b'train.py' in command and b'bash' not in command:
                    found[int(entry)] = role[0]
        except OSError:
            pass
    return found


def results(printed: str) -> tuple[list[str], list[list[list[list[int]]]]]:
    """The sums of weights in what workers printed, and the sentences that each saw by epoch."""
    return (re.findall('^worker . of 2: the weights add up to (.*)', printed, re.MULTILINE),
            [ast.literal_eval(line) for line in re.findall(r'^seen (\[\[.*)', printed,
                                                          re.MULTILINE)])


#: Stands in for srun: starts the processes on the hosts in turn, and ends all when one fails.
SRUN = '''#!{python}
import os, signal, subprocess, sys, time
started = [subprocess.Popen(
    ['ip', 'netns', 'exec', {names!r}[rank % 2], *sys.argv[3:]], start_new_session=True,
    env=dict(os.environ, SLURM_PROCID=str(rank))) for rank in range(4)]
assert sys.argv[1:3] == ['--kill-on-bad-exit=1', '--distribution=cyclic']
while None in [process.poll() for process in started] and not any(
        process.poll() for process in started):
    time.sleep(0.1)
for process in started:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
statuses = [process.wait() for process in started]
sys.exit(max(status if status >= 0 else 128 - status for status in statuses))
'''

#: Stands in for scontrol: the job is run again if it is told to.
SCONTROL = '''#!/bin/sh
case $1 in show) echo 10.0.0.1;; requeue) echo "$2" > requeued;; esac
'''

#: Stands in for the queue.
QUEUE = '''
export SLURM_JOB_ID=7 SLURM_JOB_NODELIST=host-[1-2] SLURM_RESTART_COUNT=0
while bash job.sh; [ -e requeued ]; do
    rm requeued
    SLURM_RESTART_COUNT=$((SLURM_RESTART_COUNT + 1))
    echo queued again
done
'''

#: Stands in for ssh: mpirun starts its helper on another host by it.
SSH = '''#!/bin/sh
host=$1
shift
case $host in 10.0.0.1) name={names[0]};; *) name={names[1]};; esac
exec ip netns exec $name sh -c "$*"
'''

SHARED = FIRST_HOST.split('DMLC_ROLE=')[0] + AGAIN
RECIPES = {'loop': [SHARED + FIRST_AGAIN, SHARED + SECOND_AGAIN], 'torchrun': TORCHRUN,
           'mpirun': [AGAIN + MPIRUN], 'Slurm': [QUEUE]}
NEEDS = {'torchrun': 'torchrun', 'mpirun': 'mpirun'}


def write(path: Path, text: str) -> None:
    path.write_text(text, encoding='utf-8')
    path.chmod(0o755)


@pytest.mark.nightly
@on_hosts
@pytest.mark.parametrize('recipe', RECIPES)
def test_recipes_start_again_what_was_killed(recipe, tmp_path) -> None:
    tools = os.pathsep.join([os.environ['PATH'], os.path.dirname(sys.executable)])
    if shutil.which(NEEDS.get(recipe, 'sh'), path=tools) is None:
        pytest.skip('there is no %s' % NEEDS[recipe])
    environment = training(tmp_path)
    environment.update(PATH='%s:%s' % (tmp_path / 'bin', tools), OMPI_ALLOW_RUN_AS_ROOT='1',
                       OMPI_ALLOW_RUN_AS_ROOT_CONFIRM='1',
                       PRTE_MCA_plm_ssh_agent=str(tmp_path / 'bin' / 'agent'))
    with _hosts.Hosts(2) as hosts:
        write(tmp_path / 'bin' / 'srun', SRUN.format(python=sys.executable, names=hosts._names[:2]))
        write(tmp_path / 'bin' / 'scontrol', SCONTROL)
        write(tmp_path / 'bin' / 'agent', SSH.format(names=hosts._names))
        write(tmp_path / 'job.sh', SLURM)
        hold = tmp_path / 'hold'
        hold.touch()
        started = [hosts.start(host, ['bash', '-c', commands], cwd=str(tmp_path), env=environment)
                   for host, commands in enumerate(RECIPES[recipe])]
        wait_for_batch_10(tmp_path)
        os.kill(next(pid for pid, role in processes(tmp_path).items() if role == 'worker'),
                signal.SIGKILL)
        hold.unlink()
        printed = ''.join(process.communicate()[0] for process in started)
        assert [process.returncode for process in started] == [0] * len(started), printed
        assert not processes(tmp_path)
    sums, seen = results(printed)
    assert len(sums) == 2 and sums[0] == sums[1], printed
    assert [len(worker) for worker in seen] == [4, 4]  # the rest of the third epoch, and three
