"""The version, and the commands that install MXNet: worded here alone, and held to the README's.

MXNet's metadata asks for a NumPy that current Pythons have no wheel of, and its builds for CPUs and
for GPUs overwrite each other. So mxrnn brings what MXNet needs at run time, and MXNet itself is
installed last and without its dependencies, by a command that is the same for every Python.

This module imports nothing: setup.py reads it, too.
"""
from __future__ import annotations

__all__ = ['RELEASE', 'REQUIREMENTS', 'VERSION', 'how_to_install', 'mxnet', 'packages', 'reason',
           'with_gpu']

#: The release of mxrnn.
VERSION = '0.2.0'

#: The last release of MXNet, which all is tested with.
RELEASE = '1.9.1'

#: Brought by `pip install .`: MXNet needs them, too, and is installed without them.
REQUIREMENTS = ['numpy', 'requests']


def packages(*requirements: str) -> str:
    """Return the command that installs `requirements`."""
    return 'pip install ' + ' '.join("'%s'" % each for each in requirements)


def mxnet(wheel: str = 'mxnet') -> str:
    """Return the command that installs one of MXNet's wheels, such as 'mxnet-cu112'."""
    return 'pip install --no-deps %s==%s' % (wheel, RELEASE)


def with_gpu(extra: str = 'cu112') -> str:
    """Return the command that installs mxrnn, NVIDIA's libraries and MXNet, in mxrnn's folder."""
    return "%s && %s" % (packages('.[%s]' % extra), mxnet('mxnet-' + extra))


def how_to_install() -> list[str]:
    """Return what to type where MXNet is not installed, a line each."""
    return ['Without a GPU: ' + mxnet(),
            "With an NVIDIA GPU, in mxrnn's folder: " + with_gpu()]


def reason(error: ImportError) -> str:
    """Return what `error` says, with what to type if mxrnn was not installed where it runs."""
    if error.name in REQUIREMENTS:
        return "%s. Install mxrnn first, in mxrnn's folder: pip install ." % error
    return str(error)
