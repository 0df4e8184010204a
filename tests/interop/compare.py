"""Runs a Symbol in MXNet and, from its JSON and the same values, in torch."""
from __future__ import annotations

import copy
from typing import Any, NamedTuple

import numpy as np
import pytest

from mxrnn import interop

from .. import mx
from ..running import random_value
from .models import S

torch = pytest.importorskip('torch', reason='torch is not installed')
torch.set_num_threads(1)

from mxrnn.interop.run.evaluator import evaluate  # noqa: E402  isort: skip


class Bound(NamedTuple):
    """A Symbol with values, run in MXNet."""

    symbol: Any
    args: dict[str, np.ndarray]
    needed: dict[str, str]
    outputs: list[np.ndarray]
    heads: list[np.ndarray]
    grads: dict[str, np.ndarray]
    executor: Any


class Both(NamedTuple):
    """Outputs, and gradients by argument, of both."""

    outputs: list[tuple[np.ndarray, np.ndarray]]
    grads: dict[str, tuple[np.ndarray, np.ndarray]]
    executor: Any


class Evaluated:
    """A graph in the evaluator of the checks, with the values of some variables, as a module."""

    def __init__(self, graph, values, training=False):
        self.graph, self._training = graph, training
        self.inputs = [name for name in graph.arguments if name not in values]
        self.values = {name: torch.tensor(value) for name, value in values.items()}
        for name, value in self.values.items():
            value.requires_grad_(value.is_floating_point() and name not in graph.auxiliary)

    def __call__(self, **given):
        return tuple(evaluate(self.graph, {**self.values, **given}, self._training))

    def gradients(self):
        """By name, the gradients of the values."""
        return {name: value.grad for name, value in self.values.items() if value.grad is not None}


class InMemory:
    """The class of a model, with gradients by MXNet's names: they go back as weights do."""

    def __init__(self, model, training, inputs=None):
        self.module = interop.to_torch(model, inputs)
        self.inputs, self.outputs = self.module.inputs, self.module.outputs
        self._model, self._training = model, training

    def __call__(self, **given):
        self.module(**given)  # from here on it has parameters
        return self.module.train(self._training)(**given)

    def gradients(self):
        """By name, the gradients of the parameters; zeros if the class does not train them."""
        of = copy.deepcopy(self.module)
        grads = dict(self.module.named_parameters())
        for name, value in of.named_parameters():
            value.data = torch.zeros_like(value) if grads[name].grad is None else grads[name].grad
        return {name: torch.tensor(array) for name, array in interop.from_torch(
            of, self._model).arg_params.items()}


def bind(symbol, shapes, *, train=False, values=None, fixed=(), dtype='float32'):
    """Run a Symbol in MXNet over random or given values; backwards as well, if `train`.

    Arguments in `fixed` get no gradients.
    """
    values = values or {}
    needed = {name: 'null' if name in fixed or not train else 'write'
              for name in symbol.list_arguments()}
    executor = symbol.simple_bind(mx.cpu(), grad_req=needed, type_dict={
        name: 'int32' if getattr(values.get(name), 'dtype', None) == 'int32' else dtype
        for name in shapes}, **shapes)
    args = {}
    for name, array in [*executor.arg_dict.items(), *executor.aux_dict.items()]:
        value = values.get(name)
        if value is None:
            value = random_value(name, array.shape)
            value = np.abs(value) + .1 if name.endswith('var') else value
        args[name] = np.asarray(value, dtype=array.dtype)
        array[:] = args[name]
    outputs = [each.asnumpy() for each in executor.forward(is_train=train)]
    heads = [random_value('head %d' % i, each.shape).astype(each.dtype)
             for i, each in enumerate(outputs)]
    grads = {}
    if train:
        executor.backward([mx.nd.array(head, dtype=head.dtype) for head in heads])
        grads = {name: array.asnumpy() for name, array in executor.grad_dict.items()
                 if array is not None}
    return Bound(symbol, args, needed, outputs, heads, grads, executor)


def run(module, bound, inputs):
    """A module with the values of a Symbol that was run; backwards as well, if that was."""
    given = {name: torch.tensor(bound.args[name]).requires_grad_(bound.needed[name] == 'write')
             for name in inputs if name in module.inputs}
    found = module(**given)
    found = [found] if isinstance(found, torch.Tensor) else list(found)
    pairs = [(each, torch.tensor(head)) for each, head in zip(found, bound.heads)
             if each.requires_grad]
    if bound.grads and pairs:
        torch.autograd.backward(*map(list, zip(*pairs)))
    own = module.gradients() if bound.grads and pairs else {}
    own.update((name, each.grad) for name, each in given.items() if each.grad is not None)
    grads = {name: (expected, own[name].numpy() if name in own else np.zeros_like(expected))
             for name, expected in bound.grads.items()}
    return Both([(each, other.detach().numpy()) for each, other in zip(bound.outputs, found)],
                grads, bound.executor)


def run_both(outputs, shapes, *, train=True, typed=None, **options):
    """Run a group of outputs in MXNet and in torch, with the options of `bind`; `typed` are the
    inputs of `to_torch`.

    Heads get an identity each: MXNet gives an output that stands twice in a group one of its
    gradients.
    """
    with mx.name.NameManager():
        symbol = S.Group([S.identity(each) for each in outputs])
    bound = bind(symbol, shapes, train=train, **options)
    states = symbol.list_auxiliary_states()
    module = InMemory(interop.Model(
        interop.graph_from_json(symbol.tojson()),
        {name: value for name, value in bound.args.items()
         if name not in shapes and name not in states},
        {name: bound.args[name].copy() for name in states}), train, typed)
    assert module.outputs == symbol.list_outputs()
    return run(module, bound, shapes)


def difference(expected, found, largest=0.):
    """The largest difference, as a part of `largest` or of the largest expected value."""
    assert found.shape == expected.shape and found.dtype == expected.dtype
    if not expected.size:
        return 0.
    largest = largest or magnitude(expected)
    same = np.isnan(expected) & np.isnan(found) | (expected == found)
    with np.errstate(invalid='ignore'):  # infinity less infinity, where both are the same
        distance = np.abs(expected - found)
    return float(np.where(same, 0, distance).max() / (largest or 1))


def magnitude(array):
    """The largest finite value."""
    return float(np.abs(np.where(np.isfinite(array), array, 0)).max()) if array.size else 0.


def assert_equal(both, outputs=1e-6, grads=1e-5):
    """Outputs agree to a part of the largest value in any, each gradient to one of its own."""
    largest = max(magnitude(expected) for expected, _ in both.outputs)
    found = [difference(*pair, largest) for pair in both.outputs]
    assert max(found) <= outputs, found
    found_grads = {name: difference(*pair) for name, pair in both.grads.items()}
    assert all(each <= grads for each in found_grads.values()), found_grads
