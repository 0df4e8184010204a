"""How many threads MXNet's operators use on the CPU, and why.

MXNet takes half of the processors that it sees. That is half of the machine if each core has one
thread, and far too many in a container with a quota of processor time. Unless the user has set a
number, it gets as many threads as there are physical cores among the processors that this process
may use, and no more than its control group's quota allows.

The number is set by MXNET_OMP_MAX_THREADS while MXNet is imported. OMP_NUM_THREADS would be too
late if another library has already loaded OpenMP, and child processes would inherit it.
"""
from __future__ import annotations

import contextlib
import os
import posixpath
from typing import Iterator, NamedTuple

__all__ = ['Choice', 'choice', 'chosen', 'physical_cores', 'quota']

_VARIABLE = 'MXNET_OMP_MAX_THREADS'


class Choice(NamedTuple):
    """A number of threads, None if MXNet or the user decides, and the reason."""

    threads: int | None
    reason: str


#: The choice that was made when MXNet was imported.
choice = Choice(None, 'MXNet was imported before mxrnn, which leaves it as it is')


def _read(*path: str) -> str:
    """Return the content of a kernel file, '' if it cannot be read."""
    try:
        # Names of mount points and groups are bytes of any kind.
        with open(os.path.join(*path), encoding='utf-8', errors='surrogateescape') as file:
            return file.read().strip()
    except OSError:
        return ''


def physical_cores(processors: set[int], folder: str = '/sys/devices/system/cpu') -> int:
    """Return the number of cores to which `processors` belong."""
    siblings = [_read(folder, 'cpu%d' % number, 'topology', 'thread_siblings_list') or str(number)
                for number in processors]
    return len(set(siblings))


def _mounts(text: str) -> Iterator[tuple[str, str, str, list[str]]]:
    """Yield root, mount point, type and options from each line of /proc/self/mountinfo."""
    for line in text.split('\n') if text else ():
        fields, _, rest = line.partition(' - ')
        _, _, _, root, point = fields.split(' ')[:5]
        kind, _, options = rest.split(' ')[:3]  # the source, in between, may be empty
        yield root, point, kind, options.split(',')


def _groups(text: str) -> Iterator[tuple[list[str], str]]:
    """Yield controllers (none in version 2) and path from each line of /proc/self/cgroup."""
    for line in text.split('\n') if text else ():
        _, controllers, path = line.split(':', 2)
        yield controllers.split(',') if controllers else [], path


def _limit(folder: str) -> float | None:
    """Return the number of processors to which the control group in `folder` is limited."""
    both = _read(folder, 'cpu.max').split()  # version 2: 'max 100000' or '50000 100000'
    if not both:
        both = [_read(folder, 'cpu.cfs_quota_us'), _read(folder, 'cpu.cfs_period_us')]
    try:
        time, period = map(int, both)
    except ValueError:
        return None
    return time / period if time > 0 and period > 0 else None


def quota(root: str = '/') -> float | None:
    """Return how many processors' time this process may use, None if there is no limit.

    It is the smallest limit of its control group and of those around it, of version 1 or 2. /proc
    and the mount points are searched under `root`.
    """
    proc = os.path.join(root, 'proc', 'self')
    limits = []
    mounts = list(_mounts(_read(proc, 'mountinfo')))
    for controllers, path in _groups(_read(proc, 'cgroup')):
        for top, point, kind, options in mounts:
            if kind != ('cgroup' if controllers else 'cgroup2') or controllers and not (
                    'cpu' in controllers and 'cpu' in options):
                continue
            # A container sees its own group as the top of the mount.
            inside = posixpath.relpath(path, top) if path.startswith(top) else '.'
            while inside not in ('', '..') and not inside.startswith('../'):
                limits.append(_limit(os.path.join(root, point.lstrip('/'), inside)))
                inside = posixpath.dirname(inside) or ('.' if inside != '.' else '')
    return min((limit for limit in limits if limit is not None), default=None)


def _choose() -> Choice:
    for name in ('OMP_NUM_THREADS', _VARIABLE):
        if name in os.environ:
            return Choice(None, '%s is %s' % (name, os.environ[name]))
    if not hasattr(os, 'sched_getaffinity'):
        return Choice(None, "MXNet's own default: half of the processors")
    processors = os.sched_getaffinity(0)
    cores = physical_cores(processors)
    reason = '%d physical cores among the %d processors that this process may run on' % (
        cores, len(processors))
    try:
        limit = quota()
    except (OSError, ValueError, IndexError):  # an unknown file format must not stop the import
        limit = None
    if limit is not None and limit < cores:
        return Choice(max(1, int(limit)), 'a quota of %g processor%s; %s' % (
            limit, '' if limit == 1 else 's', reason))
    return Choice(cores, reason)


@contextlib.contextmanager
def chosen() -> Iterator[None]:
    """Let MXNet, which is imported inside the block, take the number of threads that fits."""
    global choice
    choice = _choose()
    if choice.threads is None:
        yield
        return
    os.environ[_VARIABLE] = str(choice.threads)
    try:
        yield
    finally:
        os.environ.pop(_VARIABLE, None)
