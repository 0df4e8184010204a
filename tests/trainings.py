"""Processes that train together on this machine."""
import itertools
import os
import socket
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

#: Seconds after which a test hangs, on a machine of any load.
HANGS = 3600

#: Two test runs on one machine begin at different ports.
_NUMBERS = itertools.count(os.getpid() * 97)


def free_port():
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


def environment(**more):
    """Return the environment of a scheduler, a server and two workers, without their roles."""
    return {**os.environ, 'OMP_NUM_THREADS': '1', 'PYTHONPATH': ROOT,
            'DMLC_PS_ROOT_URI': '127.0.0.1', 'DMLC_PS_ROOT_PORT': str(free_port()),
            'DMLC_NUM_SERVER': '1', 'DMLC_NUM_WORKER': '2', **more}


ROLES = ['scheduler', 'server', 'worker', 'worker']


class Training:
    """A scheduler, a server and two workers, each with what it prints in a file."""

    def __init__(self, folder, *command, **more):
        self.environment, self.folder = environment(**more), folder
        self.command = [sys.executable, '-W', 'ignore', '-c', *command]
        self.processes = []
        for role in ROLES:
            self.start(role)

    def start(self, role):
        with open(self.folder / str(len(self.processes)), 'wb') as output:
            self.processes.append(subprocess.Popen(
                self.command, env=dict(self.environment, DMLC_ROLE=role), cwd=self.folder,
                stdout=output, stderr=subprocess.STDOUT))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.processes:
            process.kill()
            process.wait()

    def printed(self, number):
        return (self.folder / str(number)).read_text(encoding='utf-8')

    def wait(self, condition):
        """Wait until a condition holds; returns after how many seconds."""
        start = time.monotonic()
        while not condition():
            assert time.monotonic() < start + HANGS, [
                self.printed(number) for number in range(len(self.processes))]
            time.sleep(0.05)
        return time.monotonic() - start

    def at_work(self):
        self.wait(lambda: all('at work' in self.printed(number) for number in (2, 3)))
        return self

    def ended(self, *numbers):
        return all(self.processes[number].poll() is not None for number in numbers)

    def statuses(self):
        return [process.poll() for process in self.processes]
