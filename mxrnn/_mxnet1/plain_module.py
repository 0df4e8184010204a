"""MXNet 1's Module: a graph with its parameters, an optimiser and one or more devices."""
from __future__ import annotations

import logging
import os
import warnings
from functools import cached_property
from operator import attrgetter
from pathlib import Path
from typing import Any, Mapping, Sequence

from .._files.atomic import replacing
from . import legacy, mx, optimizers
from .base_module import UNIFORM, BaseModule, Params, each
from .executor import Requests, refuse_groups
from .executor_group import Arrays, Described, Descs, Group, described, reshaped
from .metric_base import EvalMetric
from .monitor import Monitor
from .optimizers import Options

__all__ = ['Module']


class Module(BaseModule):
    """A module like ``mx.mod.Module`` of MXNet 1.

    Parameters
    ----------
    symbol : Symbol
    data_names, label_names, state_names, fixed_param_names : list of str
        Arguments that are data, labels, states, or parameters that are not trained.
    logger : Logger
    context : Context or list of Context
    work_load_list : list of float, optional
        Each device's share of a batch.
    group2ctxs
        Refused: MXNet 2 does not support models on several devices.
    compression_params : dict, optional
        For the key-value store.
    """

    def __init__(self, symbol: mx.sym.Symbol, data_names: Sequence[str] | None = ('data',),
                 label_names: Sequence[str] | None = ('softmax_label',),
                 logger: logging.Logger = logging,  # type: ignore[assignment]
                 context: mx.Context | Sequence[mx.Context] | None = None,
                 work_load_list: Sequence[float] | None = None,
                 fixed_param_names: Sequence[str] | None = None,
                 state_names: Sequence[str] | None = None, group2ctxs: object = None,
                 compression_params: Mapping[str, object] | None = None) -> None:
        super().__init__(logger)
        refuse_groups(group2ctxs)
        self._context = each(mx.cpu() if context is None else context)
        self._workload = work_load_list or [1] * len(self._context)
        if len(self._workload) != len(self._context):
            raise ValueError('work_load_list must have a number for each of %d devices, has %d'
                             % (len(self._context), len(self._workload)))
        self._symbol = symbol
        self._data_names, self._label_names, self._state_names, self._fixed_param_names = (
            list(names or ()) for names in (data_names, label_names, state_names,
                                            fixed_param_names))
        arguments = symbol.list_arguments()
        for what, names in (('data', self._data_names), ('label', self._label_names),
                            ('state', self._state_names), ('fixed_param', self._fixed_param_names)):
            _check_names(what, names, arguments)
        inputs = {*self._data_names, *self._label_names, *self._state_names}
        self._param_names = [name for name in arguments if name not in inputs]
        self._output_names = symbol.list_outputs()
        self._compression_params = compression_params
        self._arg_params: Params = {}
        self._aux_params: Params = {}
        self._params_dirty = False
        self._kvstore: Any = None
        self._updater: mx.optimizer.Updater | None = None
        self._preload_opt_states: str | None = None
        self._monitors: list[Monitor] = []

    data_names = property(attrgetter('_data_names'), doc='Names of the data.')
    label_names = property(attrgetter('_label_names'), doc='Names of the labels.')
    output_names = property(attrgetter('_output_names'), doc='Names of the outputs.')
    data_shapes = property(attrgetter('_exec_group.data_shapes'), doc='Shapes of the data.')
    label_shapes = property(attrgetter('_exec_group.label_shapes'), doc='Shapes of the labels.')

    @cached_property
    def _exec_group(self) -> Group:  # until bind gives the module another
        raise ValueError('the module must be bound first: call bind')

    @staticmethod
    def load(prefix: str, epoch: int, load_optimizer_states: bool = False, **kwargs: Any) -> Module:
        """A module with a checkpoint's graph and weights; `kwargs` go to the constructor."""
        with legacy():
            symbol, arg_params, aux_params = mx.model.load_checkpoint(prefix, epoch)
        module = Module(symbol=symbol, **kwargs)
        module._arg_params, module._aux_params = arg_params, aux_params
        module.params_initialized = True
        if load_optimizer_states:
            module._preload_opt_states = '%s-%04d.states' % (prefix, epoch)
        return module

    def save_checkpoint(self, prefix: str, epoch: int, save_optimizer_states: bool = False,
                        remove_amp_cast: bool = True) -> None:
        """Write graph, weights and, on request, the states of the optimiser."""
        with legacy():  # otherwise MXNet 1 cannot read the weights
            mx.model.save_checkpoint(prefix, epoch, self._symbol, *self.get_params(),
                                     remove_amp_cast=remove_amp_cast)
        if save_optimizer_states:
            self.save_optimizer_states('%s-%04d.states' % (prefix, epoch))
            self.logger.info('Saved optimizer state to "%s-%04d.states"', prefix, epoch)

    def save_optimizer_states(self, fname: str) -> None:
        """Write the states of the optimiser."""
        self._needs('ready to train', self.optimizer_initialized)
        with replacing([fname]) as stage, legacy():
            path = os.path.join(stage, os.path.basename(fname))
            if self._updater is None:
                self._kvstore.save_optimizer_states(path)
            else:
                Path(path).write_bytes(self._updater.get_states())

    def load_optimizer_states(self, fname: str) -> None:
        """Read states of the optimiser."""
        self._needs('ready to train', self.optimizer_initialized)
        with legacy():
            if self._updater is None:
                self._kvstore.load_optimizer_states(fname)
            else:
                self._updater.set_states(Path(fname).read_bytes())

    @property
    def output_shapes(self) -> list[tuple[str, tuple[int, ...]]]:
        """Names and shapes of the outputs."""
        known = {desc.name: desc.shape for desc in [*self.data_shapes, *self.label_shapes]}
        return list(zip(self._output_names, self._symbol.infer_shape(**known)[1]))

    def get_params(self) -> tuple[Params, Params]:
        """The parameters and auxiliary states, on the CPU."""
        self._needs('bound', self.params_initialized)
        if self._params_dirty:
            self._exec_group.get_params(self._arg_params, self._aux_params)
            self._params_dirty = False
        return self._arg_params, self._aux_params

    def init_params(self, initializer: mx.init.Initializer | None = UNIFORM,
                    arg_params: Params | None = None, aux_params: Params | None = None,
                    allow_missing: bool = False, force_init: bool = False,
                    allow_extra: bool = False) -> None:
        """Set parameters; `initializer` draws those that are not given."""
        if self.params_initialized and not force_init:
            warnings.warn('Parameters already initialized and force_init=False. init_params call '
                          'ignored.', stacklevel=2)
            return
        group, attrs = self._exec_group, self._symbol.attr_dict()
        for own, given in ((self._arg_params, arg_params), (self._aux_params, aux_params)):
            for name, array in sorted(own.items()):
                if given is not None and name in given:
                    if given[name] is not array:
                        given[name].astype(array.dtype).copyto(array)
                elif given is not None and not allow_missing:
                    raise RuntimeError('%s is not presented' % name)
                elif initializer is not None:
                    with legacy():  # otherwise MXNet 2 draws other numbers
                        initializer(mx.init.InitDesc(name, attrs.get(name)), array)
            extra = sorted(set(given or ()) - set(own))
            if extra and not allow_extra and initializer is None:
                raise ValueError('the graph has no parameter %s' % ', '.join(extra))
        self.params_initialized, self._params_dirty = True, False
        group.set_params(self._arg_params, self._aux_params, allow_extra)

    def bind(self, data_shapes: Described, label_shapes: Described = None,
             for_training: bool = True, inputs_need_grad: bool = False,
             force_rebind: bool = False, shared_module: Module | None = None,
             grad_req: Requests = 'write') -> None:
        """Make executors for these shapes."""
        if self.binded and not force_rebind:
            self.logger.warning('Already bound, ignoring bind()')
            return
        if inputs_need_grad and not for_training:
            raise ValueError('inputs_need_grad needs for_training=True')
        self.for_training, self.inputs_need_grad = for_training, inputs_need_grad
        arguments = self._symbol.list_arguments()
        requests = dict.fromkeys(arguments, 'null')
        if for_training:
            for name in [*self._param_names, *(self._data_names if inputs_need_grad else ())]:
                if name not in self._fixed_param_names:
                    requests[name] = grad_req if isinstance(grad_req, str) else 'write'
            if not isinstance(grad_req, str):
                requests.update(grad_req if isinstance(grad_req, Mapping)
                                else zip(arguments, grad_req))
        self._exec_group = Group(
            self._symbol, self._context, self._workload, *self._checked(data_shapes, label_shapes),
            self._param_names, self._state_names, requests,
            shared_module._exec_group if shared_module else None)
        self.binded = True
        if shared_module is not None:
            self.params_initialized = True
            self._arg_params = shared_module._arg_params
            self._aux_params = shared_module._aux_params
            if shared_module.optimizer_initialized:
                self.borrow_optimizer(shared_module)
        elif self.params_initialized:
            self._exec_group.set_params(self._arg_params, self._aux_params, allow_extra=True)
        else:
            executor = self._exec_group.execs[0]
            self._arg_params = {name: executor.arg_dict[name].copyto(mx.cpu())
                                for name in self._param_names}
            self._aux_params = {name: array.copyto(mx.cpu())
                                for name, array in executor.aux_dict.items()}

    def _checked(self, data_shapes: Described, label_shapes: Described) -> tuple[Descs, Descs]:
        data, label = described(data_shapes), described(label_shapes)
        if sorted(desc.name for desc in data) != sorted(self._data_names):
            raise ValueError('data_shapes must be of %s, are of %s'
                             % (self._data_names, [desc.name for desc in data]))
        extra = [desc.name for desc in label if desc.name not in self._label_names]
        if extra:
            warnings.warn('label_shapes are of %s, label_names are %s'
                          % (extra, self._label_names), stacklevel=3)
        return data, label

    def reshape(self, data_shapes: Described, label_shapes: Described = None) -> None:
        """Make executors for other shapes; parameters, states and monitors stay."""
        before = self._exec_group.execs
        self._exec_group.reshape(*self._checked(data_shapes, label_shapes))
        for monitor in self._monitors:
            monitor.exes = [executor for executor in monitor.exes if executor not in before]
            self.install_monitor(monitor)

    def init_optimizer(self, kvstore: str | mx.kv.KVStore | None = 'local',
                       optimizer: str | optimizers.Optimizer = 'sgd',
                       optimizer_params: Options = (('learning_rate', 0.01),),
                       force_init: bool = False) -> None:
        """Make an optimiser, and the key-value store for several devices or machines."""
        self._needs('bound', self.binded and self.params_initialized)
        if self.optimizer_initialized and not force_init:
            self.logger.warning('optimizer already initialized, ignoring...')
            return
        self.get_params()
        store, update_on_kvstore = mx.model._create_kvstore(kvstore, len(self._context),
                                                            self._arg_params)
        rows = self._exec_group.batch_size
        if store is not None and 'dist' in store.type and '_sync' in store.type:
            rows *= store.num_workers
        if update_on_kvstore:  # its keys are names
            names: dict[int | str, str] = {name: name for name in self._param_names}
        else:
            names = dict(enumerate(name for name in self._param_names for _ in self._context))
        optimizer = optimizers.ready(optimizer, optimizer_params, self._symbol, names, 1.0 / rows)
        self._optimizer, self._kvstore = optimizer, store
        self._update_on_kvstore, self._updater = update_on_kvstore, None
        if store is not None:
            if self._compression_params:
                store.set_gradient_compression(self._compression_params)
            if update_on_kvstore:
                sent = 'dist' in store.type and type(optimizer).__module__ == optimizers.HOME
                store.set_optimizer(optimizers.Sent(optimizer) if sent else optimizer)
            mx.model._initialize_kvstore(store, self._exec_group.param_arrays, self._arg_params,
                                         self._param_names, update_on_kvstore)
        if not update_on_kvstore:
            self._updater = mx.optimizer.get_updater(optimizer)
        self.optimizer_initialized = True
        if self._preload_opt_states is not None:
            self.load_optimizer_states(self._preload_opt_states)
            self._preload_opt_states = None

    def borrow_optimizer(self, shared_module: Module) -> None:
        """Use the optimiser of another module."""
        shared_module._needs('ready to train', shared_module.optimizer_initialized)
        for name in ('_optimizer', '_kvstore', '_update_on_kvstore', '_updater'):
            setattr(self, name, getattr(shared_module, name))
        self.optimizer_initialized = True

    def forward(self, data_batch: mx.io.DataBatch, is_train: bool | None = None) -> None:
        """Compute the outputs of a batch, which may have other shapes than the bound ones."""
        self._needs('bound', self.binded and self.params_initialized)
        self._one_batch(not isinstance(data_batch, list))
        group, shapes = self._exec_group, [tuple(array.shape) for array in data_batch.data]
        if shapes != [tuple(desc.shape) for desc in group.data_shapes]:
            self.reshape(reshaped(group.data_shapes, data_batch.data),
                         reshaped(group.label_shapes, data_batch.label or ()))
        group.forward(data_batch, self.for_training if is_train is None else is_train)

    def backward(self, out_grads: mx.nd.NDArray | Sequence[mx.nd.NDArray] | None = None) -> None:
        """Compute the gradients."""
        self._exec_group.backward(out_grads)

    def update(self) -> None:
        """Change the parameters with their gradients."""
        self._needs('ready to train', self.optimizer_initialized)
        self._params_dirty = True
        params, gradients = self._exec_group.param_arrays, self._exec_group.grad_arrays
        if self._update_on_kvstore:
            mx.model._update_params_on_kvstore(params, gradients, self._kvstore, self._param_names)
        else:
            mx.model._update_params(params, gradients, updater=self._updater,
                                    num_device=len(self._context), kvstore=self._kvstore,
                                    param_names=self._param_names)

    def get_outputs(self, merge_multi_context: bool = True) -> Arrays:
        """Outputs of the last forward pass, joined over the devices or as a list for each."""
        return self._exec_group.get_outputs(merge_multi_context)

    def get_input_grads(self, merge_multi_context: bool = True) -> Arrays:
        """Gradients of the data, joined over the devices or as a list for each."""
        return self._exec_group.get_input_grads(merge_multi_context)

    def get_states(self, merge_multi_context: bool = True) -> Arrays:
        """The states: arguments that are neither data nor parameters."""
        return self._exec_group.get_states(merge_multi_context)

    def set_states(self, states: Arrays | None = None, value: float | None = None) -> None:
        """Set the states: arrays for a whole batch or by device, or one value everywhere."""
        self._exec_group.set_states(states, value)

    def update_metric(self, eval_metric: EvalMetric, labels: Sequence[mx.nd.NDArray],
                      pre_sliced: bool = False) -> None:
        """Update a metric with the last outputs and `labels`, those of a whole batch."""
        self._one_batch(not pre_sliced)
        self._exec_group.update_metric(eval_metric, labels)

    def install_monitor(self, mon: Monitor) -> None:
        """Let `mon` watch the executors."""
        if mon not in self._monitors:
            self._monitors.append(mon)
        for executor in self._exec_group.execs:
            mon.install(executor)


def _check_names(what: str, names: Sequence[str], arguments: Sequence[str]) -> None:
    for name in names:
        if name not in arguments:
            text = ('%s_names %r is not among the arguments of the graph. Those that may be meant: '
                    '%s' % (what, name, ', '.join(
                        each for each in arguments
                        if not each.endswith(('_weight', '_bias', '_gamma', '_beta')))))
            if what != 'label':
                raise ValueError(text)
            warnings.warn(text, stacklevel=3)
