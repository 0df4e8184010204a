"""Puts MXNet 1's names into MXNet 2.

`add` adds names that MXNet 2 lacks; it runs wherever mxrnn is used. `complete` makes MXNet 2 behave
like MXNet 1 in the whole process, for programs that ask for it.
"""
from __future__ import annotations

import functools
import os
import sys
import types
from typing import Any, Sequence

import mxnet as mx  # untyped, because it is changed here

from . import (
    base_module,
    bucketing_module,
    executor,
    metric_base,
    metrics,
    monitor,
    optimizers,
    plain_module,
)
from .load_json_and_infer_shapes import load_json

__all__ = ['add', 'complete']

#: Names in these modules that MXNet 1 does not have there.
_OURS = 'Arrays', 'Described', 'Metric', 'Names', 'Options', 'Params', 'UNIFORM', 'array', 'each'


def add() -> None:
    """Add the names of MXNet 1 that MXNet 2 lacks."""
    mx.sym.Symbol.bind = executor.bind
    mx.sym.Symbol.simple_bind = executor.simple_bind
    mx.sym.load_json = mx.sym.symbol.load_json = load_json
    for kind in optimizers.KINDS:
        vars(sys.modules[optimizers.HOME]).setdefault(kind.__name__, kind)
    _enter('module', [base_module, plain_module, bucketing_module], 'mod')
    _enter('metric', [metric_base, metrics])
    _enter('monitor', [monitor], 'mon')
    mx.callback.module_checkpoint = _module_checkpoint
    for place in (mx.sym, mx.nd):
        vars(place.contrib).setdefault('SparseEmbedding', _refuse_sparse)


def complete() -> None:
    """Let MXNet 2 behave as programs of MXNet 1 expect; once is enough."""
    if mx.executor.Executor is executor.Executor:
        return
    add()
    # Otherwise freed memory is kept for arrays of the same size. Read with the first array.
    os.environ.setdefault('MXNET_CPU_MEM_POOL_TYPE', 'Unpooled')
    mx.npx.reset_np()  # in a shape, 0 means 'unknown'
    mx.executor.Executor = executor.Executor
    mx.Context = mx.context.Context = type(mx.cpu())
    for kind in mx.optimizer.Optimizer.opt_registry.values():
        kind.__init__ = _refuse_optimizer
    for place in (mx.optimizer, sys.modules[optimizers.HOME]):
        vars(place).update({each: getattr(optimizers, each) for each in optimizers.__all__})
    for place in (mx.nd, mx.sym):  # MXNet 2 has a different operator of this name
        place.sample_multinomial = place.sample_categorical
        place.random.multinomial = place.random.categorical
    mx.random.multinomial = mx.nd.random.categorical
    mx.model.BatchEndParam = base_module.BatchEndParam
    for name in ('Speedometer', 'log_train_metric'):
        setattr(mx.callback, name, _keeping_global(getattr(mx.callback, name)))
    _pass_over_unknown_names()
    _refuse_gluon_1()


def _enter(name: str, sources: Sequence[Any], short: str | None = None) -> None:
    """Make a module of MXNet with the public names of `sources`."""
    made = types.ModuleType('mxnet.' + name)
    found = {each: getattr(where, each) for where in sources for each in where.__all__
             if each not in _OURS}

    def missing(wanted: str) -> Any:
        raise AttributeError('%s has no %s on MXNet 2: it has %s'
                             % (made.__name__, wanted, ', '.join(sorted(found))))
    vars(made).update(found, __getattr__=missing)
    sys.modules[made.__name__] = made
    for each in (name, short or name):
        setattr(mx, each, made)


def _keeping_global(callback: Any) -> Any:
    """Let a callback of MXNet 2 reset a metric only for itself, not for the whole epoch."""
    @functools.wraps(callback, updated=())
    def make(*args: Any, **kwargs: Any) -> Any:
        made = callback(*args, **kwargs)

        def at_end_of_batch(param: Any) -> None:
            metric = param.eval_metric
            made(param if metric is None else param._replace(eval_metric=types.SimpleNamespace(
                reset=metric.reset_local, get_name_value=metric.get_name_value)))
        return at_end_of_batch
    return make


def _module_checkpoint(mod: Any, prefix: str, period: int = 1,
                       save_optimizer_states: bool = False) -> Any:
    """Return a callback that saves a module after every `period` epochs."""
    period = max(1, int(period))

    def callback(epoch: int, symbol: Any = None, arg_params: Any = None,
                 aux_params: Any = None) -> None:
        if (epoch + 1) % period == 0:
            mod.save_checkpoint(prefix, epoch + 1, save_optimizer_states)
    return callback


def _pass_over_unknown_names() -> None:
    """Let `infer_shape` accept arguments that a graph lacks, as in MXNet 1."""
    infer = mx.sym.Symbol._infer_shape_impl
    if hasattr(infer, 'passes_over'):
        return

    def infer_shape(self: Any, partial: bool, *args: Any, **kwargs: Any) -> Any:
        known = {*self.list_arguments(), *self.list_auxiliary_states()}
        return infer(self, partial, *args, **{
            name: shape for name, shape in kwargs.items() if name in known})
    infer_shape.passes_over = True  # type: ignore[attr-defined]
    mx.sym.Symbol._infer_shape_impl = infer_shape


def _refuse_sparse(*args: object, **kwargs: object) -> None:
    raise NotImplementedError('MXNet 2 has no SparseEmbedding and no other sparse parameters: use '
                              'Embedding, which computes the same')


def _refuse_optimizer(self: object, *args: object, **kwargs: object) -> None:
    raise NotImplementedError(
        'of the optimizers of MXNet 1 there are %s; %s of MXNet 2 decays biases and has other '
        'defaults' % (', '.join(kind.__name__ for kind in optimizers.KINDS),
                      type(self).__name__))


def _refuse_gluon_1() -> None:
    """Refuse to make objects of Gluon 1's classes: MXNet 2 never calls their methods."""
    def refuse(cls: type[Any], /, **kwargs: Any) -> None:
        if 'hybrid_forward' in vars(cls):
            raise NotImplementedError(
                '%s defines hybrid_forward, which is Gluon 1: MXNet 2 calls only forward'
                % cls.__name__)
    mx.gluon.HybridBlock.__init_subclass__ = classmethod(refuse)
