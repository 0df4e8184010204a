"""to_source: a model as a Python file with weights."""
from __future__ import annotations

import functools
import os
import re
import textwrap
from typing import Any, Mapping, NamedTuple, Sequence

import torch

from ... import _check
from ..._files.atomic import replacing
from ..._graph.graph import Graph
from ..._graph.operator_table import has
from ..model import Model
from ..prepare import Prepared, prepare
from ..prepare.input_shapes import of_graph
from ..prepare.losses import Losses
from ..registry import ExportError
from .emitter_api import Shape
from .layers_and_state_dict import File, state_dict_of
from .methods import Methods
from .overwrite_checks_and_checksums import check_target, refuse_other_model, sealed, weights_of
from .python_text import imports_of, wrapped
from .sample_data import Sample, names_that_tell, sample_of
from .size_texts import described
from .source_check import Check, at_own_length
from .step_methods import StepMethods

__all__ = ['to_source', 'write_source', 'written']


def to_source(model: Model, path: str | os.PathLike[str],
              inputs: Mapping[str, Sequence[Any]] | None = None, *,
              types: Mapping[str, Any] | None = None,
              outputs: Sequence[str] | None = None, certify_by: Graph | None = None,
              states: bool = False, check: bool = True) -> None:
    """Write a model as Python source that needs only torch, with its weights beside it.

    Parameters
    ----------
    model : Model
        From `interop.load`.
    path : str
        The source, such as 'model.py'; its state dict becomes 'model.pt'. Both are written, or
        neither. Names of modules that torch imports, such as 'math.py', are refused. So are names
        of existing files that are programs, changed sources, trained weights or other models.
    inputs : dict, optional
        Shapes by name, as in `to_onnx`. Shapes left out are taken from the graph.
    types : dict, optional
        Types of inputs by name, such as ``{'data': 'int64'}``; float32 otherwise.
    outputs : list of str, optional
        Names of the outputs of the class; all outputs by default.
    certify_by : Graph, optional
        The program's graph of another length, as in `to_onnx`.
    states : bool
        Whether the class also gets methods to run it in steps, or in chunks of any number of steps:
        ``outputs, states = model.steps(data, states)``. The first states come from
        ``begin(batch)``, or from ``encode(source)`` if a decoder reads an encoder.
    check : bool
        Whether to run the source before it is written; see Notes.

    Raises
    ------
    ExportError
        Operators have no plain form (all are named), a shape is missing, or the source fails or
        differs from the graph. Or, with `states`, it uses several steps of a sequence at once.
    ValueError, TypeError
        An argument has a wrong value or type.

    Notes
    -----
    The check runs the source on random data and compares it with the unrolled graph, for other
    sizes with the rolled-up graph. The source's docstring has the largest differences. Gradients of
    its loss are compared too, without random draws and with BatchNorm in inference.

    Examples
    --------
    >>> import os, tempfile
    >>> from mxrnn import interop
    >>> graph = interop.graph_from_json('''{"nodes": [
    ...     {"op": "null", "name": "data", "inputs": []},
    ...     {"op": "Activation", "name": "act", "attrs": {"act_type": "tanh"},
    ...      "inputs": [[0, 0, 0]]}], "arg_nodes": [0], "heads": [[1, 0, 0]]}''')
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     interop.to_source(interop.Model(graph, {}, {}), folder + '/act.py',
    ...                       {'data': ('batch', 3)})
    ...     print(open(folder + '/act.py').read()[-90:].strip())
    def forward(self, data: Tensor) -> Tensor:
            return torch.tanh(data)
    """
    write_source(model, os.fspath(path), inputs, types, outputs, _check.flag('states', states),
                 _check.flag('check', check), certify_by)


def write_source(model: Model, path: str, inputs: Mapping[str, Sequence[Any]] | None,
                 types: Mapping[str, Any] | None, outputs: Sequence[str] | None, states: bool,
                 check: bool = True, certify_by: Graph | None = None) -> list[tuple[str, str]]:
    """`to_source`; returns notes on the file, with titles."""
    there = check_target(path)
    plan = prepare(model, inputs, types, outputs, certify_by=certify_by, states=states,
                   training=True)
    source = written(plan)
    state = state_dict_of(source.file)
    refuse_other_model(path, there, state, model)
    remarks = [*plan.lines, *(('note', _escaped(note)) for note in source.notes)]
    if check:
        remarks += _checked(source, Check(_text(source, path, []), state, source.file,
                                          source.methods, source.losses.graph, plan.model))
    weights = weights_of(path)
    with replacing([path, weights]) as stage:
        place = os.path.join(stage, os.path.basename(path))
        with open(place, 'w', encoding='utf-8') as file:
            file.write(_text(source, path, remarks))
        torch.save(sealed(state, place), os.path.join(stage, os.path.basename(weights)))
    return remarks


class Written(NamedTuple):
    """A plan and the file of it, whose methods are written."""

    plan: Prepared
    losses: Losses
    file: File
    methods: Methods
    notes: Sequence[str]
    steps: StepMethods | None


def written(plan: Prepared) -> Written:
    """The file of a plan, with its methods."""
    losses, arrays = plan.losses, plan.arrays
    assert losses is not None
    graph = losses.graph
    used = {name: arrays[name] for name in graph.arguments + graph.auxiliary if name in arrays}
    for name, array in used.items():
        if array.dtype.kind not in 'fiu':
            raise ExportError('%s has the type %s' % (name, array.dtype))
    file = File(used, set(plan.model.aux_params))
    methods = Methods(file, losses, ['states'] * (plan.steps is not None), len(plan.read))
    steps = None
    if plan.steps is not None and not methods.faults:
        keys = list(file.state)
        steps = StepMethods(file, methods, plan, losses, plan.steps)
        if list(file.state) != keys:
            raise ExportError('the weights have one form for whole sequences and another for steps')
    if methods.faults:
        raise ExportError('\n'.join(dict.fromkeys(methods.faults)) + of_graph({
            name: shape for name, shape in plan.shapes.items() if name not in plan.given}))
    notes: list[str] = []
    if losses.untold:
        notes = [*notes, 'there is no method loss, because the shape of %s is not known: give it '
                 'with --input' % ', '.join(map(_quoted, losses.untold))]
    if plan.read:
        notes = [*notes, 'forward gives %s, which the loss reads' % ', '.join(
            map(_quoted, plan.read))]
    if losses.inner:
        notes = [*notes, 'the method loss has no part for %s, because other nodes read it' % (
            ', '.join(map(_quoted, losses.inner)))]
    return Written(plan, losses, file, methods, [*notes, *plan.notes], steps)


# ---- text

def _text(source: Written, path: str, remarks: Sequence[tuple[str, str]]) -> str:
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


def _escaped(text: str) -> str:
    """Text that is safe in a docstring."""
    return text.replace('\\', '\\\\').replace('"""', '\\"\\"\\"')


def _quoted(name: str) -> str:
    """A stranger's name in a form that is safe in a docstring."""
    return name if name.isidentifier() and name.isascii() else _escaped(ascii(name))


def _described(shape: Shape) -> str:
    """A shape with the names of its axes."""
    return '(%s)' % ', '.join(_escaped(described(size)) for size in shape)


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
    renamed = [(own[len('self.'):], name) for own, name in source.file.bare.items()
               if own != 'self.' + name and own[len('self.'):] in source.file.state]
    rows += ['Parameter %s: called %s in the graph.' % (own, _quoted(name))
             for own, name in renamed]
    rows += ['%s: %s.' % (title.capitalize(), sentence) for title, sentence in remarks
             if sentence != 'any']  # names in the shapes say so
    rows += ['', "Weights: model.load_state_dict(torch.load(%s, weights_only=True))"
        % _escaped(ascii(os.path.basename(weights_of(path)))), 'To predict: model.eval()']
    fill = functools.partial(textwrap.fill, width=100, subsequent_indent='    ',
                             break_long_words=False, break_on_hyphens=False)  # no escape is cut
    rows = [re.sub(r'(?<=\d,) (?=\d)', _NO_BREAK, row) for row in rows]  # a shape stays together
    return '\n'.join(map(fill, rows)).replace(_NO_BREAK, ' ') + '\n'


# ---- check

def _checked(source: Written, check: Check) -> list[tuple[str, str]]:
    """Compare the source with the unrolled and the rolled-up graph; returns notes with titles."""
    plan, losses, methods = source.plan, source.losses, source.methods
    sample = sample_of(plan, losses)
    places = [losses.graph.heads.index(head) for head in methods.heads]
    graph, whole = (each.ending_in([each.heads[place] for place in places])
                    for each in (losses.plain, plan.model.graph))
    found: list[tuple[str, str]] = []

    def compare(title: str, graph: Graph, sample: Sample) -> None:
        sizes = ', '.join('%s %s' % (methods.arguments[name], tuple(sample[name].shape))
                          for name in names_that_tell(plan.shapes, methods.inputs))
        difference, drawn = check.outputs(graph, sample)
        found.append(('checked', 'outputs differ by at most %.1g of the largest from %s%s, for %s'
                      % (difference, title, drawn, sizes)))
    if plan.is_rolled:
        own = at_own_length(whole, plan.model, plan.shapes, plan.types, sample, plan.own)
        if own is not None:
            compare('the unrolled graph', whole, own)
    compare('the graph' + ' rolled up' * plan.is_rolled, graph, sample)
    if source.steps is not None:
        found.append(('checked', 'one step and then the others differ from them by %.1g%s'
                      % check.steps(source.steps, graph, sample)))
    (loss, drawn), ops = check.loss(sample), {node.op for node in losses.graph.walk()}
    found += [('checked', "the gradients of loss equal the graph's" + drawn)] * loss
    missing = ['the gradients of loss'] * (bool(methods.of_loss) and not loss)
    missing += ['what is drawn at random in training'] * any(
        has(node.op, 'draws') and getattr(node, 'p', 0) > 0 for node in losses.graph.walk())
    missing += ['the statistics of BatchNorm in training'] * any('BatchNorm' in op for op in ops)
    return found + [('unchecked', ', '.join(missing))] * bool(missing)
