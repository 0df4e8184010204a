"""The effect on axes of layers, RNN, losses, and operators with lengths of sequences."""
from __future__ import annotations

from ..graph import Node
from ..rnn_vector_layout import FusedLayout
from .axis_factors import Axes, Factors, agree, mixed, number_of
from .rule_api import Array, UnknownAxes, alike, rule
from .sizes import add, product, quotient, resolve
from .unification import SizeError, suggest, unify

__all__: list[str] = []


@rule('FullyConnected', needs=0)
def _dense(node: Node, data: Array, weight: Array, bias: Array) -> Axes:
    weight = weight.of_rank(2)
    for axes in (weight, bias.of_rank(1)):
        unify(product(axes[0]), node.num_hidden)
    data = data or data.of_rank(2) if node.flatten else data.known()
    unify(product(sum(data[1:], ()) if node.flatten else data[-1]), product(weight[1]))
    return [*data[:1 if node.flatten else -1], (node.num_hidden,)]


@rule('Embedding _contrib_SparseEmbedding', needs=0)
def _embedding(node: Node, data: Array, table: Array) -> Axes:
    for size, wanted in zip(table.of_rank(2), (node.input_dim, node.output_dim)):
        unify(product(size), wanted)
    return [*data.known(), (node.output_dim,)]


def _ends(node: Node, one: Axes, other: Axes) -> tuple[Factors, Factors]:
    """The last two axes of a product of matrices."""
    left, inner = (one[-2], one[-1])[::-1 if node.transpose_a else 1]
    outer, right = (other[-2], other[-1])[::-1 if node.transpose_b else 1]
    unify(product(inner), product(outer))
    return left, right


@rule('batch_dot', needs=0)
def _batch_dot(node: Node, one: Array, other: Array) -> Axes:
    rank = len((one or other).known())
    if rank < 3:
        raise SizeError('%d axes and 3 axes' % rank)
    one, other = one.of_rank(rank), other.of_rank(rank)
    return [*alike(one[:-2], other[:-2]), *_ends(node, one, other)]


@rule('dot', needs=2)
def _dot(node: Node, one: Array, other: Array) -> Axes:
    if len(one) == len(other) == 1:
        unify(product(one[0]), product(other[0]))
        return [()]
    left, right = node.transpose_a and len(one) > 1, node.transpose_b and len(other) > 1
    unify(product(one[0 if left else -1]), product(other[-1 if right else 0]))
    return (one[1:] if left else one[:-1]) + (other[:-1] if right else other[1:])


@rule('_linalg_gemm2 _linalg_gemm', needs=2)
def _gemm(node: Node, one: Array, other: Array, *_: Array) -> Axes:
    rows = one.place(node.axis)
    if rows == len(one) - 1 or len(one) != len(other):
        raise UnknownAxes
    left, right = ([*axes[:rows], *axes[rows + 1:-1], axes[rows], axes[-1]]
                   for axes in (one, other))
    made = [agree(*pair) for pair in zip(left[:-2], right[:-2])]
    height, width = _ends(node, left, right)
    return [*made[:rows], height, *made[rows:], width]


@rule('_linalg_trmm', needs=2)
def _triangle(node: Node, one: Array, other: Array) -> Axes:
    unify(product(one[-2]), product(one[-1]))
    made = one[-2 if node.rightside == node.transpose else -1]
    unify(product(made), product(other[-1 if node.rightside else -2]))
    return [*map(agree, one[:-2], other[:-2]),
            *([other[-2], made] if node.rightside else [made, other[-1]])]


# ---- windows over images and sequences

def _channels_first(node: Node, axes: Axes) -> Axes:
    last = getattr(node, 'layout', None) and node.layout.index('C') > 1
    return [axes[0], axes[-1], *axes[1:-1]] if last else axes


def _in_layout(node: Node, axes: Axes) -> Axes:
    """The inverse of `_channels_first`."""
    last = getattr(node, 'layout', None) and node.layout.index('C') > 1
    return [axes[0], *axes[2:], axes[1]] if last else axes


@rule('Pooling Pooling_v1', needs=0)
def _pooled(node: Node, data: Array) -> Axes:
    if node.global_pool:
        first = _channels_first(node, data.known())
        return _in_layout(node, [*first[:2], *(() for _ in first[2:])])
    batch, channels, *sides = _channels_first(node, data.of_rank(len(node.kernel) + 2))
    return _in_layout(node, [batch, channels, *(_side(node, *each) for each in enumerate(sides))])


@rule('Convolution Convolution_v1 Deconvolution', needs=0)
def _filtered(node: Node, data: Array, weight: Array, bias: Array) -> Axes:
    batch, channels, *sides = _channels_first(node, data.of_rank(len(node.kernel) + 2))
    outer, inner, *_ = _channels_first(node, weight.of_rank(len(node.kernel) + 2))
    if node.op == 'Deconvolution':
        unify(product(channels), product(outer))
    else:
        unify(product(channels), product(inner, node.num_group))
        unify(product(outer), node.num_filter)
    return _in_layout(node, [batch, (node.num_filter,),
                             *(_side(node, *each) for each in enumerate(sides))])


def _side(node: Node, at: int, axis: Factors) -> Factors:
    """The number of windows along an axis."""
    stride, dilate, pad = ((getattr(node, key, ()) or (default,) * len(node.kernel))[at]
                           for key, default in (('stride', 1), ('dilate', 1), ('pad', 0)))
    adj = (getattr(node, 'adj', ()) or (0,) * len(node.kernel))[at]
    if node.kernel[at] == stride == 1 and pad == adj == 0 and not getattr(node, 'target_shape', ()):
        return axis
    reach = dilate * (node.kernel[at] - 1) + 1
    old = product(axis)
    if node.op == 'Deconvolution':
        if node.target_shape:
            return (node.target_shape[at],)
        more = reach - 2 * pad + adj - stride
        return mixed((add(product([old], stride), more),))
    style = getattr(node, 'pooling_convention', 'valid')
    if style == 'same':  # a window begins at every `stride`-th element
        reach, pad = 1, 0
    beyond = stride - 1 if style == 'full' else 0  # how far the last window may extend
    padded = resolve(add(old, 2 * pad))
    if isinstance(padded, int) and padded < reach:
        raise SizeError('%d and at least %d' % (padded, reach))
    return mixed((add(quotient(add(old, 2 * pad + beyond - reach), stride), 1),))


@rule('UpSampling')
def _up_sampling(node: Node, data: Array, *others: Array) -> Axes:
    if others:
        raise UnknownAxes
    return data[:2] + [(node.scale, *mixed(axis)) for axis in data[2:]]


# ---- normalisation, dropout, softmax

@rule('BatchNorm BatchNorm_v1 CuDNNBatchNorm _contrib_SyncBatchNorm _contrib_BatchNormWithReLU')
def _batch_norm(node: Node, data: Array, *vectors: Array) -> tuple[Axes, ...]:
    axis = data.place(getattr(node, 'axis', 1)) if len(data) > 1 else 0
    data = data.as_long(axis, *vectors)
    return data, [data[axis]], [data[axis]]


@rule('LayerNorm')
def _layer_norm(node: Node, data: Array, *vectors: Array) -> tuple[Axes, ...]:
    at = data.place(node.axis)
    data = data.as_long(at, *vectors)
    rest = data.replaced(at, [()])
    return data.mixed([at]), rest, rest


rule('InstanceNorm')(lambda node, data, *vectors: data.as_long(1, *vectors).mixed(
    range(2, len(data))))
rule('GroupNorm')(lambda node, data, *_: (data.mixed(range(1, len(data))), *[
    [data[0], (node.num_groups,)]] * 2))
rule('LRN')(lambda node, data: data.mixed([1]))
rule('_contrib_div_sqrt_dim')(lambda node, data: data.mixed([-1]))


@rule('Dropout')
def _dropout(node: Node, data: Array) -> tuple[Axes, Axes]:
    # if a mask is drawn, it is the same for everything along `axes`
    drawn = node.axes if node.mode == 'always' and node.p else ()
    return data.mixed(drawn), [() if at in drawn else axis for at, axis in enumerate(data)]


@rule('softmax log_softmax softmin')
def _softmax(node: Node, data: Array, *lengths: Array) -> Axes:
    data = data.mixed([node.axis])
    if node.use_length and all(lengths):
        at = data.place(node.axis)
        rest = alike(data.replaced(at, []) or [()], *lengths)
        return [*rest[:at], data[at], *rest[at:]]
    return data


@rule('SoftmaxOutput SoftmaxActivation L2Normalization')
def _along_several(node: Node, data: Array) -> tuple[Axes, Axes]:
    rank = len(data)
    if node.op != 'SoftmaxOutput':
        together = {'channel': [1], 'spatial': range(2, rank)}.get(node.mode, range(1, rank))
    else:
        together = [1] if node.multi_output else range(
            rank - 1 if node.preserve_shape or rank == 1 else 1, rank)
    return (data.mixed(together), [() if at in together else axis for at, axis in enumerate(data)])


# ---- losses

@rule('softmax_cross_entropy', needs=0)
def _cross_entropy(node: Node, data: Array, label: Array) -> Axes:
    if data:
        data.as_long(0, label)
    return [()]


@rule('CTCLoss', needs=0)
def _ctc(node: Node, data: Array, label: Array, *lengths: Array) -> tuple[Axes, Axes]:
    data = data.of_rank(3)
    for axis, hint in zip(data, ('time', 'batch')):
        suggest(product(axis), hint)
    data = data.as_long(1, label.of_rank(2)[:1], *lengths)
    return [data[1]], data


@rule('SequenceReverse SequenceMask SequenceLast')
def _sequences(node: Node, data: Array, *lengths: Array) -> Axes:
    at = data.place(0 if node.op == 'SequenceReverse' else node.axis)
    if node.use_sequence_length or node.op != 'SequenceMask':
        suggest(product(data[at]), 'time')
    if node.use_sequence_length:
        suggest(product(data[1 - at]), 'batch')
        data = data.as_long(1 - at, *lengths)
    if node.op == 'SequenceLast':
        return data.replaced(at, []) or [()]
    mixes = node.op == 'SequenceReverse' or node.use_sequence_length
    return data.mixed([at] if mixes else [])


@rule('RNN', needs=0)
def _rnn(node: Node, data: Array, parameters: Array, *others: Array) -> tuple[Axes, ...]:
    steps, batch, width = data = data.of_rank(3)
    size = number_of(parameters.of_rank(1)[0])
    if size is not None and node.projection_size is None:
        try:
            unify(product(width), FusedLayout.of(node).num_input(size, 'parameters'))
        except ValueError as error:
            raise SizeError(str(error)) from None
    suggest(product(steps), 'time')
    suggest(product(batch), 'batch')
    sides = 1 + node.bidirectional
    state: Axes = [(node.num_layers * sides,), batch, (node.state_size,)]
    states = 2 if node.mode == 'lstm' else 1
    state = alike(state, *others[:states])
    if node.use_sequence_length:
        data.as_long(1, *others[states:])
    return [steps, batch, (node.state_size * sides,)], state, state
