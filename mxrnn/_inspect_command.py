"""The command inspect of ``python -m mxrnn``."""
from __future__ import annotations

import argparse
import collections
import math
import os
from typing import TYPE_CHECKING, Container, Mapping

from ._command_output import check_target, load, say
from ._files import CheckpointError
from ._files.atomic import replacing

if TYPE_CHECKING:
    import numpy as np

    from ._graph.graph import Graph
    from .interop.prepare.plan import Prepared

__all__ = ['inspect']


def inspect(options: argparse.Namespace) -> int:
    """Run the command."""
    if options.plot is not None:
        if not options.plot.lower().endswith('.svg'):
            raise ValueError('--plot must end in .svg, got %s' % options.plot)
        check_target('--plot', options.plot)
    place = options.prefix or ''
    from .interop.seals import is_onnx
    if is_onnx(place):
        if options.plot is not None:
            raise ValueError('--plot draws only checkpoints, got %s' % place)
        from .interop.run.onnx_file import table_of
        for title, lines in table_of(place):
            print('\n'.join([title + ':', *('  ' + line for line in lines or ['none'])]))
        return 0
    from ._graph.rolling import with_one_input
    from .interop.prepare import glance
    from .interop.prepare.outputs import chosen
    try:
        model = load(options)
    except CheckpointError:
        from .interop.model import arrays_alone
        arrays = arrays_alone(place)
        if arrays is None:
            raise
        say('graph', 'none, so there is nothing to export')
        _say_arrays(arrays)
        return 0
    graph, arrays = model.graph, model.params
    if options.plot is not None:
        from .interop.layers_picture import draw
        picture = draw(graph, arrays)
        with replacing([options.plot]) as (staged,), open(staged, 'w', encoding='utf-8') as file:
            file.write(picture)
        print('%s: %d bytes' % (options.plot, os.path.getsize(options.plot)))
    version = graph.version
    say('written by', 'MXNet %d.%d.%d' % (version // 10000, version // 100 % 100, version % 100)
         if version else 'an MXNet that does not say its version')
    say('inputs', ', '.join(model.inputs) or 'none')
    say('outputs', ', '.join(model.outputs) or 'none')
    operators = collections.Counter(node.op for node in graph.walk() if not node.is_variable)
    say('operators', ', '.join('%s %d' % pair for pair in sorted(operators.items())) or 'none')
    one = with_one_input(chosen(graph)[0], arrays)
    for sentence in one.note:
        say('note', sentence)
    plan = glance(model._replace(graph=one.graph), advises=True)
    for sentence in _recurrences(plan, arrays):
        say('recurrence', sentence)
    for axes, sizes in plan.lines:
        say(axes, sizes)
    for name, verdict in (('ONNX', _onnx_verdict), ('torch', _torch_verdict)):
        try:
            say(name, verdict(graph))
        except ImportError as error:
            say(name, 'not known: %s' % error)
    _say_arrays(arrays)
    return 0


def _say_arrays(arrays: Mapping[str, np.ndarray]) -> None:
    say('parameters', '%d, of %d numbers' % (
        len(arrays), sum(math.prod(each.shape) for each in arrays.values())))
    for name, array in arrays.items():
        print('  %s %s %s' % (name, array.shape, array.dtype))


def _recurrences(plan: Prepared, params: Container[str]) -> list[str]:
    """What became of each recurrence. Those with one name, as layers may have whose nodes are named
    by hand, get the beginning of their weights' names."""
    from ._graph.operator_table import has
    rolled, findings = plan.graph, plan.findings
    names = collections.Counter(each.name for each in findings)
    weights = [os.path.commonprefix([
        name for entry in node.inputs for read in [rolled.ending_in([entry]).arguments]
        if all(name in params for name in read) for name in read])
        for node in rolled.nodes if has(node.op, 'recurs')]
    if len(weights) != sum(each.kind in ('kernel', 'loop') for each in findings):
        weights.clear()
    weights += [''] * (len(findings) - len(weights))
    return ['%s%s' % (finding, ' (weights %s…)' % beginning
                      if names[finding.name] > 1 and beginning else '')
            for finding, beginning in zip(findings, weights)]


def _verdict(unknown: dict[str, list[str]]) -> str:
    if not unknown:
        return 'every operator has a counterpart'
    return 'no counterpart of ' + '; '.join(
        '%s (%d times: %s)' % (op, len(nodes), ', '.join(nodes[:3]) + ', ...' * (len(nodes) > 3))
        for op, nodes in sorted(unknown.items()))


def _onnx_verdict(graph: Graph) -> str:
    from .interop.export_onnx import without_onnx
    return _verdict(without_onnx(graph))


def _torch_verdict(graph: Graph) -> str:
    from .interop import to_torch  # noqa: F401  (says what to install)
    from .interop.prepare.outputs import unknown_operators
    from .interop.torch_model import operators
    return _verdict(unknown_operators(graph, operators()))
