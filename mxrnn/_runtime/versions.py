"""The version, and the commands that install MXNet; README must have the same commands.

MXNet's metadata requires a NumPy version with no wheels for current Pythons, and its builds for
CPUs and for GPUs overwrite each other. So mxrnn's installation brings what MXNet needs at run time.
MXNet itself is installed last, without dependencies, by the same command for every Python.

This module imports nothing, because setup.py reads it too.
"""
from __future__ import annotations

__all__ = ['RELEASE', 'REQUIREMENTS', 'VERSION', 'how_to_install', 'mxnet', 'packages', 'reason',
           'with_gpu']

#: The release of mxrnn.
VERSION = '0.2.0'

#: The last release of MXNet, with which everything is tested.
RELEASE = '1.9.1'

#: Installed by `pip install .`, because MXNet needs them and is installed without dependencies.
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
    """Return the commands to type if MXNet is not installed, a line each."""
    return ['Without a GPU: ' + mxnet(), "With an NVIDIA GPU, in mxrnn's folder: " + with_gpu()]


def reason(error: ImportError) -> str:
    """Return the message of `error`, and what to type if mxrnn is not installed here."""
    if error.name in REQUIREMENTS:
        return "%s. Install mxrnn first, in mxrnn's folder: pip install ." % error
    return str(error)
