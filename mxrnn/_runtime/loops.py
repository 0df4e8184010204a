"""Gradients of loops (`sym.contrib.foreach`, `while_loop`) that are right after inference.

An executor's loop keeps the values of each forward pass until a backward pass, which reads the
oldest of them. After inference, as `Module.fit` with `eval_data` does it, MXNet computes the next
gradients from the evaluation data, and until then each pass costs memory. So a loop is made to
forget a pass that no backward pass has followed, before the next one begins.
"""
from __future__ import annotations

import functools
from typing import Any

__all__ = ['cure']

#: What graphs in JSON call the operators that keep their passes.
_LOOPS = '"_foreach"', '"_while_loop"'


def cure(mx: Any) -> None:
    """Have the executors of MXNet, `mx`, forget what they must not read."""
    kind = mx.executor.Executor
    run, return_gradients = kind.forward, kind.backward
    if hasattr(run, '_forgets_passes'):
        return

    def forget(executor: Any) -> None:
        """Run a backward pass that changes nothing but the loops' memory."""
        arrays = [each for each in executor.grad_arrays + executor.aux_arrays if each is not None]
        before = [each.copy() for each in arrays]
        return_gradients(executor, [mx.nd.zeros_like(output) for output in executor.outputs])
        for array, value in zip(arrays, before):
            value.copyto(array)

    @functools.wraps(run)
    def forward(self: Any, is_train: bool = False, **kwargs: Any) -> Any:
        if getattr(self, '_keeps_a_pass', False):
            if not hasattr(self, '_has_loops'):
                graph = self._symbol.tojson()
                self._has_loops = any(name in graph for name in _LOOPS)
            if self._has_loops:
                forget(self)
        outputs = run(self, is_train, **kwargs)
        self._keeps_a_pass = any(each is not None for each in self.grad_arrays or ())
        return outputs

    @functools.wraps(return_gradients)
    def backward(self: Any, *args: Any, **kwargs: Any) -> Any:
        self._keeps_a_pass = False
        return return_gradients(self, *args, **kwargs)

    forward._forgets_passes = True  # type: ignore[attr-defined]
    kind.forward, kind.backward = forward, backward
