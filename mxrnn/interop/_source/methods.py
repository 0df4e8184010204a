"""The methods scores, forward and loss of the class."""
from __future__ import annotations

from typing import Mapping, Sequence

from ..._graph.graph import Entry, Graph, Node
from ..._graph.operator_table import has
from ..prepare import Prepared
from ..registry import TORCH
from . import (  # noqa: F401  (they fill the table)
    creation,
    elementwise,
    layers,
    losses,
    moves,
    reductions,
    sequences,
)
from .class_file import File
from .emitter_api import LOSSES, Expr, Facts, Unsupported
from .method_writer import MethodWriter
from .pasted import check_shape
from .pasting import call
from .python_text import local
from .size_texts import size_text

__all__ = ['Methods', 'loss_text']

#: Losses whose predictions are their inputs.
_IDENTITIES = ('LinearRegressionOutput', 'MAERegressionOutput', 'SVMOutput', 'MakeLoss',
               'make_loss')


class Methods:
    """Writes the methods of a plan into a file.

    Attributes
    ----------
    heads : list of Entry
        The outputs of forward.
    outputs : list of str
        Their names.
    arguments : dict of str to str
        The names of inputs and labels in the methods.
    entries : dict of str to Entry
        The entries of inputs and labels in the graph.
    inputs, of_loss : list of str
        The inputs of forward, and of the method loss; the latter are empty if there is no loss.
    read : tuple of Entry
        The first heads that are only what losses read: the method loss does not count them.
    faults : list of str
        Nodes that cannot be written, and the reasons.
    """

    def __init__(self, file: File, plan: Prepared) -> None:
        trained = plan.losses
        assert trained is not None
        graph = trained.graph
        self._file, self._graph, self.facts = file, graph, trained.facts
        self._joined = [name for name in (plan.one.inputs if plan.one is not None else ())
                        if name in graph.labels()]
        self.read = graph.heads[:len(plan.read)]
        self.faults: list[str] = []
        nodes = graph.nodes
        self._losses = [head for head in graph.heads if nodes[head.node].op in LOSSES
                        or has(nodes[head.node].op, 'value')]
        self.heads = trained.predictions
        names = dict(zip(graph.heads, graph.outputs))
        self.outputs = [names[head] for head in self.heads]
        self.arguments: dict[str, str] = {}
        self.inputs: list[str] = []
        self.of_loss: list[str] = []
        self.entries: dict[str, Entry] = {}
        taken = {'states'} if plan.steps is not None else set()
        for place, node in enumerate(nodes):
            if node.is_variable and node.name not in file.arrays:
                self.arguments[node.name] = local(node.name, taken)
                self.entries[node.name] = Entry(place, 0)
                taken.add(self.arguments[node.name])
        self._write(not trained.untold)
        file.finish()

    def _write(self, labels: bool) -> None:
        further = self._further()
        core = list(dict.fromkeys([*(self._data(head) for head in self.heads
                                     if not self._follows(head, further)), *further]))
        plain = core == self.heads or all(self._graph.nodes[head.node].op in _IDENTITIES
                                          for head in self.heads if self._data(head) != head)
        if not self._losses or not labels:
            self.inputs = self._from_inputs('forward', self.heads)
            return
        if plain and core == [self._data(head) for head in self.heads]:
            self.inputs, name = self._from_inputs('forward', core), 'self'
        else:
            self.inputs, name = self._from_inputs('scores', core), 'self.scores'
            scope = self._scope()
            self._take(scope, core, self.heads, name)
            results = scope.emit(self.heads)
            scope.write('forward', self._texts(self.inputs), results, '')
        self._write_loss(core, name)

    def _write_loss(self, core: Sequence[Entry], name: str) -> None:
        scope = self._scope()
        self._check_labels(scope)
        only = all(map(self._is_constant, self._losses))
        counted = [head for head in dict.fromkeys(self._graph.heads)  # a repeated one once
                   if not self._is_blocked(head) and (only or not self._is_constant(head))]
        heads = [entry for head in counted for entry in (
            self._data(head), *self._graph.nodes[head.node].inputs_of('label'))]
        # All at once: a variable must stay until the last head that reads it.
        self._take(scope, core, heads, name)
        scope.emit(heads)
        terms = []
        for head in counted:
            node = self._graph.nodes[head.node]
            read = [self._data(head), *node.inputs_of('label')]
            if not all(each in scope.values for each in read):
                continue
            values = [scope.values[each] for each in read]
            try:
                terms.append(loss_text(scope, node, values) if node.op in LOSSES
                             else values[0].of + '.sum()')
            except Unsupported as error:
                self.faults.append('node %s: %s' % (node.title, error))
        used = {*self.inputs, *scope.found}
        self.of_loss = [name for name in self.arguments if name in used]
        total = Expr(' + '.join(terms), (), 'float32')
        if len(terms) > 1 and len(total.text) > 80:
            total = scope.total(terms)
        scope.write('loss', self._texts(self.of_loss), [total], '')

    def _scope(self) -> MethodWriter:
        return self.scope(self._graph, self.facts, self.arguments)

    def scope(self, graph: Graph, facts: Facts, arguments: Mapping[str, str]) -> MethodWriter:
        """The writer for a method of a graph with the same parameters and `arguments` as inputs."""
        given, arrays = {}, self._file.arrays
        for place, node in enumerate(graph.nodes):
            entry = Entry(place, 0)
            if node.is_variable and node.name in arrays:
                given[entry] = Expr(self._file.bare[node.name], arrays[node.name].shape,
                                    str(arrays[node.name].dtype), node.name)
            elif node.is_variable and node.name in arguments and entry in facts.arrays:
                given[entry] = Expr(arguments[node.name], *facts.arrays[entry])
        scope = MethodWriter(self._file, graph, facts, given, self.faults)
        texts, labels = {value.text: value for value in scope.arguments}, graph.labels()
        scope.inputs = {name: texts[text] for name, text in self.arguments.items()
                        if text in texts and name not in labels}  # losses check what they read
        if any(has(node.op, 'recurs') for node in graph.nodes):
            scope.check_inputs()  # another number of steps may fit some of what reads them
        return scope

    def _texts(self, names: Sequence[str]) -> list[str]:
        return [self.arguments[name] for name in names]

    def _from_inputs(self, name: str, heads: Sequence[Entry]) -> list[str]:
        """Write a method that computes `heads`; returns the names of the inputs that it takes."""
        scope = self._scope()
        part = self._graph.ending_in(heads)
        read = {self.arguments.get(each) for each in {*part.arguments} - {*part.labels()}}
        # The method does not get labels, so it reads no sizes from them.
        scope.arguments = [each for each in scope.arguments if each.text in read]
        results = scope.emit(heads)
        inputs = [each for each in self.arguments if each in scope.found]
        scope.write(name, self._texts(inputs), results, '')
        return inputs

    def _take(self, scope: MethodWriter, core: Sequence[Entry], heads: Sequence[Entry], name: str
              ) -> None:
        """Let a scope call the method that computes the core."""
        text = '%s(%s)' % (name, ', '.join(self._texts(self.inputs)))
        scope.take(text, {entry: self.facts.arrays[entry] for entry in core}, heads)

    def _data(self, head: Entry) -> Entry:
        """The input of a loss; any other output itself."""
        node = self._graph.nodes[head.node]
        return node.inputs[0] if node.op in LOSSES else head

    def _further(self) -> list[Entry]:
        """The inputs, independent of labels, of losses that are not predictions."""
        graph = self._graph
        rest = [head for head in graph.heads if head not in self.heads]
        inputs = graph._replace(heads=tuple(self.heads)).needed()
        labelled: set[int] = set()
        for place, node in enumerate(graph.nodes):
            if (node.is_variable and place not in inputs and node.name not in self._file.arrays
                    or any(entry.node in labelled for entry in node.inputs)):
                labelled.add(place)
        found, pending = [], [self._data(head) for head in rest]
        while pending:
            entry = pending.pop()
            if entry.node in labelled:
                pending.extend(graph.nodes[entry.node].needed_inputs)
            elif not graph.nodes[entry.node].is_variable:
                found.append(entry)
        return found

    def _follows(self, head: Entry, known: Sequence[Entry]) -> bool:
        """Whether an output is made of `known` arrays alone."""
        scope, seen, pending = self._scope(), {*known}, [head]
        while pending:
            entry = pending.pop()
            if entry not in seen:
                inputs = scope.reads(self._graph.nodes[entry.node])
                if not inputs:
                    return False
                seen.add(entry)
                pending += inputs
        return True

    def _check_labels(self, scope: MethodWriter) -> None:
        """Refuse labels of all steps with the axes exchanged: they would fit, too."""
        known = [each for each in scope.arguments if each.text in self._texts(self.inputs)]
        for label in scope.arguments:
            if label.text in self._texts(self._joined):
                scope.check(check_shape, repr(label.text), label.text, *[
                    size_text(size, known) for size in label.shape])

    def _is_blocked(self, head: Entry) -> bool:
        """Whether no gradient goes into an output."""
        if head in self.read:
            return True
        node = self._graph.nodes[head.node]
        if node.op == 'BlockGrad':
            return True
        if has(node.op, 'moves'):  # of a further input, only the shape is read
            return self._is_blocked(node.inputs[0])
        if has(node.op, 'gathers'):
            return all(map(self._is_blocked, node.inputs))
        return node.is_variable and node.name not in self._file.arrays

    def _is_constant(self, head: Entry) -> bool:
        """Whether an output is made of probabilities, whose sum never changes."""
        node = self._graph.nodes[head.node]
        if node.op in ('MakeLoss', 'Reshape', 'SwapAxis', 'transpose', 'Flatten', '_copy'):
            return self._is_constant(node.inputs[0])
        return node.op in ('softmax', 'SoftmaxActivation')


def loss_text(scope: MethodWriter, node: Node, values: Sequence[Expr]) -> str:
    """The text of a loss: a plain one, or the sum of an output that has MXNet's gradient."""
    try:
        return str(LOSSES[node.op](scope, node, *values))
    except Unsupported:
        text = call(scope, node, TORCH.get(node.op), values)
        if not isinstance(text, str):
            raise
        return text + '.sum()'
