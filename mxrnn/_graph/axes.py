"""What operators do to axes: of the axes of their inputs those of their outputs.

Operators without a rule are taken to use all of their inputs at once.
"""
from __future__ import annotations

from typing import Callable, List

from .factors import (
    Axes,
    Factors,
    UnknownAxes,
    as_long,
    broadcast_axes,
    factors_of,
    match_factors,
    mixed,
    mixed_along,
    number_of,
    place_of,
    replaced,
    unify,
)
from .graph import Node
from .operators import has, row
from .sizes import Axis, interval, product, reshaping, same, windows

__all__ = ['axes_of']

Rule = Callable[[Node, List[Axes]], List[Axes]]
_RULES: dict[str, Rule] = {}


def _rule(ops: str) -> Callable[[Rule], Rule]:
    def enter(rule: Rule) -> Rule:
        _RULES.update(dict.fromkeys(ops.split(), rule))
        return rule
    return enter


_SHORT: dict[str, Rule] = {
    '''MakeLoss make_loss LinearRegressionOutput LogisticRegressionOutput MAERegressionOutput
    SVMOutput _identity_with_attr_like_rhs''': lambda node, inputs: [inputs[0]],
    'add_n': lambda node, inputs: [broadcast_axes(inputs)],
    '_zeros _ones _full': lambda node, inputs: [
        [(size,) if size else (Axis(),) for size in node.shape or ()]],
    'FullyConnected': lambda node, inputs: [
        inputs[0][:1 if node.flatten else -1] + [(node.num_hidden,)]],
    'Embedding _contrib_SparseEmbedding': lambda node, inputs: [inputs[0] + [(node.output_dim,)]],
    'one_hot': lambda node, inputs: [inputs[0] + [(node.depth,)]],
    'Flatten': lambda node, inputs: [inputs[0][:1] + [sum(inputs[0][1:], ())]],
    'expand_dims': lambda node, inputs: [replaced(inputs[0], node.axis, [()], 1)],
    'reverse': lambda node, inputs: [mixed_along(inputs[0], node.axis)],
    '_contrib_div_sqrt_dim': lambda node, inputs: [mixed_along(inputs[0], [-1])],
    'Dropout': lambda node, inputs: [  # where a mask is drawn, it is one for all along `axes`
        mixed_along(inputs[0], node.axes if node.mode == 'always' and node.p else [])],
}
for _ops, _short in _SHORT.items():
    _rule(_ops)(_short)


@_rule('LeakyReLU BatchNorm BatchNorm_v1')
def _per_element(node: Node, inputs: list[Axes]) -> list[Axes]:
    data, slopes = inputs[0], node.op == 'LeakyReLU'
    axis = node.axis if node.op == 'BatchNorm' else min(1, len(data) - 1)
    for weight in inputs[1:]:
        if not slopes or number_of(weight[0]) != 1:
            data = as_long(data, axis, weight)
    return [data]


@_rule('where')
def _where(node: Node, inputs: list[Axes]) -> list[Axes]:
    condition, data = inputs[0], broadcast_axes(inputs[1:])
    if len(condition) == 1:
        return [as_long(data, 0, condition)]
    return [broadcast_axes([condition, data])]


@_rule('take')
def _take(node: Node, inputs: list[Axes]) -> list[Axes]:
    if number_of(inputs[0][node.axis]) is None:  # the indices may have the same axis
        raise UnknownAxes
    return [replaced(inputs[0], node.axis, inputs[1])]


@_rule('softmax log_softmax softmin LayerNorm')
def _along_one(node: Node, inputs: list[Axes]) -> list[Axes]:
    if node.op != 'LayerNorm' and len(inputs) > 1:
        raise UnknownAxes
    return [mixed_along(inputs[0], [node.axis])]


@_rule('SoftmaxOutput SoftmaxActivation L2Normalization')
def _along_several(node: Node, inputs: list[Axes]) -> list[Axes]:
    rank = len(inputs[0])
    if node.op != 'SoftmaxOutput':
        together = {'channel': [1], 'spatial': range(2, rank)}.get(node.mode, range(1, rank))
    else:
        together = [1] if node.multi_output else range(rank - 1 if node.preserve_shape else 1, rank)
    return [mixed_along(inputs[0], together)]


@_rule('sum mean max min prod nansum nanprod norm argmax argmin')
def _reduced(node: Node, inputs: list[Axes]) -> list[Axes]:
    data, axis = inputs[0], node.axis
    gone = set(range(len(data)))
    if axis not in (None, ()):
        some = {place_of(each, data) for each in (axis if isinstance(axis, tuple) else (axis,))}
        gone = gone - some if getattr(node, 'exclude', False) else some
    left: Axes = [() if at in gone else axis for at, axis in enumerate(data)
                  if at not in gone or node.keepdims]
    return [left or [()]]


@_rule('pick')
def _pick(node: Node, inputs: list[Axes]) -> list[Axes]:
    data, index = inputs
    if node.axis is None:
        raise UnknownAxes
    at = place_of(node.axis, data)
    rest = replaced(data, at, [])
    chosen = index if len(index) < len(data) else replaced(index, at, [])
    rest = [unify(*pair) for pair in zip(rest, chosen)]
    return [replaced(rest, at, [()] if node.keepdims else [], 1) or [()]]


@_rule('batch_dot dot')
def _product(node: Node, inputs: list[Axes]) -> list[Axes]:
    one, other = inputs
    if node.op == 'batch_dot' or len(one) == len(other) == 2:
        if min(len(one), len(other)) < 2:
            raise UnknownAxes
        left, inner = (one[-2], one[-1])[::-1 if node.transpose_a else 1]
        outer, right = (other[-2], other[-1])[::-1 if node.transpose_b else 1]
        unify(inner, outer)
        return [[unify(*pair) for pair in zip(one[:-2], other[:-2])] + [left, right]]
    if node.transpose_a or node.transpose_b:
        raise UnknownAxes
    unify(one[-1], other[0])
    return [one[:-1] + other[1:] or [()]]


@_rule('Convolution Convolution_v1 Pooling')
def _windows(node: Node, inputs: list[Axes]) -> list[Axes]:
    if node.layout not in (None, 'NCW', 'NCHW', 'NCDHW'):
        raise UnknownAxes
    data, pools = inputs[0], node.op == 'Pooling'
    if len(node.kernel) != len(data) - 2 or pools and (
            node.global_pool or node.pooling_convention != 'valid'):
        sides: Axes = [(Axis(),) for _ in data[2:]]
    else:
        ones = (1,) * len(node.kernel)
        sides = [_side(*each) for each in zip(
            data[2:], node.kernel, node.stride or ones, node.pad or (0,) * len(ones),
            ones if pools else node.dilate or ones)]
    channels: Factors = data[1] if pools else (node.num_filter,)
    return [[data[0], channels, *sides]]


def _side(axis: Factors, kernel: int, stride: int, pad: int, dilate: int) -> Factors:
    size = windows(product(axis), dilate * (kernel - 1) + 1, stride, pad)
    if size is None:
        return (Axis(),)
    return (size,) if isinstance(size, int) else mixed(axis)


@_rule('SequenceReverse SequenceMask SequenceLast')
def _sequences(node: Node, inputs: list[Axes]) -> list[Axes]:
    data = inputs[0]
    if node.use_sequence_length:
        data = as_long(data, 1 - node.axis, inputs[1])
    if node.op == 'SequenceLast':
        return [replaced(data, node.axis, [])]
    mixes = node.op == 'SequenceReverse' or node.use_sequence_length
    return [mixed_along(data, [node.axis] if mixes else [])]


@_rule('RNN')
def _rnn(node: Node, inputs: list[Axes]) -> list[Axes]:
    steps, batch = inputs[0][:2]
    for array in inputs[1:]:
        if len(array) == 3:  # a begin state
            unify(array[1], batch)
    sides = 1 + node.bidirectional
    state: Axes = [(node.num_layers * sides,), batch, (node.state_size,)]
    return [[steps, batch, (node.state_size * sides,)], state, state]


# ---- rules of shapes

@_rule('Reshape')
def _reshape(node: Node, inputs: list[Axes]) -> list[Axes]:
    data, codes = list(inputs[0]), list(node.shape)
    if not codes or node.reverse and -4 in codes:
        raise UnknownAxes
    if node.reverse:
        turned = _targets([axis[::-1] for axis in data[::-1]], codes[::-1])
        return [[axis[::-1] for axis in turned[::-1]]]
    return [_targets(data, codes)]


def _targets(data: Axes, codes: list[int]) -> Axes:
    targets: list[Factors | int] = []
    for taken, made in reshaping(codes, len(data)):
        if len(made) == 2:
            targets.extend(match_factors(data[taken[0]], made))
        else:
            targets.append(made[0] or sum((data[at] for at in taken), ()))
    return match_factors(sum(data, ()), targets)


@_rule('squeeze')
def _squeeze(node: Node, inputs: list[Axes]) -> list[Axes]:
    if node.axis is None:
        raise UnknownAxes
    gone = {place_of(axis, inputs[0]) for axis in node.axis}
    return [[axis for at, axis in enumerate(inputs[0]) if at not in gone] or [()]]


@_rule('SwapAxis transpose')
def _order(node: Node, inputs: list[Axes]) -> list[Axes]:
    data = inputs[0]
    order = list(range(len(data)))
    if node.op == 'transpose':
        order = [place_of(axis, data) for axis in node.axes] or order[::-1]
    else:
        one, other = place_of(node.dim1, data), place_of(node.dim2, data)
        order[one], order[other] = other, one
    return [[data[at] for at in order]]


@_rule('slice_axis')
def _slice(node: Node, inputs: list[Axes]) -> list[Axes]:
    old = inputs[0][place_of(node.axis, inputs[0])]
    size = interval(node.begin, node.end, product(old))
    if size is None or not same(size, product(old)):
        old = (Axis() if size is None else size,)
    return [replaced(inputs[0], node.axis, [old])]


@_rule('SliceChannel')
def _split(node: Node, inputs: list[Axes]) -> list[Axes]:
    whole = number_of(inputs[0][node.axis])
    size: Factors = (Axis(),) if whole is None else (whole // node.num_outputs,)
    return [replaced(inputs[0], node.axis, [] if node.squeeze_axis else [size])] * node.num_outputs


@_rule('Concat stack _rnn_param_concat')
def _join(node: Node, inputs: list[Axes]) -> list[Axes]:
    if node.op == 'stack':
        rest = inputs[0]
        for axes in inputs[1:]:
            rest = [unify(*pair) for pair in zip(rest, axes)]
        return [replaced(rest, node.axis, [(len(inputs),)], 1)]
    at = place_of(node.dim, inputs[0])
    sizes = [number_of(axes[at]) for axes in inputs]
    known = [size for size in sizes if size is not None]
    joined: Factors = (sum(known),) if len(known) == len(sizes) else (Axis(),)
    rest = inputs[0]
    for axes in inputs[1:]:
        rest = [one if place == at else unify(one, other)
                for place, (one, other) in enumerate(zip(rest, axes))]
    return [replaced(rest, at, [joined])]


def _repeated(old: Factors, new: Factors) -> Factors:
    return unify(old, new) if factors_of(old) else new


@_rule('broadcast_axis broadcast_to')
def _repeat(node: Node, inputs: list[Axes]) -> list[Axes]:
    result = list(inputs[0])
    for axis, size in (zip(node.axis, node.size) if node.op == 'broadcast_axis'
                       else enumerate(node.shape)):
        if size:
            result[axis] = _repeated(result[axis], (size,))
    return [result]


@_rule('broadcast_like')
def _repeat_like(node: Node, inputs: list[Axes]) -> list[Axes]:
    result, like = list(inputs[0]), inputs[1]
    some = node.lhs_axes and node.rhs_axes
    for one, other in zip(node.lhs_axes if some else range(len(result)),
                          node.rhs_axes if some else range(len(like))):
        result[one] = _repeated(result[one], like[other])
    return [result]


@_rule('reshape_like')
def _reshape_like(node: Node, inputs: list[Axes]) -> list[Axes]:
    one, other = inputs
    begin, end = node.lhs_begin or 0, len(one) if node.lhs_end is None else node.lhs_end
    wanted = other[node.rhs_begin or 0:node.rhs_end]
    return [one[:begin] + match_factors(sum(one[begin:end], ()), wanted) + one[end:]]


def axes_of(node: Node, inputs: list[Axes]) -> list[Axes]:
    """The axes of the outputs of `node`, or of those that are in use.

    An axis that each element of an output depends on as a whole is not among them: in its place
    there is a new one, or none.

    Raises
    ------
    UnknownAxes, IndexError
        There is no rule for such a node, or it does not fit the axes of its inputs.
    """
    known, rule = row(node.op), _RULES.get(node.op)
    if has(node.op, 'alone'):
        return [inputs[0]]
    if rule is None and known is not None and not known.attributes and [
            each.name for each in known.inputs] == ['lhs', 'rhs']:
        rule = _RULES['add_n']
    if rule is None:
        raise UnknownAxes
    return rule(node, inputs)
