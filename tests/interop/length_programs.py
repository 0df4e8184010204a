"""Random programs whose numbers follow laws of the number of steps T, to find exports that are
wrong at a length that they take.

``program(seed)`` builds its graph for any T, with the same weights. ``judged`` exports the graph of
T0 and runs the file at other lengths, beside the program's own graphs there. The file may refuse or
give the same numbers; anything else is wrong.

``python -m tests.interop.length_programs --seeds 0:1000 --formats onnx,source,states`` counts them.
"""
from __future__ import annotations

import argparse
import collections
import functools
import math
import os
import random
import tempfile
import warnings
import zlib
from pathlib import Path
from typing import Any, Callable, NamedTuple

os.environ.setdefault('MXNET_SUBGRAPH_VERBOSE', '0')
os.environ.setdefault('OMP_NUM_THREADS', '1')

import numpy as np  # noqa: E402

import mxrnn as rnn  # noqa: E402
from mxrnn import interop, mx  # noqa: E402

from .formats import FORMATS  # noqa: E402

S = mx.sym
WORDS, TOLERANCE = 11, 1e-4
LEAST, MOST = 5, 24


# ---- laws

#: What a number is made of: the number of steps n at its place, and a constant k.
LAWS = {
    'c': lambda n, k, t0: k,
    'T': lambda n, k, t0: n,
    'T-1': lambda n, k, t0: n - 1,
    'T-k': lambda n, k, t0: n - 1 - k,
    'T//2': lambda n, k, t0: n // 2,
    'T//3': lambda n, k, t0: n // 3,
    '2T': lambda n, k, t0: 2 * n,
    'sqrt(T)': lambda n, k, t0: math.sqrt(n),
    'log(T)': lambda n, k, t0: math.log(n),
    '1/T': lambda n, k, t0: 1 / n,
    '1/(T-1)': lambda n, k, t0: 1 / (n - 1),
    '1/sqrt(T)': lambda n, k, t0: 1 / math.sqrt(n)}
#: Laws of sizes and places.
WHOLE = 'c', 'T', 'T-1', 'T-k', 'T//2', 'T//3', '2T'
#: Laws of the steps of a decoder: LENGTHS' seventh tie allows no others.
DECODED = 'c', 'T', 'T-1', 'T//2', '2T'
#: Laws of a scalar that scales what is not summed over steps: LENGTHS' A3 (c) allows no others.
ANYWHERE = ('c', 'T', 'T-1', 'sqrt(T)', '1/T', '1/(T-1)', '1/sqrt(T)')
#: How many laws a program draws, by its seed.
COUNTS = (0, 1, 2, 1)


def laws_of(seed):
    """The laws of a program: each equally often, exactly so in each 52 seeds."""
    turn, kind = divmod(seed, len(COUNTS))
    block, place = divmod(turn, len(LAWS))
    found = []
    for which in range(COUNTS[kind]):
        order = list(LAWS)
        random.Random('%d %d %d' % (block, kind, which)).shuffle(order)
        found.append(order[place])
    return found


class Impossible(Exception):
    """A draw makes no program; the next one is tried."""


class Number:
    """A number that follows a law. `values` are those that it had in this building of the program;
    with `frozen` values, it has these instead."""

    def __init__(self, law, k, t0, frozen=None):
        self.law, self.k, self.t0 = law, k, t0
        self.values = []
        self._frozen = frozen

    def of(self, steps):
        value = LAWS[self.law](steps, self.k, self.t0)
        if self._frozen is not None:
            value = self._frozen[len(self.values)]
        self.values.append(value)
        return value

    def factor(self, steps):
        """It as a factor or divisor."""
        value = self.of(steps)
        if abs(value) < 1e-6:
            raise Impossible
        return value

    def whole(self, steps, least=1, most=None):
        """It as a size or place between two limits."""
        found = int(self.of(steps))
        if not least <= found <= (found if most is None else most):
            raise Impossible
        self.values[-1] = found
        return found

    def divisor(self, steps, least):
        """It as the size or the number of equal parts of the steps."""
        found = self.whole(steps, least, steps)
        if steps % found:
            raise Impossible
        return found


# ---- programs

class Steps(NamedTuple):
    """A sequence (batch, steps, width), and the Symbols of its steps if a recurrence gave these."""

    symbol: Any
    count: int
    width: int
    each: tuple[Any, ...] = ()

    def as_long(self, symbol, width=None):
        """Another sequence of as many steps, and as wide if no width is given."""
        return Steps(symbol, self.count, width or self.width)


class Draft:
    """One building of a program. Draws are the same for each T."""

    symbol: Any

    def __init__(self, seed, steps, t0):
        self.draw = random.Random(seed)
        self.numbers = []
        self.steps, self.t0 = steps, t0
        self.inputs = {}  # 'B', 'T' or a size
        self.labels = {}  # steps of each sequence's labels
        self.places = []
        self.layout = ''  # of outputs that have one row for each step: NTC, TNC or rows
        self._names = collections.Counter()

    def name(self, kind):
        """A new name, the same for each T."""
        self._names[kind] += 1
        return '%s%d_' % (kind, self._names[kind])

    def dense(self, data, width, flatten=False):
        return S.FullyConnected(data, num_hidden=width, flatten=flatten, name=self.name('fc'))

    def of_rows(self, x, width):
        """A layer over the rows of all steps of all sequences."""
        return self.dense(S.Reshape(x.symbol, shape=(-1, x.width)), width, True)

    def weight(self, shape):
        return S.Variable(self.name('own') + 'weight', shape=shape)

    def rows_and_label(self, x, **options):
        """Scores of all rows, and their loss."""
        rows = self.of_rows(x, 4)
        self.labels['softmax_label'], self.layout = x.count, 'rows'
        label = S.Reshape(S.Variable('softmax_label'), shape=(-1,))
        return S.SoftmaxOutput(rows, label, name='softmax', **options)

    def lengths(self):
        self.inputs['lengths'] = ('B',)
        return S.Variable('lengths')

    def chosen(self, pieces, number=None, place=''):
        """One of several pieces, which is noted."""
        piece = self.draw.choice(pieces)
        self.places.append('%s: %s (%s)' % (number.law, piece.__name__, place) if number else (
            piece.__name__))
        return piece

    def chance(self, part):
        return self.draw.random() < part


class Program(NamedTuple):
    """A program: `symbol(T)` is its graph, `inputs` has shapes of 'B', 'T' and sizes."""

    seed: int
    build: Callable[[int], Draft]
    laws: list[str]
    places: list[str]
    inputs: dict[str, tuple[Any, ...]]
    t0: int
    others: tuple[int, int]
    batches: tuple[int, int, int]
    layout: str
    params: dict[str, np.ndarray]
    aux: dict[str, np.ndarray]
    runs: dict[tuple[int, int], list[np.ndarray]]

    def symbol(self, steps):
        """The graph of so many steps."""
        return self.build(steps).symbol

    def data(self, steps, batch):
        """Random data of these sizes."""
        return _data(self.inputs, steps, batch)

    def outputs(self, steps, batch):
        """What its own graph of this T gives in MXNet."""
        if (steps, batch) not in self.runs:
            self.runs[steps, batch] = _run(self.build(steps), self.data(steps, batch),
                                           self.params, self.aux)
        return self.runs[steps, batch]

    def model(self, steps=None):
        graph = interop.graph_from_json(self.symbol(steps or self.t0).tojson())
        return interop.Model(graph, dict(self.params), dict(self.aux))

    def second(self):
        """The length of the graph that certifies: one of the others at which no number that
        depends on T is what it is at T0, if there is one."""
        first = self.build(self.t0).numbers
        for length in self.others:
            if all(one.law in ('c',) or one.values != other.values
                   for one, other in zip(first, self.build(length).numbers)):
                return length
        return self.others[0]

    def shapes(self):
        """Of its inputs, with the axis 'time:T0'."""
        named = {'B': 'batch', 'T': 'time:%d' % self.t0}
        return {name: tuple(named.get(size, size) for size in shape)
                for name, shape in self.inputs.items()}

    def __str__(self):
        return 'seed %d: T0 %d, others %s, batches %s, laws %s in %s' % (
            self.seed, self.t0, self.others, self.batches, self.laws or 'none', self.places)


def _value(name, shape, size):
    draw = np.random.RandomState(zlib.crc32(('%s %s' % (name, tuple(shape))).encode()))
    return draw.uniform(-size, size, shape).astype('f')


def _data(inputs, steps, batch):
    found = {}
    for name, axes in inputs.items():
        shape = tuple({'B': batch, 'T': steps}.get(axis, axis) for axis in axes)
        draw = np.random.RandomState(zlib.crc32(('%s %s' % (name, shape)).encode()))
        if name == 'lengths':
            found[name] = draw.randint(1, steps + 1, shape).astype('f')
        elif len(shape) == 2:
            found[name] = draw.randint(0, WORDS, shape).astype('f')
        else:
            found[name] = draw.uniform(-1, 1, shape).astype('f')
    return found


def _run(draft, data, params, aux):
    """Outputs in MXNet. Weights that lack a value get one; one of another shape is Impossible."""
    if not {*data} <= {*draft.symbol.list_arguments()}:
        raise Impossible
    batch = next(len(value) if axes[0] == 'B' else value.shape[1] for axes, value in zip(
        draft.inputs.values(), data.values()))
    executor = draft.symbol.simple_bind(mx.cpu(), grad_req='null', **{
        name: value.shape for name, value in data.items()}, **{
        name: (batch, count) for name, count in draft.labels.items()})
    for name, array in executor.arg_dict.items():
        if name in data:
            array[:] = data[name]
            continue
        if name.endswith('label'):
            continue
        if name not in params:
            params[name] = _value(name, array.shape, .6)
        if params[name].shape != array.shape:
            raise Impossible
        array[:] = params[name]
    for name, array in executor.aux_dict.items():
        if name not in aux:
            aux[name] = abs(_value(name, array.shape, .6)) + .1
        array[:] = aux[name]
    found = [each.asnumpy() for each in executor.forward(is_train=False)]
    if not all(each.size and np.isfinite(each).all() and 1e-6 < abs(each).max() < 1e5
               for each in found):
        raise Impossible
    return found


# ---- pieces: each takes a sequence to another one, some by a number

def _turned(data):
    """Batch and time exchanged."""
    return S.swapaxes(data, dim1=0, dim2=1)


def _joined(p, steps):
    """A sequence of its steps, by either operator."""
    return S.stack(*steps, axis=1) if p.chance(.5) else S.Concat(
        *[S.expand_dims(each, axis=1) for each in steps], dim=1)


def _part(p, x, begin, end):
    """Steps from begin to end, by either operator."""
    kind = p.draw.random()
    if kind < .2:
        turned = _turned(x.symbol)
        return S.swapaxes(S.slice_axis(turned, axis=0, begin=begin or 0, end=end), dim1=0, dim2=1)
    if kind < .7:
        return S.slice_axis(x.symbol, axis=1, begin=begin or 0, end=end)
    return S.slice(x.symbol, begin=(None, begin), end=(None, end))


def _fitted(p, x, count):
    """A sequence of so many steps: its first or last ones, or it twice."""
    first = p.chance(.5)
    if count == x.count:
        return Steps(x.symbol, count, x.width)
    if count == 2 * x.count:
        return Steps(S.Concat(x.symbol, x.symbol, dim=1), count, x.width)
    if not 0 < count < x.count:
        raise Impossible
    begin = 0 if first else x.count - count
    return Steps(S.slice_axis(x.symbol, axis=1, begin=begin, end=begin + count), count, x.width)


def _last(x):
    """Of shape (batch, width), with no number."""
    return S.SequenceLast(_turned(x.symbol))


def _image(x):
    """(batch, 1, steps, width)."""
    return S.expand_dims(x.symbol, axis=1)


def _over_frames(p, image, kernel, **options):
    """A convolution, of which a column is a step."""
    image = S.Convolution(image, kernel=kernel, num_filter=4, name=p.name('conv'), **options)
    return S.transpose(S.Reshape(image, shape=(0, 0, -1)), axes=(0, 2, 1))


def _list(p, x):
    """The steps one by one."""
    if x.each:
        return list(x.each)
    return list(S.SliceChannel(x.symbol, num_outputs=x.count, axis=1, squeeze_axis=True)
                ) if x.count > 1 else [S.Reshape(x.symbol, shape=(-1, x.width))]


def dense(p, x):
    width = p.draw.randint(3, 5)
    return x.as_long(S.tanh(p.dense(x.symbol, width)), width)


def centred(p, x):
    mean = getattr(S, p.draw.choice(('mean', 'max', 'min')))(x.symbol, axis=1, keepdims=True)
    return x.as_long(S.broadcast_sub(x.symbol, mean))


def differences(p, x):
    before = S.slice_axis(x.symbol, axis=1, begin=0, end=-1)
    after = S.slice_axis(x.symbol, axis=1, begin=1, end=None)
    return Steps(after - before, x.count - 1, x.width)


def reversed_steps(p, x):
    if p.chance(.5):
        return x.as_long(S.reverse(x.symbol, axis=1))
    turned = S.SequenceReverse(_turned(x.symbol))
    return x.as_long(_turned(turned))


def normed(p, x):
    return x.as_long(S.LayerNorm(x.symbol, name=p.name('norm')))


def with_its_last_step(p, x):
    last = S.broadcast_like(S.expand_dims(_last(x), axis=1), x.symbol, lhs_axes=(1,), rhs_axes=(1,))
    return x.as_long(S.Concat(x.symbol, last, dim=2), 2 * x.width)


def softmax_over_steps(p, x):
    return x.as_long(S.softmax(x.symbol, axis=1) * x.symbol)


def masked(p, x):
    return x.as_long(S.SequenceMask(x.symbol, p.lengths(), use_sequence_length=True, axis=1))


def convolved(p, x):
    """A kernel of three steps, padded."""
    return x.as_long(_over_frames(p, _image(x), (3, x.width), pad=(1, 0)), 4)


def joined_and_shaped_like(p, x):
    rows = S.tanh(p.of_rows(x, x.width))
    return x.as_long(S.reshape_like(rows, x.symbol))


def self_attention(p, x):
    scores = S.batch_dot(p.dense(x.symbol, 4), p.dense(x.symbol, 4), transpose_b=True)
    return x.as_long(S.batch_dot(S.softmax(scores), x.symbol))


# ---- with whole numbers along the axis

def first_steps(p, x, v):
    count = v.whole(x.count, 1, x.count)
    return Steps(_part(p, x, None, count), count, x.width)


def without_first_steps(p, x, v):
    begin = v.whole(x.count, 0, x.count - 1)
    end = p.draw.choice((None, x.count))
    return Steps(_part(p, x, begin, end), x.count - begin, x.width)


def last_steps(p, x, v):
    count = v.whole(x.count, 1, x.count)
    begin = p.draw.choice((-count, x.count - count))
    return Steps(_part(p, x, begin, p.draw.choice((None, x.count))), count, x.width)


def every_second_step(p, x, v):
    """Or every v-th."""
    step = v.whole(x.count, 1, x.count)
    begin = p.draw.choice((None, 0, step - 1))
    part = S.slice(x.symbol, begin=(None, begin), end=(None, None), step=(None, step))
    return Steps(part, len(range(begin or 0, x.count, step)), x.width)


def beside_one_step(p, x, v):
    """A step at a place that a slice names."""
    at = v.whole(x.count, 1, x.count) - 1
    one = _part(p, x, at, at + 1)
    if p.chance(.5):
        return x.as_long(S.broadcast_mul(x.symbol, one))
    one = S.broadcast_like(one, x.symbol, lhs_axes=(1,), rhs_axes=(1,))
    return x.as_long(S.Concat(one, x.symbol, dim=2), 2 * x.width)


def halves(p, x, v):
    """Parts of a split; the first or last one, or the sum of the outer ones."""
    parts = v.divisor(x.count, 2)
    split = S.SliceChannel(x.symbol, num_outputs=parts, axis=1)
    kind = p.draw.choice(('first', 'last', 'both'))
    part = split[0] if kind == 'first' else split[parts - 1] if kind == 'last' else (
        split[0] + split[parts - 1])
    return Steps(part, x.count // parts, x.width)


def split_and_stacked(p, x, v):
    x = _fitted(p, x, v.whole(x.count, 2, x.count))
    each = S.SliceChannel(x.symbol, num_outputs=x.count, axis=1, squeeze_axis=True)
    each = [S.tanh(one) for one in each]
    return x.as_long(_joined(p, each))


def beside_a_step_taken(p, x, v):
    at = v.whole(x.count, 1, x.count) - 1
    if p.chance(.5):
        one = S.take(x.symbol, S.full((1,), at) if p.chance(.5) else S.zeros((1,)) + at, axis=1)
    else:
        turned = S.transpose(x.symbol, axes=(0, 2, 1))
        places = S.zeros_like(S.max(turned, axis=2)) + at
        one = S.expand_dims(S.pick(turned, places, axis=2), axis=1)
    return x.as_long(S.broadcast_add(x.symbol, one))


def largest(p, x, v):
    count = v.whole(x.count, 1, x.count)
    top = S.topk(x.symbol, axis=1, k=count, ret_typ='value')
    if p.chance(.5):
        return Steps(top, count, x.width)
    return x.as_long(S.broadcast_add(x.symbol, S.mean(top, axis=1, keepdims=True)))


def pooled(p, x, v):
    kernel = v.whole(x.count, 1, x.count)
    stride = p.draw.choice((1, kernel))
    image = S.Pooling(_image(x), kernel=(kernel, 1), stride=(stride, 1),
                      pool_type=p.draw.choice(('max', 'avg', 'sum')))
    image = S.squeeze(image, axis=1) if p.chance(.5) else S.Reshape(image, shape=(0, -1, x.width))
    return Steps(image, (x.count - kernel) // stride + 1, x.width)


def padded(p, x, v):
    count = v.whole(x.count, 1, 30)
    if p.chance(.2):  # to a fixed length
        count = v.whole(30 - x.count, 1, 30)
    mode = p.draw.choice(('constant', 'edge'))
    before = p.chance(.5)
    image = S.Pad(_image(x), mode=mode, pad_width=(
        0, 0, 0, 0, count * before, count * (not before), 0, 0))
    return Steps(S.Reshape(image, shape=(0, -1, x.width)), x.count + count, x.width)


def windows(p, x, v):
    """A Convolution, whose weight has the kernel."""
    kernel = v.whole(x.count, 1, x.count)
    before = kernel - 1 if p.chance(.4) else 0
    image = _image(x)
    if before:
        image = S.Pad(image, mode='constant', pad_width=(0, 0, 0, 0, before, 0, 0, 0))
    return Steps(_over_frames(p, image, (kernel, x.width)), x.count + before - kernel + 1, 4)


def as_wide(p, x, v):
    """A width that is the constant, and rows that are joined."""
    width = v.whole(x.count, 1, MOST)
    rows = S.tanh(p.of_rows(x, width))
    if p.chance(.5):
        return x.as_long(S.reshape_like(rows, x.symbol, lhs_begin=0, lhs_end=1, rhs_begin=0,
                                        rhs_end=2), width)
    return x.as_long(S.Reshape(S.tanh(p.dense(x.symbol, width)), shape=(0, -1, width)), width)


def _made(p, x, count):
    """Something of shape (1 or batch, count, 1 or width)."""
    weight, context = p.weight((1, 1, x.width)), S.expand_dims(S.max(x.symbol, axis=1), axis=1)
    kinds = {
        'axis': lambda: S.broadcast_axis(weight, axis=1, size=count),
        'to': lambda: S.broadcast_to(weight, shape=(1, count, x.width)),
        'tile': lambda: S.tile(weight, reps=(1, count, 1)),
        'repeat': lambda: S.repeat(weight, repeats=count, axis=1),
        'arange': lambda: S.Reshape(S.sin(S.arange(count)), shape=(1, -1, 1)),
        'linspace': lambda: S.Reshape(S.sin(S.linspace(0, 1, count)), shape=(1, -1, 1)),
        'ones': lambda: S.broadcast_mul(S.ones((1, count, 1)), weight),
        'full': lambda: S.broadcast_mul(S.full((1, count, 1), .7), weight),
        'context': lambda: S.broadcast_axis(context, axis=1, size=count),
        'context tiled': lambda: S.tile(context, reps=(1, count, 1)) if p.chance(
            .5) else S.repeat(context, repeats=count, axis=1),
        'stack': lambda: S.stack(*[S.max(x.symbol, axis=1)] * count, axis=1)}
    return kinds[p.draw.choice([*kinds])]()


def with_what_a_number_makes(p, x, v):
    count = v.whole(x.count, 1, 2 * x.count)
    made = _made(p, x, count)
    x = _fitted(p, x, count)
    return x.as_long(S.broadcast_add(x.symbol, made))


def with_steps_appended(p, x, v):
    """Zeros, or copies of a context, before or behind."""
    count = v.whole(x.count, 1, 30)
    more = S.zeros((0, count, x.width)) if p.chance(.4) else S.broadcast_axis(
        S.expand_dims(_last(x), axis=1), axis=1, size=count)
    both = (more, x.symbol) if p.chance(.5) else (x.symbol, more)
    return Steps(S.Concat(*both, dim=1), x.count + count, x.width)


def named_by_a_reshape(p, x, v):
    """(0, v, -1): wider or narrower steps."""
    count = v.whole(x.count, 1, 2 * x.count)
    width, rest = divmod(x.count * x.width, count)
    if rest or width > 12:
        raise Impossible
    shape = p.draw.choice(((0, count, -1), (-1, count, width), (0, -1, width)))
    return Steps(S.Reshape(x.symbol, shape=shape), count, width)


def joined_and_taken_apart(p, x, v):
    """Rows of all sequences, scores, and steps again."""
    x = _fitted(p, x, v.whole(x.count, 2, 2 * x.count))
    width = p.draw.randint(3, 5)
    first = p.chance(.3)
    data = _turned(x.symbol) if first else x.symbol
    shape = p.draw.choice(((-1, x.width), (-3, 0), (-1, x.width)))
    rows = S.tanh(p.dense(S.Reshape(data, shape=shape), width, True))
    if first:
        shape = p.draw.choice(((x.count, -1, width), (-4, x.count, -1, 0)))
        return x.as_long(S.swapaxes(S.Reshape(rows, shape=shape), dim1=0, dim2=1), width)
    shape = p.draw.choice(((-1, x.count, width), (-4, -1, x.count, 0), (-1, x.count, width)))
    return x.as_long(S.Reshape(rows, shape=shape), width)


def chunks(p, x, v):
    """Parts of sequences as sequences, less their means."""
    size = v.divisor(x.count, 2)
    parts = S.Reshape(x.symbol, shape=(-1, size, x.width))
    parts = S.broadcast_sub(parts, S.mean(parts, axis=1, keepdims=True))
    return x.as_long(S.Reshape(parts, shape=p.draw.choice(((-1, x.count, x.width),)))
                     if p.chance(.5) else S.reshape_like(parts, x.symbol))


def compared_with_a_place(p, x, v):
    """A mask of steps before or behind a place."""
    at = v.whole(x.count, 0)
    places = S.contrib.arange_like(x.symbol, axis=1) if p.chance(.7) else S.arange(x.count)
    places = S.Reshape(places, shape=(1, -1, 1))
    kind = p.draw.choice(('less', 'more', 'at least', 'part' if v.law in ANYWHERE else 'less'))
    mask = (places < at if kind == 'less' else places > at if kind == 'more' else places >= at
            if kind == 'at least' else places / max(at, 1))
    return x.as_long(S.broadcast_mul(x.symbol, mask + .5))


def of_bounded_lengths(p, x, v):
    most = v.whole(x.count, 1, x.count)
    kind = p.draw.choice(('clip', 'minimum', 'rest', 'constant'))
    lengths = p.lengths()
    if kind == 'clip':
        lengths = S.clip(lengths, a_min=1, a_max=most)
    elif kind == 'minimum':
        lengths = S.minimum(lengths, most)
    elif kind == 'rest':
        lengths = S.maximum(most - lengths, 0 if p.chance(.5) else 1)
    else:
        lengths = lengths * 0 + most
    if p.chance(.3):
        turned = S.SequenceReverse(_turned(x.symbol), S.maximum(lengths, 1),
                                   use_sequence_length=True)
        return x.as_long(_turned(turned))
    if p.chance(.5):
        return x.as_long(S.SequenceMask(x.symbol, lengths, use_sequence_length=True, axis=1))
    last = S.SequenceLast(_turned(x.symbol), S.maximum(lengths, 1), use_sequence_length=True)
    return x.as_long(S.broadcast_add(x.symbol, S.expand_dims(last, axis=1)))


# ---- with numbers that stand where T does

def whole_slice(p, x, v):
    return x.as_long(_part(p, x, None, v.whole(x.count)))


def without_the_last(p, x, v):
    """The steps before the last one, or their differences to the steps behind them."""
    before = _part(p, x, None, v.whole(x.count))
    if p.chance(.5):
        before = _part(p, x, 1, None) - before
    return Steps(before, x.count - 1, x.width)


def the_last(p, x, v):
    at = v.whole(x.count)
    last = _part(p, x, at, p.draw.choice((None, at + 1)))
    return x.as_long(S.broadcast_add(x.symbol, last))


# ---- with scalars

def _scaled(p, data, v, steps):
    """A product or quotient with the number, or its inverse."""
    value = v.factor(steps)
    kind = p.draw.choice(('mul', 'mul', 'mul', 'div', 'div', 'weight'))
    if kind == 'weight':  # by an array that has the number
        return S.broadcast_mul(data, S.exp(S.Reshape(p.weight((1,)), shape=(1,) * 3)) * value)
    return data * value if kind == 'mul' else data / value


def less_a_scaled_sum(p, x, v):
    """The sum over steps, which a number scales before or after it."""
    operator = p.draw.choice(('sum', 'mean', 'norm'))
    data, first = x.symbol, p.chance(.5)
    if first:
        operator = 'sum'
        data = _scaled(p, data, v, x.count)
    total = S.norm(data, axis=1, keepdims=True) if operator == 'norm' else getattr(S, operator)(
        data, axis=1, keepdims=True)
    if not first:
        total = _scaled(p, total, v, x.count)
    return x.as_long(S.broadcast_sub(x.symbol, S.tanh(total)))


def scaled(p, x, v):
    return x.as_long(_scaled(p, x.symbol, v, x.count))


def attention_with_scaled_scores(p, x, v):
    scores = S.batch_dot(p.dense(x.symbol, 4), p.dense(x.symbol, 4), transpose_b=True)
    return x.as_long(S.batch_dot(S.softmax(_scaled(p, scores, v, x.count)), x.symbol))


def running_sum(p, x, v):
    """A recurrence by hand that adds up what the number scales."""
    total, found = S.zeros_like(_last(x)), []
    value = v.factor(x.count)
    kind = p.draw.choice(('before', 'behind'))
    for each in _list(p, x):
        total = total + (each * value if kind == 'before' else each)
        found.append(S.tanh(total if kind == 'before' else total * value))
    return Steps(S.stack(*found, axis=1), x.count, x.width, tuple(found))


def positions(p, x, v):
    """arange(T) / v."""
    places = S.arange(x.count) if p.chance(.6) else S.contrib.arange_like(x.symbol, axis=1)
    places = places / v.whole(x.count)
    return x.as_long(S.broadcast_add(x.symbol, S.Reshape(places, shape=(1, -1, 1))))


# ---- inside cells

#: What a number does to a cell's inputs and states in each step, and to its output.
INSIDES = {
    'scaled_inputs': lambda value, t0: (lambda data, state: (data * value, state), None),
    'scaled_states': lambda value, t0: (lambda data, state: (data, S.tanh(state * value)), None),
    'scaled_output': lambda value, t0: (
        None, lambda output: output / value if t0 % 2 else output * value)}


def _changed(kind, before, after):
    """A class of cells that does more in each step."""
    class Changed(kind):
        def __call__(self, inputs, states):
            if before is not None:
                inputs, first = before(inputs, states[0])
                states = [first, *states[1:]]
            output, states = super().__call__(inputs, states)
            return output if after is None else after(output), states
    return Changed


# ---- recurrences: of a sequence, another one

CELLS = {'lstm': rnn.LSTMCell, 'gru': rnn.GRUCell, 'rnn': rnn.RNNCell}


def _units(p):
    return p.draw.randint(3, 5)


def _cell(p, units, inside=None):
    kind = CELLS[p.draw.choice(tuple(CELLS))]
    return (kind if inside is None else _changed(kind, *inside))(units, prefix=p.name('cell'))


def _merged(cell, x, width, first=False, **options):
    """By `unroll`, with outputs joined; `first`: time first."""
    options = {'length': x.count, 'merge_outputs': True, **options}
    outputs, _ = cell.unroll(inputs=_turned(x.symbol) if first else x.symbol,
                             layout='TNC' if first else 'NTC', **options)
    return x.as_long(_turned(outputs) if first else outputs, width)


def _unrolled(p, cell, x, width):
    """By `unroll`, of either layout, with outputs joined or not."""
    first = p.chance(.25)
    if p.chance(.7):
        return _merged(cell, x, width, first)
    outputs, _ = cell.unroll(x.count, _turned(x.symbol) if first else x.symbol, layout=(
        'TNC' if first else 'NTC'), merge_outputs=False)
    return Steps(_joined(p, list(outputs)), x.count, width, tuple(outputs))


def one_cell(p, x, inside=None):
    units = _units(p)
    return _unrolled(p, _cell(p, units, inside), x, units)


def stack_of_cells(p, x, inside=None):
    stack, units = rnn.SequentialRNNCell(), _units(p)
    stack.add(_cell(p, _units(p), inside))
    if p.chance(.4):
        stack.add(rnn.DropoutCell(.3))
    cell = _cell(p, units)
    if p.chance(.4):
        stack.add(_cell(p, units))
        cell = rnn.ResidualCell(cell)
    stack.add(cell)
    return _unrolled(p, stack, x, units)


def both_directions(p, x, inside=None):
    units = _units(p)
    cell = rnn.BidirectionalCell(_cell(p, units, inside), _cell(p, units))
    return _unrolled(p, cell, x, 2 * units)


def fused(p, x, inside=None):
    if inside is not None:
        raise Impossible
    units, both = _units(p), p.chance(.3)
    cell = rnn.FusedRNNCell(units, p.draw.randint(1, 2), p.draw.choice(('lstm', 'gru', 'rnn_tanh')),
                            bidirectional=both, get_next_state=not both, prefix=p.name('fused'))
    return _merged(cell, x, units * (1 + both), p.chance(.3))


def loop(p, x, inside=None):
    units = _units(p)
    outputs, _ = rnn.dynamic_unroll(_cell(p, units, inside), x.symbol, layout='NTC')
    return x.as_long(outputs, units)


def fused_by_fuse(p, x, inside=None):
    units = _units(p)
    cell = rnn.SequentialRNNCell()
    cell.add(_cell(p, units))
    cell.add(_cell(p, units, inside))
    cell = rnn.fuse(cell)
    count = x.count if inside is not None or p.chance(.5) else None
    lengths = {'valid_length': p.lengths()} if p.chance(.2) and x.count == p.steps else {}
    return _merged(cell, x, units, length=count, **lengths)


def with_lengths(p, x, inside=None):
    """Of each sequence its own number of steps."""
    if x.count < p.steps:
        raise Impossible
    units = _units(p)
    cell = rnn.FusedRNNCell(units, 1, 'gru', prefix=p.name('fused')) if (
        inside is None and p.chance(.4)) else _cell(p, units, inside)
    return _merged(cell, x, units, valid_length=p.lengths())


def by_hand(p, x, inside=None):
    """A recurrence of operators alone: an RNN or an LSTM of 2015."""
    units, lstm = _units(p), p.chance(.5)
    before, after = inside or (None, None)
    prefix = p.name('hand')
    wide = 4 * units if lstm else units
    weights = {key: S.Variable(prefix + key) for key in (
        'i2h_weight', 'i2h_bias', 'h2h_weight', 'h2h_bias')}
    state = memory = S.zeros((0, units))
    found = []
    for each in _list(p, x):
        if before is not None:
            each, state = before(each, state)
        gates = S.FullyConnected(each, weights['i2h_weight'], weights['i2h_bias'], num_hidden=wide
                                 ) + S.FullyConnected(state, weights['h2h_weight'],
                                                      weights['h2h_bias'], num_hidden=wide)
        if lstm:
            enter, change, forget, show = S.SliceChannel(gates, num_outputs=4)
            memory = S.sigmoid(forget) * memory + S.sigmoid(enter) * S.tanh(change)
            state = S.sigmoid(show) * S.tanh(memory)
        else:
            state = S.tanh(gates)
        found.append(state if after is None else after(state))
    return Steps(_joined(p, found), x.count, units, tuple(found))


# ---- decoders: they read a sequence, and have steps of their own

def _decoded(p, x, count, attend=None):
    """A decoder of so many steps that reads what it gave, or the last step of the encoder."""
    units = _units(p)
    cell = CELLS[p.draw.choice(('gru', 'rnn'))](units, prefix=p.name('decoder'))
    state = S.tanh(p.dense(_last(x), units, True))
    kind = p.draw.choice(('context', 'feedback', 'target')) if attend is None else 'attention'
    found, states, value = [], [state], state
    target = None
    if kind == 'target':
        p.inputs['target'] = ('B', 'T' if count == p.steps else count)
        embed = S.Embedding(S.Variable('target'), input_dim=WORDS, output_dim=units,
                            name=p.name('embed'))
        target = S.SliceChannel(embed, num_outputs=count, axis=1, squeeze_axis=True)
        target = list(target) if count > 1 else [target]
    if kind == 'feedback':
        weight = S.Variable(p.name('back') + 'weight')
    for t in range(count):
        if kind == 'attention':
            read = S.Concat(attend(states[0]), value, dim=1)
        else:
            read = state if kind == 'context' else target[t] if target else value
        value, states = cell(read, states)
        found.append(value)
        if kind == 'feedback':
            value = S.FullyConnected(value, weight, num_hidden=units, no_bias=True)
    return Steps(S.stack(*found, axis=1), count, units, tuple(found))


def decoder(p, x, v):
    return _decoded(p, x, v.whole(x.count, 2, 30))


def attention_in_steps(p, x, v):
    """A decoder that attends to all steps in each of its own, with the number in its scores."""
    whole = v.law in WHOLE
    kind = p.draw.choice(('dot', 'broadcast', 'rows') if whole else ('dot', 'dot', 'dot'))
    if kind == 'dot' and v.law not in ANYWHERE:
        raise Impossible
    steps = p.draw.choice((3, 5, None))
    units = x.width
    prefix = p.name('attention')
    query, score = S.Variable(prefix + 'query_weight'), S.Variable(prefix + 'score_weight')
    scale = v.of(x.count) if kind == 'dot' else 1
    memory = x if kind == 'dot' else _fitted(p, x, v.whole(x.count, 2, 2 * x.count))

    def attend(state):
        asked = S.expand_dims(S.FullyConnected(state, query, num_hidden=units, no_bias=True),
                              axis=1)
        if kind == 'dot':
            scores = S.batch_dot(memory.symbol, asked, transpose_b=True) * scale
        else:
            both = S.tanh(S.broadcast_axis(asked, axis=1, size=memory.count) + memory.symbol
                          if kind == 'broadcast' else S.broadcast_add(memory.symbol, asked))
            rows = S.Reshape(both, shape=(-1, units)) if kind == 'rows' else both
            scores = S.FullyConnected(rows, score, num_hidden=1, no_bias=True,
                                      flatten=kind == 'rows')
            if kind == 'rows':
                scores = S.Reshape(scores, shape=(-1, memory.count, 1))
        return S.sum(S.broadcast_mul(memory.symbol, S.softmax(scores, axis=1)), axis=1)
    return _decoded(p, x, x.count if steps is None else steps, attend)


# ---- heads: what the program gives

def each_step(p, x):
    p.layout = 'NTC'
    return S.softmax(p.dense(x.symbol, 4)) if p.chance(.6) else p.dense(x.symbol, 4)


def all_rows(p, x):
    if p.chance(.6):
        return p.rows_and_label(x)
    p.layout = 'rows'
    return S.softmax(p.of_rows(x, 4))


def time_major(p, x):
    p.layout = 'TNC'
    return S.log_softmax(_turned(p.dense(x.symbol, 4)))


def last_step(p, x):
    last = x.each[-1] if x.each else _last(x)
    scores = p.dense(last, 4, True)
    return S.SoftmaxOutput(scores, name='softmax') if p.chance(.5) else scores


def over_all_steps(p, x):
    total = getattr(S, p.draw.choice(('mean', 'mean', 'sum', 'max')))(x.symbol, axis=1)
    return S.LinearRegressionOutput(p.dense(total, 3, True), name='regression') if p.chance(
        .4) else p.dense(total, 3, True)


def attended(p, x):
    weights = S.softmax(p.dense(x.symbol, 1), axis=1)
    return p.dense(S.sum(S.broadcast_mul(x.symbol, weights), axis=1), 3, True)


def scaled_total(p, x, v):
    """A sum, mean or largest of all steps, and a number before or behind."""
    first = p.chance(.4)
    operator = p.draw.choice(('sum', 'nansum') if first else ('sum', 'mean', 'max'))
    data = x.symbol
    value = v.factor(x.count)
    if first:
        data = data * value if p.chance(.5) else data / value
    total = getattr(S, operator)(data, axis=1)
    if not first:
        total = total * value if p.chance(.5) else total / value
    return p.dense(total, 3, True) if p.chance(.7) else total


def sum_of_a_list(p, x, v):
    """Python's sum of the steps, or add_n, with a number."""
    each, value = _list(p, x), v.factor(x.count)
    if len(each) < 2:
        raise Impossible
    total = sum(each[1:], each[0]) if p.chance(.7) else S.add_n(*each)
    return p.dense(total / value if p.chance(.5) else total * value, 3, True)


def step_at_a_place(p, x, v):
    at = v.whole(x.count, 1, x.count) - 1
    if x.each and p.chance(.5):
        return p.dense(x.each[at] if p.chance(.5) else x.each[at - x.count], 3, True)
    one = _part(p, x, at, at + 1) if p.chance(.6) else S.take(x.symbol, S.full((1,), at), axis=1)
    return p.dense(S.Reshape(one, shape=(-1, x.width)), 3, True)


def mean_of_a_part(p, x, v):
    count = v.whole(x.count, 1, x.count)
    part = _part(p, x, None, count) if p.chance(.5) else _part(p, x, x.count - count, x.count)
    return p.dense(S.mean(part, axis=1), 3, True)


def pooled_head(p, x, v):
    kernel = v.whole(x.count, 1, x.count)
    image = S.Pooling(_image(x), kernel=(kernel, 1), pool_type=p.draw.choice(('max', 'avg')))
    return p.dense(S.max(image, axis=2), 3, True)


def rows_of_several_steps(p, x, v):
    """(-1, v * width), and the largest of each part."""
    size = v.divisor(x.count, 1)
    rows = S.Reshape(x.symbol, shape=(-1, size * x.width))
    return S.max(rows, axis=1, keepdims=True) if p.chance(.5) else S.softmax(rows)


def loss_with_a_scale(p, x, v):
    value = v.of(x.count)
    if value <= 0:
        raise Impossible
    return p.rows_and_label(x, grad_scale=value)


def scores_shaped(p, x, v):
    """Rows of scores, and steps of them again: (-1, v, 4)."""
    x = _fitted(p, x, v.whole(x.count, 2, 2 * x.count))
    p.layout = 'NTC'
    return S.Reshape(p.of_rows(x, 4), shape=(-1, x.count, 4))


def last_of_bounded_lengths(p, x, v):
    most = v.whole(x.count, 1, x.count)
    first = _turned(x.symbol)
    if p.chance(.5):
        lengths = S.minimum(p.lengths(), most)
    else:  # the number alone, for each row
        rows = S.max(S.max(x.symbol, axis=2), axis=1)
        lengths = (rows * 0 if p.chance(.5) else S.zeros_like(rows)) + most
    return p.dense(S.SequenceLast(first, lengths, use_sequence_length=True), 3, True)


def variance(p, x, v):
    far = S.broadcast_sub(x.symbol, S.mean(x.symbol, axis=1, keepdims=True))
    value = v.of(x.count)
    total = S.sum(S.square(far), axis=1)
    return p.dense(S.sqrt(total * value if v.law.startswith('1') else total / value), 3, True)


def decoder_head(p, x, v):
    found = _decoded(p, x, v.whole(x.count, 2, 30))
    return S.softmax(p.dense(found.symbol, 4))


# ---- the pieces by what they take

def _by_law(*rows):
    """By law, the pieces in which its numbers can stand."""
    return {law: [piece for laws, pieces in rows if law in laws for piece in pieces]
            for law in LAWS}


PLAIN = [dense, centred, differences, reversed_steps, normed, with_its_last_step,
         softmax_over_steps, masked, convolved, joined_and_shaped_like, self_attention]
NUMBERED = _by_law(
    (WHOLE, [first_steps, without_first_steps, last_steps, every_second_step, beside_one_step,
             halves]),
    (('T', 'T-1', 'T-k', 'T//2'), [split_and_stacked]),
    (WHOLE, [beside_a_step_taken, largest, pooled, padded]),
    (('c',), [windows, as_wide]),
    (WHOLE, [with_what_a_number_makes, with_steps_appended, named_by_a_reshape,
             joined_and_taken_apart]),
    (('c', 'T', 'T//2', 'T//3'), [chunks]),
    (WHOLE, [compared_with_a_place, of_bounded_lengths]),
    (LAWS, [less_a_scaled_sum]),
    (ANYWHERE, [scaled, attention_with_scaled_scores]),
    (LAWS, [running_sum]),
    (('c', 'T', 'T-1'), [positions]),
    (DECODED, [decoder]),
    (LAWS, [attention_in_steps]))
#: Pieces in which the number is right at every length by the rule.
CONSISTENT = {'T': [whole_slice, joined_and_taken_apart, split_and_stacked],
              'T-1': [without_the_last, the_last, split_and_stacked],
              'c': [windows, as_wide, decoder]}
RECURRENCES = [one_cell, stack_of_cells, both_directions, fused, loop, fused_by_fuse, with_lengths,
               by_hand]
PLAIN_HEADS = [each_step, all_rows, time_major, last_step, over_all_steps, attended]
HEADS = _by_law(
    (LAWS, [scaled_total, sum_of_a_list]),
    (WHOLE, [step_at_a_place, mean_of_a_part, pooled_head, rows_of_several_steps]),
    (LAWS, [loss_with_a_scale]),
    (WHOLE, [scores_shaped, last_of_bounded_lengths]),
    (('T', 'T-1', '1/T', '1/(T-1)', 'c'), [variance]),
    (DECODED, [decoder_head]))


# ---- a whole program

def _begin(p):
    """Words or features, batch or time first."""
    first = p.chance(.2)
    axes = ('T', 'B') if first else ('B', 'T')
    width = p.draw.randint(3, 4)
    if p.chance(.5):
        p.inputs['data'] = axes
        data = S.Embedding(S.Variable('data'), input_dim=WORDS, output_dim=width, name='embed')
    else:
        p.inputs['data'] = (*axes, width)
        data = S.Variable('data')
    return Steps(_turned(data) if first else data, p.steps, width)


def _built(seed, laws, t0, steps, which=-1, frozen=()):
    """The program of a draw, for so many steps; its number `which` has the values `frozen`."""
    with mx.name.NameManager(), mx.AttrScope():
        p = Draft(seed, steps, t0)
        p.numbers = [Number(law, p.draw.choice((1, 2, 3, 5) if law == 'c' else (1, 2, 3)), t0,
                            frozen if at == which else None) for at, law in enumerate(laws)]
        return _build(p)


def _build(p):
    numbers = [*p.numbers]
    p.draw.shuffle(numbers)
    where = {'before': [], 'inside': [], 'behind': [], 'head': []}
    for number in numbers:
        places = ['before', 'behind', 'behind']
        if number.law in ANYWHERE and not where['inside']:
            places.append('inside')
        if not where['head']:
            places += ['head', 'head']
        where[p.draw.choice(places)].append(number)

    def pieces(x, place, plain):
        made = [*where[place]]
        if p.chance(plain):
            made.append(None)
        p.draw.shuffle(made)
        for number in made:
            if number is None:
                x = p.draw.choice(PLAIN)(p, x)
            else:
                consistent = p.chance(.4) and CONSISTENT.get(number.law)
                piece = p.chosen(consistent or NUMBERED[number.law], number, place)
                x = piece(p, x, number)
        if x.count < 1:
            raise Impossible
        return x
    x = pieces(_begin(p), 'before', .3)
    inside = None
    for number in where['inside']:
        name = p.draw.choice([*INSIDES])
        p.places.append('%s: %s (inside)' % (number.law, name))
        inside = INSIDES[name](number.of(x.count), p.t0)
    x = p.chosen(RECURRENCES)(p, x, inside)
    x = pieces(x, 'behind', .35)
    if p.chance(.15):
        x = p.chosen(RECURRENCES)(p, x)
    for number in where['head']:
        p.symbol = p.chosen(HEADS[number.law], number, 'head')(p, x, number)
    if not where['head']:
        p.symbol = p.chosen(PLAIN_HEADS)(p, x)
    return p


def _matters(build, drafts, runs, t0, params, aux):
    """Whether each number that depends on T is felt: with its value at T0, the program of another
    length gives something else, or is none. The scale of a loss is felt in training alone."""
    for which, number in enumerate(drafts[t0].numbers):
        if number.law == 'c' or '%s: loss_with_a_scale (head)' % number.law in drafts[t0].places:
            continue
        felt = False
        for length, batch in runs:
            if length == t0 or felt:
                continue
            try:
                draft = build(length, which, number.values)
                found = _run(draft, _data(draft.inputs, length, batch), dict(params), dict(aux))
            except (Impossible, RuntimeError, ValueError, ZeroDivisionError):
                felt = True
            else:
                felt = bool(_same(found, runs[length, batch], 10 * TOLERANCE))
        if not felt:
            return False
    return True


def _sizes(draw):
    """T0, two other lengths, and the numbers of sequences at each."""
    step = draw.choice((1, 1, 1, 2, 2, 6))
    t0 = draw.choice([each for each in range(LEAST, MOST + 1) if each % step == 0])
    lengths = [each for each in range(LEAST, MOST + 9) if each % step == 0 and each != t0]
    first = draw.choice([each for each in lengths if t0 < each <= t0 + 8] or lengths)
    second = draw.choice([each for each in (2 * t0, *lengths) if each != first])
    one, two, three = draw.sample((2, 3, 4), 3)
    return t0, (first, second), (one, two, three)


def _looks_ahead(draft, batch, found, params, aux):
    """Whether outputs of a step depend on later steps."""
    data = _data(draft.inputs, draft.steps, batch)
    for name, axes in draft.inputs.items():
        last = (slice(None),) * axes.index('T') + (slice(-1, None),) if 'T' in axes else ...
        data[name][last] = WORDS - 1 - data[name][last] if len(axes) == 2 else -data[name][last]
    return any(not np.allclose(*[_batch_first(each, draft.layout, batch)[:, :-1] for each in pair])
               for pair in zip(found, _run(draft, data, params, aux)))


@functools.lru_cache(maxsize=64)
def program(seed, in_steps=False):
    """The program of a seed: the first draw with its laws that MXNet runs at T0 and at the other
    lengths, with the same weights and finite outputs, in which each number is felt. With
    `in_steps`, it has outputs of each step that read no later ones."""
    laws = laws_of(seed)
    for attempt in range(2000):
        key = '%d %d' % (seed, attempt)
        t0, others, batches = _sizes(random.Random('sizes ' + key))
        build = functools.partial(_built, key, laws, t0)
        params = {}
        aux = {}
        drafts = {}
        runs = {}
        try:
            for length, batch in zip((t0, *others), batches):
                draft = drafts[length] = build(length)
                if draft.draw.getstate() != drafts[t0].draw.getstate():
                    raise AssertionError('draws of seed %d depend on T' % seed)
                if draft.inputs != drafts[t0].inputs:  # an input has T steps by accident
                    raise Impossible
                if in_steps and (not draft.layout or 'lengths' in draft.inputs):
                    raise Impossible  # outputs are not those of each step, or read later ones
                found = _run(draft, _data(draft.inputs, length, batch), params, aux)
                if in_steps and length == t0 and _looks_ahead(draft, batch, found, params, aux):
                    raise Impossible
                runs[length, batch] = found
        except (Impossible, RuntimeError, ZeroDivisionError):  # RuntimeError: MXNet refuses it
            continue
        if _matters(build, drafts, runs, t0, params, aux):
            own = drafts[t0]
            return Program(seed, build, laws, own.places, own.inputs, t0, others, batches,
                           own.layout, params, aux, runs)
    raise AssertionError('no program for seed %d, laws %s' % (seed, laws))


# ---- files

class Judgment(NamedTuple):
    """What became of one program in one format.

    `export` is why nothing was written, or ''. `own` is the file at T0: 'right', 'wrong' or
    'refused'; `lengths` the same for other sizes, by (T, batch).
    """

    seed: int
    export: str
    own: str
    lengths: dict[tuple[int, int], str]
    why: str = ''

    @property
    def taken(self):
        return any(each != 'refused' for each in self.lengths.values())

    @property
    def wrong(self):
        return 'wrong' in self.lengths.values()

    @property
    def verdict(self):
        return ('refused at export' if self.export else 'wrong' if self.wrong else
                'right' if self.taken else 'refuses others')


def _same(found, expected, tolerance=TOLERANCE):
    """Why outputs differ, or ''."""
    if [each.shape for each in found] != [each.shape for each in expected]:
        return 'shapes %s instead of %s' % ([each.shape for each in found],
                                            [each.shape for each in expected])
    for ours, theirs in zip(found, expected):
        far = abs(ours.astype('f8') - theirs.astype('f8')).max() / abs(theirs).max()
        if not far <= tolerance:  # of NaN, too
            return 'differs by %.2g of the largest output' % far
    return ''


def _batch_first(array, layout, batch):
    """Outputs of each step as `OnnxStepper.read` gives them."""
    if layout == 'TNC':
        return array.swapaxes(0, 1)
    return array.reshape(batch, -1, array.shape[-1]) if layout == 'rows' else array


def judged_against(other, runner, format):
    """What a file gives at the lengths of a program, beside that program."""
    own, lengths, why = 'refused', {}, ''
    first, second, third = other.batches
    sizes = [(other.t0, first), *[(length, batch) for length in other.others
                                  for batch in (second, third)]]
    for length, batch in sizes:
        try:
            data = other.data(length, batch)
            if format == 'states':  # callers give the batch first
                data = {name: array if other.inputs[name][0] == 'B' else array.swapaxes(0, 1)
                        for name, array in data.items()}
            found = runner(data)
        except Exception:  # a refusal, whatever raises it
            verdict = 'refused'
        else:
            expected = other.outputs(length, batch)
            if format == 'states':
                expected = [_batch_first(each, other.layout, batch) for each in expected]
            differs = _same(found, expected)
            verdict = 'wrong' if differs else 'right'
            if differs:
                why = 'T=%d, batch %d: %s' % (length, batch, differs)
        if length == other.t0:
            own = verdict
        else:
            lengths[length, batch] = verdict
    return Judgment(other.seed, '', own, lengths, why)


def judged(seed, format='onnx', typed=False, certify=False):
    """Export the program of a seed for T0, and run the file at other sizes."""
    made = program(seed, format == 'states')
    options = {}
    if certify:
        options['certify_by'] = made.model(made.second()).graph
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter('ignore')
        try:
            runner = FORMATS[format](made.model(), Path(folder), made.shapes() if typed else None,
                                     **options)
        except Exception as error:
            return Judgment(seed, '%s: %s' % (type(error).__name__, error), '', {})
        return judged_against(made, runner, format)


# ---- the command

def main():
    """Print each file that is wrong, or not right at T0, and how many are what."""
    parser = argparse.ArgumentParser()
    parser.add_argument('--seeds', default='0:300', help='from:to')
    parser.add_argument('--formats', default='onnx', help='onnx, source, states')
    parser.add_argument('--typed', action='store_true', help="with 'time:T0'")
    parser.add_argument('--certify', action='store_true', help='with a second graph')
    options = parser.parse_args()
    warnings.simplefilter('ignore')
    for format in options.formats.split(','):
        counts = collections.Counter()
        for seed in range(*map(int, options.seeds.split(':'))):
            found = judged(seed, format, options.typed, options.certify)
            counts[found.verdict] += 1
            if found.wrong or found.own in ('wrong', 'refused'):
                print('%s, at T0 %s: %s; %s' % (found.verdict, found.own, program(
                    seed, format == 'states'), found.why), flush=True)
        print(format, dict(counts))


if __name__ == '__main__':
    main()
