"""Patches loops (`sym.contrib.foreach`, `while_loop`), so that their gradients are right after
inference.

An executor's loop keeps the values of each forward pass until a backward pass reads the oldest of
them. After inference, as in `Module.fit` with `eval_data`, MXNet would compute the next gradients
from the evaluation data, and each pass costs memory until then. So before each pass, a loop forgets
a pass that no backward pass has followed.
"""
from __future__ import annotations

import functools
from types import ModuleType
from typing import TYPE_CHECKING, Any, Sequence, Union

from .symbol_graph import graph_of

if TYPE_CHECKING:
    from .mxnet_types.executor import Executor
    from .mxnet_types.nd import NDArray
    Gradients = Union[NDArray, Sequence[NDArray], bool, None]

__all__ = ['cure_loops']

#: The operators that keep values of their passes.
_LOOPS = '_foreach', '_while_loop'


def cure_loops(mx: ModuleType) -> None:
    """Make the executors of MXNet, `mx`, forget passes that they must not read."""
    kind = mx.executor.Executor
    run, return_gradients = kind.forward, kind.backward
    if hasattr(run, '_forgets_passes'):
        return

    def forget(executor: Executor) -> None:
        """Run a backward pass that changes only the loops' memory."""
        arrays = [each for each in executor.grad_arrays + executor.aux_arrays if each is not None]
        before = [each.copy() for each in arrays]
        return_gradients(executor, [mx.nd.zeros_like(output) for output in executor.outputs])
        for array, value in zip(arrays, before):
            value.copyto(array)

    @functools.wraps(run)
    def forward(self: Any, is_train: bool = False, **kwargs: NDArray) -> list[NDArray]:
        if getattr(self, '_keeps_a_pass', False):
            if not hasattr(self, '_has_loops'):
                self._has_loops = any(node.op in _LOOPS for node in graph_of(self._symbol).walk())
            if self._has_loops:
                forget(self)
        outputs = run(self, is_train, **kwargs)
        self._keeps_a_pass = any(each is not None for each in self.grad_arrays or ())
        return outputs

    @functools.wraps(return_gradients)
    def backward(self: Any, *args: Gradients, **kwargs: Gradients) -> None:
        self._keeps_a_pass = False
        return return_gradients(self, *args, **kwargs)

    forward._forgets_passes = True  # type: ignore[attr-defined]
    kind.forward, kind.backward = forward, backward
