"""``python -m mxrnn enable`` and ``disable``: patch MXNet in every program of an environment.

At its start Python reads ``.pth`` files, and from 3.15 on ``.start`` files in place of their lines
of code (PEP 829). One of them calls a copy of `startup` that is written beside it; nothing else is
changed.
"""
from __future__ import annotations

import importlib.util
import os
import site
import subprocess
import sys
import sysconfig

from . import CommandError

__all__ = ['disable', 'enable']

#: Written by `enable`: a module, and one of the files with which Python starts.
_MODULE = '_mxrnn_startup'
_STARTERS = ('mxrnn-enable.pth', 'mxrnn-enable.start')


def _folder() -> str:
    """Return the site-packages of this environment, or of this user."""
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    users = site.getusersitepackages()
    if site.ENABLE_USER_SITE and os.path.dirname(package) == os.path.abspath(users):
        return users
    return sysconfig.get_path('purelib')


def _present() -> list[str]:
    """Return the files that `enable` wrote, and what Python compiled from them."""
    paths = [os.path.join(_folder(), name) for name in (*_STARTERS, _MODULE + '.py')]
    paths.append(importlib.util.cache_from_source(paths[-1]))
    return [path for path in paths if os.path.exists(path)]


def _check_installed() -> None:
    """Refuse an environment whose programs would not find mxrnn."""
    variables = {name: value for name, value in os.environ.items() if name != 'PYTHONPATH'}
    found = subprocess.run([sys.executable, '-c', 'import mxrnn'], cwd=os.path.abspath(os.sep),
                           env=variables, stderr=subprocess.DEVNULL)
    if found.returncode:
        raise CommandError('mxrnn is not installed in this environment (%s). Install it first, in '
                           "mxrnn's folder: pip install ." % sys.prefix)


def enable(replaces_rnn: bool = False) -> str:
    """Patch MXNet in every program of this environment; return a message."""
    _check_installed()
    call = 'replace' if replaces_rnn else 'cure'
    if sys.version_info >= (3, 15):
        name, line = 'mxrnn-enable.start', '%s:%s\n' % (_MODULE, call)
    else:
        name, line = 'mxrnn-enable.pth', 'import %s; %s.%s()\n' % (_MODULE, _MODULE, call)
    with open(os.path.join(os.path.dirname(__file__), 'startup.py'), encoding='utf-8') as file:
        source = file.read()
    written = []
    for file_name, text in ((_MODULE + '.py', source), (name, line)):  # the module before its call
        path = os.path.join(_folder(), file_name)
        try:
            with open(path, 'w', encoding='utf-8') as file:
                file.write(text)
        except OSError as error:
            raise CommandError('%s cannot be written: %s' % (path, error)) from None
        written.append(path)
    return '\n'.join(['From now on `import mxnet` works in every program of %s%s.'
                      % (sys.prefix, ', and mx.rnn is mxrnn' if replaces_rnn else ''),
                      'Written:', *written, 'To undo it: python -m mxrnn disable'])


def disable() -> str:
    """Undo `enable`; return a message."""
    removed = _present()
    for path in removed:
        try:
            os.remove(path)
        except OSError as error:
            raise CommandError('%s cannot be removed: %s' % (path, error)) from None
    if not removed:
        return 'Nothing to do: %s was not enabled.' % sys.prefix
    return '\n'.join(['`import mxnet` is again as it was before in %s.' % sys.prefix,
                      'Removed:', *removed])
