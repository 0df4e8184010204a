"""The recurrences in NumPy and float64, written from the papers, to test the graphs against.

RNN: Elman 1990. LSTM: Hochreiter and Schmidhuber 1997 with the forget gate of Gers et al. 2000;
gates in the order input, forget, candidate, output. GRU: Cho et al. 2014 in cuDNN's form, where the
reset gate scales the recurrent product and not its input; gates reset, update, candidate. The
convolutional ones (Shi et al. 2015) differ in the products alone. Gates lie along axis 1.
"""
from typing import Callable

import numpy as np
from numpy.testing import assert_allclose

from .running import random_value

Array = np.ndarray
Activation = Callable[[Array], Array]


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def rnn(i2h, h2h, states, activation):
    return [activation(i2h + h2h)]


def lstm(i2h, h2h, states, activation, clip=(-np.inf, np.inf)):
    i, f, c, o = np.split(i2h + h2h, 4, axis=1)
    memory = np.clip(sigmoid(f) * states[1] + sigmoid(i) * activation(c), *np.float32(clip))
    return [sigmoid(o) * activation(memory), memory]


def gru(i2h, h2h, states, activation):
    (i_r, i_z, i_n), (h_r, h_z, h_n) = np.split(i2h, 3, axis=1), np.split(h2h, 3, axis=1)
    candidate = activation(i_n + sigmoid(i_r + h_r) * h_n)
    update = sigmoid(i_z + h_z)
    return [update * states[0] + (1 - update) * candidate]


def lstmp(i2h, h2h, states, activation, projection, **options):
    hidden, memory = lstm(i2h, h2h, states, activation, **options)
    return [hidden @ projection.T, memory]


def normalise(x, gamma, beta, epsilon=1e-5):
    centred = x - x.mean(axis=1, keepdims=True)
    return gamma * centred / np.sqrt(x.var(axis=1, keepdims=True) + epsilon) + beta


def normalised_lstm(i2h, h2h, states, activation, gamma, beta, **options):
    o = np.split(i2h + h2h, 4, axis=1)[3]
    _, memory = lstm(i2h, h2h, states, activation, **options)
    return [sigmoid(o) * activation(normalise(memory, gamma, beta)), memory]


def dense(data, weight, bias):
    return data @ weight.T + bias


def convolve(data, weight, bias, pad=None, stride=None, dilate=None):
    """A convolution of (N, C, axes...) by (filters, C, axes...); 1 along each axis by default."""
    kernel = weight.shape[2:]
    pad, stride, dilate = (each or (1,) * len(kernel) for each in (pad, stride, dilate))
    padded = np.pad(data, ((0, 0), (0, 0), *((n, n) for n in pad)))
    sizes = [(n - d * (k - 1) - 1) // s + 1
             for n, k, s, d in zip(padded.shape[2:], kernel, stride, dilate)]
    total = np.zeros((len(data), len(weight), *sizes)) + np.reshape(bias, (-1, *(1 for _ in sizes)))
    for at in np.ndindex(kernel):
        patch = padded[(..., *(slice(a * d, a * d + s * (n - 1) + 1, s)
                               for a, d, s, n in zip(at, dilate, stride, sizes)))]
        total += np.einsum('nc...,fc->nf...', patch, weight[(..., *at)])
    return total


def unroll(recurrence, args, prefix, states, activation, i2h=dense, h2h=dense, reverse=False):
    """Outputs (N, T, ...) and final states for ``args['data']`` and weights named by the prefix;
    biases that are not there are 0."""
    def product(group, function, data):
        name = prefix + group
        return function(data, args[name + '_weight'], args.get(name + '_bias', np.zeros(1)))

    steps = list(np.moveaxis(args['data'], 1, 0))
    outputs = []
    for data in reversed(steps) if reverse else steps:
        states = recurrence(product('i2h', i2h, data), product('h2h', h2h, states[0]), states,
                            activation)
        outputs.append(states[0])
    return np.stack(outputs[::-1] if reverse else outputs, axis=1), states


def loss(outputs, states):
    """The weighting of outputs and states of which `running.run` takes the gradients (NTC)."""
    return float((outputs * random_value('outputs head', outputs.shape)).sum() + sum(
        (state * random_value('state %d head' % i, state.shape)).sum()
        for i, state in enumerate(states)))


def gradients(function, args, epsilon=1e-5):
    """Central differences of function(args) by every element of every argument."""
    grads = {}
    for name, value in args.items():
        grads[name] = np.zeros_like(value)
        for index in np.ndindex(value.shape):
            at = []
            for sign in (1, -1):
                moved = value.copy()
                moved[index] += sign * epsilon
                at.append(function({**args, name: moved}))
            grads[name][index] = (at[0] - at[1]) / (2 * epsilon)
    return grads


def assert_follows(found, forward, rtol, grad_rtol, arguments=None):
    """`found`, of `running.run`, has the outputs and states that `forward` gives for its arguments,
    and the gradients of `arguments`, or of all if None."""
    outputs, states = forward(found.args)
    assert_allclose(found.outputs, outputs, rtol=rtol, atol=rtol / 100)
    assert len(found.states) == len(states)
    for ours, theirs in zip(found.states, states):
        assert_allclose(ours, theirs, rtol=rtol, atol=rtol / 100)
    moved = {name: found.args[name] for name in arguments or found.args}
    grads = gradients(lambda args: loss(*forward({**found.args, **args})), moved)
    assert arguments is not None or set(grads) == set(found.grads)
    for name, grad in grads.items():
        assert_allclose(found.grads[name], grad, rtol=grad_rtol, atol=grad_rtol / 100, err_msg=name)
