"""The loop of training, scoring and predicting that MXNet 1's modules share."""
from __future__ import annotations

import logging
import time
from collections import namedtuple
from typing import Any, Iterator

import mxnet as mx

from . import metric as metrics

__all__ = ['BaseModule', 'BatchEndParam', 'each']

#: What callbacks at the end of a batch are given.
BatchEndParam = namedtuple('BatchEndParam', ['epoch', 'nbatch', 'eval_metric', 'locals'])


def each(value: Any) -> list[Any]:
    """`value` as a list: of none, of itself, or what it lists."""
    if value is None:
        return []
    return list(value) if isinstance(value, (list, tuple)) else [value]


class BaseModule:
    """The methods of a module of MXNet 1 that need `bind`, `forward`, `backward` and `update`.

    Subclasses give ``data_names``, ``output_names``, ``data_shapes``, ``label_shapes``,
    ``output_shapes``, ``symbol`` and the methods that raise NotImplementedError here.
    """

    def __init__(self, logger: Any = logging) -> None:
        self.logger = logger
        self.binded = self.for_training = self.inputs_need_grad = False
        self.params_initialized = self.optimizer_initialized = False
        self._symbol: Any = None

    # ---- for users

    def forward_backward(self, data_batch: Any) -> None:
        """A forward pass in training, and its gradients."""
        self.forward(data_batch, is_train=True)
        self.backward()

    def score(self, eval_data: Any, eval_metric: Any, num_batch: int | None = None,
              batch_end_callback: Any = None, score_end_callback: Any = None, reset: bool = True,
              epoch: int = 0, sparse_row_id_fn: Any = None) -> list[tuple[str, float]]:
        """Measure predictions on `eval_data`; return names and values of the metric."""
        self._needs('bound', self.binded and self.params_initialized)
        if reset:
            eval_data.reset()
        eval_metric = metrics.create(eval_metric)
        eval_metric.reset()
        count = 0
        for nbatch, eval_batch in enumerate(eval_data):
            if nbatch == num_batch:
                break
            self.prepare(eval_batch, sparse_row_id_fn=sparse_row_id_fn)
            self.forward(eval_batch, is_train=False)
            self._measure(eval_metric, eval_batch)
            for callback in each(batch_end_callback):
                callback(BatchEndParam(epoch, nbatch, eval_metric, locals()))
            count += 1
        for callback in each(score_end_callback):
            callback(BatchEndParam(epoch, count, eval_metric, locals()))
        return list(eval_metric.get_global_name_value())

    def iter_predict(self, eval_data: Any, num_batch: int | None = None, reset: bool = True,
                     sparse_row_id_fn: Any = None) -> Iterator[tuple[list[Any], int, Any]]:
        """Yield the outputs of each batch without its padding, its number and the batch."""
        self._needs('bound', self.binded and self.params_initialized)
        if reset:
            eval_data.reset()
        for nbatch, eval_batch in enumerate(eval_data):
            if nbatch == num_batch:
                break
            self.prepare(eval_batch, sparse_row_id_fn=sparse_row_id_fn)
            self.forward(eval_batch, is_train=False)
            pad = eval_batch.pad or 0
            yield [out[:out.shape[0] - pad] for out in self.get_outputs()], nbatch, eval_batch

    def predict(self, eval_data: Any, num_batch: int | None = None, merge_batches: bool = True,
                reset: bool = True, always_output_list: bool = False,
                sparse_row_id_fn: Any = None) -> Any:
        """The outputs of all batches, joined unless `merge_batches` is false."""
        if isinstance(eval_data, mx.nd.NDArray):
            self.forward(mx.io.DataBatch([eval_data]), is_train=False)
            return self.get_outputs()[0]
        results = [[out.copy() for out in outputs] for outputs, _, _ in
                   self.iter_predict(eval_data, num_batch, reset, sparse_row_id_fn)]
        if not results or not merge_batches:
            return results
        if len({len(outputs) for outputs in results}) > 1:
            raise ValueError('batches have different numbers of outputs: merge_batches=False')
        joined = [mx.nd.concat(*parts, dim=0) if len(parts) > 1 else parts[0]
                  for parts in zip(*results)]
        return joined if len(joined) > 1 or always_output_list else joined[0]

    def fit(self, train_data: Any, eval_data: Any = None, eval_metric: Any = 'acc',
            epoch_end_callback: Any = None, batch_end_callback: Any = None, kvstore: Any = 'local',
            optimizer: Any = 'sgd', optimizer_params: Any = (('learning_rate', 0.01),),
            eval_end_callback: Any = None, eval_batch_end_callback: Any = None,
            initializer: Any = None, arg_params: Any = None, aux_params: Any = None,
            allow_missing: bool = False, force_rebind: bool = False, force_init: bool = False,
            begin_epoch: int = 0, num_epoch: int | None = None, validation_metric: Any = None,
            monitor: Any = None, sparse_row_id_fn: Any = None) -> None:
        """Train for the epochs from `begin_epoch` up to `num_epoch`."""
        if num_epoch is None:
            raise ValueError('num_epoch must be given: the number of epochs, got None')
        self.bind(train_data.provide_data, train_data.provide_label, for_training=True,
                  force_rebind=force_rebind)
        if monitor is not None:
            self.install_monitor(monitor)
        self.init_params(initializer=mx.init.Uniform(0.01) if initializer is None else initializer,
                         arg_params=arg_params, aux_params=aux_params,
                         allow_missing=allow_missing, force_init=force_init)
        self.init_optimizer(kvstore=kvstore, optimizer=optimizer,
                            optimizer_params=optimizer_params)
        validation_metric = eval_metric if validation_metric is None else validation_metric
        eval_metric = metrics.create(eval_metric)
        # Callbacks read these variables by MXNet 1's names.
        for epoch in range(begin_epoch, num_epoch):
            began = time.time()
            eval_metric.reset()
            nbatch, end_of_batch, eval_name_vals = 0, False, []
            data_iter = iter(train_data)
            next_data_batch = next(data_iter)
            while not end_of_batch:
                data_batch = next_data_batch
                if monitor is not None:
                    monitor.tic()
                self.forward_backward(data_batch)
                self.update()
                self._measure(eval_metric, data_batch)
                try:  # before the callbacks, as MXNet 1 does
                    next_data_batch = next(data_iter)
                    self.prepare(next_data_batch, sparse_row_id_fn=sparse_row_id_fn)
                except StopIteration:
                    end_of_batch = True
                    eval_name_vals = list(eval_metric.get_global_name_value())
                if monitor is not None:
                    monitor.toc_print()
                for callback in each(batch_end_callback):
                    callback(BatchEndParam(epoch, nbatch, eval_metric, locals()))
                nbatch += 1
            for name, value in eval_name_vals:
                self.logger.info('Epoch[%d] Train-%s=%f', epoch, name, value)
            self.logger.info('Epoch[%d] Time cost=%.3f', epoch, time.time() - began)
            arg_params, aux_params = self.get_params()
            self.set_params(arg_params, aux_params)
            for callback in each(epoch_end_callback):
                callback(epoch, self.symbol, arg_params, aux_params)
            if eval_data is not None:
                for name, value in self.score(
                        eval_data, validation_metric, score_end_callback=eval_end_callback,
                        batch_end_callback=eval_batch_end_callback, epoch=epoch):
                    self.logger.info('Epoch[%d] Validation-%s=%f', epoch, name, value)
            train_data.reset()

    def _measure(self, metric: Any, batch: Any) -> None:
        if isinstance(batch, list):
            self.update_metric(metric, [part.label for part in batch], pre_sliced=True)
        else:
            self.update_metric(metric, batch.label)

    def _needs(self, what: str, holds: bool) -> None:
        if not holds:
            raise ValueError('the module must be %s first: call %s' % (what, {
                'bound': 'bind and init_params', 'ready to train': 'init_optimizer'}[what]))

    def set_params(self, arg_params: Any, aux_params: Any, allow_missing: bool = False,
                   force_init: bool = True, allow_extra: bool = False) -> None:
        """Give the module parameters."""
        self.init_params(initializer=None, arg_params=arg_params, aux_params=aux_params,
                         allow_missing=allow_missing, force_init=force_init,
                         allow_extra=allow_extra)

    def save_params(self, fname: str) -> None:
        """Write the parameters to a file."""
        arg_params, aux_params = self.get_params()
        mx.nd.save(fname, {
            **{'arg:' + name: array.as_in_context(mx.cpu()) for name, array in arg_params.items()},
            **{'aux:' + name: array.as_in_context(mx.cpu()) for name, array in aux_params.items()}})

    def load_params(self, fname: str) -> None:
        """Read parameters that `save_params` has written."""
        kinds: dict[str, dict[str, Any]] = {'arg': {}, 'aux': {}}
        for key, array in mx.nd.load(fname).items():
            kind, _, name = key.partition(':')
            if kind not in kinds or not name:
                raise ValueError('%s is no file of parameters: it has an array %r' % (fname, key))
            kinds[kind][name] = array
        self.set_params(kinds['arg'], kinds['aux'])

    def prepare(self, data_batch: Any, sparse_row_id_fn: Any = None) -> None:
        """Get ready for a batch; sparse parameters are not to be had."""
        if sparse_row_id_fn is not None:
            raise NotImplementedError('sparse_row_id_fn is of sparse parameters, which modules on '
                                      'MXNet 2 do not have')

    def get_states(self, merge_multi_context: bool = True) -> list[Any]:
        """States that go from batch to batch: none."""
        return []

    def set_states(self, states: Any = None, value: Any = None) -> None:
        """Refuse states where there are none."""
        if states or value:
            raise ValueError('the module has no states (state_names)')

    @property
    def symbol(self) -> Any:
        """The graph."""
        return self._symbol

    # ---- for subclasses

    def get_params(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The parameters and auxiliary states."""
        raise NotImplementedError

    def init_params(self, initializer: Any = None, arg_params: Any = None, aux_params: Any = None,
                    allow_missing: bool = False, force_init: bool = False,
                    allow_extra: bool = False) -> None:
        """Draw or take parameters."""
        raise NotImplementedError

    def bind(self, data_shapes: Any, label_shapes: Any = None, for_training: bool = True,
             inputs_need_grad: bool = False, force_rebind: bool = False, shared_module: Any = None,
             grad_req: Any = 'write') -> None:
        """Make executors."""
        raise NotImplementedError

    def init_optimizer(self, kvstore: Any = 'local', optimizer: Any = 'sgd',
                       optimizer_params: Any = (('learning_rate', 0.01),),
                       force_init: bool = False) -> None:
        """Make an optimiser."""
        raise NotImplementedError

    def forward(self, data_batch: Any, is_train: bool | None = None) -> None:
        """Compute outputs."""
        raise NotImplementedError

    def backward(self, out_grads: Any = None) -> None:
        """Compute gradients."""
        raise NotImplementedError

    def update(self) -> None:
        """Change the parameters by their gradients."""
        raise NotImplementedError

    def get_outputs(self, merge_multi_context: bool = True) -> list[Any]:
        """Outputs of the last forward pass."""
        raise NotImplementedError

    def update_metric(self, eval_metric: Any, labels: Any, pre_sliced: bool = False) -> None:
        """Measure the last outputs."""
        raise NotImplementedError

    def install_monitor(self, mon: Any) -> None:
        """Watch the outputs of operators."""
        raise NotImplementedError
