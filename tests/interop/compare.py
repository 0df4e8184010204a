"""Runs a Symbol in MXNet and, from its JSON and the same values, in torch."""
from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest

from mxrnn import interop

from .. import mx
from ..running import random_value

torch = pytest.importorskip('torch', reason='torch is not installed')
torch.set_num_threads(1)

__all__ = ['Both', 'assert_equal', 'difference', 'run_both', 'torch']


class Both(NamedTuple):
    """Outputs, and gradients by argument, of both; and the module."""

    outputs: list[tuple[np.ndarray, np.ndarray]]
    grads: dict[str, tuple[np.ndarray, np.ndarray]]
    module: Any
    executor: Any


def difference(expected: np.ndarray, found: np.ndarray, largest: float = 0.) -> float:
    """The largest difference, as a part of `largest` or of the largest expected value."""
    assert found.shape == expected.shape and found.dtype == expected.dtype
    if not expected.size:
        return 0.
    largest = largest or magnitude(expected)
    same = np.isnan(expected) & np.isnan(found) | (expected == found)
    with np.errstate(invalid='ignore'):  # infinity less infinity, where both are the same
        distance = np.abs(expected - found)
    return float(np.where(same, 0, distance).max() / (largest or 1))


def magnitude(array: np.ndarray) -> float:
    """The largest finite value."""
    return float(np.abs(np.where(np.isfinite(array), array, 0)).max()) if array.size else 0.


def run_both(outputs: list[Any], shapes: dict[str, tuple[int, ...]], *, train: bool = True,
             values: dict[str, Any] | None = None, fixed: Any = (), dtype: str = 'float32',
             ) -> Both:
    """Run a group of outputs over inputs of the given shapes and random or given values.

    Arguments in `fixed` get no gradients. Heads get an identity each: MXNet gives an output that
    stands twice in a group one of its gradients.
    """
    values = values or {}
    with mx.name.NameManager():
        symbol = mx.sym.Group([mx.sym.identity(each) for each in outputs])
    needed = {name: 'null' if name in fixed or not train else 'write'
              for name in symbol.list_arguments()}
    executor = symbol.simple_bind(mx.cpu(), grad_req=needed,
                                  type_dict={
        name: dtype if getattr(values.get(name), 'dtype', None) != 'int32' else 'int32'
        for name in shapes}, **shapes)
    args = {}
    for name, array in [*executor.arg_dict.items(), *executor.aux_dict.items()]:
        value = values.get(name)
        if value is None:
            value = np.abs(random_value(name, array.shape)) + .1 if name.endswith('var') else (
                random_value(name, array.shape))
        args[name] = np.asarray(value, dtype=array.dtype)
        array[:] = args[name]
    expected = [each.asnumpy() for each in executor.forward(is_train=train)]
    model = interop.Model(
        interop.graph_from_json(symbol.tojson()),
        {name: args[name] for name in executor.arg_dict if name not in shapes},
        {name: args[name].copy() for name in executor.aux_dict})
    module = interop.to_torch(model).train(train)
    given = {name: torch.tensor(args[name]).requires_grad_(needed[name] == 'write')
             for name in shapes if name in executor.arg_dict}
    found = module(**given)
    found = [found] if isinstance(found, torch.Tensor) else list(found)
    assert module.outputs == symbol.list_outputs()
    grads = {}
    if train:
        heads = [random_value('head %d' % i, each.shape).astype(each.dtype)
                 for i, each in enumerate(expected)]
        executor.backward([mx.nd.array(head, dtype=head.dtype) for head in heads])
        pairs = [(each, torch.tensor(head)) for each, head in zip(found, heads)
                 if each.requires_grad]
        if pairs:
            torch.autograd.backward(*map(list, zip(*pairs)))
        for name, array in executor.grad_dict.items():
            if array is not None:
                owner = given[name] if name in given else module.get_parameter(name)
                grads[name] = (array.asnumpy(), np.zeros(array.shape, array.dtype)
                               if owner.grad is None else owner.grad.numpy())
    return Both([(each, other.detach().numpy()) for each, other in zip(expected, found)], grads,
                module, executor)


def assert_equal(both: Both, outputs: float = 1e-6, grads: float = 1e-5) -> None:
    """Outputs agree to a part of the largest value in any, each gradient to one of its own."""
    largest = max(magnitude(expected) for expected, _ in both.outputs)
    found = [difference(*pair, largest) for pair in both.outputs]
    assert max(found) <= outputs, found
    found_grads = {name: difference(*pair) for name, pair in both.grads.items()}
    assert all(each <= grads for each in found_grads.values()), found_grads
