"""The environment of the processes that train together on this machine."""
from __future__ import annotations

import itertools
import os
import socket

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

#: Seconds after which a test hangs, on a machine of any load.
HANGS = 3600

#: Two test runs on one machine begin at different ports.
_NUMBERS = itertools.count(os.getpid() * 97)


def free_port() -> int:
    """Return a port that is free for TCP and UDP.

    It is below those that the system gives to connections, so that nobody else gets it before the
    scheduler starts.
    """
    for port in (12000 + number % 20000 for number in itertools.islice(_NUMBERS, 20000)):
        try:
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                with socket.socket(socket.AF_INET, kind) as free:
                    free.bind(('', port))
        except OSError:
            continue
        return port
    raise OSError('no free port from 12000 to 31999')


def environment(**more: str) -> dict[str, str]:
    """Return the environment of a scheduler, a server and two workers, without their roles."""
    return {**os.environ, 'OMP_NUM_THREADS': '1', 'PYTHONPATH': ROOT,
            'DMLC_PS_ROOT_URI': '127.0.0.1', 'DMLC_PS_ROOT_PORT': str(free_port()),
            'DMLC_NUM_SERVER': '1', 'DMLC_NUM_WORKER': '2', **more}
