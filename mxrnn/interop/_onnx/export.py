"""From a model to the content of an ONNX file: which outputs, which shapes of its inputs."""
from __future__ import annotations

import contextlib
from typing import Any, Iterator, Mapping, NamedTuple, Sequence, Tuple, Union

import numpy as np

from ... import _check
from ..._graph.graph import Graph, output_name
from ..._graph.operators import row
from ..._graph.sizes import Axis, Size, resolve
from ..registry import ONNX
from .conversion import Conversion, Shape, read, some, unknown_operators
from .ranks import ranks_of
from .table import ExportError

__all__ = ['Written', 'exportable', 'unknown_operators']

#: Losses that give no predictions.
_LOSSES = ('CTCLoss',)

#: Shapes as users give them.
_Named = Tuple[Union[int, str], ...]


class Written(NamedTuple):
    """The content of a file, and what the export decided.

    Attributes
    ----------
    content : bytes
    inputs : dict
        Shape of each input of the file: names of axes of any size, and integers.
    left_out : list of str
        Outputs that are not in the file: losses that ONNX does not have.
    fixed : list of str
        Sentences on the steps and batches that are numbers in the graph.
    """

    content: bytes
    inputs: dict[str, _Named]
    left_out: list[str]
    fixed: list[str]


def exportable(model: Any, inputs: Mapping[str, Sequence[Any]] | None = None,
               types: Mapping[str, Any] | None = None, outputs: Sequence[str] | None = None
               ) -> Written:
    """The file that `to_onnx` writes."""
    inputs, types = inputs or {}, types or {}
    params = {**model.arg_params, **model.aux_params}
    _check_inputs(model.graph, inputs, types)
    graph, left_out = (_without_losses(model.graph) if outputs is None
                       else (model.graph.select(outputs), []))
    _refuse_unknown(graph)
    names = [node.name for node in graph.nodes if node.is_variable]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ExportError('variables must have names of their own, but there are several called %s'
                          % ', '.join(twice))
    needed = graph.reached(read)
    own = [node.name for i, node in enumerate(graph.nodes)
           if i in needed and node.is_variable and (node.name in inputs or node.name not in params)]
    given = {name: tuple(inputs[name]) for name in own if name in inputs}
    missing = [name for name in own if name not in inputs]
    found, fixed = _found(graph, params, given, types, missing) if missing else ({}, [])
    shapes = {name: (given if name in given else found)[name] for name in own}
    try:
        content = Conversion(graph, params, shapes, types).write()
    except ExportError as error:
        if not missing:
            raise
        raise ExportError('%s\nThese shapes were taken from the graph; inputs (--input) can give '
                          'others: %s' % (error, '; '.join(
                              '%s=%s' % (name, ','.join(map(str, found[name])))
                              for name in missing))) from None
    return Written(content, shapes, left_out, fixed)


def _check_inputs(graph: Graph, inputs: Any, types: Any) -> None:
    known = set(graph.arguments + graph.auxiliary)
    for name, mapping in (('inputs', inputs), ('types', types)):
        _check.instance(name, mapping, Mapping, 'a dict by names of inputs')
        for key in mapping:
            if key not in known:
                raise ValueError('%s must be of arguments of the model, such as %s; got %r'
                                 % (name, some(graph.arguments), key))
    for key, shape in inputs.items():
        _check.instance('inputs[%r]' % key, shape, (tuple, list), 'a tuple of names and integers')
        for size in shape:
            if not isinstance(size, str) or not size:
                _check.integer('each axis of inputs[%r] that is no name' % key, size, 1)
    for key, dtype in types.items():
        _check.dtype('types[%r]' % key, dtype)


# ---- outputs

def _without_losses(graph: Graph) -> tuple[Graph, list[str]]:
    """The graph without the outputs that are losses of which ONNX has no counterpart, and these."""
    lost: dict[int, str] = {}
    for place, node in enumerate(graph.nodes):
        if node.op in _LOSSES and node.op not in ONNX:
            read_by = node.inputs[0]
            lost[place] = output_name(graph.nodes[read_by.node], read_by.output)
        for entry in read(node):
            if entry.node in lost:
                lost.setdefault(place, lost[entry.node])
    heads = [head for head in graph.heads if head.node not in lost]
    if not heads:
        raise ExportError('the outputs are losses that ONNX does not have (%s): choose others with '
                          'outputs (--output), such as %s, which the loss reads' % (
                              some(graph.outputs), lost[graph.heads[0].node]))
    left_out = [name for name, head in zip(graph.outputs, graph.heads) if head.node in lost]
    return graph.ending_in(heads) if left_out else graph, left_out


def _refuse_unknown(graph: Graph) -> None:
    """Refuse operators without a converter, all at once."""
    unknown = unknown_operators(graph)
    if not unknown:
        return
    text = 'ONNX has no counterpart of %s' % '; '.join(
        '%s (%d times: %s)' % (op, len(nodes), some(nodes)) for op, nodes in unknown.items())
    others = [name for name, head in zip(graph.outputs, graph.heads)
              if not unknown_operators(graph.ending_in([head]))] if len(graph.heads) < 20 else []
    if others:
        text += '\nThese outputs do not depend on them: %s (outputs, --output)' % ', '.join(others)
    raise ExportError(text)


# ---- shapes of inputs

def _found(graph: Graph, params: Mapping[str, np.ndarray], given: Mapping[str, Shape],
           types: Mapping[str, str], missing: Sequence[str]) -> tuple[dict[str, _Named], list[str]]:
    """Shapes of the inputs `missing`, and what there is to say of them.

    The graph is converted with axes that become numbers where it needs numbers.
    """
    weights = [name for name in missing if any(
        _role(reader.op, at) in ('weight', 'aux')
        for reader, at in graph.consumers(_place(graph, name)))]
    if weights:
        raise ExportError('inputs must give a shape for each of %s, which are not among the '
                          'parameters' % ', '.join(weights))
    ranks = {**{name: np.ndim(array) for name, array in params.items()},
             **{name: len(shape) for name, shape in given.items()}}
    fault = None
    for told in ranks_of(graph, ranks):
        shapes = {name: tuple(Axis(free=True) for _ in range(told[name])) for name in missing}
        try:
            Conversion(graph, params, {**given, **shapes}, types).values()
        except ExportError as error:
            fault = fault or error
            continue
        result = _Names(graph, given, shapes)
        if result.others:  # once more: the numbers and the batch may tell an axis beside them
            again = _again(result.shapes, shapes)
            with contextlib.suppress(ExportError):
                Conversion(graph, params, {**given, **again}, types).values()
                result = _Names(graph, given, again)
        return result.shapes, result.sentences()
    raise ExportError('%s\nThe shapes of %s do not follow from the graph: inputs (--input) must '
                      'give them' % (fault, ', '.join(missing))) from None


def _again(found: Mapping[str, _Named], shapes: Mapping[str, Sequence[Axis]]
           ) -> dict[str, tuple[Axis, ...]]:
    """Free axes once more, which begin with the numbers that were found and with one batch."""
    def fresh(size: int | str, axis: Axis) -> Axis:
        if size == 'batch':
            return batch
        result = Axis(free=True)
        result.hint = next((each.hint for each in _chain(axis) if each.hint), '')
        result.bound = size if isinstance(size, int) else None
        return result
    batch = Axis(free=True)
    batch.hint = 'batch'
    return {name: tuple(map(fresh, found[name], axes)) for name, axes in shapes.items()}


def _place(graph: Graph, name: str) -> int:
    return next(i for i, node in enumerate(graph.nodes) if node.is_variable and node.name == name)


def _role(op: str, at: int) -> str:
    known = row(op)
    return known.inputs[at].role if known is not None and at < len(known.inputs) else ''


def _chain(axis: Size | None) -> Iterator[Axis]:
    """The axes that an axis was found to be equal to, itself first."""
    while isinstance(axis, Axis):
        yield axis
        axis = axis.bound


class _Names:
    """Names for the axes of inputs that are free still."""

    def __init__(self, graph: Graph, given: Mapping[str, Shape],
                 shapes: Mapping[str, Sequence[Axis]]) -> None:
        self.shapes: dict[str, _Named] = {}
        #: How many axes have a name of no meaning.
        self.others = 0
        self._fixed: dict[str, list[str]] = {}
        self._names: dict[int, str] = {}
        hints = {name: _hints(graph, name, axes) for name, axes in shapes.items()}
        times = {id(resolve(axis)): name for name, axes in shapes.items()
                 for axis, hint in zip(axes, hints[name])
                 if hint == 'time' and isinstance(resolve(axis), Axis)}
        self._many = len(times) > 1
        for name, axes in shapes.items():
            stated = graph.nodes[_place(graph, name)].get('__shape__')
            if not isinstance(stated, tuple) or len(stated) != len(axes):
                stated = (0,) * len(axes)
            self.shapes[name] = tuple(
                self._name(name, at, axis, hint, stated[at])
                for at, (axis, hint) in enumerate(zip(axes, hints[name])))

    def _name(self, name: str, at: int, axis: Axis, hint: str, stated: object) -> int | str:
        size = resolve(axis)
        if isinstance(size, int):
            if hint:
                text = '%d steps' if hint == 'time' else 'a batch of %d'
                self._fixed.setdefault(text % size, []).append(name)
            return size
        last = size if isinstance(size, Axis) else axis  # which is bound to a product
        if not last.label and not hint and isinstance(stated, int) and stated > 0:
            return stated
        if not last.label and id(last) not in self._names:
            self.others += not hint
            self._names[id(last)] = (
                '%s_%d' % (name, at) if not hint else
                '%s_time' % name if hint == 'time' and self._many else hint)
        return last.label or self._names[id(last)]

    def sentences(self) -> list[str]:
        """Sentences on steps and batches that are numbers."""
        return ['%s %s %s: the graph has that number in it' % (
            some(names), 'have' if len(names) > 1 else 'has', text)
            for text, names in self._fixed.items()]


def _hints(graph: Graph, name: str, axes: Sequence[Axis]) -> list[str]:
    """How the operators would call the axes of an input: 'batch', 'time' or ''."""
    hints = [next((each.hint for each in _chain(axis) if each.hint), '') for axis in axes]
    if 'batch' not in hints and '' in hints[:2]:
        hints[hints.index('')] = 'batch'
    words = any(reader.op in ('Embedding', '_contrib_SparseEmbedding') and at == 0
                for reader, at in graph.consumers(_place(graph, name)))
    if words and 'time' not in hints and '' in hints:
        hints[hints.index('')] = 'time'
    return hints
