"""Loss heads: their predictions, and losses with MXNet's gradients."""
from __future__ import annotations

from ..._graph.graph import Node
from ..._graph.shapes.sizes import product
from .emitter_api import Emitted, Expr, Unsupported, emits, loss, number, writes
from .method_writer import MethodWriter
from .moves import reshaped
from .pasted import check_labels, check_shape

__all__: list[str] = []


def _times(value: float) -> str:
    """The factor of a loss, as text in front of it."""
    return '' if value == 1 else number(value) + ' * '


def _checked(scope: MethodWriter, label: Expr, x: Expr) -> Expr:
    """The label, whose shape must be that of `x`: otherwise torch would repeat its elements."""
    label = scope.named(label, 'labels')
    scope.check(check_shape, repr(label.text), label, '*%s.shape' % x.of)
    return label


# ---- SoftmaxOutput

@emits('SoftmaxOutput')
def _softmax_output(scope: MethodWriter, node: Node, x: Expr) -> Emitted:
    # MXNet uses oneDNN in inference, which takes the last axis for arrays of 1 or 4 axes.
    last = node.preserve_shape or x.rank <= 2 or (x.rank == 4 and x.dtype == 'float32')
    if node.multi_output:
        return '%s.softmax(1)' % x.of
    if last:
        return '%s.softmax(-1)' % x.of
    x = scope.named(x)
    return '%s.flatten(1).softmax(1).reshape(%s.shape)' % (x, x)


def _rows(scope: MethodWriter, node: Node, x: Expr) -> Expr:
    """The scores in the form for F.cross_entropy: the classes along the second axis."""
    if node.multi_output or x.rank == 2:
        return x
    if x.rank == 1:
        raise Unsupported('scores that are a vector')
    shape = (product(x.shape[:-1]), x.shape[-1]) if node.preserve_shape else (
        x.shape[0], product(x.shape[1:]))
    return Expr(f'{reshaped(scope, x, shape, x)}', shape, x.dtype)


#: torch ignores labels of -100, unless they become others that are no class.
_REFUSED = '.clamp(min=-1)'


@loss('SoftmaxOutput', reals=True)
def _softmax_loss(scope: MethodWriter, node: Node, x: Expr, label: Expr) -> str:
    if node.out_grad:
        raise Unsupported('with out_grad')
    scale = _times(node.grad_scale)
    if label.shape == x.shape:
        return _distributions(scope, node, x, label, scale)
    rows = _rows(scope, node, x)
    wanted = (rows.shape[0], *rows.shape[2:])
    if product(label.shape) != product(wanted):
        raise Unsupported('more labels than rows')
    places = reshaped(scope, label, wanted, label)
    places = '%s.long()' % (places.of if isinstance(places, Expr) else places)
    options = ''
    if node.use_ignore:
        options += ', ignore_index=%d' % int(node.ignore_label)
    else:
        places += _REFUSED
    if node.smooth_alpha and not node.multi_output:
        classes = rows.shape[1]
        if not isinstance(classes, int):
            raise Unsupported('smoothed labels for any number of classes')
        smoothing = node.smooth_alpha * classes / max(classes - 1, 1)
        if smoothing > 1 or classes == 1:  # torch gives the label's class part of the smoothing
            raise Unsupported('smooth_alpha=%g with %d classes' % (node.smooth_alpha, classes))
        options += ', label_smoothing=' + number(smoothing)
    many, how = node.multi_output, node.normalization
    if how == 'batch' and not node.use_ignore:  # the mean over all labels
        return '%sF.cross_entropy(%s, %s%s)' % (scale, rows, places, options)
    text = "%sF.cross_entropy(%s, %s%s, reduction='sum')" % (scale, rows, places, options)
    divisors = []
    if how == 'valid':
        divisors.append(f'({label:<} != {number(node.ignore_label)}).sum().clamp(min=1)')
    elif many:  # the positions of a row; with 'batch' all positions
        size = product(wanted if how == 'batch' else wanted[1:])
        divisors += [] if size == 1 else [scope.size(size, label, x)]
    elif how == 'batch':
        divisors.append(scope.size(product(wanted), label, x))
    return text + ''.join(' / ' + _grouped(each) for each in divisors)


def _distributions(scope: MethodWriter, node: Node, x: Expr, label: Expr, scale: str) -> str:
    """The labels are the classes' probabilities, whose sum need not be 1."""
    axis, x = 1 if node.multi_output else -1, scope.named(x)
    label = _checked(scope, label, x)
    if not node.multi_output and not node.preserve_shape and x.rank > 2:
        return '%s(%s.flatten(1).logsumexp(1).sum() - (%s * %s).sum())' % (scale, x, label, x)
    return '%s(%s.logsumexp(%d).sum() - (%s * %s).sum())' % (scale, x, axis, label, x)


# ---- regressions and others

def _regression(op: str, prediction: str, function: str, factor: float = 1.) -> None:
    emits(op)(lambda scope, node, x: prediction.format(x) if prediction else x)

    @loss(op, reals=True)
    def of(scope: MethodWriter, node: Node, x: Expr, label: Expr) -> str:
        x, each = scope.named(x), product(label.shape[1:])
        if label.shape != x.shape or x.shape[1:] in ((), (1,)):  # (batch, 1) may come as (batch,)
            labels = '%s.reshape_as(%s)' % (label.of, x)
        else:
            labels = f'{_checked(scope, label, x)}'
        scale = node.grad_scale * factor / (each if isinstance(each, int) else 1)
        text = "F.%s(%s, %s, reduction='sum')" % (function, x, labels)
        text = '%s / %d' % (text, 1 / scale) if 0 < scale < 1 and (1 / scale).is_integer() else (
            _times(scale) + text)
        return text if isinstance(each, int) else '%s / %s' % (text, _grouped(
            scope.size(each, label, x)))


def _grouped(size: str) -> str:
    return '(%s)' % size if ' * ' in size else size


_regression('LinearRegressionOutput', '', 'mse_loss', .5)
_regression('LogisticRegressionOutput', 'torch.sigmoid({})', 'binary_cross_entropy_with_logits')
_regression('MAERegressionOutput', '', 'l1_loss')


@emits('WarpCTC')
def _warp_ctc(scope: MethodWriter, node: Node, x: Expr) -> Emitted:
    if x.rank != 2:
        raise Unsupported('scores that are not a row for each step')
    return '%s.softmax(-1)' % x.of


@loss('WarpCTC', reals=True)
def _warp_ctc_loss(scope: MethodWriter, node: Node, x: Expr, label: Expr) -> str:
    if label.shape[1:] != (node.label_length,):
        label = Expr('%s.reshape(-1, %d)' % (label.of, node.label_length), (
            -1, node.label_length), label.dtype)
    label = scope.named(label, 'labels')
    rows = scope.own(f'{x.of}.reshape(-1, len({label}), {x.shape[1]})', 'scores')
    sizes = scope.own(f'({label} != 0).sum(1)', 'lengths')
    scope.check(check_labels, label, sizes, rows)
    return ("F.ctc_loss(%s.log_softmax(2), %s[%s != 0].long(), torch.full((len(%s),), len(%s)), %s,"
            " reduction='sum')" % (rows, label, label, label, rows, sizes))


emits('MakeLoss', 'make_loss', 'SVMOutput')(lambda scope, node, x: x)
loss('make_loss')(lambda scope, node, x: '%s.sum()' % x.of)


@loss('MakeLoss')
def _make_loss(scope: MethodWriter, node: Node, x: Expr) -> str:
    scale = _times(node.grad_scale)
    if node.normalization == 'valid':
        x = scope.named(x)
        return '%s%s.sum() / (%s > %s).sum().clamp(min=1)' % (scale, x, x,
                                                              number(node.valid_thresh))
    rows = product(x.shape[:-1]) if node.normalization == 'batch' else 1
    text = '%s%s.sum()' % (scale, x.of)
    return text if rows == 1 else '%s / %s' % (text, _grouped(scope.size(rows, x)))


@loss('SVMOutput', reals=True)
def _svm_loss(scope: MethodWriter, node: Node, x: Expr, label: Expr) -> str:
    if not isinstance(x.shape[1], int) or x.rank != 2:
        raise Unsupported('scores that are not a row for each label')
    x = scope.named(x)
    hot = scope.own(f'F.one_hot({label.of}.long(), {x.shape[1]}).reshape_as({x})', 'hot')
    text = 'torch.relu(%s - (2 * %s - 1) * %s)' % (number(node.margin), hot, x)
    text += '.sum()' if node.use_linear else '.square().sum()'
    return _times(node.regularization_coefficient) + text


writes("F.cross_entropy({0}, {1:.}.long()%s, reduction='sum').reshape(1)" % _REFUSED,
       'softmax_cross_entropy', reals=True)


@emits('CTCLoss', reals=True)
def _ctc_loss(scope: MethodWriter, node: Node, x: Expr, label: Expr, *lengths: Expr) -> Emitted:
    first, rest = node.blank_label == 'first', list(lengths)
    label, x = scope.named(label), scope.named(x)
    if node.use_data_lengths:
        steps = rest.pop(0).of + '.long()'
    else:
        steps = 'torch.full((%s,), %s)' % (scope.size(x.shape[1], x), scope.size(x.shape[0], x))
    # Without lengths, a label ends at the first padding.
    sizes = scope.own(rest.pop(0).of + '.long()' if node.use_label_lengths else (
        '(%s != %s).cumprod(1).sum(1)' % (label, '0' if first else '-1')), 'lengths')
    blank = '0' if first else _last(scope, x)
    scope.check(check_labels, label, sizes, x, blank)
    places = f'{label}.long()' if first else f'{label}.long().clamp(min=0)'
    return ("F.ctc_loss(%s.log_softmax(2), %s, %s, %s%s, reduction='none', zero_infinity=True)"
            % (x.of, places, steps, sizes, '' if first else ', blank=' + blank))


def _last(scope: MethodWriter, x: Expr) -> str:
    size = x.shape[2]
    return str(size - 1) if isinstance(size, int) else scope.size(size, x) + ' - 1'
