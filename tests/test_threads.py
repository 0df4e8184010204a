"""How many threads MXNet is given, on machines and in containers made up for the purpose."""
import functools
import os

import pytest

from mxrnn._runtime import threads

from .processes import printed


def files(folder, **contents):
    for name, text in contents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + '\n', encoding='utf-8')


@pytest.mark.parametrize('siblings, processors, cores', [
    (['0', '1'], {0, 1}, 2),
    (['0-1', '0-1', '2-3', '2-3'], {0, 1, 2, 3}, 2),
    (['0,4', '1,5', '2,6', '3,7', '0,4', '1,5', '2,6', '3,7'], {0, 1, 4}, 2),
    (['0-1', '0-1'], {1}, 1)])
def test_physical_cores(tmp_path, siblings, processors, cores):
    for number, text in enumerate(siblings):
        files(tmp_path, **{'cpu%d/topology/thread_siblings_list' % number: text})
    assert threads.physical_cores(processors, str(tmp_path)) == cores


def test_a_kernel_that_does_not_tell_of_cores(tmp_path):
    assert threads.physical_cores({0, 1, 2}, str(tmp_path)) == 3


V1 = ('30 25 0:26 %s /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n'
      '31 25 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory')
V2 = '30 25 0:26 %s /sys/fs/cgroup rw,nosuid - cgroup2 cgroup rw,nsdelegate'


def machine(folder, mountinfo, cgroup, **limits):
    files(folder, **{'proc/self/mountinfo': '22 1 0:1 / / rw - ext4 /dev/root rw\n' + mountinfo,
                     'proc/self/cgroup': cgroup})
    files(folder, **{'sys/fs/cgroup/' + name: text for name, text in limits.items()})
    return threads.quota(str(folder))


OF_1 = {'memory/m/cpu.cfs_quota_us': '10000', 'memory/m/cpu.cfs_period_us': '100000',
        'cpu,cpuacct/a/cpu.cfs_period_us': '100000'}
OF_A_CONTAINER = {'cpu,cpuacct/cpu.cfs_quota_us': '250000',
                  'cpu,cpuacct/cpu.cfs_period_us': '100000'}
#: What is mounted, the group of the process, limits, and the quota.
QUOTAS = {
    **{'version 2, %r' % text: (V2 % '/', '0::/a/b', {'a/b/cpu.max': text}, wanted)
       for text, wanted in (('max 100000', None), ('100000 100000', 1), ('150000 100000', 1.5),
                            ('', None))},
    'the smallest of the groups around': (V2 % '/', '0::/a/b/c', {
        'a/b/c/cpu.max': 'max 100000', 'a/b/cpu.max': '400000 100000',
        'a/cpu.max': '200000 100000', 'b/cpu.max': '100000 100000'}, 2),
    'a container that sees itself as the top': (V2 % '/', '0::/', {'cpu.max': '300000 100000'}, 3),
    'a group outside of what is mounted: the top counts': (
        V2 % '/pod', '0::/a', {'cpu.max': '300000 100000'}, 3),
    **{'version 1, %s' % time: (V1 % '/', '4:memory:/m\n3:cpu,cpuacct:/a', {
        **OF_1, 'cpu,cpuacct/a/cpu.cfs_quota_us': time}, wanted)
       for time, wanted in (('-1', None), ('50000', .5), ('200000', 2))},
    **{"a container of version 1 with the host's paths, at %s" % place: (
        V1 % place, '3:cpuacct,cpu:/docker/12ab', OF_A_CONTAINER, 2.5)
       for place in ('/docker/12ab', '/')},
}


@pytest.mark.parametrize('name', QUOTAS)
def test_quotas(tmp_path, name):
    mountinfo, cgroup, limits, wanted = QUOTAS[name]
    assert machine(tmp_path, mountinfo, cgroup, **limits) == wanted


@pytest.mark.parametrize('name, text', [('mountinfo', 'of another form'), ('cgroup', 'as well')])
def test_files_that_cannot_be_understood_are_no_limit(alone, tmp_path, name, text):
    machine(tmp_path, V2 % '/', '0::/', **{'cpu.max': '100000 100000'})
    files(tmp_path, **{'proc/self/' + name: text})
    quota = threads.quota
    with pytest.raises(ValueError):
        quota(str(tmp_path))
    assert alone(8, 4, functools.partial(quota, str(tmp_path))).threads == 4


@pytest.fixture
def alone(monkeypatch):
    """A process that nobody has told how many threads to use; with these cores, this quota."""
    monkeypatch.delenv('OMP_NUM_THREADS', raising=False)
    monkeypatch.delenv('MXNET_OMP_MAX_THREADS', raising=False)

    def make(processors, cores, limit):
        monkeypatch.setattr(os, 'sched_getaffinity', lambda pid: set(range(processors)),
                            raising=False)
        monkeypatch.setattr(threads, 'physical_cores', lambda processors: cores)
        monkeypatch.setattr(threads, 'quota', limit if callable(limit) else lambda: limit)
        return threads._choose()
    return make


# differences.md: threads of MXNet's operators on the CPU
@pytest.mark.parametrize('processors, cores, limit, number, words', [
    (8, 4, None, 4, '4 physical cores among the 8 processors'),
    (2, 2, 4., 2, '2 physical cores among the 2 processors'),
    (64, 32, 3.5, 3, 'a quota of 3.5 processors; 32 physical cores'),
    (2, 2, .5, 1, 'a quota of 0.5 processors'),
    (2, 2, 1, 1, 'a quota of 1 processor; 2 physical cores')])
def test_the_number_and_why(alone, processors, cores, limit, number, words):
    choice = alone(processors, cores, limit)
    assert choice.threads == number and choice.reason.startswith(words)


# differences.md: threads of MXNet's operators on the CPU
@pytest.mark.parametrize('name', ['OMP_NUM_THREADS', 'MXNET_OMP_MAX_THREADS'])
def test_who_has_chosen_keeps_it(alone, monkeypatch, name):
    monkeypatch.setenv(name, '7')
    assert alone(8, 4, None) == (None, name + ' is 7')


def test_the_variable_is_there_while_mxnet_is_imported_alone(alone, monkeypatch):
    alone(8, 4, None)
    monkeypatch.setattr(threads, 'choice', threads.choice)
    with pytest.raises(KeyError), threads.chosen():
        assert os.environ['MXNET_OMP_MAX_THREADS'] == '4' and threads.choice.threads == 4
        raise KeyError
    assert 'MXNET_OMP_MAX_THREADS' not in os.environ
    monkeypatch.setenv('MXNET_OMP_MAX_THREADS', '7')
    with threads.chosen():
        pass
    assert os.environ['MXNET_OMP_MAX_THREADS'] == '7'


# differences.md: threads of MXNet's operators on the CPU
@pytest.mark.skipif(not hasattr(os, 'sched_getaffinity') or len(os.sched_getaffinity(0)) < 2,
                    reason='one processor: there is nothing to choose')
def test_mxnet_takes_the_number(monkeypatch):
    """As many threads of the process more as OpenMP was given."""
    code = '''
import os, mxrnn
from mxrnn._runtime import threads
threads.physical_cores = lambda processors: %d
threads.quota = lambda: None
mx = mxrnn.mx
ones = mx.nd.ones((512, 512))
mx.nd.FullyConnected(ones, ones, no_bias=True, num_hidden=512).wait_to_read()
print(len(os.listdir('/proc/self/task')))
'''
    for name in ('OMP_NUM_THREADS', 'MXNET_OMP_MAX_THREADS'):
        monkeypatch.delenv(name, raising=False)
    one, two = (int(printed('-c', code % number)) for number in (1, 2))
    assert two == one + 1
