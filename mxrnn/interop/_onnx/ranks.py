"""How many axes the inputs of a graph have, as far as its operators tell."""
from __future__ import annotations

import copy
from typing import Callable, Iterator, Mapping, NamedTuple, Sequence, Tuple

from ..._graph.graph import Entry, Graph, Node
from ..._graph.operators import row

__all__ = ['ranks_of']

#: Numbers of axes of the output and of each input, where an operator fixes them; None where not.
_FIXED: dict[str, tuple[int | None, ...]] = {
    'RNN': (3, 3, 1, 3, 3, 1), 'Flatten': (2,), 'dot': (2, 2, 2), 'batch_dot': (3, 3, 3),
    'batch_take': (1, 2, 1), 'softmax_cross_entropy': (1, 2, 1), 'CTCLoss': (1, 3, 2),
    'shape_array': (1,), 'size_array': (1,), 'moments': (None,), 'take': (None,),
    'gather_nd': (None,), 'scatter_nd': (None,), 'reshape_like': (None,), 'pick': (None,),
    'norm': (None,), 'topk': (None,), '_np_cumsum': (None,), 'LeakyReLU': (None,),
    '_rnn_param_concat': (None,), '_linalg_gemm2': (None,), 'Embedding': (None, None, 2),
    '_contrib_arange_like': (None,), 'depth_to_space': (4, 4), 'space_to_depth': (4, 4)}

_REDUCTIONS = ('sum', 'mean', 'prod', 'max', 'min', 'nansum', 'nanprod', 'argmax', 'argmin')


def _copied(codes: Sequence[int]) -> int | None:
    """How many axes a Reshape copies, joins and splits, if it does nothing else."""
    rest, count = list(codes), 0
    while rest:
        code = rest.pop(0)
        if code not in (0, -3, -4):
            return None
        count += 2 if code == -3 else 1
        if code == -4:
            del rest[:2]
    return count


def _furthest(node: Node) -> int:
    """How many axes the first input has at least, as attributes name one."""
    known = row(node.op)
    if node.op in ('expand_dims', 'stack'):
        return 0
    named = [getattr(node, key) for key in ('axis', 'axes', 'dim', 'dim1', 'dim2')
             if known is not None and key in known.attributes]
    axes = [axis for value in named for axis in (value if isinstance(value, tuple) else (value,))
            if axis is not None]
    return max([1 + axis for axis in axes] + [-axis for axis in axes] + [0])


def _reshaped(node: Node) -> int | None:
    """Axes that a Reshape adds, if its codes copy all that they do not state."""
    codes, change = list(node.shape), 0
    if -2 not in codes:
        return None
    while codes:
        code = codes.pop(0)
        if code == -3:
            change -= 1
        elif code == -4:
            del codes[:2]
            change += 1
    return change


def _reduced(node: Node) -> int | None:
    """Axes that a reduction adds."""
    if node.keepdims:
        return 0
    axes = (node.axis,) if isinstance(node.axis, int) else node.axis
    return -len(axes) if axes and not node.attrs.get('exclude') else None


#: How many axes more the output has than the first input; None where that is open.
_MORE: dict[str, Callable[[Node], int | None]] = {
    'expand_dims': lambda node: 1, 'stack': lambda node: 1, 'Embedding': lambda node: 1,
    '_contrib_SparseEmbedding': lambda node: 1, 'one_hot': lambda node: 1,
    'SequenceLast': lambda node: -1, 'argmax_channel': lambda node: -1,
    'SliceChannel': lambda node: -int(node.squeeze_axis),
    '_split_v2': lambda node: -int(node.squeeze_axis),
    'squeeze': lambda node: -len(node.axis) if node.axis else None,
    'FullyConnected': lambda node: None if node.flatten else 0,
    'Reshape': _reshaped,
    **dict.fromkeys(_REDUCTIONS, _reduced)}

#: A value in a graph or in the body of one of its loops: the graph's identity, node and output.
_Key = Tuple[int, int, int]


class _Ranks:
    """Numbers of axes as unknowns of which the differences are known."""

    def __init__(self) -> None:
        #: Each value's number is that of another value and so many more.
        self._above: dict[_Key, tuple[_Key, int]] = {}
        self._numbers: dict[_Key, int] = {}
        self._least: dict[_Key, int] = {}

    def _root(self, key: _Key) -> tuple[_Key, int]:
        path, more = [], 0
        while key in self._above:
            path.append((key, more))
            key, step = self._above[key]
            more += step
        for each, before in path:
            self._above[each] = (key, more - before)
        return key, more

    def number(self, key: _Key) -> int | None:
        """How many axes a value has, if that is known."""
        root, more = self._root(key)
        return self._numbers[root] + more if root in self._numbers else None

    def settle(self, key: _Key, number: int) -> None:
        """Say how many axes a value has; what was said first stays."""
        root, more = self._root(key)
        self._numbers.setdefault(root, number - more)

    def at_least(self, key: _Key, number: int) -> None:
        """Say how many axes a value has at least."""
        root, more = self._root(key)
        self._least[root] = max(self._least.get(root, 0), number - more)

    def guess(self, key: _Key, number: int) -> None:
        """Settle what is not known: `number`, or more where it must have more."""
        root, more = self._root(key)
        self.settle(key, max(number, self._least.get(root, 0) + more))

    def relate(self, key: _Key, other: _Key, more: int = 0) -> None:
        """Say that `key` has so many axes more than `other`."""
        (root, one), (base, two) = self._root(key), self._root(other)
        if root != base:
            step = two + more - one
            self._above[root] = (base, step)
            if root in self._numbers:
                self._numbers.setdefault(base, self._numbers.pop(root) - step)
            if root in self._least:
                self._least[base] = max(self._least.get(base, 0), self._least.pop(root) - step)


class _Guess(NamedTuple):
    """A value that programs nearly always give two axes."""

    key: _Key
    words: bool


def ranks_of(graph: Graph, known: Mapping[str, int]) -> Iterator[dict[str, int]]:
    """Numbers of axes of the variables that are not in `known`, the likeliest first.

    Where the operators leave them open, numbers of words are (batch, time), and what goes into a
    FullyConnected is (batch, channels).
    """
    ranks = _Ranks()
    guesses: list[_Guess] = []
    _state(graph, ranks, guesses, known)
    for guess in sorted(guesses, key=lambda guess: not guess.words):
        ranks.guess(guess.key, 2)
    places = {node.name: (id(graph), i, 0) for i, node in enumerate(graph.nodes)
              if node.is_variable and node.name not in known}
    for other in (2, 3, 1, 4):
        tried = copy.deepcopy(ranks)
        for key in places.values():
            tried.guess(key, other)
        yield {name: tried.number(key) or other for name, key in places.items()}
        if all(ranks.number(key) for key in places.values()):
            return


def _state(graph: Graph, ranks: _Ranks, guesses: list[_Guess], known: Mapping[str, int]) -> None:
    """Enter what the nodes of a graph, and of the bodies of its loops, say."""
    def key(entry: Entry) -> _Key:
        return id(graph), entry.node, entry.output
    for place, node in enumerate(graph.nodes):
        own = id(graph), place, 0
        if node.is_variable:
            stated = node.get('__shape__')
            if node.name in known:
                ranks.settle(own, known[node.name])
            elif isinstance(stated, tuple) and stated:
                ranks.settle(own, len(stated))
            continue
        inputs = [key(entry) for entry in node.inputs]
        if node.op == '_foreach' and len(node.subgraphs) == 1:
            _state_loop(node, own, inputs, ranks, guesses)
            continue
        shape = node.attrs.get('shape')
        fixed = _FIXED.get(node.op)
        if node.op in ('Convolution', 'Deconvolution', 'Convolution_v1', 'Pooling', 'Pooling_v1'):
            fixed = (len(node.kernel) + 2,) * 2 if node.kernel else None
        elif node.op == 'FullyConnected':
            fixed = (2 if node.flatten else None, None, 2, 1)
            if node.flatten:
                guesses.append(_Guess(inputs[0], False))
        elif node.op == 'transpose' and node.axes:
            fixed = (len(node.axes),) * 2
        elif node.op == 'Reshape' and -2 not in node.shape:
            fixed = (len([code for code in node.shape if code != -4]), _copied(node.shape))
        elif not inputs and shape:
            fixed = (len(node.shape),)
        for value, number in zip([own, *inputs], fixed or ()):
            if number is not None:
                ranks.settle(value, number)
        if inputs:
            ranks.at_least(inputs[0], _furthest(node))
        if node.op in ('Embedding', '_contrib_SparseEmbedding'):
            guesses.append(_Guess(inputs[0], True))
        if node.op.startswith('Sequence'):
            for value in inputs[1:]:
                ranks.settle(value, 1)
        if not inputs or (fixed is not None and node.op not in _MORE):
            continue
        more = _MORE[node.op](node) if node.op in _MORE else 0
        outputs = [(id(graph), place, i) for i in range(node.num_outputs)]
        if more is not None:
            for value in outputs:
                ranks.relate(value, inputs[0], more)
        if node.op not in _MORE and _joins(node):
            for value in inputs[1:]:
                ranks.relate(value, inputs[0])


def _joins(node: Node) -> bool:
    """Whether all inputs of an operator have as many axes as its output."""
    return node.op.startswith(('elemwise_', 'broadcast_', '_')) or node.op in (
        'Concat', 'add_n', 'where', 'slice_like', 'amp_multicast')


def _state_loop(node: Node, own: _Key, inputs: list[_Key], ranks: _Ranks,
                guesses: list[_Guess]) -> None:
    """Enter what the body of a loop says of the loop's inputs and outputs."""
    body = node.subgraphs[0]
    variables = [i for i, each in enumerate(body.nodes) if each.is_variable]
    data, states, others = (tuple(getattr(node, name)) for name in
                            ('in_data_locs', 'in_state_locs', 'remain_locs'))
    for value, at in zip(inputs, data + states + others):
        if at < len(variables):
            ranks.relate((id(body), variables[at], 0), value, -1 if at in data else 0)
    _state(body, ranks, guesses, {})
    for i, head in enumerate(body.heads):
        ranks.relate((own[0], own[1], i), (id(body), head.node, head.output),
                     1 if i < node.num_out_data else 0)
