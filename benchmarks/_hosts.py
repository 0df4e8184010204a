"""Hosts that are network namespaces, joined by a bridge: several machines on one.

For `workers.py`, and for the tests of docs/distributed.md. Needs root, Linux and iproute2.
"""
from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from typing import Any

__all__ = ['Hosts', 'why_not']


def _ip(*arguments: str) -> None:
    subprocess.run(['ip', *arguments], check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                   text=True)


class Hosts:
    """`count` hosts with the addresses 10.0.0.1, 10.0.0.2 and so on."""

    def __init__(self, count: int) -> None:
        self.addresses = ['10.0.0.%d' % (i + 1) for i in range(count)]
        self._names = ['mxrnn-%d-%d' % (os.getpid(), i) for i in range(count)]
        self._switch = 'mxrnn-%d-switch' % os.getpid()
        self._started: list[subprocess.Popen[str]] = []

    def __enter__(self) -> Hosts:
        try:
            for name in [self._switch, *self._names]:
                _ip('netns', 'add', name)
            _ip('-n', self._switch, 'link', 'add', 'bridge', 'type', 'bridge')
            _ip('-n', self._switch, 'link', 'set', 'bridge', 'up')
            for i, (name, address) in enumerate(zip(self._names, self.addresses)):
                port = 'port%d' % i
                _ip('link', 'add', 'eth', 'netns', name, 'type', 'veth', 'peer', 'name', port,
                    'netns', self._switch)
                _ip('-n', self._switch, 'link', 'set', port, 'master', 'bridge', 'up')
                _ip('-n', name, 'address', 'add', address + '/24', 'dev', 'eth')
                _ip('-n', name, 'link', 'set', 'eth', 'up')
                _ip('-n', name, 'link', 'set', 'lo', 'up')
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: Any) -> None:
        self.kill()
        for name in [self._switch, *self._names]:
            with contextlib.suppress(subprocess.CalledProcessError):
                _ip('netns', 'delete', name)

    def start(self, host: int, command: list[str], **options: Any) -> subprocess.Popen[str]:
        """Start a command on a host; it gets a group of processes of its own."""
        process = subprocess.Popen(
            ['ip', 'netns', 'exec', self._names[host], *command], stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, start_new_session=True, **options)
        self._started.append(process)
        return process

    def kill(self) -> None:
        """End what was started, and what that has started."""
        for process in self._started:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            process.stdout.close()
        self._started = []

    def limit(self, host: int, rate: str) -> None:
        """Limit what a host sends, to a rate such as '100mbit', by `tc`."""
        subprocess.run(['tc', '-n', self._names[host], 'qdisc', 'replace', 'dev', 'eth', 'root',
                        'tbf', 'rate', rate, 'burst', '128kb', 'latency', '100ms'], check=True)


def why_not() -> str:
    """Why there can be no such hosts here; empty if there can."""
    if shutil.which('ip') is None:
        return 'iproute2 is not installed'
    try:
        with Hosts(1):
            return ''
    except subprocess.CalledProcessError as error:
        return 'no network namespaces: %s: %s' % (' '.join(error.cmd), error.stdout.strip())
