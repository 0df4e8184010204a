"""Random compositions of cells, as programs could build them."""
import random

from .. import rnn
from ..running import stack

WIDTH = 4  #: features of the input


def composition(seed):
    """A random cell, and options of `unroll` for it."""
    draw = random.Random(seed)
    cell = _stack(draw, WIDTH, draw.randint(1, 3), [0])
    return cell, {'layout': draw.choice(['NTC', 'TNC']), 'merge_outputs': draw.random() < 0.8}


def _stack(draw, width, depth, count):
    """A stack of `depth` layers over `width` features, or its one layer."""
    layers = []
    for _ in range(depth):
        layer, width = _layer(draw, width, count)
        layers.append(layer)
        if draw.random() < 0.2:
            layers.append(rnn.DropoutCell(0.3))
    return stack(rnn, *layers) if len(layers) > 1 else layers[0]


def _layer(draw, width, count):
    """A cell, and how many features it gives."""
    units = width if draw.random() < 0.4 else draw.randint(1, 6)
    kind = draw.random()
    if kind < 0.15:
        directions = draw.randint(1, 2)
        count[0] += 1
        mode = draw.choice(['lstm', 'gru', 'rnn_tanh', 'rnn_relu'])
        options = {'projection_size': units} if mode == 'lstm' and draw.random() < 0.3 else {}
        cell = rnn.FusedRNNCell(units + len(options), draw.randint(1, 2), mode, directions == 2,
                                get_next_state=True, prefix='f%d_' % count[0], **options)
        units *= directions
    elif kind < 0.35:
        sides = [_dense(draw, units, count) for _ in 'lr']
        cell, units = rnn.BidirectionalCell(*sides, output_prefix='b%d_' % count[0]), 2 * units
    else:
        cell = _dense(draw, units, count)
        if draw.random() < 0.2:
            cell = rnn.ZoneoutCell(cell, 0.2, 0.3)
        if draw.random() < 0.2:
            cell = rnn.WeightDropCell(cell, 0.3)
    if units == width and draw.random() < 0.6:
        cell = rnn.ResidualCell(cell)
    return cell, units


def _dense(draw, units, count):
    count[0] += 1
    prefix = 'c%d_' % count[0]
    kind, bias = draw.randint(0, 5), draw.random() < 0.7
    clip = None if draw.random() < 0.7 else (-0.3, 0.2)
    if kind == 0:
        return rnn.LSTMCell(units, prefix=prefix, forget_bias=draw.choice([0.0, 1.0]), bias=bias,
                            state_clip=clip)
    if kind == 1:
        return rnn.GRUCell(units, prefix=prefix, bias=bias)
    if kind == 2:
        return rnn.LSTMPCell(units + 1, units, prefix=prefix, bias=bias, state_clip=clip)
    if kind == 3:
        return rnn.LayerNormLSTMCell(units, prefix=prefix, bias=bias, state_clip=clip)
    return rnn.RNNCell(units, draw.choice(['tanh', 'relu', 'sigmoid', 'softsign']), prefix=prefix,
                       bias=bias)
