"""Advice below the traceback of a program that runs with mxrnn."""
from __future__ import annotations

import os
import re
import shlex
import sysconfig
import types

__all__ = ['advice']

_NAMES = 'basestring execfile intern long raw_input reduce reload unichr unicode xrange'
_MODULES = '''BaseHTTPServer ConfigParser HTMLParser Queue SocketServer StringIO Tkinter __builtin__
    cPickle cStringIO commands copy_reg httplib urllib2 urlparse'''
_ATTRIBUTES = '''func_name getcwdu has_key ifilter imap iteritems iterkeys itervalues izip
    izip_longest maxint quote urlencode urlopen urlretrieve'''

#: Messages of errors that the converter mends; for errors of syntax, also parts of lines.
_MESSAGE = re.compile(
    r"Missing parentheses in call to '(print|exec)'|multiple exception types must be parenthesized"
    r"|leading zeros in decimal|parameters cannot be parenthesized|for >>: 'builtin_function"
    r"|name '(%s)' is not defined|No module named '(%s)'"
    r"|has no attribute '(%s)'|cannot import name '(%s)'"
    r"|'(generator|\w+_?iterator|enumerate|map|zip)' object has no attribute 'next'"
    r"|'(dict_\w+|map|zip|filter)'( object is not subscriptable| has no len| object has no attr)"
    % tuple('|'.join(names.split()) for names in (_NAMES, _MODULES, _ATTRIBUTES, _ATTRIBUTES)))
_LINE = re.compile(r'^\s*(print|exec)\s+[^\s=(.]|^\s*(raise|except)\s[^(]*,|^\s*def\b.*[(,]\s*\('
                   r'|`|<>|\b\d+[lL]\b|\bur[\'"]')


def advice(error: BaseException) -> str | None:
    """What to do about an error of a program; None if nothing is known about it."""
    frames = []
    trace = error.__traceback__
    while trace is not None:
        frames.append(trace.tb_frame)
        trace = trace.tb_next
    return _python_2(error, frames) or _names_that_differ(frames)


def _python_2(error: BaseException, frames: list[types.FrameType]) -> str | None:
    """How to convert the program's file that is written in Python 2."""
    path: str | None = frames[-1].f_code.co_filename if frames else None
    found = _MESSAGE.search(str(error))
    if isinstance(error, SyntaxError):
        path, found = error.filename, found or _LINE.search(error.text or '')
    if not found or not path or not os.path.isfile(path) or any(
            os.path.abspath(path).startswith(sysconfig.get_path(each) + os.sep)
            for each in ('stdlib', 'purelib', 'platlib')):
        return None
    return ('%s is written in Python 2. To convert it (the old file becomes %s.bak):\n'
            '    pip install fissix && python -m fissix -w %s\n'
            'Then write // where whole numbers are divided.' % (
                path, os.path.basename(path), shlex.quote(path)))


def _names_that_differ(frames: list[types.FrameType]) -> str | None:
    """Which data a module does not read, and which inputs have no data, if it failed to bind."""
    binding = next((frame.f_locals for frame in frames if frame.f_code.co_name == 'bind_exec'), {})
    if not {'self', 'data_shapes', 'label_shapes'} <= {*binding}:
        return None
    group = binding['self']
    given = [each[0] for each in binding['data_shapes'] + (binding['label_shapes'] or [])]
    read = group.symbol.list_arguments()
    unread = [name for name in given if name not in read]
    wanted = [name for name in read if name not in given and (
        name not in group.param_names or name.endswith('label'))]
    if not unread or not wanted:
        return None
    return ('The data have %s, which the network does not read; it reads %s, which they lack.\n'
            'Give both the same name, with label_name= of the iterator and label_names= of Module.'
            % (', '.join(unread), ', '.join(wanted)))
