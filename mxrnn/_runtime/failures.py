"""Why MXNet can't be imported here, and what to do about it."""
from __future__ import annotations

import ctypes
import glob
import os
import platform
import sys

import numpy as np

from . import commands, cuda

__all__ = ['explanation', 'missing_libraries']

#: Libraries of the system that MXNet's wheels link to and a minimal system may lack, with the
#: packages of Debian and of Fedora that have them.
SYSTEM = {'libgomp.so.1': ('libgomp1', 'libgomp'),
          'libquadmath.so.0': ('libquadmath0', 'libquadmath'),
          'libstdc++.so.6': ('libstdc++6', 'libstdc++')}

#: Arm Performance Libraries that the wheel for 64-bit Arm links to. It uses nothing of them but
#: standard functions, which these libraries have as well.
ARM = {'libarmpl_lp64_mp.so': 'liblapacke.so.3',
       'libamath.so': 'libm.so.6',
       'libastring.so': 'libc.so.6'}


def _loads(name: str) -> bool:
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True


def _missing(folder: str) -> list[str]:
    """Return what the libraries in `folder` link to, is known here, and can't be loaded."""
    files = sorted(glob.glob(os.path.join(glob.escape(folder), '*.so*')))
    bundled = {os.path.basename(file) for file in files}
    names = {name for file in files for name in cuda.linked(file)} - bundled
    return [name for name in [*SYSTEM, *ARM] if name in names and not _loads(name)]


def missing_libraries(folder: str) -> list[str]:
    """Return what to do about system libraries that MXNet in `folder` lacks, a line each."""
    missing = _missing(folder)
    arm = [name for name in missing if name in ARM]
    system = [name for name in missing if name in SYSTEM]
    lines = []
    if system:
        debian, fedora = zip(*(SYSTEM[name] for name in system))
        lines += ["%s: this system lacks what MXNet links to." % ' and '.join(system),
                  'Debian and Ubuntu: apt-get install ' + ' '.join(debian),
                  'Fedora: dnf install ' + ' '.join(fedora)]
    if arm:
        lines += ['%s: of Arm Performance Libraries, which MXNet links to on 64-bit Arm. Install '
                  'them, or let links to standard libraries take their place:' % ' and '.join(arm),
                  'Debian and Ubuntu: apt-get install liblapacke libopenblas0-pthread libgomp1']
        lines += ['ln -s "$(ldconfig -p | sed -n \'s/.*%s.* => //p\' | head -n 1)" %s'
                  % (ARM[name].replace('.', r'\.'), os.path.join(folder, name)) for name in arm]
    return lines


def explanation(error: Exception, file: str, failed: dict[str, str]) -> str:
    """Return why MXNet, whose ``__init__.py`` is `file`, failed to be imported with `error`.

    `failed` are the libraries of NVIDIA that can't be loaded, as `cuda.load` returns them.
    """
    installed = ', '.join('%s %s' % each for each in cuda.installed().items())
    lines = ['MXNet (%s) cannot be imported with Python %s and NumPy %s: %s: %s' % (
        installed or file, platform.python_version(), np.__version__, type(error).__name__, error)]
    lines += cuda.advice(failed) + cuda.clashes()
    if isinstance(error, OSError):
        lines += missing_libraries(os.path.dirname(file))
    elif isinstance(error, ModuleNotFoundError) and error.name and not error.name.startswith('mx'):
        lines.append('MXNet needs that module: ' + commands.packages(error.name))
    elif sys.flags.optimize > 1:
        lines.append('Python runs with -OO (or PYTHONOPTIMIZE=2), which takes away the docstrings '
                     'that MXNet works with: use -O at most.')
    if len(lines) == 1 or cuda.DRIVER in failed:
        lines += commands.how_to_install()
    return '\n'.join(lines)
