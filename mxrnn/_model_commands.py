"""The commands export, inspect and compare of ``python -m mxrnn``; none needs MXNet.

The package interop is imported when one of them runs: interop needs NumPy, and a program under
`run` must be the first to import NumPy.
"""
from __future__ import annotations

import argparse
import contextlib
import importlib.util
import io
import os
import shlex
import sys
from typing import TYPE_CHECKING, Dict, Sequence, Tuple, TypeVar, Union

from ._command_output import check_target, failed, faults, load, newest_of, say, working
from ._files.checkpoint_files import epochs, why_none
from ._inspect_command import inspect as inspect_checkpoint

if TYPE_CHECKING:
    from ._graph.graph import Graph
    from .interop.model import Model

__all__ = ['add_commands', 'run_command']

Parser = TypeVar('Parser', bound=argparse.ArgumentParser)
Shapes = Dict[str, Tuple[Union[int, str], ...]]


def add_commands(commands: argparse._SubParsersAction[Parser], words: Sequence[str]) -> None:
    """Add the parsers of the commands to the subparsers `commands`, for a command line of `words`.
    """
    # argparse cannot leave out PREFIX where --symbol stands for it: FILE would be taken for it.
    by_files = any(word.partition('=')[0] in ('--symbol', '--params') for word in words)
    export = commands.add_parser(
        'export', help='write a checkpoint as an ONNX file or PyTorch source',
        description='Write the network of a checkpoint as an ONNX file or PyTorch source. For '
                    'EPOCH 4 it reads PREFIX-symbol.json and PREFIX-0004.params.')
    _add_checkpoint(export, by_files)
    export.add_argument('--onnx', metavar='FILE',
                        help='write an ONNX file. Both formats can be written at once')
    export.add_argument('--source', metavar='FILE.py',
                        help='write readable PyTorch, which imports nothing but torch, and '
                             'its weights: FILE.pt')
    _add_shapes(export, 'shape of an input, if the graph does not tell it or you want another. An '
                        'axis with a name has any size: data=batch,time,200. time:35 says that '
                        'the 35 in the graph is its number of steps, which becomes any')
    export.add_argument('--output', metavar='NAME', action='append',
                        help='an output of the file; inner nodes can be outputs: fc_output. '
                             'Default: all outputs, except losses that ONNX lacks')
    export.add_argument('--as-is', action='store_true',
                        help='keep unrolled cells as they are in the ONNX file, with their number '
                             'of steps. Default: they become operators and loops of any length')
    export.add_argument('--certify', metavar='OTHER-symbol.json',
                        help='the graph of another bucket; numbers that differ between the '
                             'two graphs are the number of steps, which becomes any')
    export.add_argument('--states', action='store_true',
                        help='make the states of all recurrences inputs and outputs, so that '
                             'the file runs in steps or chunks. An encoder becomes an ONNX file '
                             'of its own, or the method encode of a source')
    export.add_argument('--type', metavar='NAME=TYPE', action='append', default=[],
                        help='type of an input: data=int64')
    export.add_argument('--no-check', action='store_true',
                        help='write the file without comparing it with the checkpoint')
    export.add_argument('--quiet', action='store_true', help='print nothing but errors')
    export.add_argument('--verbose', action='store_true',
                        help='also print the sizes that were compared')
    export.set_defaults(act=_export)
    inspect = commands.add_parser(
        'inspect', help='list what is in a checkpoint, and what cannot be exported',
        description='List the inputs, outputs, operators and parameters of a checkpoint, and '
                    'the operators that cannot be exported to ONNX or torch. PREFIX can also be a '
                    'file: FILE.onnx lists the names, types and sizes of its inputs and outputs, '
                    'as the configuration of a server needs them.')
    _add_checkpoint(inspect, by_files)
    inspect.add_argument('--plot', metavar='FILE.svg', help='also draw the layers for a browser; '
                                                            'all steps of a cell are one box')
    inspect.set_defaults(act=inspect_checkpoint)
    compare = commands.add_parser(
        'compare', help='compare an exported file with the checkpoint',
        description='Run the checkpoint and the exported file on the same data. The checkpoint '
                    'runs in MXNet, or in torch on a machine without MXNet. Prints the largest '
                    'difference of each output, relative to its largest value, or to the '
                    'largest that differs by more than rounding. The status is '
                    '1 if a difference is above the tolerance. A file of `export --states` runs '
                    'one step and then the rest; the checkpoint runs all steps at once.')
    _add_checkpoint(compare, by_files)
    compare.add_argument('file', metavar='FILE.onnx', help='the file of `export --onnx`')
    _add_shapes(compare, 'shape of an input: data=8,20. Default: axes of any size get 2, 3 ...')
    compare.add_argument('--data', metavar='FILE.npz',
                         help='inputs by name, saved with numpy.savez. Default: random')
    compare.add_argument('--tolerance', metavar='X', type=float, default=1e-5,
                         help='largest difference that is allowed (1e-5)')
    compare.add_argument('--seed', metavar='N', type=int, default=0, help='seed of random data (0)')
    compare.set_defaults(act=_compare)


def _add_checkpoint(parser: argparse.ArgumentParser, by_files: bool) -> None:
    if by_files:
        parser.set_defaults(prefix=None, epoch=None)
    else:
        parser.add_argument('prefix', metavar='PREFIX', help='the checkpoint: PREFIX of '
                            'PREFIX-symbol.json, or a folder or model.tar.gz with one model, or '
                            'the folder of a GluonTS predictor')
        parser.add_argument('epoch', metavar='EPOCH', type=_epoch, nargs='?',
                            help='the epoch of the checkpoint. Default: the newest')
    parser.add_argument('--symbol', metavar='FILE', required=by_files,
                        help='the file of the graph; with --params it replaces PREFIX')
    parser.add_argument('--params', metavar='FILE', required=by_files,
                        help='the file of the parameters')


def _epoch(text: str) -> int:
    if not text.isdigit():
        raise argparse.ArgumentTypeError(
            'must be the number of an epoch, such as 4 for PREFIX-0004.params, got %r%s' % (
                text, ''.join(': type %s %s' % (option, text) for option, end, *_ in _FORMATS
                              if text.endswith(end[end.index('.'):]))))
    return int(text)


def _add_shapes(parser: argparse.ArgumentParser, text: str) -> None:
    parser.add_argument('--input', metavar='NAME=SIZES', action='append', default=[], help=text)


def run_command(options: argparse.Namespace) -> int:
    """Run the command that was parsed; returns the status to exit with.

    An error that the user can mend (a missing or damaged file, a missing package or shape) is
    printed as one message without a traceback.
    """
    try:
        from .interop.seals import refuse_torch
        refuse_torch(options.prefix or '')
        quiet = getattr(options, 'quiet', False)
        with contextlib.redirect_stdout(io.StringIO()) if quiet else contextlib.nullcontext():
            status: int = options.act(options)
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # `| head` has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except faults() as error:
        return failed('', error)


def _pairs(option: str, texts: Sequence[str]) -> dict[str, str]:
    """Options of the form NAME=VALUE."""
    pairs: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition('=')
        if not (name and equals and value):
            raise ValueError('%s must have the form NAME=VALUE, got %s' % (option, text))
        if name in pairs:
            raise ValueError('%s must be given once for %s, got %s and %s' % (
                option, name, pairs[name], value))
        pairs[name] = value
    return pairs


def shapes_of(texts: Sequence[str]) -> Shapes:
    """The shapes that ``--input`` states: integers and names."""
    return {name: tuple(int(size) if size.strip().isdigit() else size.strip()
                        for size in value.split(','))
            for name, value in _pairs('--input', texts).items()}


#: Formats of `export`: the option, what the file's name ends in, what it is for, what it needs.
_FORMATS = [
    ('--onnx', '.onnx', 'ONNX, which onnxruntime and other servers run', 'onnx>=1.13'),
    ('--source', '_model.py', 'readable PyTorch and its weights, which need no mxrnn', 'torch')]


def _say_formats(options: argparse.Namespace) -> None:
    """Say on the error output what `export` writes, and what to type for it."""
    words = [options.prefix] if options.symbol is None else [
        '--symbol', options.symbol, '--params', options.params]
    folder, stem = os.path.split(options.prefix or 'model')
    if options.symbol is None and os.path.exists(options.prefix):
        folder, stem = '', os.path.basename(os.path.abspath(options.prefix))
    stem = os.path.join(folder, stem.partition('.')[0])
    words += [] if options.epoch is None else [str(options.epoch)]
    words += ['--%s=%s' % (option, value) for option, values in (
        ('input', options.input), ('type', options.type), ('output', options.output or ()),
        ('certify', filter(None, [options.certify]))) for value in values]
    words += ['--states'] * options.states
    lines = ['error: choose a format for the export. Type one of these:']
    for option, end, what, needs in _FORMATS:
        name = needs.partition('>')[0]
        lines += ['  python -m mxrnn export %s %s %s' % (
            ' '.join(map(shlex.quote, words)), option, shlex.quote(stem + end)),
            '      %s. Needs %s, which is %s' % (
                what, name, 'installed' if importlib.util.find_spec(name) else
                'not installed: pip install ' + shlex.quote(needs))]
    print('\n'.join(lines), file=sys.stderr)


def _export(options: argparse.Namespace) -> int:
    if options.onnx is options.source is None:
        if options.symbol is None and not os.path.exists(options.prefix) and (
                not epochs(options.prefix)):
            raise ValueError(why_none(options.prefix))
        _say_formats(options)
        return 2
    shapes, types = shapes_of(options.input), _pairs('--type', options.type)
    formats = [each for each in ((_write_onnx, options.onnx), (_write_source, options.source))
               if each[1] is not None]
    if len({os.path.realpath(path) for _, path in formats}) < len(formats):
        raise ValueError('each format needs a file of its own, got %s' % ', '.join(
            path for _, path in formats))
    if options.source is not None:
        _check_source(options)
    if options.onnx is not None:
        check_target('--onnx', options.onnx, ('.pt', '.pth', '.py'), 'other files')
    name = os.path.basename(options.prefix or options.symbol)
    with working('reading ' + name):
        model = load(options)
    refusals: list[str] = []
    told: set[tuple[str, str]] = set()
    for write, target in formats:
        try:
            with working('writing %s%s' % (os.path.basename(target), (
                    '' if options.no_check else ' and comparing it with ' + name))):
                paths, remarks = write(options, shapes, types, model)
        except faults() as error:
            if len(formats) == 1:
                raise
            new = [line for line in str(error).splitlines() if line not in refusals]
            failed('%s was not written: ' % target, error if not refusals else ValueError(
                '\n'.join(new) or 'for the same reason'))
            refusals += new or ['']
            continue
        newest = newest_of(options, model)
        print(', '.join(['%s: %d bytes' % (each, os.path.getsize(each)) for each in paths])
              + (newest and ', of epoch ' + newest))
        for kind, sentence in remarks:
            if sentence and (options.verbose or kind != 'sizes') and (kind, sentence) not in told:
                say(kind, sentence)
        told.update(remark for remark in remarks if remark[0] == 'note')
    return 2 if refusals else 0


#: The paths written, and titled remarks to print.
_Done = Tuple[Sequence[str], Sequence[Tuple[str, str]]]


def _check_source(options: argparse.Namespace) -> None:
    check_target('--source', options.source, ('.pt', '.onnx'), 'other files')
    if options.as_is:
        raise ValueError('--source rolls the graph up: leave out --as-is')
    from .interop import to_source  # noqa: F401  (says what to install)
    from .interop.seals import check_source_target
    check_source_target(options.source)


def _second_graph(options: argparse.Namespace) -> Graph | None:
    from ._graph.symbol_json import read_graph
    return None if options.certify is None else read_graph(options.certify)


def _write_source(options: argparse.Namespace, shapes: Shapes, types: dict[str, str],
                  model: Model) -> _Done:
    from .interop.export_source import write_source
    remarks = write_source(model, options.source, shapes, types, options.output, options.states,
                           not options.no_check, _second_graph(options))
    name = os.path.splitext(options.source)[0]
    if not os.path.basename(name).isidentifier():
        remarks.append(('note', 'import takes no name such as %s: export to another --source' %
                        os.path.basename(name)))
    return [options.source, name + '.pt'], remarks


def _write_onnx(options: argparse.Namespace, shapes: Shapes, types: dict[str, str],
                model: Model) -> _Done:
    from .interop.export_onnx import encoder_of, write_onnx
    written = write_onnx(model, options.onnx, shapes, types=types, outputs=options.output,
                         roll=not options.as_is, certify_by=_second_graph(options),
                         states=options.states,
                         check=not options.no_check)
    steps = written.plan.steps
    paths = [options.onnx, encoder_of(options.onnx)] if steps and steps.encoder else [options.onnx]
    return paths, [*written.plan.remarks, *[
        written.checked.remark, ('sizes', written.checked.sizes)] * bool(written.checked.title)]


def _compare(options: argparse.Namespace) -> int:
    from .interop.check.compare import compare
    with working('comparing %s' % os.path.basename(options.file)):
        model = load(options)
        differences = compare(model, options.file, shapes_of(options.input), options.data,
                              options.seed)
    print('checkpoint in %s%s' % (differences.runner, differences.rolled and (
        ', its graph rewritten, because ' + differences.rolled)))
    if differences.runner != 'MXNet':
        print('MXNet cannot be imported here, so nothing was compared with MXNet itself')
    print('data: %s' % ', '.join('%s %s' % (name, tuple(shape))
                                 for name, shape in differences.shapes.items()))
    if differences.chunks:
        print('the file ran in chunks of %s steps' % ' and '.join(map(str, differences.chunks)))
    for name, difference in differences.outputs:
        print('%-10.3g %s' % (difference, name))
    for name, reason in differences.missed.items():
        print('not compared: %s, since %s' % (name, reason))
    above = any(difference > options.tolerance for _, difference in differences.outputs)
    others = '' if options.prefix is None else ', '.join(
        str(epoch) for epoch in epochs(options.prefix) if epoch != model.epoch)
    if above and others:
        say('note', 'this was epoch %s. If the file is from another epoch, compare it with that; '
                     'there are also %s' % (model.epoch, others))
    print('%s the tolerance of %g' % ('above' if above else 'within', options.tolerance))
    return int(above)
