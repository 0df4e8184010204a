"""A process of a distributed training dies or hangs, and all others end to be started again."""
from __future__ import annotations

import json
import re
import signal
import socket
import time
import types

import pytest

from mxrnn._runtime import heartbeat_watch

from . import mx, trainings
from .processes import python

PROGRAM = '''
import sys, time
import mxrnn
from mxrnn import mx

kind, steps, then = sys.argv[1:]
print('imported', flush=True)
store = mx.kv.create(kind)
gradient, weight = mx.nd.ones(4), mx.nd.zeros(4)
store.init('weight', weight)
if '_async' in kind:
    store.set_optimizer(mx.optimizer.SGD(rescale_grad=1))
for step in range(int(steps)):
    store.push('weight', gradient)
    store.pull('weight', weight)
    weight.wait_to_read()
    if step == 20:  # by now all have told the scheduler their rank
        print('at work', store.rank, flush=True)
    time.sleep(0.1)
exec(then)
print('done', store.rank, flush=True)
'''


def training(folder, kind='dist_sync', steps=10000, then='', **environment):
    return trainings.Training(folder, PROGRAM, kind, str(steps), then,
                              **{'PS_HEARTBEAT_TIMEOUT': '3', **environment})




# differences.md: a worker, server or scheduler dies, hangs or fails (the others wait for ever)
@pytest.mark.parametrize('number, how', [
    (0, signal.SIGKILL), *(pytest.param(*each, marks=pytest.mark.nightly) for each in [
        (1, signal.SIGSTOP), (2, signal.SIGSTOP), (3, signal.SIGKILL)])])
def test_all_end_when_one_is_gone_and_name_it(number, how, tmp_path):
    with training(tmp_path).at_work() as run:
        run.processes[number].send_signal(how)
        others = [other for other in range(4) if other != number]
        run.wait(lambda: run.ended(*others))
        role = trainings.ROLES[number]
        for other in others:
            assert run.processes[other].returncode == 75
            lines = run.printed(other).splitlines()
            said = re.fullmatch(r'mxrnn: (.*) (?:is|are) gone, so this (.*) ends and can be '
                                r'started again \(status 75\)', lines[-1])
            assert said and said.group(2) == trainings.ROLES[other]
            assert not any('gone' in line for line in lines[:-1])
            if role == 'scheduler':
                assert said.group(1) == 'the scheduler (127.0.0.1:%s)' % (
                    run.environment['DMLC_PS_ROOT_PORT'])
            else:
                assert re.fullmatch(r'%s \d \(127\.0\.0\.1, process %d\)' % (
                    role, run.processes[number].pid), said.group(1))


# differences.md: a worker, server or scheduler dies, hangs or fails (the others wait for ever)
@pytest.mark.nightly
@pytest.mark.parametrize('options', [dict(kind='dist_async'), dict(PS_HEARTBEAT_INTERVAL='0')])
def test_nobody_ends_where_that_is_not_wanted(options, tmp_path):
    with training(tmp_path, **options).at_work() as run:
        run.processes[3].kill()
        time.sleep(9)  # where it is wanted, they end after 5
        assert run.statuses() == [None, None, None, -signal.SIGKILL]


FAILING = '''
if store.rank == 1:
    import atexit, logging.handlers, threading
    threading.Thread(target=threading.Event().wait, daemon=True).start()
    file = open('file', 'w')
    file.write('written')
    stream = logging.StreamHandler()
    logging.getLogger().addHandler(logging.handlers.MemoryHandler(9, target=stream))
    logging.warning('logged')
    %s
store._barrier()
'''


# differences.md: a worker, server or scheduler dies, hangs or fails (the others wait for ever)
@pytest.mark.parametrize('how, status', [
    ('1 / 0', 1), *(pytest.param(how, 3, marks=pytest.mark.nightly)
                    for how in ('sys.exit(3)', 'exit(3)'))])
def test_a_worker_that_fails_ends_as_ever_and_the_others_after_it(how, status, tmp_path):
    with training(tmp_path, steps=6, then=FAILING % how) as run:
        run.wait(lambda: run.ended(0, 1, 2, 3))
        assert sorted(run.statuses()) == [status, 75, 75, 75]
        printed = ''.join(map(run.printed, (2, 3)))
    assert 'logged' in printed and ('ZeroDivisionError' in printed) == (status == 1)
    assert (tmp_path / 'file').read_text(encoding='utf-8') == 'written'


@pytest.mark.nightly
def test_all_end_when_the_scheduler_was_started_again(tmp_path):
    with training(tmp_path, PS_HEARTBEAT_TIMEOUT='20').at_work() as run:
        run.processes[0].kill()
        run.start('scheduler')  # long before the others miss the first one
        run.wait(lambda: run.ended(1, 2, 3))
        assert run.statuses() == [-signal.SIGKILL, 75, 75, 75, None]
        assert 'was started again' in run.printed(2)


PLACE = dict.fromkeys(['DMLC_PS_ROOT_URI', 'DMLC_PS_ROOT_PORT', 'DMLC_NUM_SERVER'], '1')


@pytest.mark.parametrize('settings, message', [
    *[({'PS_HEARTBEAT_' + name: text}, 'PS_HEARTBEAT_%s must be a number of seconds up to '
       '2147483647, 0 to have no heartbeat, got' % name) for name in ('INTERVAL', 'TIMEOUT')
      for text in ('often', '-1', '', '\u00b2', '4294967296')],
    # All ended with status 75 again and again.
    *[({'PS_HEARTBEAT_' + name: text for name, text in slow.items()},
       'TIMEOUT must be more than PS_HEARTBEAT_INTERVAL, got')
      for slow in ({'INTERVAL': '8'}, {'TIMEOUT': '1'}, {'INTERVAL': '30', 'TIMEOUT': '20'})],
    ({**PLACE, 'DMLC_ROLE': 'wroker'}, "must be 'scheduler', 'server' or 'worker', got 'wroker'"),
    ({**PLACE, 'DMLC_ROLE': 'server'}, 'DMLC_ROLE=server needs DMLC_NUM_WORKER, too')])
def test_settings_of_a_heartbeat_that_are_none(settings, message, monkeypatch):
    monkeypatch.delenv('DMLC_NUM_WORKER', raising=False)
    for name, value in {'DMLC_ROLE': 'worker', **settings}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=message):
        heartbeat_watch.heartbeat()


def test_a_process_without_a_role_is_not_watched(monkeypatch):
    monkeypatch.delenv('DMLC_ROLE', raising=False)
    assert heartbeat_watch.heartbeat() == (0, 0)
    heartbeat_watch.begin(mx.__file__, 0, 0)
    assert heartbeat_watch._watch is None


MESSAGE = dict(role='worker', rank=1, pid=7, token='t')


@pytest.fixture
def scheduler(monkeypatch):
    """A scheduler's watch, and `hears`, which sends it a datagram."""
    monkeypatch.setenv('DMLC_PS_ROOT_PORT', '0')
    monkeypatch.setenv('DMLC_NUM_SERVER', '1')
    monkeypatch.setenv('DMLC_NUM_WORKER', '2')
    monkeypatch.setattr(heartbeat_watch, '_PAUSE', 0.01)
    library = types.SimpleNamespace(silent=lambda node, seconds: False)
    scheduler = heartbeat_watch._OfScheduler(library, 8)
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sender.settimeout(10)

    def hears(**message):
        sender.sendto(json.dumps(message).encode(), ('127.0.0.1', port))
        return sender
    port = scheduler._socket.getsockname()[1]
    scheduler.hears = hears
    with sender, scheduler._socket:
        yield scheduler


@pytest.mark.parametrize('change', [
    dict(role='scheduler'), dict(role=['worker']), dict(rank=2), dict(rank=-2), dict(rank='1'),
    dict(pid='7'), dict(token=None), dict(role='server', rank=1)], ids=str)
def test_datagrams_of_no_server_or_worker_of_the_training_are_ignored(change, scheduler):
    scheduler.hears(**{**MESSAGE, **change, 'async': True})
    assert scheduler.look() is None and not scheduler.is_async
    assert scheduler._name('worker', 1) == 'worker 1'
    answers = scheduler.hears(**MESSAGE, **{'async': True})
    assert scheduler.look() is None and scheduler.is_async
    assert scheduler._name('worker', 1) == 'worker 1 (127.0.0.1, process 7)'
    assert json.loads(answers.recv(4096))['token'] == 't'


def test_a_scheduler_waits_for_the_end_of_the_run_before(scheduler, monkeypatch):
    looks = []

    def sleep(seconds):
        looks.append(seconds)
        old = len(looks) < 20  # else a worker that waits to be registered
        scheduler.hears(**dict(MESSAGE, rank=1 if old else -1), **{'async': old})
    monkeypatch.setattr(heartbeat_watch.time, 'sleep', sleep)
    scheduler.start()
    scheduler.stop()
    assert len(looks) == 22 and not scheduler.is_async
    assert scheduler._name('worker', 1) == 'worker 1'


def test_a_scheduler_ends_when_a_worker_is_gone(scheduler):
    scheduler.ps_lite.silent = lambda node, seconds: node != 9  # worker 0 is heard
    scheduler.hears(**MESSAGE)
    looks = [scheduler.look() for _ in range(8)]
    gone = 'server 0 and worker 1 (127.0.0.1, process 7)'
    assert looks.count(gone) == 1 and set(looks) == {None, gone}
    scheduler.is_async, scheduler._gone, scheduler._told = True, None, 0
    assert not any(scheduler.look() for _ in range(8))


def test_exit_takes_what_it_took_and_ends_a_thread_in_silence():
    program = '''
import atexit, sys, threading
from mxrnn._runtime import heartbeat_watch
heartbeat_watch.note_failures()
atexit.register(lambda: print(heartbeat_watch.failed))
for end in (sys.exit, exit, quit):
    thread = threading.Thread(target=end, args=(4,))
    thread.start()
    thread.join()
exit(code=3)
'''
    ended = python('-W', 'ignore', '-c', program)
    assert (ended.returncode, ended.stdout, ended.stderr) == (3, 'True\n', '')
