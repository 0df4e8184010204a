"""Ends a process of a distributed training when another one has died or hangs.

ps-lite, which MXNet's key-value stores for several machines are built on, has a heartbeat: workers
and servers send it to the scheduler from a thread of C++, and the scheduler answers. By it the
scheduler sees who of them is gone, and they see whether the scheduler is. A thread asks for that.

Besides, each process sends the scheduler a datagram twice a second, to the number of the
scheduler's port. It tells the scheduler who the process is, for the message, and whether its store
is asynchronous and can do without it. The answer names who is gone, so that all end at once, and
the run: a scheduler that was started again answers the heartbeats of those it does not know.

A process ends with status 75 (EX_TEMPFAIL), since its main thread may wait within MXNet for ever.
"""
from __future__ import annotations

import atexit
import contextlib
import ctypes
import functools
import itertools
import json
import os
import socket
import sys
import threading
import types
import weakref
from typing import Any, Iterator

__all__ = ['STATUS', 'attend', 'begin', 'stores']

#: The status of a process that ends because another one is gone: start all of them again.
STATUS = 75

#: Seconds without a heartbeat after which a process counts as gone, by default.
_TIMEOUT = 8

#: Seconds between two looks, and at how many in a row a process has to be gone. A machine that was
#: suspended, or a clock that was set, makes all seem gone until their next heartbeat.
_PAUSE, _LOOKS = 0.5, 4

#: ps-lite's names of the scheduler, and of all servers and workers.
_SCHEDULER, _OTHERS = 1, 6

#: The stores of this process that train with other machines, in their order.
_stores: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()


def _seconds(variable: str, default: int) -> int:
    """Return a setting of ps-lite's heartbeat, by default `default`."""
    text = os.environ.get(variable, str(default))
    if not text.isdigit():
        raise ValueError('%s must be a number of seconds, 0 to have no heartbeat, got %r'
                         % (variable, text))
    return int(text)


class _PsLite:
    """Questions to ps-lite, by a store that takes no part in the training."""

    def __init__(self, library: str) -> None:
        self._library = ctypes.CDLL(library)
        self._store = ctypes.c_void_p()
        role = os.environ['DMLC_ROLE']
        os.environ['DMLC_ROLE'] = 'server'  # a worker's second store would register as a worker
        try:
            self.there = not self._library.MXKVStoreCreate(b'dist', ctypes.byref(self._store))
        finally:
            os.environ['DMLC_ROLE'] = role

    def _ask(self, function: str, *before: int, after: tuple[int, ...] = ()) -> int:
        answer = ctypes.c_int(-1)
        getattr(self._library, function)(self._store, *before, ctypes.byref(answer), *after)
        return answer.value

    def workers(self) -> int:
        """Return how many workers there are; 0 before this process registers, and at its end."""
        return self._ask('MXKVStoreGetGroupSize')

    def rank(self) -> int:
        """Return the rank of this process among those of its role, -1 before it has one."""
        return self._ask('MXKVStoreGetRank') if self.workers() > 0 else -1

    def silent(self, node: int, seconds: int) -> bool:
        """Whether a process or group has sent no heartbeat for so long."""
        return self.workers() > 0 and self._ask('MXKVStoreGetNumDeadNode', node,
                                                after=(seconds,)) > 0


class _Watch:
    """Looks after the others in a thread, until it is told to stop."""

    def __init__(self, role: str, ps_lite: _PsLite, timeout: int) -> None:
        self.role, self.timeout = role, timeout
        self.is_async = False  #: what a store, or another process, has said
        self.ps_lite = ps_lite
        self.looks: dict[int, int] = {}  #: how often in a row each node was silent
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._work, name='mxrnn-watch', daemon=True)

    def start(self) -> None:
        self._thread.start()

    def _work(self) -> None:
        while not self._stopped.wait(_PAUSE):
            gone = self.look()
            if gone:
                _end('%s is gone' % gone, self.role)

    def stop(self) -> None:
        """Stop before Python ends: a thread that waits then makes MXNet abort the process."""
        self._stopped.set()
        self._thread.join()

    def look(self) -> str | None:
        """Return who is gone."""
        raise NotImplementedError

    def lasts(self, node: int, silent: bool) -> bool:
        """Whether a node has been silent at enough looks in a row."""
        self.looks[node] = self.looks.get(node, 0) + 1 if silent else 0
        return self.looks[node] >= _LOOKS

    def received(self) -> Iterator[tuple[dict[str, Any], Any]]:
        """Yield the datagrams that have come, and from where."""
        with contextlib.suppress(OSError):  # nothing more, or the answer of a closed port
            while True:
                data, address = self._socket.recvfrom(4096)
                with contextlib.suppress(ValueError, RecursionError):
                    message = json.loads(data)
                    if isinstance(message, dict):
                        yield message, address

    def send(self, message: dict[str, Any], address: Any) -> None:
        with contextlib.suppress(OSError):
            self._socket.sendto(json.dumps(message).encode(), address)


class _OfScheduler(_Watch):
    """Sees who of the workers and servers is gone, and tells the others."""

    def __init__(self, ps_lite: _PsLite, timeout: int) -> None:
        super().__init__('scheduler', ps_lite, timeout)
        self._run = os.urandom(8).hex()
        self._peers: dict[Any, dict[str, Any]] = {}
        self._told = 0
        self._gone: str | None = None
        port = os.environ.get('DMLC_PS_ROOT_PORT', '')
        try:
            self._socket.bind(('', int(port)))
        except (OSError, ValueError) as error:
            _say('the scheduler cannot listen for datagrams on port %s: %s' % (port, error))

    def look(self) -> str | None:
        for message, address in self.received():
            self._peers[address] = message
            self.is_async = self.is_async or message.get('async') is True
        if not self.is_async and self._gone is None:
            self._gone = self._who_is_gone()
        for address, message in self._peers.items():
            self.send({'run': self._run, 'token': message.get('token'), 'async': self.is_async,
                       'gone': self._gone}, address)
        self._told += self._gone is not None
        return self._gone if self._told == 3 else None  # datagrams can be lost

    def _who_is_gone(self) -> str | None:
        if not self.ps_lite.silent(_OTHERS, self.timeout):
            self.looks.clear()
            return None
        servers = int(os.environ.get('DMLC_NUM_SERVER', '0'))
        nodes = [('server', rank, 8 + 2 * rank) for rank in range(servers)]
        nodes += [('worker', rank, 9 + 2 * rank) for rank in range(self.ps_lite.workers())]
        gone = [self._name(role, rank) for role, rank, node in nodes
                if self.lasts(node, self.ps_lite.silent(node, self.timeout))]
        return ' and '.join(gone) or None

    def _name(self, role: str, rank: int) -> str:
        for (host, _), message in self._peers.items():
            if (message.get('role'), message.get('rank')) == (role, rank):
                return '%s %d (%s, process %s)' % (role, rank, host, message.get('pid'))
        return '%s %d' % (role, rank)


class _OfOthers(_Watch):
    """Sees whether the scheduler is gone, or says that somebody is."""

    def __init__(self, role: str, ps_lite: _PsLite, timeout: int) -> None:
        super().__init__(role, ps_lite, timeout)
        self._token = os.urandom(8).hex()
        self._registered_with: str | None = None  #: the run
        self._heard: str | None = None  #: the run of the last answer
        self._unheard = 0  #: looks since then
        self._scheduler = os.environ.get('DMLC_PS_ROOT_URI', ''), os.environ.get(
            'DMLC_PS_ROOT_PORT', '')
        self._address: Any = None

    def look(self) -> str | None:
        registered = self.ps_lite.workers() > 0
        if registered and self._registered_with is None and self._unheard < _LOOKS:
            self._registered_with = self._heard
        self._unheard += 1
        for message, _ in self.received():
            if message.get('token') != self._token:
                continue  # from somebody else than the scheduler
            self.is_async = self.is_async or message.get('async') is True
            self._heard, self._unheard = str(message.get('run')), 0
            if registered and message.get('gone'):
                return ''.join(filter(str.isprintable, str(message['gone'])))
            if registered and self._registered_with not in (None, self._heard):
                return 'the scheduler (%s:%s), which was started again,' % self._scheduler
        self._introduce()
        if self.is_async:
            return None
        if self.ps_lite.rank() < 0:  # no heartbeat before all are there
            silent = (self._registered_with is not None
                      and self._unheard * _PAUSE > self.timeout + _LOOKS * _PAUSE)
        else:
            silent = self.lasts(_SCHEDULER, self.ps_lite.silent(_SCHEDULER, self.timeout))
        return 'the scheduler (%s:%s)' % self._scheduler if silent else None

    def _introduce(self) -> None:
        if self._address is None:
            with contextlib.suppress(OSError, ValueError):
                self._address = socket.gethostbyname(self._scheduler[0]), int(self._scheduler[1])
        if self._address is not None:
            self.send({'token': self._token, 'role': self.role, 'rank': self.ps_lite.rank(),
                       'pid': os.getpid(), 'async': self.is_async}, self._address)


_watch: _Watch | None = None


def begin(library: str | None) -> None:
    """Watch over the training that this process, by its environment, takes part in.

    Called before MXNet, whose `library` that is, is imported: schedulers and servers stay in there.
    """
    global _watch
    role = os.environ.get('DMLC_ROLE')
    if role not in ('scheduler', 'server', 'worker') or library is None or _watch is not None:
        return
    interval, timeout = _seconds('PS_HEARTBEAT_INTERVAL', 1), _seconds('PS_HEARTBEAT_TIMEOUT',
                                                                        _TIMEOUT)
    if not interval or not timeout:
        return
    os.environ['PS_HEARTBEAT_INTERVAL'] = str(interval)
    ps_lite = _PsLite(library)
    if not ps_lite.there:
        return  # of an MXNet without stores for several machines
    _watch = (_OfScheduler(ps_lite, timeout) if role == 'scheduler'
              else _OfOthers(role, ps_lite, timeout))
    _watch.start()
    atexit.register(_at_exit, os.getpid())


def stores() -> list[Any]:
    """Return the stores by which this worker trains with others."""
    return [store for _, store in sorted(_stores.items())]


def attend(mxnet: types.ModuleType) -> None:
    """Keep the `stores` of this worker in sight, now that MXNet is imported."""
    if os.environ.get('DMLC_ROLE') != 'worker':
        return
    numbers = itertools.count()
    kind = mxnet.kvstore.KVStore
    original = kind.__init__

    @functools.wraps(original)
    def begin_store(self: Any, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        if 'dist' in self.type:
            _stores[next(numbers)] = self
            if _watch is not None:
                _watch.is_async = _watch.is_async or '_async' in self.type

    kind.__init__ = begin_store


def _at_exit(process: int) -> None:
    """Let a worker wait for the others while the watch still works, then stop it."""
    if _watch is None or os.getpid() != process:
        return
    if not _watch.is_async:
        error = getattr(sys, 'last_type', None)
        if _stores and error is not None:  # the others wait for this one's part
            _flush()
            os._exit(130 if issubclass(error, KeyboardInterrupt) else 1)
        for store in stores():
            # MXNet would do this when Python has ended all threads.
            store.__del__()
            store.handle = None
    _watch.stop()


def _say(text: str) -> None:
    with contextlib.suppress(OSError):
        os.write(2, ('mxrnn: %s\n' % text).encode())


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()


def _end(reason: str, role: str) -> None:
    """End this process, whatever its main thread waits for, and the children it has started."""
    flushing = threading.Thread(target=_flush, daemon=True)
    flushing.start()
    flushing.join(1)  # the main thread may hold what this waits for
    _say('%s; this %s ends, to be started again (status %d)' % (reason, role, STATUS))
    multiprocessing = sys.modules.get('multiprocessing')
    if multiprocessing is not None:
        for child in multiprocessing.active_children():
            child.terminate()
    os._exit(STATUS)
