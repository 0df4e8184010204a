"""The commands export, inspect and compare of ``python -m mxrnn``; none needs MXNet.

The package interop is imported when one of them runs: it needs NumPy, which `run` leaves to the
program to import.
"""
from __future__ import annotations

import argparse
import collections
import math
import os
import sys
import textwrap
from typing import Any, Sequence

from ._files.atomic import replacing
from ._files.names import epochs, refuse_checkpoint
from ._runtime.commands import reason

__all__ = ['add_commands', 'run_command']

#: Where lines end, whatever the terminal: outputs go into files and reports, too.
_COLUMNS = 79


def add_commands(commands: Any) -> None:
    """Add the parsers of the commands to the subparsers `commands`."""
    export = commands.add_parser(
        'export', help='write a checkpoint as an ONNX or a torch file, or as PyTorch source',
        description='Write the network of a checkpoint, PREFIX-symbol.json and '
                    'PREFIX-0004.params for EPOCH 4, as an ONNX file, one of torch, or Python '
                    'source.')
    _add_checkpoint(export)
    target = export.add_mutually_exclusive_group(required=True)
    target.add_argument('--onnx', metavar='FILE', help='ONNX file')
    target.add_argument('--torch', metavar='FILE',
                        help='file of torch, which mxrnn.interop.load_torch(FILE) reads')
    target.add_argument('--source', metavar='FILE.py',
                        help='readable PyTorch, which imports torch alone, with the weights '
                             'beside it: FILE.pt')
    _add_shapes(export, 'shape of an input of the ONNX file or the source, where the graph does '
                        'not tell it or another is wanted; names are axes of any size: '
                        'data=batch,time,200. '
                        'time:35 makes an axis of the 35 steps that the graph was unrolled for')
    export.add_argument('--output', metavar='NAME', action='append',
                        help='an output of the file, also of an inner node: fc_output; otherwise '
                             'all, but for losses that ONNX does not have')
    export.add_argument('--as-is', action='store_true',
                        help='leave cells that were unrolled as they are, with their number of '
                             'steps; otherwise they become operators and loops of any length. A '
                             'file of torch has the graph as it is in any case, and load_torch '
                             'rolls it up')
    export.add_argument('--certify', metavar='OTHER-symbol.json',
                        help='the graph of another bucket: what differs is the number of steps, '
                             'which becomes an axis of the ONNX file')
    export.add_argument('--states', action='store_true',
                        help='make the states of all recurrences inputs and outputs of the file, '
                             'which then runs in steps or chunks; an encoder gets an ONNX file of '
                             'its own, a source a method encode')
    export.add_argument('--type', metavar='NAME=TYPE', action='append', default=[],
                        help='type of an input of the ONNX file or the source: data=int64')
    export.set_defaults(act=_export)
    inspect = commands.add_parser(
        'inspect', help='list what a checkpoint holds, and what of it cannot be exported',
        description='List inputs, outputs, operators and parameters of a checkpoint, and the '
                    'operators that ONNX or torch have no counterpart of. Of an ONNX file, '
                    'FILE.onnx for PREFIX, the names, types and sizes of inputs and outputs, as '
                    'the configuration of a server has them; of a file of `export --torch`, what '
                    'it lists of a checkpoint, and states.')
    _add_checkpoint(inspect)
    inspect.add_argument('--plot', metavar='FILE.svg', help='also draw the layers, unrolled steps '
                                                            'as one, for a browser to show')
    inspect.set_defaults(act=_inspect)
    compare = commands.add_parser(
        'compare', help='compare an exported file with the checkpoint',
        description='Run the checkpoint in MXNet, or in torch where there is no MXNet, and the '
                    'exported file on the same data. Prints the largest difference for each '
                    'output, relative to the largest value of the output, and ends with '
                    'status 1 if one is above the tolerance. A file with states (export --states) '
                    'runs a step, and then the others; the checkpoint runs them all at once.')
    _add_checkpoint(compare)
    compare.add_argument('file', metavar='FILE', help='of `export`: F.onnx, or else of torch')
    _add_shapes(compare, 'shape of an input: data=8,20; otherwise axes of any size get 2, 3, ...')
    compare.add_argument('--data', metavar='FILE.npz',
                         help='arrays of numpy.savez by names of inputs, instead of random ones')
    compare.add_argument('--tolerance', metavar='X', type=float, default=1e-5,
                         help='largest difference allowed (1e-5)')
    compare.add_argument('--seed', metavar='N', type=int, default=0, help='of the random data (0)')
    compare.set_defaults(act=_compare)


def _add_checkpoint(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('prefix', metavar='PREFIX', help='of the files of the checkpoint')
    parser.add_argument('epoch', metavar='EPOCH', type=_epoch, nargs='?',
                        help='of the checkpoint, else the last one')


def _epoch(text: str) -> int:
    if not text.isdigit():
        raise argparse.ArgumentTypeError(
            'must be the number of an epoch, such as 4 for PREFIX-0004.params, got %r' % text)
    return int(text)


def _add_shapes(parser: argparse.ArgumentParser, text: str) -> None:
    parser.add_argument('--input', metavar='NAME=SIZES', action='append', default=[], help=text)


def run_command(options: argparse.Namespace) -> int:
    """Run the command that was parsed; returns the status to exit with.

    What the user can put right (a file that is missing or damaged, a package to install, a shape to
    give) is said in one message, without a traceback.
    """
    from ._files import CheckpointError
    try:
        status: int = options.act(options)
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # `| head` has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (ImportError, ValueError, TypeError, OSError, CheckpointError) as error:
        print('error: %s' % (reason(error) if isinstance(error, ImportError) else error),
              file=sys.stderr)
        return 2


def _load(options: argparse.Namespace) -> Any:
    from .interop import load
    model = load(options.prefix, options.epoch)
    if options.epoch is None:
        _say('epoch', '%s, the newest' % model.epoch)
    return model


def _pairs(option: str, texts: Sequence[str]) -> dict[str, str]:
    """Options of the form NAME=VALUE."""
    pairs = {}
    for text in texts:
        name, equals, value = text.partition('=')
        if not (name and equals and value):
            raise ValueError('%s must be NAME=VALUE, got %s' % (option, text))
        pairs[name] = value
    return pairs


def shapes_of(texts: Sequence[str]) -> dict[str, tuple[Any, ...]]:
    """The shapes that ``--input`` gives: integers and names."""
    return {name: tuple(int(size) if size.strip().isdigit() else size.strip()
                        for size in value.split(','))
            for name, value in _pairs('--input', texts).items()}


def _check_target(option: str, path: str, ends: Sequence[str] = (), other: str = '') -> None:
    """Refuse a name of the `other` format or of a checkpoint, or in a folder that is not there."""
    refuse_checkpoint(option, path)
    if path.lower().endswith(tuple(ends)):
        raise ValueError('%s must not end in %s, as %s do, got %s'
                         % (option, ' or '.join(ends), other, path))
    folder = os.path.dirname(os.path.realpath(path))
    if not os.path.isdir(folder):
        raise ValueError('there is no folder %s, where %s writes %s' % (
            os.path.dirname(path) or folder, option, os.path.basename(path)))


def _export(options: argparse.Namespace) -> int:
    if options.source is not None:
        _check_target('--source', options.source, ('.pt', '.onnx'), 'other files')
        if options.certify or options.as_is:
            raise ValueError('--as-is and --certify are not for sources')
        from .interop._source.export import write_source
        from .interop._source.target import check_target
        check_target(options.source)
        remarks = write_source(_load(options), options.source, shapes_of(options.input),
                               _pairs('--type', options.type), options.output, options.states)
        for path in (options.source, os.path.splitext(options.source)[0] + '.pt'):
            print('%s: %d bytes' % (path, os.path.getsize(path)))
        for title, sentence in remarks:
            _say(title, sentence)
        return 0
    if options.torch is None:
        _check_target('--onnx', options.onnx, ('.pt', '.pth', '.py'), 'other files')
        from ._graph.reading import read_graph
        from .interop._onnx import encoder_of, write_onnx
        other = None if options.certify is None else read_graph(options.certify)
        written = write_onnx(_load(options), options.onnx, shapes_of(options.input),
                             _pairs('--type', options.type), options.output,
                             not options.as_is, other, options.states)
    else:
        _check_target('--torch', options.torch, ('.onnx', '.py'), 'other files')
        if options.type or options.certify or options.input and not options.states:
            raise ValueError('--input without --states, --certify and --type are not for files of '
                             'torch: the shapes of a torch module come from its graph')
        from .interop import save_torch, to_torch  # says what to install, before anything is read
        from .interop._source.target import is_source
        source = os.path.splitext(options.torch)[0] + '.py'
        if is_source(source) and os.path.exists(options.torch):
            raise ValueError('--torch must have another name than the weights of %s, got %s' % (
                source, options.torch))
        save_torch(to_torch(_load(options), outputs=options.output, states=options.states,
                            inputs=shapes_of(options.input) if options.states else None),
                   options.torch)
    path = options.torch if options.onnx is None else options.onnx
    print('%s: %d bytes' % (path, os.path.getsize(path)))
    if options.torch is None:
        _say('inputs', ' '.join('%s=%s' % (name, ','.join(map(str, shape)))
                                for name, shape in written.inputs.items()) or 'none')
        if written.encoder is not None:
            _say('encoder', '%s: %d bytes' % (encoder_of(path), len(written.encoder.content)))
        for sentence in written.notes:
            _say('note', sentence)
        if written.left_out:
            _say('left out', '%s: ONNX does not have these losses' % ', '.join(written.left_out))
    return 0


def _inspect(options: argparse.Namespace) -> int:
    if options.plot is not None:
        if not options.plot.lower().endswith('.svg'):
            raise ValueError('--plot must end in .svg, got %s' % options.plot)
        _check_target('--plot', options.plot)
    if options.prefix.lower().endswith('.onnx') and os.path.isfile(options.prefix):
        if options.plot is not None:
            raise ValueError('--plot draws checkpoints and files of torch, got %s' % options.prefix)
        from .interop._onnx import table_of
        for title, lines in table_of(options.prefix):
            print('\n'.join([title + ':', *('  ' + line for line in lines or ['none'])]))
        return 0
    from .interop.exported import open_torch
    module = open_torch(options.prefix, roll=False) if _is_torch(options.prefix) else None
    model: Any = module or _load(options)
    graph, arrays = model.graph, _arrays_of(model)
    if options.plot is not None:
        from .interop.drawing import draw
        picture = draw(graph, arrays)
        with replacing([options.plot]) as stage, open(os.path.join(
                stage, os.path.basename(options.plot)), 'w', encoding='utf-8') as file:
            file.write(picture)
        print('%s: %d bytes' % (options.plot, os.path.getsize(options.plot)))
    version = graph.version
    _say('written by', 'MXNet %d.%d.%d' % (version // 10000, version // 100 % 100, version % 100)
         if version else 'an MXNet that does not say its version')
    if module is not None and module.encoder is not None:
        _say('encoder', 'computed once, before the first step, from %s' % (
            ', '.join(module.encoder.inputs)))
        _say_graph(module.encoder)
        _say('decoder', 'a step, or a chunk of steps')
    _say_graph(model)
    for name, verdict in (('ONNX', _onnx_verdict), ('torch', _torch_verdict)):
        if module is None:
            try:
                _say(name, verdict(graph))
            except ImportError as error:
                _say(name, 'not known: %s' % error)
    _say('parameters', '%d, of %d numbers' % (
        len(arrays), sum(math.prod(each.shape) for each in arrays.values())))
    for name, array in arrays.items():
        print('  %s %s %s' % (name, tuple(array.shape), str(array.dtype).replace('torch.', '')))
    return 0


def _is_torch(path: str) -> bool:
    """Whether there is a file as torch writes them, or a source, which is refused as such."""
    if not os.path.isfile(path):
        return False
    with open(path, 'rb') as file:
        return file.read(2) == b'PK' or path.endswith(('.pt', '.pth', '.py'))


def _arrays_of(model: Any) -> dict[str, Any]:
    """The parameters and auxiliary states of a model, or of a module and its encoder."""
    if hasattr(model, 'arg_params'):
        return {**model.arg_params, **model.aux_params}
    parts = [part for part in (model.encoder, model) if part is not None]
    return {name: value for own in ('_parameters', '_buffers') for part in parts
            for name, value in getattr(part, own).items() if value is not None}


def _say_graph(model: Any) -> None:
    """The inputs, outputs, operators, states and recurrences of a model or module."""
    from .interop.onnx_layout import axes_in_words
    axes, states = getattr(model, 'axes', {}), dict(getattr(model, 'states', ()))

    def named(names: Any) -> str:
        return ', '.join('%s (%s)' % (name, axes_in_words(axes[name])) if name in axes
                         else name for name in names) or 'none'
    _say('inputs', named(name for name in model.inputs if name not in states))
    _say('outputs', named(name for name in model.outputs if name not in states.values()))
    for before, after in states.items():
        _say('state', '%s becomes %s, begins with %s' % (
            named([before]), after, 'what the encoder gives'
            if model.encoder is not None and before in model.encoder.outputs else 'zeros'))
    operators = collections.Counter(node.op for node in model.graph.walk() if not node.is_variable)
    _say('operators', ', '.join('%s %d' % pair for pair in sorted(operators.items())) or 'none')
    from ._graph.rolling import roll
    for finding in roll(model.graph).findings:
        _say('recurrence', str(finding))


def _say(title: str, text: str) -> None:
    print(textwrap.fill(text, _COLUMNS, initial_indent='%-12s' % (title + ':'),
                        subsequent_indent=' ' * 12, break_on_hyphens=False))


def _verdict(unknown: dict[str, Any]) -> str:
    if not unknown:
        return 'every operator has a counterpart'
    return 'no counterpart of ' + '; '.join(
        '%s (%d times: %s)' % (op, len(nodes), ', '.join(nodes[:3]) + ', ...' * (len(nodes) > 3))
        for op, nodes in sorted(unknown.items()))


def _onnx_verdict(graph: Any) -> str:
    from .interop._onnx import without_onnx
    return _verdict(without_onnx(graph))


def _torch_verdict(graph: Any) -> str:
    from .interop import to_torch  # noqa: F401  (says what to install)
    from .interop._torch.schedule import Schedule
    return _verdict(Schedule(graph).faults)


def _compare(options: argparse.Namespace) -> int:
    from .interop.comparison import compare
    model = _load(options)
    differences = compare(model, options.file, shapes_of(options.input), options.data,
                          options.seed)
    print('checkpoint in %s%s' % (differences.runner, ', rolled up, since its own graph does not '
                                  'take these shapes' * differences.rolled))
    if differences.runner != 'MXNet':
        print('nothing was compared with MXNet, which cannot be imported here')
    print('data: %s' % ', '.join('%s %s' % (name, tuple(shape))
                                 for name, shape in differences.shapes.items()))
    if differences.chunks:
        print('the file in chunks of steps: %s' % ' and '.join(map(str, differences.chunks)))
    worst = 0.0
    for name, difference in differences.outputs:
        print('%-10.3g %s' % (difference, name))
        worst = max(worst, difference) if difference == difference else float('inf')
    above = not worst <= options.tolerance
    others = ', '.join(str(epoch) for epoch in epochs(options.prefix) if epoch != model.epoch)
    if above and others:
        _say('note', 'this was epoch %d; if the file is of another, compare it with that: there '
                     'are also %s' % (model.epoch, others))
    print('%s the tolerance of %g' % ('above' if above else 'within', options.tolerance))
    return int(above)
