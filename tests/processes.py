"""Python in a process of its own."""
import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parent


def python(*arguments, folder=None, path=(), hidden='', program='', **environment):
    """Run Python in a folder. It finds mxrnn and, before all else, what lies in `path`, but none of
    the packages `hidden`, if they are installed. Another `program` finds what it has."""
    places = [] if program else [*path, *[TESTS / 'hiding'] * bool(hidden), TESTS.parent]
    return subprocess.run(
        [program or sys.executable, *map(str, arguments)], cwd=folder, text=True,
        capture_output=True, env={**os.environ, 'PYTHONPATH': os.pathsep.join(map(str, places)),
                                  'HIDDEN': hidden, **environment})


def printed(*arguments, **options):
    """What Python printed, having succeeded."""
    done = python(*arguments, **options)
    assert done.returncode == 0, (arguments, done.stdout, done.stderr)
    return done.stdout
