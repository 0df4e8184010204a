"""``python -m mxrnn``: reports what MXNet runs on, and runs the commands."""
from __future__ import annotations

import argparse
import difflib
import platform
import sys
import textwrap
from importlib import metadata
from typing import Any, NoReturn, Sequence

from ._command_output import failed
from ._model_commands import add_commands, run_command
from ._runtime import CommandError
from ._runtime.versions import VERSION, reason


class _Parser(argparse.ArgumentParser):
    """Names an unknown option before argparse complains about a missing one; errors take a line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, 'error: %s\n' % message)

    def parse_known_args(self, args: Sequence[str] | None = None,  # type: ignore[override]
                         namespace: argparse.Namespace | None = None
                         ) -> tuple[argparse.Namespace, list[str]]:
        known = list(self._option_string_actions)
        for word in sys.argv[1:] if args is None else args:
            option = word.partition('=')[0]
            if option == '--' or self._subparsers and not word.startswith('-'):
                break  # the rest belongs to the program
            if option.startswith('--') and not any(each.startswith(option) for each in known):
                near = difflib.get_close_matches(option, known, 1)
                self.error('there is no option %s%s' % (
                    option, '; did you mean %s?' % near[0] if near else ''))
        return super().parse_known_args(args, namespace)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.dest == 'command' and action.choices and value not in action.choices:
            near = difflib.get_close_matches(value, list(action.choices), 1)
            meant = 'run ' + value if value.endswith('.py') else near[0] if near else ''
            self.error('there is no command %s%s' % (value, (
                '; did you mean %s?' % meant if meant else '. These are there: %s' % ', '.join(
                    action.choices))))
        super()._check_value(action, value)


def _parser(words: list[str]) -> argparse.ArgumentParser:
    parser = _Parser(
        prog='python -m mxrnn',
        description='Without a command, it reports what MXNet runs on here, for bug reports.')
    parser.add_argument('--version', action='store_true',
                        help='print the versions of mxrnn, Python, NumPy and MXNet')
    commands = parser.add_subparsers(dest='command', metavar='COMMAND')
    run = commands.add_parser(
        'run', help='run an old program unmodified',
        description='Run an unmodified program. `import mxnet` works in it on current Python and '
                    'NumPy, and mx.rnn is mxrnn, also in processes that it starts with '
                    'multiprocessing.')
    run.add_argument('-m', dest='as_module', action='store_true',
                     help='PROGRAM is the name of a module or package, as in python -m')
    run.add_argument('--fuse', action='store_true',
                     help='run cells as the operator sym.RNN, several times as fast')
    run.add_argument('--report', action='store_true',
                     help='print at the end what was fused, and why the rest was not')
    run.add_argument('program', metavar='PROGRAM', help='a script, or a module after -m')
    rest = run.add_argument('arguments', metavar='...', nargs=argparse.REMAINDER,
                            help='arguments of the program')
    rest.required = False  # otherwise argparse names it beside a missing PROGRAM
    enable = commands.add_parser(
        'enable', help='make `import mxnet` work in every program of this environment',
        description='Make `import mxnet` work on current Python and NumPy in every program of '
                    'this environment. It adds two small files to site-packages.')
    enable.add_argument('--replace', action='store_true', help='also make mx.rnn mxrnn')
    commands.add_parser('disable', help='remove what enable added')
    add_commands(commands, words)
    return parser


def _versions() -> str:
    """The installed versions; works even if nothing can be imported."""
    from ._runtime.cuda_libraries import installed
    lines = ['mxrnn ' + VERSION, 'Python ' + platform.python_version()]
    try:
        lines.append('NumPy ' + metadata.version('numpy'))
    except metadata.PackageNotFoundError:
        lines.append('NumPy is not installed')
    lines += ['%s %s' % each for each in installed().items()] or ['MXNet is not installed']
    return '\n'.join(lines)


def _for_terminals(report: str) -> str:
    """The lines of a report, wrapped before column 80."""
    return '\n'.join(textwrap.fill(line, 79, subsequent_indent=' ' * 16, break_long_words=False,
                                   break_on_hyphens=False) for line in report.splitlines())


def _of_program(words: list[str]) -> int:
    """Return how many of `words` come before the arguments of run's program."""
    if words[:1] != ['run']:
        return len(words)
    for place, word in enumerate(words[1:], 1):
        if word == '--':
            return place + 2
        if not word.startswith('-') or word == '-':
            return place + 1
    return len(words)


def _remedy(options: argparse.Namespace, others: list[str]) -> str:
    """What to do about words that no option takes; '' if nothing is known."""
    inputs = getattr(options, 'input', None)
    if inputs and '=' not in inputs[-1]:
        return '; write --input %s=%s' % (inputs[-1], others[0])
    if inputs and all('=' in each for each in others):
        return '; write --input before each: --input %s' % ' --input '.join(others)
    if getattr(options, 'symbol', None):
        return '; --symbol and --params replace PREFIX and EPOCH: leave these out'
    return ''


def main() -> None:
    try:
        _act(sys.argv[1:])
    except CommandError as error:
        sys.exit(failed('', error))


def _act(words: list[str]) -> None:
    own = _of_program(words)  # argparse would remove a '--' from the rest
    parser = _parser(words[:own])
    options, others = parser.parse_known_args(words[:own])
    if others:
        parser.error('unrecognized arguments: %s%s' % (' '.join(others), _remedy(options, others)))
    if options.version:
        print(_versions())
    elif options.command == 'run':
        if options.report and not options.fuse:
            parser.error('--report needs --fuse: add it')
        from ._runtime.run_program import run
        run(options.program, words[own:], options.as_module, options.fuse, options.report)
    elif options.command == 'enable':
        from ._runtime.enable_patches import enable
        print(enable(options.replace))
    elif options.command == 'disable':
        from ._runtime.enable_patches import disable
        print(disable())
    elif options.command is not None:
        sys.exit(run_command(options))
    else:
        try:
            from ._runtime.device_report import device_report
        except ImportError as error:
            print(_versions())
            sys.exit(reason(error))
        print(_for_terminals(device_report()))


if __name__ == '__main__':
    main()
