"""The effect of layers on axes: products with weights, windows, norms, losses, sequences."""
from __future__ import annotations

from ..graph import Node
from ..layout import FusedLayout
from .axis_factors import (
    Axes,
    Factors,
    UnknownAxes,
    alike,
    as_long,
    known,
    mixed,
    mixed_along,
    number_of,
    of_rank,
    place_of,
    replaced,
    rule,
)
from .sizes import add, product, quotient, windows
from .unification import SizeError, suggest, unify

__all__: list[str] = []


@rule('FullyConnected', needs=0)
def _dense(node: Node, data: Axes, weight: Axes, bias: Axes) -> Axes:
    weight = of_rank(2, weight)
    for axes in (weight, of_rank(1, bias)):
        unify(product(axes[0]), node.num_hidden)
    data = data or of_rank(2, data) if node.flatten else known(data)
    unify(product(sum(data[1:], ()) if node.flatten else data[-1]), product(weight[1]))
    return [*data[:1 if node.flatten else -1], (node.num_hidden,)]


# ---- windows over images and sequences

def _channels_first(node: Node, axes: Axes) -> Axes:
    last = getattr(node, 'layout', None) and node.layout.index('C') > 1
    return [axes[0], axes[-1], *axes[1:-1]] if last else axes


def _in_layout(node: Node, axes: Axes) -> Axes:
    """The inverse of `_channels_first`."""
    last = getattr(node, 'layout', None) and node.layout.index('C') > 1
    return [axes[0], *axes[2:], axes[1]] if last else axes


@rule('Pooling Pooling_v1', needs=0)
def _pooled(node: Node, data: Axes) -> Axes:
    if node.global_pool:
        data = _channels_first(node, known(data))
        return _in_layout(node, [*data[:2], *[() for _ in data[2:]]])
    batch, channels, *sides = _channels_first(node, of_rank(len(node.kernel) + 2, data))
    return _in_layout(node, [batch, channels, *(_side(node, *each) for each in enumerate(sides))])


@rule('Convolution Convolution_v1 Deconvolution', needs=0)
def _filtered(node: Node, data: Axes, weight: Axes, *_: Axes) -> Axes:
    batch, channels, *sides = _channels_first(node, of_rank(len(node.kernel) + 2, data))
    weight = _channels_first(node, of_rank(len(node.kernel) + 2, weight))
    if node.op == 'Deconvolution':
        unify(product(channels), product(weight[0]))
    else:
        unify(product(channels), product(weight[1], node.num_group))
        unify(product(weight[0]), node.num_filter)
    return _in_layout(node, [batch, (node.num_filter,),
                             *(_side(node, *each) for each in enumerate(sides))])


def _side(node: Node, at: int, axis: Factors) -> Factors:
    """The number of windows along an axis."""
    stride, dilate, pad = ((getattr(node, key, ()) or (default,) * len(node.kernel))[at]
                           for key, default in (('stride', 1), ('dilate', 1), ('pad', 0)))
    reach = dilate * (node.kernel[at] - 1) + 1
    old = product(axis)
    if node.op == 'Deconvolution':
        if node.target_shape:
            return (node.target_shape[at],)
        more = reach - 2 * pad + (node.adj[at] if node.adj else 0) - stride
        return mixed((add(product([old], stride), more),))
    style = getattr(node, 'pooling_convention', 'valid')
    if style == 'same':
        size = quotient(add(old, stride - 1), stride)
    elif style == 'full':  # the last window may extend beyond the end
        size = windows(add(old, stride - 1), reach, stride, pad)
    else:
        size = windows(old, reach, stride, pad)
    return mixed((size,))


@rule('UpSampling')
def _up_sampling(node: Node, data: Axes, *others: Axes) -> Axes:
    if others:
        raise UnknownAxes
    return data[:2] + [(node.scale, *mixed(axis)) for axis in data[2:]]


# ---- normalisation

@rule('BatchNorm BatchNorm_v1 CuDNNBatchNorm _contrib_SyncBatchNorm _contrib_BatchNormWithReLU')
def _batch_norm(node: Node, data: Axes, *vectors: Axes) -> tuple[Axes, ...]:
    axis = place_of(getattr(node, 'axis', 1), data) if len(data) > 1 else 0
    data = as_long(data, axis, *vectors)
    return data, [data[axis]], [data[axis]]


@rule('LayerNorm')
def _layer_norm(node: Node, data: Axes, *vectors: Axes) -> tuple[Axes, ...]:
    data = as_long(data, node.axis, *vectors)
    rest = replaced(data, node.axis, [()])
    return mixed_along(data, [node.axis]), rest, rest


rule('InstanceNorm')(lambda node, data, *_: mixed_along(data, range(2, len(data))))
rule('GroupNorm')(lambda node, data, *_: mixed_along(data, range(1, len(data))))
rule('LRN')(lambda node, data: mixed_along(data, [1]))
rule('_contrib_div_sqrt_dim')(lambda node, data: mixed_along(data, [-1]))


# ---- losses

@rule('softmax_cross_entropy', needs=0)
def _cross_entropy(node: Node, data: Axes, label: Axes) -> Axes:
    if data:
        as_long(data, 0, label)
    return [()]


@rule('CTCLoss', needs=0)
def _ctc(node: Node, data: Axes, label: Axes, *lengths: Axes) -> tuple[Axes, Axes]:
    data = of_rank(3, data)
    for axis, hint in zip(data, ('time', 'batch')):
        suggest(product(axis), hint)
    data = as_long(data, 1, of_rank(2, label)[:1], *lengths)
    return [data[1]], data


# ---- sequences

@rule('SequenceReverse SequenceMask SequenceLast')
def _sequences(node: Node, data: Axes, *lengths: Axes) -> Axes:
    at = place_of(0 if node.op == 'SequenceReverse' else node.axis, data)
    if node.use_sequence_length or node.op != 'SequenceMask':
        suggest(product(data[at]), 'time')
    if node.use_sequence_length:
        suggest(product(data[1 - at]), 'batch')
        data = as_long(data, 1 - at, *lengths)
    if node.op == 'SequenceLast':
        return replaced(data, at, []) or [()]
    mixes = node.op == 'SequenceReverse' or node.use_sequence_length
    return mixed_along(data, [at] if mixes else [])


@rule('RNN', needs=0)
def _rnn(node: Node, data: Axes, parameters: Axes, *others: Axes) -> tuple[Axes, ...]:
    steps, batch, width = data = of_rank(3, data)
    size = number_of(of_rank(1, parameters)[0])
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
        as_long(data, 1, *others[states:])
    return [steps, batch, (node.state_size * sides,)], state, state
