"""Runs models in MXNet in a separate process, because wrong input may end that process."""
from __future__ import annotations

import atexit
import contextlib
import functools
import os
import pickle
import subprocess
import sys
import threading
from typing import Any

import numpy as np

from ..._graph.graph import Graph
from ..._runtime.import_failure import found
from ..model import Model
from .reference import Data, Runner, refusing

__all__ = ['EndedError', 'begin', 'forget', 'of_mxnet']

#: No fusing of operators, which gives wrong numbers in MXNet (docs/mxnet-defects.md). One thread
#: runs each operator at once: for small arrays, more threads cost more time than they save. The
#: process is no worker of a distributed program. It does without setuptools' slow `distutils`, and
#: without oneDNN's sym.RNN, which breaks where a program disables oneDNN.
_SETTINGS = {'MXNET_SUBGRAPH_BACKEND': 'NONE', 'MXNET_DISABLE_MKLDNN_FUSE_FC_ELTWISE': '1',
             'MXNET_USE_MKLDNN_RNN': '0', 'MXNET_ENGINE_TYPE': 'NaiveEngine',
             'OMP_NUM_THREADS': '1', 'DMLC_ROLE': '', 'SETUPTOOLS_USE_DISTUTILS': 'stdlib'}
#: The limits in seconds, for a run and for the import of MXNet.
_LIMIT, _START = 60, 600
_CODE = 'import sys; sys.path[:] = %r; from mxrnn._inference.serve_outputs import serve; serve()'


class EndedError(ValueError):
    """MXNet ended its process or was ended, so there are no outputs."""


def begin() -> None:
    """Begin to import MXNet in the process, if it is installed. `of_mxnet` waits for it."""
    with _lock:
        _child.begin()


def of_mxnet() -> tuple[str, Runner] | None:
    """MXNet, if it can be imported."""
    with _lock:
        if _child.ready():
            return 'MXNet', lambda model, graph: functools.partial(_run, model, graph)
    return None


def forget() -> None:
    """Let the process free its model; it ends where MXNet cannot free it."""
    with _lock:
        _child.forget()


def _run(model: Model, graph: Graph, data: Data) -> list[np.ndarray]:
    """The outputs of a graph with a model's weights."""
    with _lock:
        reply: Any = _child.ask(model, graph, data)
    if reply is None:
        raise EndedError('MXNet ended its process, or took more than %d seconds' % _LIMIT)
    if isinstance(reply, ValueError):
        raise reply
    if isinstance(reply, str):
        with refusing('MXNet', 'the checkpoint', data):
            raise ValueError(reply)
    return [*reply]


class _Child:
    """The process and the model in it. It lives as long as this process."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._owner, self._model = 0, None  # type: int, Model | None
        #: The graphs that were sent with the model's weights.
        self._graphs: list[Graph] = []
        self._is_ready = False

    def _runs(self) -> bool:
        return self._process is not None and self._owner == os.getpid() and (
            self._process.poll() is None)

    def begin(self) -> bool:
        """Start the process unless it runs; returns whether it runs."""
        if self._runs():
            return True
        try:
            found()
        except (ImportError, ValueError):
            return False
        self._owner, self._model, self._is_ready = os.getpid(), None, False
        try:
            self._process = subprocess.Popen(
                [sys.executable, '-c', _CODE % [str(each) for each in sys.path]],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                env={**os.environ, **_SETTINGS})
        except (OSError, TypeError):  # no process can be started, or there is no executable
            self._process = None
            return False
        atexit.register(_end_own, self._process, self._owner)
        return True

    def ready(self) -> bool:
        """Start the process unless it runs; returns whether it has MXNet."""
        if not self.begin() or self._process is None:
            return False
        self._is_ready = self._is_ready or self._receive(self._process, _START) == 'ready'
        return self._is_ready

    def ask(self, model: Model, graph: Graph, data: Data) -> Any:
        """The answer of `_inference.serve_outputs`; None if the process ended."""
        known = self._model is model
        if not known:
            self._graphs = []
        number = next((at for at, each in enumerate(self._graphs) if each is graph),
                      len(self._graphs))
        new = number == len(self._graphs)
        reply = self._told((None if known else model.params,
                            graph if new else None, number, dict(data)))
        self._graphs += [graph] * new
        self._model = None if reply is None else model  # another process begins without one
        return reply

    def forget(self) -> None:
        """Let the process free its model."""
        if self._runs() and self._model is not None and self._told(None) != 'freed' and (
                self._process is not None):
            _end(self._process)
        self._model = None

    def _told(self, what: object) -> Any:
        """The answer of the process to a request."""
        if not self.ready() or self._process is None or self._process.stdin is None:
            return None
        try:
            pickle.dump(what, self._process.stdin, protocol=4)
            self._process.stdin.flush()
        except OSError:
            return None
        return self._receive(self._process)

    def _receive(self, process: subprocess.Popen[bytes], limit: float = _LIMIT) -> Any:
        """An answer, or None if the process ended, or was ended because it took too long."""
        timer = threading.Timer(limit, process.kill)
        timer.daemon = True
        timer.start()
        try:
            return pickle.load(process.stdout) if process.stdout is not None else None
        except (EOFError, OSError, pickle.UnpicklingError):
            _end(process)
            return None
        except BaseException:  # an interrupt: otherwise the next request would get this answer
            _end(process)
            raise
        finally:
            timer.cancel()


_lock, _child = threading.Lock(), _Child()


def _end_own(process: subprocess.Popen[bytes], owner: int) -> None:
    """End the process, unless this is a fork of the process that started it."""
    if owner == os.getpid():
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()
