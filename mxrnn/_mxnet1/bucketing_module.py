"""MXNet 1's BucketingModule: a graph for each length, over the same parameters."""
from __future__ import annotations

import functools
import inspect
from typing import Any, Callable, Hashable, Sequence, Tuple

from . import legacy, mx
from .base_module import UNIFORM, BaseModule, Params
from .executor import Requests
from .executor_group import Described
from .monitor import Monitor
from .plain_module import Module

__all__ = ['BucketingModule']

#: From a key: the graph, the names of data, and the names of labels.
Generator = Callable[[Any], Tuple[mx.sym.Symbol, Sequence[str], Sequence[str]]]


class BucketingModule(BaseModule):
    """A module like ``mx.mod.BucketingModule`` of MXNet 1.

    Parameters
    ----------
    sym_gen : function
        Called with a bucket's key; returns the graph, the names of data, and the names of labels.
    default_bucket_key
        The key of the largest bucket.
    args, kwargs
        As for Module after the names of labels: logger, context and so on.
    """

    def __init__(self, sym_gen: Generator, default_bucket_key: Hashable = None, *args: Any,
                 **kwargs: Any) -> None:
        if default_bucket_key is None:
            raise ValueError('give default_bucket_key, got None')
        self._default_bucket_key, self._sym_gen = default_bucket_key, sym_gen
        self._options = args, kwargs
        self._curr_module = self._make(default_bucket_key)
        self.logger = self._curr_module.logger
        self._buckets: dict[Hashable, Module] = {}
        self._curr_bucket_key = default_bucket_key
        self._monitor: Monitor | None = None

    @staticmethod
    def load(prefix: str, epoch: int, sym_gen: Generator, default_bucket_key: Hashable = None,
             **kwargs: Any) -> BucketingModule:
        """A module with a checkpoint's weights; `kwargs` go to the constructor."""
        made = BucketingModule(sym_gen, default_bucket_key, **kwargs)
        module = made._curr_module
        with legacy():
            module._arg_params, module._aux_params = mx.model.load_params(prefix, epoch)
        module.params_initialized = True
        return made

    def _make(self, key: Hashable) -> Module:
        with mx.name.NameManager():  # layers without names get the same names in all buckets
            symbol, data_names, label_names = self._sym_gen(key)
        args, kwargs = self._options
        return Module(symbol, data_names, label_names, *args, **kwargs)

    def bind(self, data_shapes: Described, label_shapes: Described = None,
             for_training: bool = True, inputs_need_grad: bool = False,
             force_rebind: bool = False, shared_module: Module | None = None,
             grad_req: Requests = 'write') -> None:
        """Make executors for the largest bucket."""
        if shared_module is not None:
            raise ValueError('a BucketingModule does not support shared_module')
        if self.binded and not force_rebind:
            self.logger.warning('Already bound, ignoring bind()')
            return
        kept = self.get_params() if self.params_initialized else None
        module = self._make(self._default_bucket_key)
        module.bind(data_shapes, label_shapes, for_training, inputs_need_grad, grad_req=grad_req)
        self._curr_module, self._curr_bucket_key = module, self._default_bucket_key
        self._buckets, self._grad_req = {self._default_bucket_key: module}, grad_req
        if kept is not None:
            self.set_params(*kept)

    def switch_bucket(self, bucket_key: Hashable, data_shapes: Described,
                      label_shapes: Described = None) -> None:
        """Switch to a bucket; its module is made when it is first used."""
        self._needs('bound', self.binded)
        before = self._curr_module
        if bucket_key not in self._buckets:
            module = self._make(bucket_key)
            module.bind(data_shapes, label_shapes, before.for_training, before.inputs_need_grad,
                        shared_module=self._buckets[self._default_bucket_key],
                        grad_req=self._grad_req)
            if self._monitor is not None:
                module.install_monitor(self._monitor)
            self._buckets[bucket_key] = module
        now = self._buckets[bucket_key]
        now._params_dirty, now.params_initialized = before._params_dirty, before.params_initialized
        self._curr_module, self._curr_bucket_key = now, bucket_key

    def init_params(self, initializer: mx.init.Initializer | None = UNIFORM,
                    arg_params: Params | None = None, aux_params: Params | None = None,
                    allow_missing: bool = False, force_init: bool = False,
                    allow_extra: bool = False) -> None:
        """Set or draw the parameters, which all buckets share."""
        if force_init or not self.params_initialized:
            self._curr_module.init_params(initializer, arg_params, aux_params, allow_missing,
                                          force_init, allow_extra)

    @functools.wraps(Module.init_optimizer)  # one optimiser for all buckets
    def init_optimizer(self, *args: Any, **kwargs: Any) -> None:
        self._curr_module.init_optimizer(*args, **kwargs)
        for module in self._buckets.values():
            module.borrow_optimizer(self._curr_module)

    def prepare(self, data_batch: Any, sparse_row_id_fn: object = None) -> None:
        """Make the module of a batch's bucket in advance."""
        super().prepare(data_batch, sparse_row_id_fn)
        current = self._curr_module, self._curr_bucket_key
        self._switch_to(data_batch)
        self._curr_module, self._curr_bucket_key = current

    def _switch_to(self, batch: Any) -> None:
        self._one_batch(not isinstance(batch, list))
        self.switch_bucket(batch.bucket_key, batch.provide_data, batch.provide_label)

    def forward(self, data_batch: mx.io.DataBatch, is_train: bool | None = None) -> None:
        """Compute the outputs in the bucket that the batch names."""
        self._switch_to(data_batch)
        for module in self._buckets.values():
            module._exec_group.forget()
        self._curr_module.forward(data_batch, is_train)

    def install_monitor(self, mon: Monitor) -> None:
        """Let `mon` watch all buckets."""
        self._needs('bound', self.binded)
        self._monitor = mon
        for module in self._buckets.values():
            module.install_monitor(mon)

    def save_checkpoint(self, prefix: str, epoch: int, remove_amp_cast: bool = False) -> None:
        """Write the graph of each bucket, and the parameters."""
        for key, module in self._buckets.items():
            module.symbol.save('%s-%s-symbol.json' % (prefix, key),
                               remove_amp_cast=remove_amp_cast)
        self.save_params('%s-%04d.params' % (prefix, epoch))
        if all(isinstance(key, int) for key in self._buckets):  # MXNet 1 loads only these
            with legacy():
                mx.nd.save('%s.buckets' % prefix, mx.nd.array(list(self._buckets), dtype='int32'))


def _of_current(name: str) -> Any:
    """A method or attribute of the current bucket's module."""
    method = getattr(Module, name, None)
    if not inspect.isfunction(method):
        return property(lambda self: getattr(self._curr_module, name),
                        lambda self, value: setattr(self._curr_module, name, value),
                        doc=inspect.getdoc(method) if method else None)

    @functools.wraps(method)
    def call(self: BucketingModule, *args: Any, **kwargs: Any) -> Any:
        return getattr(self._curr_module, name)(*args, **kwargs)
    return call


for _name in ('binded', 'for_training', 'inputs_need_grad', 'params_initialized',
              'optimizer_initialized', 'symbol', 'data_names', 'label_names', 'output_names',
              'data_shapes', 'label_shapes', 'output_shapes', 'backward', 'update', 'get_params',
              'get_outputs', 'get_input_grads', 'get_states', 'set_states', 'update_metric'):
    setattr(BucketingModule, _name, _of_current(_name))
