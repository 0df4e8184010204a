"""Operators on sequences: RNN as nn.LSTM, nn.GRU or nn.RNN, loops as `for` with a method for the
body, and masks, last steps and reversed sequences, which use their lengths."""
from __future__ import annotations

import re
from typing import Mapping, Sequence

from ..._graph.graph import Entry, Node
from ..._graph.graph_editing import origin
from ..._graph.merge_rnn import readers
from .emitter_api import Emitted, Expr, Many, Unsupported, emits, number
from .method_writer import MethodWriter
from .moved_weights import arrays_of
from .pasted import check_equal, mask_steps, reverse_sequences, run_rnn
from .program_names import cell_of, reader_of, rnn_of, shown
from .python_text import literal, local
from .torch_operators import keywords

__all__: list[str] = []

_CLASSES = {'lstm': 'nn.LSTM', 'gru': 'nn.GRU', 'rnn_tanh': 'nn.RNN', 'rnn_relu': 'nn.RNN'}


@emits('RNN')
def _rnn(scope: MethodWriter, node: Node, data: Expr, *further: Expr) -> Emitted:
    for key in ('projection_size', 'lstm_state_clip_min', 'lstm_state_clip_max'):
        if getattr(node, key) is not None:
            raise Unsupported('it has %s' % key)
    if node.use_sequence_length:
        raise Unsupported('it takes lengths')
    lstm = node.mode == 'lstm'
    if scope.computed[node.inputs[1]]:
        return _computed(scope, node, data, further)
    begins, weights = further, arrays_of(scope.graph, node, scope.file.places)
    empty = [key for key, places in weights.items() if not places.any()]
    biased = any(key.startswith('bias') and key not in empty for key in weights)
    if not biased:
        weights = {key: places for key, places in weights.items() if key.startswith('weight')}
    options = [str(weights['weight_ih_l0'].shape[1]), str(node.state_size)]
    options += ['num_layers=%d' % node.num_layers] * (node.num_layers > 1)
    options += ["nonlinearity='relu'"] * (node.mode == 'rnn_relu')
    options += ['bias=False'] * (not biased)
    options += ['batch_first=True'] * data.swapped
    options += ['dropout=' + number(node.p)] * (node.p > 0 and node.num_layers > 1)
    options += ['bidirectional=True'] * node.bidirectional
    fixed = ['{}.%s.requires_grad_(False)' % key for key in empty if key in weights]
    name = rnn_of(node, scope.graph.ending_in([node.inputs[1]]).arguments)
    layer = scope.file.module(name, '%s(%s)' % (
        _CLASSES[node.mode], ', '.join(options)), weights, None, *fixed)
    kept = scope.used(0) > 1 or any(scope.graph.nodes[place].op == '_foreach' for place in readers(
        scope.graph, Entry(scope.place, 0)))
    states = ', '.join(map(format, begins))
    given = ', (%s)' % states if lstm and states else ', ' * bool(states) + states
    names = scope.unpack('{}, ({}, {})' if lstm and (scope.used(1) or scope.used(2)) else '{}, {}',
                         '%s(%s%s)' % (layer, data.unswapped, given),
                         name + '_out' if kept else 'x', 'state', 'cell')
    outputs: list[str | Expr] = [Expr(name, shape, data.dtype)
                                 for name, shape in zip(names, scope.out)]
    if data.swapped:
        outputs[0] = data._replace(text=names[0], shape=scope.out[0])
    return outputs


def _computed(scope: MethodWriter, node: Node, data: Expr, inputs: Sequence[Expr]) -> Emitted:
    """An RNN whose weights the graph computes: a call of torch's function, without a layer."""
    states = 2 if node.mode == 'lstm' else 1
    count = 4 * node.num_layers * (1 + node.bidirectional)
    count = count if len(inputs) in (count, count + states) else 1
    groups = ['[%s]' % ', '.join(map(format, each)) for each in (inputs[:count], inputs[count:])]
    options = ['%s=%s' % (key, literal(value)) for key, value in keywords(run_rnn, node).items()]
    text = '%s(%s)' % (scope.helper(run_rnn), ', '.join(
        ['self.training', format(data), *groups, *options]))
    return Many(text) if node.state_outputs else text + '[0]'


# ---- loops

@emits('_foreach')
def _loop(scope: MethodWriter, node: Node, *inputs: Expr) -> Emitted:
    (body, places, first, states), facts = node.body, scope.facts.bodies[scope.place]
    given: dict[Entry, Expr] = {}
    names: set[str] = set()
    constants: dict[Entry, Expr] = {}
    entries = [Entry(place, 0) for place in places]
    inputs = (*inputs[:first + states], *map(scope.named, inputs[first + states:]))
    for at, (entry, value) in enumerate(zip(entries, inputs)):
        if at >= first + states and value.parameter is not None:
            constants[entry] = value
        elif entry in facts.arrays:
            text = local((reader_of(body, entry, 'x') if first > 1 else '') or 'x' if at < first
                         else _state(value) if at < first + states else value.text, names)
            names.add(text)
            given[entry] = Expr(text, *facts.arrays[entry], swapped=(
                value.swapped and at >= first + states))
    kept = tuple([at for at in range(len(body.heads))
                  if at >= node.num_out_data or scope.used(at)])
    key = id(body), kept, tuple([(each, given[each].swapped if each in given else constants.get(
        each)) for each in entries])
    if key not in scope.file.loops:
        sub = MethodWriter(scope.file, body, facts, {**given, **constants}, scope.faults)
        for entry in entries[:first]:
            if entry in given:
                sub.let_go(given[entry])
        results = sub.emit([body.heads[at] for at in kept])
        if len(results) < len(kept):
            raise Unsupported('its body cannot be written')
        texts = [format(each) for each in results]
        cells = sorted({cell_of(str(value.parameter)) for value in constants.values()})
        read = sub.words(texts)
        passed = [each in given and given[each].text in read for each in entries]
        scope.file.loops[key] = scope.file.attribute('step', ()), texts, passed
        sub.write(scope.file.loops[key][0],
                  [given[each].text for each, own in zip(entries, passed) if own],
                  list(dict(zip(texts, results)).values()),
                  'One step%s.' % (', with the weights of ' * bool(cells) + shown(cells)))
    name, texts, passed = scope.file.loops[key]
    rows = [given[each].text if first > 1 and each in given else 'row' for each in entries[:first]]
    return _call(scope, node, name, rows, inputs, passed, dict(zip(kept, texts)))


def _state(begin: Expr) -> str:
    """A name for a state: the name of the array that it begins with, if that is a state."""
    found = re.match(r'(state|cell)(?:_\d+)?\b', begin.text)
    return found[1] if found else 'state'


def _call(scope: MethodWriter, node: Node, name: str, rows: Sequence[str], inputs: Sequence[Expr],
          passed: Sequence[bool], texts: Mapping[int, str]) -> Emitted:
    """Write the lines of the loop into the method that contains it.

    `rows` are names for the data of a step. `texts` are its results, by the number of the body's
    output; an output that occurs twice is returned once.
    """
    (_, _, first, states), count = node.body, node.num_out_data
    readers = [each.op for each, _ in scope.graph.consumers(scope.place)]
    swapped = any(each.swapped for each in inputs[:first]) or set(readers) == {'SwapAxis'}
    data = ['%s.unbind(%d)' % (each.unswapped.of, int(each.swapped)) for each in inputs[:first]]
    rows = [scope.own('', re.sub(r'_\d+$', '', row)) if own else '_'
            for row, own in zip(rows, passed)]
    taken = [at for at in range(first) if passed[at]] or [0]
    origins = {origin(scope.graph.nodes, scope.graph.nodes[scope.place].inputs[at])
               for at in taken}
    steps = {inputs[at].shape[0] for at in taken}
    if len(origins) > 1 and (len(steps) > 1 or not isinstance(steps.pop(), int)):
        # zip would drop steps that only one of them has
        sizes = ['%s.shape[%d]' % (inputs[at].unswapped.of, int(inputs[at].swapped))
                 for at in taken]
        scope.check(check_equal, repr(', '.join(sizes)), *sizes)
    begins, others = inputs[first:first + states], [each.text for each in inputs[first + states:]]
    state = scope.states([(format(each), _state(each)) for each in begins], *data, *others)
    returned: dict[str, str] = {}
    again: list[tuple[str, str]] = []  # for two equal states, the second and the first
    for at, text in texts.items():
        if at >= count and returned.setdefault(text, state[at - count]) != state[at - count]:
            again.append((state[at - count], returned[text]))
    lists: dict[int, str] = {}
    for at, text in texts.items():
        if at < count:
            lists[at] = scope.own('[]', 'outs')
            returned.setdefault(text, scope.own('', 'out'))
    arguments = [text for text, own in zip([*rows, *state, *others], passed) if own]
    targets = [returned[text] for text in dict.fromkeys(texts.values())]
    parts = [data[at] for at in taken]
    scope.line('for %s in %s:' % (', '.join(rows[at] for at in taken), (
        parts[0] if len(parts) == 1 else 'zip(%s)' % ', '.join(parts))))
    scope.line('    %s = self.%s(%s)' % (', '.join(targets), name, ', '.join(arguments)))
    for pair in again:
        scope.line('    %s = %s' % pair)
    for at, each in lists.items():
        scope.line('    %s.append(%s)' % (each, returned[texts[at]]))
    results: list[str | Expr] = []
    for at in range(count):
        text = 'torch.stack(%s%s)' % (lists[at], ', 1' * swapped) if at in lists else '_'
        results.append(Expr(text, scope.out[at], scope.dtypes[at], swapped=swapped))
    for at, text in enumerate(state, count):
        results.append(Expr(text, scope.out[at], scope.dtypes[at]))
    return results


# ---- with the lengths of sequences

def _batch_major(x: Expr, time: int) -> tuple[Expr, int]:
    """The array in the order of its text, and the axis of time; a swap of axes is not written."""
    return (x.unswapped, 1 - time) if x.swapped else (x, time)


@emits('SequenceLast')
def _sequence_last(scope: MethodWriter, node: Node, x: Expr, *length: Expr) -> Emitted:
    x, time = _batch_major(x, node.axis)
    if not node.use_sequence_length:
        return '%s[%s-1]' % (x.of, ':, ' * time)
    x = scope.named(x)
    rows = 'torch.arange(%s, device=%s.device)' % (scope.size(x.shape[1 - time], x), x)
    last = '(%s.long() - 1).clamp(min=0)' % length[0].of
    return '%s[%s]' % (x, ', '.join([rows, last] if time else [last, rows]))


@emits('SequenceMask')
def _sequence_mask(scope: MethodWriter, node: Node, x: Expr, *length: Expr) -> Emitted:
    if not node.use_sequence_length:
        return x
    own, time = _batch_major(x, node.axis)
    name = scope.helper(mask_steps)
    value = ', ' + number(node.value) if node.value else ''
    return x._replace(text='%s(%s, %s, %d%s)' % (name, own, length[0], time, value), parameter=None)


@emits('SequenceReverse')
def _sequence_reverse(scope: MethodWriter, node: Node, x: Expr, *length: Expr) -> Emitted:
    if not node.use_sequence_length:
        own, time = _batch_major(x, 0)
        return x._replace(text='%s.flip(%d)' % (own.of, time), parameter=None)
    name = scope.helper(reverse_sequences)
    return '%s(%s, %s)' % (name, x, length[0])
