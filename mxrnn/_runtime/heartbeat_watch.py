"""Ends a process of a distributed training when another one died or hangs.

ps-lite, on which MXNet's key-value stores for several machines are built, has a heartbeat: workers
and servers send it to the scheduler from a thread in C++, and the scheduler answers. It shows the
scheduler which of them are gone, and shows them whether the scheduler is gone. A thread asks for
that.

In addition, each process sends the scheduler a datagram twice a second, to the number of the
scheduler's port. It names the process, for messages, and says whether its store is asynchronous and
can do without the process. The answer names a process that is gone, so that all end at once, and
the run, because a restarted scheduler also answers heartbeats of processes that it does not know.

A process ends with status 75 (EX_TEMPFAIL), because its main thread may wait in MXNet forever.

A restarted scheduler waits until the processes of the old run have ended. Otherwise ps-lite would
abort at the first heartbeat of one of them.
"""
from __future__ import annotations

import atexit
import builtins
import contextlib
import ctypes
import faulthandler
import functools
import itertools
import json
import os
import socket
import sys
import threading
import time
import types
import weakref
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterator, NoReturn, Tuple, Union

if TYPE_CHECKING:
    from .mxnet_types.kvstore import KVStore

__all__ = ['attend', 'begin', 'failed', 'heartbeat', 'note_failures', 'stores']

#: The status of a process that ends because another is gone: start all of them again.
_STATUS = 75

#: What a process can end with.
Status = Union[int, str, None]

Message = Dict[str, Any]  #: a datagram, as JSON
Address = Tuple[str, int]  #: of a socket: the machine and the port

#: Seconds without a heartbeat after which a process counts as gone, by default.
_TIMEOUT = 8

#: Seconds between two checks, and in how many consecutive checks a process must be gone. After a
#: machine was suspended or a clock was set, all seem gone until their next heartbeat.
_PAUSE, _LOOKS = 0.5, 4

#: The most seconds that ps-lite can count.
_MOST = 2**31 - 1

#: The longest time in seconds that a scheduler waits for the old run's end, and a failing worker
#: for its exit handlers.
_PATIENCE = 30

#: ps-lite's names of the scheduler, and of all servers and workers.
_SCHEDULER, _OTHERS = 1, 6

#: The stores with which this process trains with other machines, in order.
_stores: weakref.WeakValueDictionary[int, KVStore] = weakref.WeakValueDictionary()

failed = False  #: whether this process ends by an error, or with a status other than 0


def note_failures() -> None:
    """Make `failed` tell from now on whether this process fails."""
    sys.excepthook, sys.exit = functools.partial(_note, sys.excepthook), _exit
    for name in ('exit', 'quit'):  # not there under python -S
        if hasattr(builtins, name):
            setattr(builtins, name, _quit)


def _note(show: Callable[..., None], kind: type[BaseException], error: BaseException,
          trace: types.TracebackType | None) -> None:
    """Show an error as `sys.excepthook` does, and note that it ends this process."""
    global failed
    failed = not hasattr(sys, 'ps1')  # in an interactive session it only ends a statement
    show(kind, error, trace)


class _Exit(SystemExit):
    """Ends the process like SystemExit, and notes the status."""

    @property
    def code(self) -> Status:  # type: ignore[override]
        """The status; Python asks for it if nothing has caught this."""
        global failed
        status = self.args[0] if self.args else None
        if sys._getframe().f_back is None:
            failed = status not in (None, 0)
        return status


def _exit(status: Status = None, /) -> NoReturn:
    """Do what `sys.exit` does, but note that the process ends."""
    if threading.current_thread() is not threading.main_thread():
        raise SystemExit(status)  # threading reports all but this class itself
    raise _Exit(status)


def _quit(code: Status = None) -> NoReturn:
    """Do so as `exit` and `quit`, which also take the status by name."""
    _exit(code)


def _end_with_python(seconds: float) -> None:
    """End this process with its status once Python has ended, even if MXNet would wait."""
    faulthandler.dump_traceback_later(seconds, exit=True, file=2)
    library = ctypes.CDLL(None)
    library.on_exit(library._exit, None)


def _say(text: str) -> None:
    with contextlib.suppress(OSError):
        os.write(2, ('mxrnn: %s\n' % text).encode())


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()


def _end(reason: str, role: str) -> None:
    """End this process, whatever its main thread waits for, and the children that it started."""
    flushing = threading.Thread(target=_flush, daemon=True)
    flushing.start()
    flushing.join(1)  # the main thread may hold the lock that this waits for
    _say('%s, so this %s ends and can be started again (status %d)' % (reason, role, _STATUS))
    multiprocessing = sys.modules.get('multiprocessing')
    if multiprocessing is not None:
        for child in multiprocessing.active_children():
            child.terminate()
    os._exit(_STATUS)


def _seconds(variable: str, default: int) -> int:
    """Return a setting of ps-lite's heartbeat, by default `default`."""
    text = os.environ.get(variable, str(default))
    if not text.isdecimal() or int(text) > _MOST:
        raise ValueError('%s must be a number of seconds up to %d, 0 to have no heartbeat, got %r'
                         % (variable, _MOST, text))
    return int(text)


class _PsLite:
    """Questions to ps-lite, through a store that takes no part in the training."""

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
        """Whether a process or group has sent no heartbeat for that long."""
        return self.workers() > 0 and self._ask('MXKVStoreGetNumDeadNode', node,
                                                after=(seconds,)) > 0


class _Watch:
    """Watches the other processes in a thread, until it is told to stop."""

    def __init__(self, role: str, ps_lite: _PsLite, timeout: int) -> None:
        self.role, self.timeout = role, timeout
        self.is_async = False  #: what a store, or another process, has said
        self.ps_lite = ps_lite
        self.looks: dict[int, int] = {}  #: in how many consecutive checks each node was silent
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
                _end('%s %s gone' % (gone, 'are' if ' and ' in gone else 'is'), self.role)

    def stop(self) -> None:
        """Stop before Python ends; otherwise a waiting thread makes MXNet abort the process."""
        self._stopped.set()
        self._thread.join()

    def look(self) -> str | None:
        """Return who is gone."""
        raise NotImplementedError

    def lasts(self, node: int, silent: bool) -> bool:
        """Whether a node was silent in enough consecutive checks."""
        self.looks[node] = self.looks.get(node, 0) + 1 if silent else 0
        return self.looks[node] >= _LOOKS

    def received(self) -> Iterator[tuple[Message, Address]]:
        """Yield the datagrams that have arrived, and their senders."""
        with contextlib.suppress(OSError):  # no more datagrams, or the answer of a closed port
            while True:
                data, address = self._socket.recvfrom(4096)
                with contextlib.suppress(ValueError, RecursionError):
                    message = json.loads(data)
                    if isinstance(message, dict):
                        yield message, address

    def send(self, message: Message, address: Address) -> None:
        with contextlib.suppress(OSError):
            self._socket.sendto(json.dumps(message).encode(), address)


class _OfScheduler(_Watch):
    """Finds out which workers and servers are gone, and tells the others."""

    def __init__(self, ps_lite: _PsLite, timeout: int) -> None:
        super().__init__('scheduler', ps_lite, timeout)
        self._run = os.urandom(8).hex()
        self._count = {role: int(os.environ.get('DMLC_NUM_' + role.upper()) or 0)
                       for role in ('server', 'worker')}
        self._peers: dict[Address, Message] = {}
        self._told = 0
        self._gone: str | None = None
        port = os.environ.get('DMLC_PS_ROOT_PORT', '')
        try:
            self._socket.bind(('', int(port)))
        except (OSError, ValueError) as error:
            _say('the scheduler cannot listen for datagrams on port %s: %s' % (port, error))

    def start(self) -> None:
        """Start after three checks without any registered process, such as one of the old run."""
        quiet, until = 0, time.monotonic() + _PATIENCE
        while quiet < 3 and time.monotonic() < until:
            time.sleep(_PAUSE)
            self._peers.clear()
            self.look()
            quiet = 0 if any(peer['rank'] >= 0 for peer in self._peers.values()) else quiet + 1
        self.is_async = False
        super().start()

    def _is_of_peer(self, message: Message) -> bool:
        """Whether a server or worker of this training can have sent a message."""
        rank, count = message.get('rank'), self._count.get(str(message.get('role')), 0)
        return (isinstance(rank, int) and -1 <= rank < count
                and isinstance(message.get('pid'), int) and isinstance(message.get('token'), str))

    def look(self) -> str | None:
        for message, address in self.received():
            if self._is_of_peer(message):
                self._peers[address] = message
                self.is_async = self.is_async or message.get('async') is True
        if not self.is_async and self._gone is None:
            self._gone = self._who_is_gone()
        for address, message in self._peers.items():
            self.send({'run': self._run, 'token': message['token'], 'async': self.is_async,
                       'gone': self._gone}, address)
        self._told += self._gone is not None
        return self._gone if self._told == 3 else None  # datagrams can be lost

    def _who_is_gone(self) -> str | None:
        if not self.ps_lite.silent(_OTHERS, self.timeout):
            self.looks.clear()
            return None
        nodes = [(role, rank, first + 2 * rank) for role, first in (('server', 8), ('worker', 9))
                 for rank in range(self._count[role])]
        gone = [self._name(role, rank) for role, rank, node in nodes
                if self.lasts(node, self.ps_lite.silent(node, self.timeout))]
        return ' and '.join(gone) or None

    def _name(self, role: str, rank: int) -> str:
        for (host, _), message in self._peers.items():
            if (message['role'], message['rank']) == (role, rank):
                return '%s %d (%s, process %d)' % (role, rank, host, message['pid'])
        return '%s %d' % (role, rank)


class _OfOthers(_Watch):
    """Finds out whether the scheduler, or a process that it names, is gone."""

    def __init__(self, role: str, ps_lite: _PsLite, timeout: int) -> None:
        super().__init__(role, ps_lite, timeout)
        self._token = os.urandom(8).hex()
        self._registered_with: str | None = None  #: the run
        self._heard: str | None = None  #: the run of the last answer
        self._unheard = 0  #: checks since then
        self._scheduler = os.environ.get('DMLC_PS_ROOT_URI', ''), os.environ.get(
            'DMLC_PS_ROOT_PORT', '')
        self._address: Address | None = None

    def look(self) -> str | None:
        registered = self.ps_lite.workers() > 0
        if registered and self._registered_with is None and self._unheard < _LOOKS:
            self._registered_with = self._heard
        self._unheard += 1
        for message, _ in self.received():
            if message.get('token') != self._token:
                continue  # not from the scheduler
            self.is_async = self.is_async or message.get('async') is True
            self._heard, self._unheard = str(message.get('run')), 0
            if registered and message.get('gone'):
                return ''.join(filter(str.isprintable, str(message['gone'])))
            if registered and self._registered_with not in (None, self._heard):
                return 'the scheduler (%s:%s), which was started again,' % self._scheduler
        self._introduce()
        if self.is_async:
            return None
        if self.ps_lite.rank() < 0:  # no heartbeat before all have registered
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


def heartbeat() -> tuple[int, int]:
    """Return the seconds between heartbeats, and the seconds after which a process counts as gone.

    Both are 0 if the environment says that this process does not train with others.
    """
    role = os.environ.get('DMLC_ROLE')
    if not role:
        return 0, 0
    if role not in ('scheduler', 'server', 'worker'):
        raise ValueError("DMLC_ROLE must be 'scheduler', 'server' or 'worker', got %r" % role)
    missing = [name for name in ('DMLC_PS_ROOT_URI', 'DMLC_PS_ROOT_PORT', 'DMLC_NUM_WORKER',
                                 'DMLC_NUM_SERVER') if not os.environ.get(name)]
    if missing and role != 'worker':  # which may also train alone
        raise ValueError('DMLC_ROLE=%s needs %s, too' % (role, ', '.join(missing)))
    interval = _seconds('PS_HEARTBEAT_INTERVAL', 1)
    timeout = _seconds('PS_HEARTBEAT_TIMEOUT', _TIMEOUT)
    if interval >= timeout > 0:
        raise ValueError('PS_HEARTBEAT_TIMEOUT must be more than PS_HEARTBEAT_INTERVAL, got %d and '
                         '%d: all would count as gone between two heartbeats' % (timeout, interval))
    return interval, timeout


def begin(library: str | None, interval: int, timeout: int) -> None:
    """Watch the training in which this process takes part, with the settings of `heartbeat`.

    Called before MXNet, whose file is `library`, is imported: schedulers and servers stay in there.
    """
    global _watch
    if not interval or not timeout or library is None or _watch is not None:
        return
    role = os.environ['DMLC_ROLE']
    os.environ['PS_HEARTBEAT_INTERVAL'] = str(interval)
    ps_lite = _PsLite(library)
    if not ps_lite.there:
        return  # an MXNet without stores for several machines
    _watch = (_OfScheduler(ps_lite, timeout) if role == 'scheduler'
              else _OfOthers(role, ps_lite, timeout))
    _watch.start()
    atexit.register(_at_exit, os.getpid())
    if role == 'worker':
        note_failures()


def stores() -> list[KVStore]:
    """Return the stores with which this worker trains with others."""
    return [store for _, store in sorted(_stores.items())]


def attend(mxnet: types.ModuleType) -> None:
    """Watch the `stores` of this worker, now that MXNet is imported."""
    if os.environ.get('DMLC_ROLE') != 'worker':
        return
    numbers = itertools.count()
    kind = mxnet.kvstore.KVStore
    original = kind.__init__

    @functools.wraps(original)
    def begin_store(self: KVStore, *args: object, **kwargs: object) -> None:
        original(self, *args, **kwargs)
        if 'dist' in self.type:
            _stores[next(numbers)] = self
            if _watch is not None:
                _watch.is_async = _watch.is_async or '_async' in self.type

    kind.__init__ = begin_store


def _at_exit(process: int) -> None:
    """Let a worker wait for the others while the watch still works, then stop the watch."""
    if _watch is None or os.getpid() != process:
        return
    fails = failed and not _watch.is_async  # the others wait for this one's part
    if fails and _stores:
        _end_with_python(_PATIENCE)
    for store in stores() if not _watch.is_async else []:
        if not fails:
            store.__del__()  # MXNet would do this when Python has ended all threads
        store.handle = None
    _watch.stop()
