"""``python -m mxrnn run``: runs an unmodified program, with mxrnn as its ``mx.rnn``.

MXNet is imported only when the program imports it.

Processes that the program starts with multiprocessing import MXNet anew unless they are forked. If
they are spawned or come from a fork server, they begin with `spawned_main`, which does there what
`run` does in the program.
"""
from __future__ import annotations

import builtins
import contextlib
import difflib
import importlib.util
import io
import json
import os
import re
import runpy
import shlex
import sys
import sysconfig
import types
from importlib.machinery import ModuleSpec, PathFinder
from typing import Iterator, Sequence

from . import CommandError, finder
from .versions import how_to_install

__all__ = ['main_of_child', 'run']

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


def _advice(error: BaseException) -> str | None:
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


#: The environment variable that tells children the main module.
_MAIN = 'MXRNN_MAIN_OF_CHILDREN'
_CHILD = 'mxrnn._runtime.spawned_main'


def _keep_findable() -> None:
    """Let children find this mxrnn if it is in the current folder and not installed."""
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    found = PathFinder.find_spec('mxrnn')
    if found is None or os.path.dirname(os.path.abspath(found.origin or '')) != package:
        sys.path.insert(1, os.path.dirname(package))


def _prepare_children() -> None:
    """Make multiprocessing tell spawned children to begin with `_CHILD`."""
    from multiprocessing import spawn
    original = spawn.get_preparation_data

    def get_preparation_data(name: str) -> dict[str, object]:
        data = original(name)
        ways = {way: data.pop(way) for way in ('init_main_from_name', 'init_main_from_path')
                if way in data}
        os.environ[_MAIN] = json.dumps(ways)
        data['init_main_from_name'] = _CHILD
        return data

    spawn.get_preparation_data = get_preparation_data


def main_of_child() -> dict[str, object]:
    """Return the content that the main module of a process under `run` must have."""
    finder.replace_rnn()
    ways = json.loads(os.environ.get(_MAIN, '{}'))
    content: dict[str, object] = {}
    name = ways.get('init_main_from_name', '__main__')
    if 'init_main_from_path' in ways:
        content = runpy.run_path(ways['init_main_from_path'], run_name='__mp_main__')
    elif name.rpartition('.')[2] != '__main__':  # multiprocessing does not run that again
        content = runpy.run_module(name, run_name='__mp_main__', alter_sys=True)
    # Without the attribute that tells multiprocessing that children begin with `_CHILD`.
    for special in ('__spec__', '__loader__', '__package__', '__cached__', '__builtins__'):
        content.pop(special, None)
    return content


def run(program: str, arguments: Sequence[str], as_module: bool = False, fuse: bool = False,
        report: bool = False) -> None:
    """Run the script, folder or zip file `program`, or a module or package, as Python would."""
    if fuse:
        os.environ['MXRNN_FUSE'] = '1'  # also for processes that it starts
    finder.reports = report
    finder.replace_rnn()
    _prepare_children()
    sys.argv[:] = [program, *arguments]
    spec: ModuleSpec | None
    if as_module:
        spec = _module(program)
        sys.argv[0] = spec.origin or program
    else:
        spec = PathFinder.find_spec('__main__', [program])  # in a folder or zip file
        if not getattr(sys.flags, 'safe_path', False):
            sys.path[0] = program if spec else os.path.dirname(os.path.realpath(program))
    source = _source(program) if spec is None else b''
    _hint_at_options('-m ' * as_module + program, arguments, source)
    _keep_findable()
    # This module stays after the program has ended: threads and exit handlers may outlive it.
    main = types.ModuleType('__main__')
    vars(main)['__builtins__'] = builtins  # the module, as when Python starts a program
    sys.modules['__main__'] = sys.modules['__mp_main__'] = main
    with _traceback_of(main):
        if spec is None:
            code = compile(source, program, 'exec', dont_inherit=True)
            vars(main).update(__file__=program)
        else:
            code = spec.loader.get_code(spec.name)  # type: ignore[union-attr]
            vars(main).update(__file__=spec.origin, __loader__=spec.loader,
                              __package__=spec.parent, __spec__=spec)
        exec(code, vars(main))


@contextlib.contextmanager
def _traceback_of(program: types.ModuleType) -> Iterator[None]:
    """Begin tracebacks with the program, the module that runs; print advice below them."""
    try:
        yield
    except BaseException as caught:
        if isinstance(caught, ModuleNotFoundError) and caught.name == 'mxnet':
            caught.msg = '\n'.join(['MXNet is not installed.', *how_to_install()])
        show, known = sys.excepthook, _advice(caught)

        def shorter(kind: type[BaseException], error: BaseException,
                    trace: types.TracebackType | None) -> None:
            while trace is not None and trace.tb_frame.f_globals is not vars(program):
                trace = trace.tb_next
            show(kind, error.with_traceback(trace), trace)
            if known is not None:
                print('\n' + known, file=sys.stderr)

        sys.excepthook = shorter
        raise


def _source(program: str) -> bytes:
    try:
        with io.open_code(program) as file:
            content = file.read()
        if b'\0' in content:
            raise CommandError('%s is no program: run takes PROGRAM.py' % program)
        return content
    except IsADirectoryError:
        raise CommandError('%s is a folder without a __main__.py' % program) from None
    except OSError as error:
        raise CommandError('%s cannot be read: %s%s' % (
            program, error.strerror, _program_near(program))) from None


def _program_near(path: str) -> str:
    """The question whether the program with the most similar name was meant; '' if none is."""
    folder, name = os.path.split(path)
    names = os.listdir(folder or '.') if os.path.isdir(folder or '.') else []
    return ''.join('; did you mean %s?' % os.path.join(folder, near) for near in (
        difflib.get_close_matches(name if name.endswith('.py') else name + '.py', [
            each for each in names if each.endswith('.py')], 1)))


def _hint_at_options(program: str, arguments: Sequence[str], source: bytes) -> None:
    """Say that the program gets options of `run` that stand behind it, unless its text has them."""
    behind = ' '.join(option for option in ('--fuse', '--report')
                      if option in arguments and option.encode() not in source)
    if behind:
        print('%s stands behind %s, so the program gets it. If it is meant for mxrnn, type: '
              'python -m mxrnn run %s %s' % (behind, program, behind, program), file=sys.stderr)


def _module(name: str) -> ModuleSpec:
    """Find the module `name`, or the module `__main__` of the package `name`."""
    try:
        spec = importlib.util.find_spec(name)
    except ModuleNotFoundError as error:
        if error.name is None or not name.startswith(error.name + '.'):
            raise  # the package exists, but not a module that it imports
        spec = None
    if spec is not None and spec.submodule_search_locations is not None:
        spec = importlib.util.find_spec(name + '.__main__')
    if spec is None or not hasattr(spec.loader, 'get_code'):
        raise CommandError('%s is neither a module that can be run nor a package with a __main__'
                           % name)
    return spec
