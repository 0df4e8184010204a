"""The language model of benchmarks/ trained in torch: MXNet's losses, step by step."""
from __future__ import annotations

import importlib
import itertools
import sys
from pathlib import Path

import numpy as np
import pytest

from mxrnn import interop

from .. import mx, rnn
from ..running import random_value
from .compare import torch

BENCHMARKS = Path(__file__).parents[2] / 'benchmarks'
STEPS, RATE = 100, .1


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    yield importlib.import_module('bucketing_lm')
    for name in ('bucketing_lm', '_common', '_text'):
        sys.modules.pop(name, None)


def loss(probabilities, label):
    """Mean over the words that are no padding."""
    label = label.astype(int).reshape(-1)
    chosen = probabilities[np.arange(len(label)), label][label != 0]
    return float(-np.log(chosen.astype('float64')).mean())


@pytest.mark.parametrize('kind', ['fused', 'fuse'])
@pytest.mark.parametrize('cell', ['lstm', 'gru'])
def test_training_has_the_trace_of_mxnet(benchmark, kind, cell):
    options = benchmark.read_options([
        '--quick', '--cell', cell, '--hidden', '48', '--embedding', '32', '--dropout', '0',
        '--batch-size', '16', '--buckets', '12,20,40'])
    benchmark.open_store(options)
    benchmark.seed(options, 0)
    batches, _, vocabulary, _ = benchmark.load_data(rnn, options)
    words = len(vocabulary)
    build = benchmark.language_model(benchmark.build_cell(rnn, options, kind), words, options)
    first, _, _ = build(20)
    shapes, _, _ = first.infer_shape(data=(20, 16), softmax_label=(20, 16))
    weights = {name: (.25 * random_value(name, shape)).astype('float32')
               for name, shape in zip(first.list_arguments(), shapes)
               if name not in ('data', 'softmax_label')}
    ours = interop.to_torch(interop.Model(interop.graph_from_json(first.tojson()), weights,
                                          {})).train()
    modules = {20: ours}  # a graph of fuse is for sequences of one length
    optimiser = torch.optim.SGD(ours.parameters(), lr=RATE / options.batch_size)
    args = {name: mx.nd.array(value) for name, value in weights.items()}
    grads = {name: mx.nd.zeros(value.shape) for name, value in weights.items()}
    losses = []
    repeated = itertools.chain.from_iterable(iter(batches) for _ in itertools.count()
                                             if batches.reset() is None)
    for batch in itertools.islice(repeated, STEPS):
        data, label = batch.data[0], batch.label[0]
        symbol, _, _ = build(batch.bucket_key)
        bound = symbol.bind(mx.cpu(), {**args, 'data': data, 'softmax_label': label}, grads)
        expected = bound.forward(is_train=True)[0].asnumpy()
        bound.backward()
        for name, value in args.items():
            mx.nd.sgd_update(value, grads[name], lr=RATE, rescale_grad=1 / options.batch_size,
                             out=value)
        if kind == 'fuse' and batch.bucket_key not in modules:
            module = interop.to_torch(interop.Model(interop.graph_from_json(symbol.tojson()),
                                                    weights, {})).train()
            for name, parameter in ours.named_parameters():
                module.register_parameter(name, parameter)
            modules[batch.bucket_key] = module
        optimiser.zero_grad()
        output = modules.get(batch.bucket_key, ours)(
            data=torch.tensor(data.asnumpy()),
            softmax_label=torch.tensor(label.asnumpy()))
        output.backward(torch.ones_like(output))
        optimiser.step()
        losses.append((loss(expected, label.asnumpy()),
                       loss(output.detach().numpy(), label.asnumpy())))
    worst = max(abs(found - expected) / expected for expected, found in losses)
    assert len(losses) == STEPS and worst <= 1e-4, worst
    assert losses[-1][0] < .85 * losses[0][0]  # it did learn
    print('largest difference of the loss: %.2g' % worst)
