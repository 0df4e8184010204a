"""Writes a plan as the class of a Python file, with weights."""
from __future__ import annotations

import functools
import os
import re
import textwrap
from typing import Any, NamedTuple, Sequence

from ..prepare import Prepared
from ..prepare.input_shapes import of_graph
from ..prepare.losses import Losses
from ..registry import TORCH, Converters, ExportError
from ..seals import weights_of
from .class_file import File
from .emitter_api import SOURCE, Shape
from .methods import Methods
from .python_text import imports_of, wrapped
from .size_texts import described
from .step_methods import StepMethods

__all__ = ['OPERATORS', 'Written', 'text_of', 'written']

#: The operators of a source: those with a text, and those with a function to paste.
OPERATORS: Converters[Any] = Converters('a source')
OPERATORS.maps = [TORCH.maps[1], *SOURCE.maps]


class Written(NamedTuple):
    """A plan and the file of it, whose methods are written."""

    plan: Prepared
    losses: Losses
    file: File
    methods: Methods
    notes: Sequence[str]
    steps: StepMethods | None


def written(plan: Prepared, in_memory: bool = False) -> Written:
    """The file of a plan, with its methods; see `File` for `in_memory`."""
    losses, arrays = plan.losses, plan.model.params
    assert losses is not None
    graph = losses.graph
    used = {name: arrays[name] for name in graph.arguments + graph.auxiliary if name in arrays}
    for name, array in used.items():
        if array.dtype.kind not in 'fiu':
            raise ExportError('%s has the type %s' % (name, array.dtype))
    for ordered in False, True:
        file = File(used, set(plan.model.aux_params), in_memory, ordered)
        methods = Methods(file, plan)
        if not file.clashes:
            break
    else:
        raise ExportError('layers have the same weights in different orders')
    steps = None
    if plan.steps is not None and not methods.faults:
        keys = list(file.state)
        steps = StepMethods(file, methods, plan)
        if list(file.state) != keys:
            raise ExportError('the weights have one form for whole sequences and another for steps')
    if methods.faults:
        raise ExportError('\n'.join(dict.fromkeys(methods.faults)) + of_graph({
            name: shape for name, shape in plan.shapes.items() if name not in plan.given}))
    notes = [text % ', '.join(map(_quoted, names)) for names, text in (
        (losses.untold, 'there is no method loss, because the shape of %s is not known: give it '
                        'in inputs (--input)'),
        (plan.read, 'forward gives %s, which the loss reads'),
        (losses.inner, 'the method loss has no part for %s, because other nodes read it')) if names]
    return Written(plan, losses, file, methods, notes, steps)


# ---- text

def text_of(source: Written, path: str, remarks: Sequence[tuple[str, str]]) -> str:
    """The whole file."""
    file = source.file
    body = '\n\n'.join(file.methods)
    lines = ['"""%s"""' % _docstring(source, path, remarks), *imports_of('\n'.join(
        [body, *file.layers, *file.helpers.values()])), '', '', *[
            line for helper in file.helpers.values() for line in (helper, '', '')],
        'class Model(nn.Module):']
    if file.layers:
        lines += ['    def __init__(self) -> None:', '        super().__init__()',
                  *[wrapped('        ' + line) for line in file.layers], '']
    return '\n'.join(lines) + '\n' + body + '\n'


def _safe(text: str) -> str:
    """Text in a form that is safe in a docstring, whatever names it has."""
    text = text if text.isascii() and text.isprintable() else ascii(text)[1:-1]
    return text.replace('\\', '\\\\').replace('"""', '\\"\\"\\"')


def _quoted(name: str) -> str:
    """A stranger's name, in quotes unless it is an identifier."""
    return name if name.isidentifier() and name.isascii() else ascii(name)


def _described(shape: Shape) -> str:
    """A shape with the names of its axes."""
    return '(%s)' % ', '.join(map(described, shape))


_NO_BREAK = '\x00'  #: a blank that does not break a line


def _docstring(source: Written, path: str, remarks: Sequence[tuple[str, str]]) -> str:
    methods, facts = source.methods, source.methods.facts.arrays
    version = source.plan.graph.version
    rows = ['A model of MXNet%s, written by mxrnn.' % (' %d.%d.%d' % (
        version // 10000, version // 100 % 100, version % 100) if version else ''), '']
    alike: dict[tuple[str, str], list[str]] = {}
    for name, entry in methods.entries.items():
        text = methods.arguments[name]
        if entry in facts:
            key = 'Input' if name in methods.inputs else 'Label', '%s%s.' % (
                _described(facts[entry].shape), (
                    ', called %s in the graph' % _quoted(name)) * (name != text))
            alike.setdefault(key, []).append(text)
    rows += ['%s%s %s: %s' % (kind, 's' * (len(texts) > 1), ', '.join(texts), described)
             for (kind, described), texts in alike.items()]
    rows += ['Output %s: %s.' % (_quoted(name), _described(facts[head].shape))
             for name, head in zip(methods.outputs, methods.heads)]
    if source.steps is not None:
        rows += ['State %s: %s, %s.' % (text, _described(source.steps.facts[name].shape), (
            'zeros before the first step' if source.steps.encoder is None else 'first from encode'
            )) for name, text in source.steps.states.items()]
    renamed = [(own[len('self.'):], name) for name, own in source.file.bare.items()
               if own != 'self.' + name and own[len('self.'):] in source.file.state]
    rows += ['Parameter %s: called %s in the graph.' % (own, _quoted(name))
             for own, name in renamed]
    rows += ['%s: %s.' % (title.capitalize(), sentence) for title, sentence in remarks
             if sentence != 'any']  # names in the shapes say so
    rows += ['', "Weights: model.load_state_dict(torch.load(%s, weights_only=True))"
        % ascii(os.path.basename(weights_of(path))), 'To predict: model.eval()']
    fill = functools.partial(textwrap.fill, width=100, subsequent_indent='    ',
                             break_long_words=False, break_on_hyphens=False)  # no escape is cut
    rows = [re.sub(r'(?<=\d,) (?=\d)', _NO_BREAK, _safe(row)) for row in rows]  # of a shape
    return '\n'.join(map(fill, rows)).replace(_NO_BREAK, ' ') + '\n'
