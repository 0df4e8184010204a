"""The effect of layers on axes: products with weights, windows, norms, losses, sequences."""
from __future__ import annotations

from ..graph import Node
from ..layout import FusedLayout
from .axis_factors import (
    Axes,
    Factors,
    UnknownAxes,
    agree,
    alike,
    as_long,
    enter,
    first,
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


@rule('FullyConnected')
def _dense(node: Node, inputs: list[Axes]) -> list[Axes]:
    data, weight = inputs[0], of_rank(2, inputs[1])
    for axes in (weight, *([] if node.no_bias else [of_rank(1, inputs[2])])):
        unify(product(axes[0]), node.num_hidden)
    if not data and not node.flatten:
        raise UnknownAxes
    data = data or of_rank(2, data)
    unify(product(sum(data[1:], ()) if node.flatten else data[-1]), product(weight[1]))
    return [data[:1 if node.flatten else -1] + [(node.num_hidden,)]]


# ---- windows over images and sequences

def _channels_first(node: Node, axes: Axes) -> Axes:
    last = getattr(node, 'layout', None) and node.layout.index('C') > 1
    return [axes[0], axes[-1], *axes[1:-1]] if last else axes


def _in_layout(node: Node, axes: Axes) -> Axes:
    """The inverse of `_channels_first`."""
    last = getattr(node, 'layout', None) and node.layout.index('C') > 1
    return [axes[0], *axes[2:], axes[1]] if last else axes


@rule('Convolution Convolution_v1 Deconvolution Pooling Pooling_v1')
def _windows(node: Node, inputs: list[Axes]) -> list[Axes]:
    pools, kernel = node.op.startswith('Pooling'), node.kernel
    if pools and node.global_pool:
        data = _channels_first(node, first(inputs))
        return [_in_layout(node, [*data[:2], *[() for _ in data[2:]]])]
    data = _channels_first(node, of_rank(len(kernel) + 2, inputs[0]))
    channels: Factors = data[1]
    if not pools:
        channels = (node.num_filter,)
        weight = _channels_first(node, of_rank(len(data), inputs[1]))
        if node.op == 'Deconvolution':
            unify(product(data[1]), product(weight[0]))
        else:
            unify(product(data[1]), product(weight[1], node.num_group))
            unify(product(weight[0]), node.num_filter)
    sides = [_side(node, at, axis) for at, axis in enumerate(data[2:])]
    return [_in_layout(node, [data[0], channels, *sides])]


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
def _up_sampling(node: Node, inputs: list[Axes]) -> list[Axes]:
    data = first(inputs)
    if len(inputs) > 1:
        raise UnknownAxes
    return [data[:2] + [(node.scale, *mixed(axis)) for axis in data[2:]]]


# ---- normalisation

@rule('BatchNorm BatchNorm_v1 CuDNNBatchNorm _contrib_SyncBatchNorm _contrib_BatchNormWithReLU')
def _batch_norm(node: Node, inputs: list[Axes]) -> list[Axes]:
    data = first(inputs)
    axis = place_of(getattr(node, 'axis', 1), data) if len(data) > 1 else 0
    for vector in inputs[1:]:
        data = as_long(data, axis, vector)
    return [data, [data[axis]], [data[axis]]]


@rule('LayerNorm')
def _layer_norm(node: Node, inputs: list[Axes]) -> list[Axes]:
    data = first(inputs)
    for vector in inputs[1:]:
        data = as_long(data, node.axis, vector)
    rest = replaced(data, node.axis, [()])
    return [mixed_along(data, [node.axis]), rest, rest]


enter('InstanceNorm GroupNorm', lambda node, inputs: [mixed_along(
    first(inputs), range(1 if node.op == 'GroupNorm' else 2, len(inputs[0])))])
enter('LRN', lambda node, inputs: [mixed_along(first(inputs), [1])])
enter('_contrib_div_sqrt_dim', lambda node, inputs: [mixed_along(first(inputs), [-1])])


# ---- losses

@rule('softmax_cross_entropy')
def _cross_entropy(node: Node, inputs: list[Axes]) -> list[Axes]:
    if all(inputs):
        as_long(inputs[0], 0, inputs[1])
    return [[()]]


@rule('CTCLoss')
def _ctc(node: Node, inputs: list[Axes]) -> list[Axes]:
    data, label = of_rank(3, inputs[0]), of_rank(2, inputs[1])
    batch = agree(data[1], label[0])
    return [[batch], data]


# ---- sequences

@rule('SequenceReverse SequenceMask SequenceLast')
def _sequences(node: Node, inputs: list[Axes]) -> list[Axes]:
    data, axis = first(inputs), 0 if node.op == 'SequenceReverse' else node.axis
    at = place_of(axis, data)
    if node.use_sequence_length or node.op != 'SequenceMask':
        suggest(product(data[at]), 'time')
    if node.use_sequence_length:
        suggest(product(data[1 - at]), 'batch')
        data = as_long(data, 1 - at, inputs[1])
    if node.op == 'SequenceLast':
        return [replaced(data, at, []) or [()]]
    mixes = node.op == 'SequenceReverse' or node.use_sequence_length
    return [mixed_along(data, [at] if mixes else [])]


@rule('RNN')
def _rnn(node: Node, inputs: list[Axes]) -> list[Axes]:
    data, parameters = of_rank(3, inputs[0]), of_rank(1, inputs[1])
    steps, batch, width = data
    size = number_of(parameters[0])
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
    for begin in filter(None, inputs[2:2 + states]):
        state = alike([state, begin])
    if node.use_sequence_length:
        for lengths in filter(None, inputs[2 + states:]):
            as_long(data, 1, lengths)
    return [[steps, batch, (node.state_size * sides,)], state, state]
