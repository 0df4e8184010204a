"""Writes one method: names for values, lines, sizes, and its text."""
from __future__ import annotations

import collections
import re
from typing import Any, Callable, Collection, Iterable, Mapping, NamedTuple, Sequence

from ..._graph.graph import Entry, Graph, Node
from ..._graph.operator_table import has
from ..registry import TORCH
from .class_file import File
from .emitter_api import (
    SOURCE,
    Emitted,
    Emitter,
    Expr,
    Fact,
    Facts,
    Many,
    Shape,
    Size,
    Unsupported,
    all_swapped,
    exchanged,
    is_swap,
)
from .moved_weights import inputs_of
from .pasted import check_equal, check_range, check_shape
from .pasting import call, paste
from .program_names import name_of, near_name, reader_of, shown
from .python_text import NAME, WIDTH, WORD, local, wrapped
from .size_texts import ranges, shared, size_text, stated

__all__ = ['MethodWriter']

#: Inputs with longer texts become variables, unless they are names already.
_LONGEST = 50
#: A word for a number; no name of a variable begins with two underscores.
_NUMBER = re.compile(r'(?<![\w.\'"])__(\d+)\b')


class _Line(NamedTuple):
    """A statement; an assignment if its left side is not empty."""

    left: str
    right: str
    targets: tuple[str, ...] = ()


class MethodWriter:
    """Writes a graph as the lines of a method.

    Attributes
    ----------
    out : list of tuple
        Shapes of the outputs of the node that is being written.
    dtypes : list of str
        Types of those outputs.
    faults : list of str
        Nodes that cannot be written, and the reasons.
    """

    def __init__(self, file: File, graph: Graph, facts: Facts, given: Mapping[Entry, Expr],
                 faults: list[str]) -> None:
        self.file, self.graph, self.facts, self.faults = file, graph, facts, faults
        self.arguments = [value for value in given.values() if value.parameter is None
                          and value.text.isidentifier()]
        self.values = dict(given)
        #: Those of the values that will be read once more.
        self._alive = dict(given)
        #: By vector of an RNN's weights, whether the method computes it.
        self.computed: dict[Entry, bool] = {}
        self._variables = {each.name for each in graph.nodes if each.is_variable}
        self.place = 0
        #: Names of arguments and arrays that the lines read.
        self.found: set[str] = set()
        self._given: collections.Counter[Entry] = collections.Counter()
        self.out: list[Shape] = []
        self.dtypes: list[str] = []
        self._lines: list[_Line] = []
        #: The inputs of the node that have not been read yet.
        self._read: list[Entry] = []
        #: The arguments of the method, by MXNet's names.
        self.inputs: dict[str, Expr] = {}
        self._checked = self._axes = False
        #: A statement before these checks.
        self.first = ''
        self._names = {value.text for value in self.arguments}
        #: Names that are reused once nothing reads their array any more.
        self._loose: set[str] = set()
        self._uses: collections.Counter[Entry] = collections.Counter()

    def size(self, size: Size, *near: Expr) -> str:
        """The text for an axis' size, read from nearby values or from the method's arguments."""
        return size_text(size, [*near, *self.arguments])

    def sizes(self, shape: Shape, *near: Expr) -> str:
        """The text for a shape, as arguments of a call."""
        return ', '.join(self.size(each, *near) for each in shape)

    def named(self, value: Expr, name: str = '') -> Expr:
        """The value as a variable of the method."""
        if NAME.fullmatch(value.text):
            return value
        entries = [entry for entry, each in self._alive.items() if each == value]
        own = self.free(self._program_name(entries, name), without=entries)
        self._lines.append(_Line(own, value.text, (own,)))
        named = value._replace(text=own)
        for entry in entries:
            self._set(entry, named)
        return named

    def _program_name(self, entries: Iterable[Entry], name: str = '') -> str:
        """The program's name for an array, otherwise `name`; 'x' if a variable of the graph has
        that name."""
        name = next((found for entry in entries if (found := near_name(self.graph, entry))), name)
        return 'x' if name in self._variables else name or 'x'

    def _set(self, entry: Entry, value: Expr) -> None:
        self.values[entry] = self._alive[entry] = value

    def own(self, text: str, name: str) -> str:
        """A variable with an unused name; it is set to `text` if that is given."""
        own = local(name, self._names)
        self._names.add(own)
        if text:
            self._lines.append(_Line(own, text, (own,)))
        return own

    def states(self, begins: Sequence[tuple[str, str]], *kept: str) -> list[str]:
        """Variables with these or similar names, set to texts.

        The node's inputs must not be used afterwards, except in the texts `kept`.
        """
        self._consume()
        own: list[str] = []
        made: dict[str, int] = {}  # by text, the line that sets equal states to it
        for at, (text, name) in enumerate(begins):
            later = [each for each, _ in (begins if text in made else begins[at + 1:])
                     if each != text]
            own.append(self.free(name, *own, *WORD.findall(' '.join([*kept, *later]))))
            if text in made:
                last = self._lines[made[text]]
                self._lines[made[text]] = _Line('%s = %s' % (last.left, own[-1]), text, (
                    *last.targets, own[-1]))
            elif own[-1] != text:
                if not NAME.fullmatch(text):
                    made[text] = len(self._lines)
                self._lines.append(_Line(own[-1], text, (own[-1],)))
        self._loose.difference_update(own)
        return own

    def total(self, terms: Sequence[str]) -> Expr:
        """Write lines that add up terms; returns the sum."""
        name = self.own(terms[0], 'loss')
        for term in terms[1:]:
            self._lines.append(_Line(name, '%s + %s' % (name, term), (name,)))
        return Expr(name, (), 'float32')

    def explained(self, node: Node, value: float, number: str, evident: float = 0) -> str:
        """A word that stands for a number in a text, so that a comment behind the statement that
        gets the text can name the node. 0, 1, -1 and what is as small as `evident` explain
        themselves."""
        if abs(value) == 1 or abs(value) <= evident:
            return number
        digits = number.lstrip('-')
        self.file.numbers.append((digits, node.name))
        return '%s__%d' % ('-' * (digits != number), len(self.file.numbers) - 1)

    def _written(self, text: str) -> str:
        """The lines of a statement, with numbers in place of words for them. If there is room, the
        nodes of the numbers stand behind it in a comment, unless it has their names."""
        parts = _NUMBER.split(text)
        numbers = [self.file.numbers[int(each)] for each in parts[1::2]]
        parts[1::2] = [number for number, _ in numbers]
        line = wrapped(' ' * 8 + ''.join(parts))
        names = dict.fromkeys([name for _, name in numbers if name not in WORD.findall(text)])
        comment = '  # %s of MXNet' % shown(names) if names else ''
        return line + comment * (len(line.rpartition('\n')[2] + comment) <= WIDTH)

    def line(self, text: str) -> None:
        """Add a statement."""
        self._lines.append(_Line('', text))

    def check(self, function: Callable[..., None], *arguments: object) -> None:
        """Add a statement that refuses wrong input."""
        self.line(self._refusal(function, *arguments))

    def _refusal(self, function: Callable[..., None], *arguments: object) -> str:
        return '%s(%s)' % (self.helper(function), ', '.join(map(str, arguments)))

    def check_inputs(self, axes: bool = False) -> None:
        """Begin with checks of the inputs' sizes that are numbers in the graph, or shared; with
        `axes`, also of how many axes they have."""
        self._checked, self._axes = True, self._axes or axes

    def _checks(self) -> list[str]:
        named = {name: each for name, each in self.inputs.items() if name in self.found}
        shapes = stated(self.graph, named, self._axes)
        return [self._refusal(check_shape, repr(each.text), each.text, *sizes)
                for each, sizes in shapes] + [
            self._refusal(check_range, *each) for each in ranges(named, self.facts.limits)] + [
            self._refusal(check_equal, repr(', '.join(texts)), *texts)
            for texts in shared(self.graph, named, self.facts.equal)]

    def helper(self, function: Callable[..., Any]) -> str:
        """Put a function before the class, unless it is there; returns its name."""
        return paste(function, self.file.helpers)

    def module(self, name: str, made_by: str, **weights: Expr | None) -> str:
        """The text for a layer with parameters of the graph: see `File.module`."""
        return self.file.module(name, made_by, {
            key: self.file.places[str(value.parameter)] for key, value in weights.items()
            if value is not None})

    def used(self, output: int) -> int:
        """How often an output of the current node is read."""
        return self._uses[Entry(self.place, output)]

    def unpack(self, pattern: str, text: str, *names: str) -> list[str]:
        """Write ``h, (c, _) = text`` for the pattern '{}, ({}, {})'; names for outputs read.

        The node's inputs must not be used afterwards.
        """
        self._consume()
        own: list[str] = []
        for at, name in enumerate(names):
            own.append(self.free(name, *own) if self.used(at) else '_')
        self._lines.append(_Line(pattern.format(*own), text, tuple(
            [each for each in own if each != '_'])))
        return own

    # ---- the graph

    def emit(self, heads: Sequence[Entry]) -> list[Expr]:
        """Write all that `heads` need, and return them; an empty list if there are faults."""
        needed = self._needed(heads)
        self._uses.update(heads)
        for place in needed:
            self._uses.update(self.reads(self.graph.nodes[place]))
        for place in sorted(needed):
            node = self.graph.nodes[place]
            inputs = self.reads(node)
            if all(each in self.values for each in inputs):
                self._read = inputs
                self._node(place, node, [self.values[each] for each in inputs])
                self._consume()
        return [self.values[head] for head in heads if head in self.values]

    def _needed(self, heads: Sequence[Entry]) -> set[int]:
        """Places of the nodes to write for `heads`; nodes that are already written are left out."""
        needed: set[int] = set()
        pending = list(heads)
        while pending:
            entry = pending.pop()
            if entry in self.values:
                self.found.add(self.graph.nodes[entry.node].name)
                self._given[entry] += 1
            elif entry.node not in needed:
                needed.add(entry.node)
                pending.extend(self.reads(self.graph.nodes[entry.node]))
        return needed

    def take(self, text: str, facts: Mapping[Entry, Fact], heads: Sequence[Entry]) -> None:
        """Replace some arrays, as far as `heads` need them, by the value of `text`."""
        for entry, fact in facts.items():
            self._set(entry, Expr(text, *fact))
        self._given.clear()
        self._needed(heads)
        if len(facts) == 1 and max(self._given.values(), default=0) <= 1:
            return
        names = [self.own('', name_of(self.graph.nodes[entry.node]) or 'x')
                 if entry in self._given else '_' for entry in facts]
        for name, (entry, fact) in zip(names, facts.items()):
            self._set(entry, Expr(name, *fact))
        self._lines.append(_Line(', '.join(names), text, tuple(names)))

    def reads(self, node: Node) -> list[Entry]:
        """The inputs that a node's emitter gets: see `inputs_of`."""
        return inputs_of(self.graph, node, self.file.places, self.file.ordered, self.computed)

    def _consume(self) -> None:
        """Note that the node has its inputs, so that their names can be reused."""
        self._uses.subtract(self._read)
        for entry in self._read:
            if self._uses[entry] <= 0:
                self._alive.pop(entry, None)
        self._read = []

    def _node(self, place: int, node: Node, inputs: Sequence[Expr]) -> None:
        self.place = place
        try:
            self._emit(place, node, inputs, SOURCE.get(node.op, Emitter(None)))
        except Unsupported as error:
            self.faults.append('node %s: %s' % (node.title, error))

    def _emit(self, place: int, node: Node, inputs: Sequence[Expr], emitter: Emitter) -> None:
        # There are no facts about outputs that nothing reads.
        facts = [self.facts.arrays.get(Entry(place, at), Fact((), 'float32'))
                 for at in range(node.num_outputs)]
        self.out, self.dtypes = [fact.shape for fact in facts], [fact.dtype for fact in facts]
        if is_swap(node, inputs):
            self._enter(node, [inputs[0].exchanged])
            return
        inputs = inputs if node.op == '_foreach' else self._shortened(inputs)
        any_order = emitter.any_order
        data = inputs[:1] if node.op == 'FullyConnected' else inputs
        swapped = all_swapped(data, self.out) and (
            any_order(node, data[0].rank) if callable(any_order) else any_order)
        if swapped:
            inputs = [*(each.unswapped for each in data), *inputs[len(data):]]
            self.out = [exchanged(shape) for shape in self.out]
        try:
            emitted = self._of_program(node, inputs) or emitter(self, node, *inputs)
        except Unsupported:
            emitted = call(self, node, TORCH.get(node.op), inputs)
            if emitted is None:
                raise
        self._enter(node, self._results(node, emitted, swapped))

    def _of_program(self, node: Node, inputs: Sequence[Expr]) -> Emitted | None:
        """A call of the function that the program registered for an operator, in memory alone."""
        operator = TORCH.maps[0].get(node.op) if self.file.in_memory else None
        if operator is None:
            return None
        self.file.operators.append(node)
        text = 'self.operators[%d](%s)' % (len(self.file.operators) - 1, ', '.join(
            [*['self.training'] * operator.training, *map(format, inputs)]))
        return Many(text) if node.num_outputs > 1 else text

    def _results(self, node: Node, emitted: Emitted, swapped: bool) -> list[Expr]:
        if isinstance(emitted, Many):
            own = name_of(node)
            names = [reader_of(self.graph, Entry(self.place, at), own) or own or 'part'
                     for at in range(node.num_outputs)]
            emitted = list(self.unpack(', '.join(['{}'] * len(names)) + ',' * (len(names) == 1),
                                       emitted.text, *names))
        results = []
        for at, each in enumerate(emitted if isinstance(emitted, list) else [emitted]):
            if isinstance(each, str):
                each = Expr(each, self.out[at], self.dtypes[at])
            results.append(each.exchanged if swapped and not each.swapped else each)
        return results

    def _enter(self, node: Node, results: Sequence[Expr]) -> None:
        """Keep the outputs; name those that are read twice or drawn, since text repeats a draw."""
        self._consume()
        entries = [Entry(self.place, at) for at in range(len(results))]
        for entry, value in zip(entries, results):  # all of them, before one takes an old name
            self._set(entry, value)
        for entry in entries:
            value = self.values[entry]
            if value.parameter is None and (self._uses[entry] > 1 or has(node.op, 'samples')):
                self.named(value, near_name(self.graph, entry))

    def _shortened(self, inputs: Sequence[Expr]) -> list[Expr]:
        """The inputs; the longest become variables until they fit into one line."""
        inputs = list(inputs)
        while sum(len(each.text) for each in inputs if not NAME.fullmatch(each.text)) > _LONGEST:
            at = max(range(len(inputs)), key=lambda at: len(inputs[at].text))
            named = self.named(inputs[at])
            if named == inputs[at]:
                break
            inputs = [named if each == inputs[at] else each for each in inputs]
        return inputs

    def free(self, name: str, *kept: str, without: Collection[Entry] = ()) -> str:
        """A name for a variable, not in `kept`; an old name if nothing needs it any more, except
        the arrays `without`."""
        words = {word for entry, value in self._alive.items()
                 if self._uses[entry] > 0 and entry not in without
                 for word in WORD.findall(value.text)}
        own = local(name, self._names - self._loose | words.union(kept))
        self.arguments = [each for each in self.arguments if each.text != own]
        self._names.add(own)
        self._loose.add(own)
        return own

    def let_go(self, value: Expr) -> None:
        """Allow an argument's name to be reused, unless it is the only place to read a size."""
        others = {size for each in self.arguments if each != value for size in each.shape}
        if all(isinstance(size, int) or size in others for size in value.shape):
            self._loose.add(value.text)

    def words(self, texts: Sequence[str]) -> set[str]:
        """The names that the lines so far, and some texts, read."""
        return set(WORD.findall(' '.join([*(line.right for line in self._lines), *texts])))

    def _body(self, returns: str) -> list[str]:
        """The lines of the method, without lines whose variables are never read."""
        last = self._lines[-1] if self._lines else None
        if last is not None and returns == 'return ' + last.left:
            self._lines.pop()
            returns = 'return ' + last.right
        live = set(WORD.findall(returns))
        kept = [returns]
        for line in reversed(self._lines):
            if not line.left or live.intersection(line.targets):
                live = live - set(line.targets) | set(WORD.findall(line.right))
                kept.append('%s = %s' % (line.left, line.right) if line.left else line.right)
        return [*map(self._written, [*filter(None, [self.first]), *(
            self._checks() if self._checked else ()), *reversed(kept)])]

    def write(self, name: str, arguments: Sequence[str], results: Sequence[Expr], purpose: str,
              states: Sequence[Expr] | None = None) -> None:
        """Write the method into the file. It returns `results`, one directly and several as a
        tuple, followed by a tuple of `states` if there are any."""
        kind = 'Tensor' if len(results) == 1 else 'tuple[%s]' % ', '.join(['Tensor'] * len(results))
        if states is not None:
            kind = 'tuple[%s, tuple[Tensor, ...]]' % kind if results else 'tuple[Tensor, ...]'
        texts = [format(each) for each in results]
        after = [format(each) for each in states or ()]
        for group, values in ((texts, results), (after, states or ())):
            while len(texts) + len(after) > 1 and sum(map(len, group)) > 60:
                at = max(range(len(group)), key=lambda at: len(group[at]))
                if group[at].isidentifier():
                    break
                group[at] = self.own(group[at], self._program_name(
                    [entry for entry, each in self._alive.items() if each == values[at]]))
        if states is not None:
            inner = ', '.join(after) + ',' * (len(after) == 1)
            texts = ['(%s)' % ', '.join(texts)] if len(texts) > 1 else texts
            texts.append('(%s)' % inner if texts or len(after) == 1 else inner)
        head = '    def %s(self, %s) -> %s:' % (name, ', '.join(
            each if ':' in each else each + ': Tensor' for each in arguments), kind)
        self.file.methods.append('\n'.join([wrapped(head), *(
            ['        """%s"""' % purpose] if purpose else []), *self._body(
                'return ' + ', '.join(texts))]))
