"""Operators over all steps at once: rewrites an operator on each of T arrays as one on a single
array with time as its first axis.

A rule gets the node of one step, which of its inputs differ between steps, and their ranks in a
step (None: unknown). It returns a function that writes the node, or None if one node might not do
the same.
"""
from __future__ import annotations

from typing import Any, Callable, Optional, Sequence

from ..graph import Entry, Node
from ..graph_editing import Writer, origin
from ..operator_table import has

__all__ = ['lift']

Ranks = Sequence[Optional[int]]

#: Writes a node from its inputs; inputs that differ between steps have time first.
Write = Callable[[Writer, str, Sequence[Entry]], Entry]
Rule = Callable[[Node, Sequence[bool], Ranks], Optional[Write]]

_RULES: dict[str, Rule] = {}


def _rule(*ops: str) -> Callable[[Rule], Rule]:
    def enter(rule: Rule) -> Rule:
        for op in ops:
            _RULES[op] = rule
        return rule
    return enter


def lift(node: Node, moving: Sequence[bool], ranks: Ranks) -> Write | None:
    """The rule's result for `node` over all steps at once, or None."""
    if has(node.op, 'elementwise'):
        return _same(node)
    rule = _RULES.get(node.op)
    return rule(node, moving, ranks) if rule is not None else None


def _same(node: Node, **changes: object) -> Write:
    """The node itself, with some parameters changed."""
    return lambda writer, name, inputs: writer.add(
        node.op, name, {**node.attrs, **changes}, inputs, node.num_outputs)


def _moved(axes: Any) -> Any:
    """One or several axes, counted with time as the first one."""
    if isinstance(axes, tuple):
        return tuple(map(_moved, axes))
    return axes + 1 if axes >= 0 else axes


def _spread(node: Node, moving: Sequence[bool], **changes: object) -> Write:
    """The node, after inputs that all steps share were repeated for each step."""
    inner, first = _same(node, **changes), list(moving).index(True)

    def repeated(writer: Writer, name: str, entry: Entry, like: Entry) -> Entry:
        wide = writer.once('expand_dims', name + '_once', {'axis': 0}, entry)
        return writer.once('broadcast_like', name + '_repeated', {
            'lhs_axes': (0,), 'rhs_axes': (0,)}, wide, like)
    return lambda writer, name, inputs: inner(writer, name, [
        entry if moves else repeated(writer, name, entry, inputs[first])
        for entry, moves in zip(inputs, moving)])


# ---- rules of one line

_RULES.update({
    'LeakyReLU': lambda node, moving, ranks: (
        _same(node) if node.act_type in ('leaky', 'elu', 'selu', 'gelu') else None),
    'make_loss': lambda node, moving, ranks: _same(node),
    'MakeLoss': lambda node, moving, ranks: _same(node) if node.normalization == 'null' else None,
    **dict.fromkeys(['add_n', '_maximum', '_minimum'],
                    lambda node, moving, ranks: _spread(node, moving)),
    'where': lambda node, moving, ranks: (
        _spread(node, moving) if None not in ranks and len(set(ranks)) == 1 else None),
    'Concat': lambda node, moving, ranks: _spread(node, moving, dim=_moved(node.dim)),
    'transpose': lambda node, moving, ranks: (
        _same(node, axes=(0, *_moved(node.axes))) if node.axes else None),
    'Reshape': lambda node, moving, ranks: (
        _same(node, shape=(0, *node.shape)) if node.shape and not node.reverse else None),
    'Flatten': lambda node, moving, ranks: lambda writer, name, inputs: writer.add(
        'Reshape', name, {'shape': (0, 0, -1)}, inputs),
    'take': lambda node, moving, ranks: _same(node) if not moving[0] and node.axis == 0 else None,
    'dot': lambda node, moving, ranks: (
        _same(node) if not moving[1] and ranks[1] == 2 and not node.transpose_a else None),
})


# ---- element by element

_BROADCAST = {'elemwise_add': 'broadcast_add', 'elemwise_sub': 'broadcast_sub',
              'elemwise_mul': 'broadcast_mul', 'elemwise_div': 'broadcast_div'}


@_rule(*_BROADCAST)
def _elementwise(node: Node, moving: Sequence[bool], ranks: Ranks) -> Write | None:
    return _same(node if all(moving) else node._replace(op=_BROADCAST[node.op], attrs={}))


@_rule('broadcast_add', 'broadcast_sub', 'broadcast_mul', 'broadcast_div', 'broadcast_maximum',
       'broadcast_minimum', 'broadcast_equal', 'broadcast_greater', 'broadcast_lesser')
def _broadcast(node: Node, moving: Sequence[bool], ranks: Ranks) -> Write | None:
    known = [rank for rank in ranks if rank is not None]
    if len(known) < len(ranks) or any(
            moves and rank < max(known) for rank, moves in zip(known, moving)):
        return None  # axes are counted from the last one
    inner, places = _same(node), [at for at, moves in enumerate(moving) if moves]

    def write(writer: Writer, name: str, inputs: Sequence[Entry]) -> Entry:
        given, like = list(inputs), inputs[places[0]]
        for at in places[1:]:
            # from another variable, one step would be repeated
            if origin(writer.nodes, given[at]) != origin(writer.nodes, like):
                given[at] = writer.once('reshape_like', name + '_as_long', {
                    'lhs_begin': 0, 'lhs_end': 1, 'rhs_begin': 0, 'rhs_end': 1}, given[at], like)
        return inner(writer, name, given)
    return write


# ---- along axes

#: Operators of which only the first input may differ between steps; their attributes that are axes.
_AXES = {'Embedding': (), 'one_hot': (), 'Dropout': ('axes',), 'SwapAxis': ('dim1', 'dim2'),
         **dict.fromkeys(('SliceChannel', 'slice_axis', 'expand_dims', 'softmax', 'log_softmax',
                          'LayerNorm', 'repeat'), ('axis',))}


@_rule(*_AXES)
def _along_axes(node: Node, moving: Sequence[bool], ranks: Ranks) -> Write | None:
    if any(moving[1:]) or node.inputs_of('length') or node.op == 'repeat' and node.axis is None:
        return None
    return _same(node, **{key: _moved(getattr(node, key)) for key in _AXES[node.op]})


@_rule('sum', 'mean', 'max', 'min', 'prod')
def _reduce(node: Node, moving: Sequence[bool], ranks: Ranks) -> Write | None:
    if node.exclude:
        return None
    # MXNet returns one axis if no axis is left, so a step has more axes than computed.
    if not node.keepdims and (not node.axis or ranks[0] is None or ranks[0] <= len(node.axis)):
        return None
    return _same(node, axis=_moved(node.axis) if node.axis else (0,), exclude=not node.axis)


# ---- weights

@_rule('FullyConnected')
def _fully_connected(node: Node, moving: Sequence[bool], ranks: Ranks) -> Write | None:
    if any(moving[1:]):
        return None
    inner = _same(node, flatten=False)

    def write(writer: Writer, name: str, inputs: Sequence[Entry]) -> Entry:
        return inner(writer, name, [channels(writer, name, inputs[0], ranks[0]), *inputs[1:]])
    return write if node.flatten else inner


def channels(writer: Writer, name: str, entry: Entry, rank: int | None) -> Entry:
    """Joins all axes behind time and batch, if a step has `rank` axes (None: unknown)."""
    if rank == 2:
        return entry
    node = writer.nodes[entry.node]
    if node.op == 'SequenceReverse' and len(node.inputs) == 1:  # one shape for both directions
        return writer.once('SequenceReverse', node.name, {}, channels(
            writer, name, node.inputs[0], rank))
    return writer.once('Reshape', name + '_channels', {'shape': (0, 0, -1)}, entry)


# ---- one row of the batch at a time

#: Operators that treat each row of a batch separately, and which inputs have rows.
_MERGED = {'Convolution': (0,), 'Deconvolution': (0,), 'Pooling': (0,), 'SoftmaxActivation': (0,),
           **dict.fromkeys(('batch_dot', 'SoftmaxOutput', 'LinearRegressionOutput',
                            'LogisticRegressionOutput', 'MAERegressionOutput'), (0, 1))}


@_rule(*_MERGED)
def _merged(node: Node, moving: Sequence[bool], ranks: Ranks) -> Write | None:
    """Joins the steps along the batch, and splits the results again."""
    rows = _MERGED[node.op]
    if any(moves != (at in rows) for at, moves in enumerate(moving)):
        return None
    # An array with one axis is one row. If rows have several axes, MXNet ignores some labels.
    if node.op == 'SoftmaxActivation' and (ranks[0] or 0) < 2 or node.op == 'SoftmaxOutput' and (
            ranks[0] != 2 or node.normalization != 'null'):
        return None
    inner = _same(node)

    def write(writer: Writer, name: str, inputs: Sequence[Entry]) -> Entry:
        given = [writer.once('Reshape', name + '_rows', {'shape': (-3, -2)}, entry) if at in rows
                 else entry for at, entry in enumerate(inputs)]
        return writer.add('reshape_like', name + '_steps', {
            'lhs_begin': 0, 'lhs_end': 1, 'rhs_begin': 0, 'rhs_end': 2},
            [inner(writer, name, given), inputs[0]])
    return write
