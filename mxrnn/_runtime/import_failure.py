"""Finds MXNet, and explains why it cannot be imported, and what to do."""
from __future__ import annotations

import ctypes
import glob
import importlib.util
import os
import platform
import re
import sys
from importlib.machinery import ModuleSpec

import numpy as np

from . import cuda_libraries as _cuda
from . import versions
from .cuda_libraries import linked

__all__ = ['advice', 'clashes', 'explanation', 'found', 'missing_libraries', 'too_new']

#: System libraries that MXNet's wheels link to and a minimal system may lack, with their packages
#: in Debian and Fedora.
SYSTEM = {'libgomp.so.1': ('libgomp1', 'libgomp'),
          'libquadmath.so.0': ('libquadmath0', 'libquadmath'),
          'libstdc++.so.6': ('libstdc++6', 'libstdc++')}

#: Arm Performance Libraries that the wheel for 64-bit Arm links to. It only uses standard
#: functions, which these other libraries have too.
ARM = {'libarmpl_lp64_mp.so': 'liblapacke.so.3',
       'libamath.so': 'libm.so.6',
       'libastring.so': 'libc.so.6'}


def found() -> ModuleSpec:
    """Return where MXNet 1 is; raise ImportError, with what to install, if it is not there."""
    spec = importlib.util.find_spec('mxnet')
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError('\n'.join([
            'MXNet is not installed.', *versions.how_to_install()]), name='mxnet')
    version = too_new(spec.origin)
    if version:
        raise ImportError('\n'.join([
            'mxrnn needs MXNet 1.5 to 1.9.1, but MXNet %s is installed (%s). Uninstall it, '
            'then:' % (version, os.path.dirname(spec.origin)),
            *versions.how_to_install(),
            'For later GPUs, export the model: docs/export.md. Exports need no MXNet.',
        ]), name='mxnet')
    return spec


def too_new(file: str) -> str | None:
    """Return the version of the MXNet whose ``__init__.py`` is `file`, if it is 2 or later: it has
    no mx.rnn."""
    try:
        with open(os.path.join(os.path.dirname(file), 'libinfo.py'), encoding='utf-8') as stream:
            told = re.search(r"""^__version__ = ['"]([2-9].*)['"]""", stream.read(), re.MULTILINE)
    except OSError:
        return None
    return told and told[1]


def _loads(name: str) -> bool:
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True


def _missing(folder: str) -> list[str]:
    """Return the known libraries that `folder` links to and that cannot be loaded."""
    files = sorted(glob.glob(os.path.join(glob.escape(folder), '*.so*')))
    bundled = {os.path.basename(file) for file in files}
    names = {name for file in files for name in linked(file)} - bundled
    return [name for name in [*SYSTEM, *ARM] if name in names and not _loads(name)]


def missing_libraries(folder: str) -> list[str]:
    """Return what to do about system libraries that MXNet in `folder` needs, a line each."""
    missing = _missing(folder)
    arm = [name for name in missing if name in ARM]
    system = [name for name in missing if name in SYSTEM]
    lines = []
    if system:
        debian, fedora = zip(*(SYSTEM[name] for name in system))
        lines += ["%s: this system lacks libraries that MXNet needs." % ' and '.join(system),
                  'Debian and Ubuntu: apt-get install ' + ' '.join(debian),
                  'Fedora: dnf install ' + ' '.join(fedora)]
    if arm:
        lines += ['%s: Arm Performance Libraries, which MXNet needs on 64-bit Arm. Install '
                  'them, or link standard libraries in their place:' % ' and '.join(arm),
                  'Debian and Ubuntu: apt-get install liblapacke libopenblas0-pthread libgomp1']
        lines += ['ln -s "$(ldconfig -p | sed -n \'s/.*%s.* => //p\' | head -n 1)" %s'
                  % (ARM[name].replace('.', r'\.'), os.path.join(folder, name)) for name in arm]
    return lines


def explanation(error: Exception, file: str, failed: dict[str, str]) -> str:
    """Return why the import of MXNet, whose ``__init__.py`` is `file`, failed with `error`.

    `failed` has the libraries of NVIDIA that cannot be loaded, from `cuda.load`.
    """
    names = ', '.join('%s %s' % each for each in _cuda.installed().items())
    lines = ['MXNet (%s) cannot be imported with Python %s and NumPy %s: %s: %s' % (
        names or file, platform.python_version(), np.__version__, type(error).__name__, error)]
    lines += advice(failed) + clashes()
    if isinstance(error, OSError):
        lines += missing_libraries(os.path.dirname(file))
    elif isinstance(error, ModuleNotFoundError) and error.name and not error.name.startswith('mx'):
        lines.append('MXNet needs that module: ' + versions.packages(error.name))
    elif sys.flags.optimize > 1:
        lines.append('Python runs with -OO (or PYTHONOPTIMIZE=2), which removes the docstrings '
                     'that MXNet needs: use -O at most.')
    if len(lines) == 1 or _cuda.DRIVER in failed:
        lines += versions.how_to_install()
    return '\n'.join(lines)


def advice(failed: dict[str, str]) -> list[str]:
    """Return what to do about libraries that `load` could not load, a line each."""
    packages = {library.soname: '%s==%s' % library[1:] for library in _cuda.LIBRARIES}
    lines, install, toolkit = [], [], []
    for soname, error in failed.items():
        if soname == _cuda.DRIVER:
            lines.append('%s comes with the NVIDIA driver (%s): install the driver, or replace '
                         'this MXNet by MXNet for the CPU.' % (soname, error))
            continue
        others = _cuda.other_versions(soname)
        lines.append('%s cannot be loaded (%s)%s.' % (
            soname, error, ', and %s has another version' % others[0] if others else ''))
        if soname in packages:
            install.append(packages[soname])
        else:
            toolkit.append(soname)
    if install:
        lines.append('pip can bring it: ' + versions.packages(*install))
    if toolkit:
        lines.append('No pip package brings %s: set LD_LIBRARY_PATH to the libraries of the CUDA '
                     'toolkit that this wheel was built with, or install a wheel of MXNet from '
                     'cu112 on.' % ', '.join(toolkit))
    return lines


def clashes() -> list[str]:
    """Return a message if several distributions have overwritten one another's files."""
    names = _cuda.installed()
    if len(names) < 2:
        return []
    return ['%s are installed at once and have overwritten each other: pip uninstall -y '
            '%s, then install the one that you want.' % (' and '.join(names), ' '.join(names))]
