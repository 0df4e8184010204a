"""A forecaster of the form that SageMaker's DeepAR writes: cells unrolled over history and
forecast, lags, missing values, a scale, and draws inside the graph."""
from __future__ import annotations

import io
import json
import tarfile
from typing import NamedTuple, Sequence

import numpy as np

from .. import mx, rnn
from .models import S, V


class Form(NamedTuple):
    """Sizes; the history has `context` steps and those before them that lags reach."""

    likelihood: str = 'gaussian'
    context: int = 12
    steps: int = 12
    lags: Sequence[int] = (1, 2, 3, 4, 5, 6, 7, 12, 13, 14, 24, 25, 26, 36, 37, 38)
    layers: int = 2
    units: int = 8
    features: int = 3
    cardinality: Sequence[int] = (3, 4)
    samples: int = 100

    @property
    def history(self):
        return self.context + max(self.lags)

    def shapes(self, series):
        """The shapes of the inputs for a number of series."""
        row = series, self.history
        return {'trainTarget': row, 'timeFeaturesTrain': (series, self.features, self.history),
                'timeFeaturesPred': (series, self.features, self.steps),
                'itemFeatures': (series, len(self.cardinality)), 'observedValuesTrain': row,
                'isPaddedTrain': row}


def positive(x):
    return S.Activation(x, act_type='softrelu')


def of_student(mu, sigma, nu):
    nu = positive(nu) + 2
    return S.sample_normal(mu, positive(sigma) * S.rsqrt(S.sample_gamma(nu / 2, 2 / nu)))


def of_beta(alpha, beta):
    one, other = (S.sample_gamma(positive(each), S.ones_like(each)) for each in (alpha, beta))
    return one / (one + other)


#: By name: how many numbers a step has, their mean, and a draw.
LIKELIHOODS = {
    'gaussian': (2, lambda mu, sigma: mu, lambda mu, sigma: S.sample_normal(mu, positive(sigma))),
    'student-T': (3, lambda mu, sigma, nu: mu, of_student),
    'beta': (2, lambda alpha, beta: positive(alpha) / (positive(alpha) + positive(beta)), of_beta),
    'negative-binomial': (
        2, lambda mu, alpha: positive(mu),
        lambda mu, alpha: S.sample_generalized_negative_binomial(positive(mu), positive(alpha))),
    'deterministic-L1': (1, lambda mu: mu, lambda mu: mu)}


def cells(form):
    stack = rnn.SequentialRNNCell()
    for layer in range(form.layers):
        stack.add(rnn.ZoneoutCell(rnn.LSTMCell(form.units, 'lstm_l_%d_' % layer),
                                  zoneout_states=.1))
    return stack


def network(form):
    """The graph: draws of (series, samples, steps)."""
    count, mean, draw = LIKELIHOODS[form.likelihood]
    given = {name: V(name) for name in form.shapes(1)}
    counts = form.likelihood == 'negative-binomial'

    def parted(name, parts, axis=1):
        return list(S.SliceChannel(given[name], num_outputs=parts, axis=axis,
                                   squeeze_axis=axis == 2, name=name + '_seq'))

    target, observed, padded = (parted(name, form.history) for name in (
        'trainTarget', 'observedValuesTrain', 'isPaddedTrain'))
    features = parted('timeFeaturesTrain', form.history, 2)
    total = S.sum(S.abs(given['trainTarget'] * given['observedValuesTrain']), axis=1, keepdims=True)
    scale = total / (S.sum(given['observedValuesTrain'], axis=1, keepdims=True) + 1e-3) + 1e-3
    if counts or form.likelihood == 'beta':
        scale = S.ones_like(scale)
    static = [S.Embedding(each, input_dim=size, output_dim=4, name='embed_%d' % i)
              for i, (each, size) in enumerate(zip(S.SliceChannel(
                  given['itemFeatures'], num_outputs=len(form.cardinality), axis=1,
                  squeeze_axis=True, name='item'), form.cardinality))]
    static = S.Concat(*static, S.log(scale), dim=1, name='static')
    weights = [(V('dist_%d_weight' % i), V('dist_%d_bias' % i)) for i in range(count)]
    stack = cells(form)
    before = form.history - form.context
    values = [S.where(seen, each / scale, S.zeros_like(each))
              for each, seen in zip(target[:before], observed)]

    def step(name, values, feature, static, states):
        lags = S.Concat(*[values[-lag] for lag in form.lags], dim=1, name=name + '_lags')
        output, states = stack(S.Concat(feature, static, lags, dim=1, name=name + '_x'), states)
        return [S.FullyConnected(output, weight, bias, num_hidden=1, name='%s_dist_%d' % (name, i))
                for i, (weight, bias) in enumerate(weights)], states

    states = stack.begin_state()
    for t in range(form.context):
        at = before + t
        numbers, new = step('t%d' % t, values, features[at], static, states)
        states = [S.where(padded[at], old, each) for old, each in zip(states, new)]
        values.append(S.where(observed[at], target[at] / scale, mean(*numbers)))

    def repeated(each):
        return S.repeat(each, repeats=form.samples, axis=0)

    states, values, static = [*map(repeated, states)], [*map(repeated, values)], repeated(static)
    for t, feature in enumerate(parted('timeFeaturesPred', form.steps, 2)):
        numbers, states = step('t%d' % (form.context + t), values, repeated(feature), static,
                               states)
        values.append(draw(*numbers))
    drawn = S.Concat(*values[-form.steps:], dim=1) if counts else S.broadcast_mul(
        S.Concat(*values[-form.steps:], dim=1), repeated(scale))
    return S.Reshape(drawn, shape=(-1, form.samples, form.steps), name='samples')


def data_of(form, series):
    """Series with a season of 12 steps, missing values, and padding before short ones."""
    draw = np.random.RandomState(7)
    steps = np.arange(form.history + form.steps)
    level = draw.uniform(2, 6, (series, 1))
    target = level * (1.5 + np.sin(steps * np.pi / 6 + draw.uniform(0, 6, (series, 1)))
                      + draw.normal(0, .2, (series, len(steps))))
    if form.likelihood == 'negative-binomial':
        target = np.round(np.maximum(target, 0))
    if form.likelihood == 'beta':
        target = np.clip(target / 20, .02, .98)
    short = np.arange(series)[:, None] % 2
    padded = steps < draw.randint(0, form.history - 6, (series, 1)) * short
    observed = ~padded & (draw.uniform(size=target.shape) > .1)
    features = np.stack([np.sin(steps * np.pi / 6), np.cos(steps * np.pi / 6), np.log10(2 + steps)])
    features = np.repeat(features[None, :form.features], series, 0)
    cut = form.history
    return {name: np.asarray(value, 'float32') for name, value in {
        'trainTarget': (target * observed)[:, :cut], 'observedValuesTrain': observed[:, :cut],
        'isPaddedTrain': padded[:, :cut], 'timeFeaturesTrain': features[..., :cut],
        'timeFeaturesPred': features[..., cut:],
        'itemFeatures': draw.randint(0, form.cardinality, (series, len(form.cardinality)))}.items()}


def archive(form, weights, path, config=True):
    """SageMaker's ``model.tar.gz``, or the same without its ``config.json``."""
    arrays = path.with_suffix('.arrays')
    mx.nd.save(str(arrays), {'arg:' + name: value for name, value in weights.items()})
    settings = {'data_shapes': [{'name': name, 'shape': list(shape)}
                              for name, shape in form.shapes(32).items()],
              'prediction_length': form.steps, 'train_length': form.history,
              'likelihood': form.likelihood, 'cardinality': list(form.cardinality),
              'model_simultaneous_samples': form.samples, 'pred_batch_size': 32}
    with tarfile.open(path, 'w:gz') as packed:
        for end, content in (('symbol.json', network(form).tojson().encode()),
                             ('0000.params', arrays.read_bytes()),
                             *[('config.json', json.dumps(settings).encode())] * config):
            member = tarfile.TarInfo('model_algo-1-' + end)
            member.size = len(content)
            packed.addfile(member, io.BytesIO(content))
    return path


def forecast(form, weights, data):
    """What MXNet draws."""
    executor = network(form).bind(mx.cpu(), {**weights, **{
        name: mx.nd.array(value) for name, value in data.items()}}, grad_req='null')
    return executor.forward(is_train=False)[0].asnumpy()
