"""The loops for training, scoring and predicting that MXNet 1's modules share."""
from __future__ import annotations

import logging
import time
from collections import namedtuple
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterator, Sequence, TypeVar, Union

from . import legacy, mx
from . import metric_base as metrics
from .metric_base import Metric
from .monitor import Monitor
from .optimizers import Optimizer, Options

__all__ = ['BaseModule', 'BatchEndParam', 'Params', 'UNIFORM', 'each']

_T = TypeVar('_T')
_Callbacks = Union[Callable[..., object], Sequence[Callable[..., object]], None]
#: Parameters, or auxiliary states, by name.
Params = Dict[str, mx.nd.NDArray]
#: Draws parameters if the program gives no initialiser.
UNIFORM = mx.init.Uniform(0.01)
#: The argument of callbacks at the end of a batch.
BatchEndParam = namedtuple('BatchEndParam', ['epoch', 'nbatch', 'eval_metric', 'locals'])


def each(value: _T | Sequence[_T] | None) -> list[_T]:
    """`value` as a list: empty for None, of itself, or its items."""
    if value is None:
        return []
    return list(value) if isinstance(value, (list, tuple)) else [value]  # type: ignore[list-item]


class BaseModule:
    """The methods of an MXNet 1 module that build on `bind`, `forward`, `backward` and `update`."""

    if TYPE_CHECKING:
        def __getattr__(self, name: str) -> Any: ...  # which a subclass has

    def __init__(self, logger: logging.Logger = logging) -> None:  # type: ignore[assignment]
        self.logger = logger
        self.binded = self.for_training = self.inputs_need_grad = False
        self.params_initialized = self.optimizer_initialized = False
        self._symbol: mx.sym.Symbol = None  # type: ignore[assignment]

    # ---- for users

    def forward_backward(self, data_batch: mx.io.DataBatch) -> None:
        """Run a forward pass in training, and compute gradients."""
        self.forward(data_batch, is_train=True)
        self.backward()

    def score(self, eval_data: mx.io.DataIter, eval_metric: Metric, num_batch: int | None = None,
              batch_end_callback: _Callbacks = None, score_end_callback: _Callbacks = None,
              reset: bool = True, epoch: int = 0, sparse_row_id_fn: object = None
              ) -> list[tuple[str, float]]:
        """Measure predictions on `eval_data`; return names and values of the metric."""
        eval_metric, count = metrics.create(eval_metric), 0
        eval_metric.reset()
        for nbatch, eval_batch in self._batches(eval_data, num_batch, reset, sparse_row_id_fn):
            self.update_metric(eval_metric, eval_batch.label)
            for callback in each(batch_end_callback):
                callback(BatchEndParam(epoch, nbatch, eval_metric, locals()))
            count += 1
        for callback in each(score_end_callback):
            callback(BatchEndParam(epoch, count, eval_metric, locals()))
        return eval_metric.get_global_name_value()

    def _batches(self, data: mx.io.DataIter, number: int | None, reset: bool, rows: object
                 ) -> Iterator[tuple[int, mx.io.DataBatch]]:
        """Yield batches and their numbers once their outputs are computed."""
        self._needs('bound', self.binded and self.params_initialized)
        if reset:
            data.reset()
        for nbatch, batch in enumerate(data):
            if nbatch == number:
                break
            self.prepare(batch, sparse_row_id_fn=rows)
            self.forward(batch, is_train=False)
            yield nbatch, batch

    def iter_predict(self, eval_data: mx.io.DataIter, num_batch: int | None = None,
                     reset: bool = True, sparse_row_id_fn: object = None
                     ) -> Iterator[tuple[list[mx.nd.NDArray], int, mx.io.DataBatch]]:
        """Yield each batch's outputs without its padding, its number, and the batch."""
        for nbatch, batch in self._batches(eval_data, num_batch, reset, sparse_row_id_fn):
            pad = batch.pad or 0
            yield [out[:out.shape[0] - pad] for out in self.get_outputs()], nbatch, batch

    def predict(self, eval_data: mx.io.DataIter | mx.nd.NDArray, num_batch: int | None = None,
                merge_batches: bool = True, reset: bool = True, always_output_list: bool = False,
                sparse_row_id_fn: object = None
                ) -> mx.nd.NDArray | list[mx.nd.NDArray] | list[list[mx.nd.NDArray]]:
        """The outputs of all batches, joined unless `merge_batches` is false."""
        if isinstance(eval_data, mx.nd.NDArray):
            self.forward(mx.io.DataBatch([eval_data]), is_train=False)
            return self.get_outputs()[0]
        results = [[out.copy() for out in outputs] for outputs, _, _ in
                   self.iter_predict(eval_data, num_batch, reset, sparse_row_id_fn)]
        if not results or not merge_batches:
            return results
        if len({len(outputs) for outputs in results}) > 1:
            raise ValueError('batches have different numbers of outputs: set merge_batches=False')
        joined = [mx.nd.concat(*parts, dim=0) if len(parts) > 1 else parts[0]
                  for parts in zip(*results)]
        return joined if len(joined) > 1 or always_output_list else joined[0]

    def fit(self, train_data: mx.io.DataIter, eval_data: mx.io.DataIter | None = None,
            eval_metric: Metric = 'acc', epoch_end_callback: _Callbacks = None,
            batch_end_callback: _Callbacks = None, kvstore: str | mx.kv.KVStore | None = 'local',
            optimizer: str | Optimizer = 'sgd',
            optimizer_params: Options = (('learning_rate', 0.01),),
            eval_end_callback: _Callbacks = None, eval_batch_end_callback: _Callbacks = None,
            initializer: mx.init.Initializer | None = UNIFORM, arg_params: Params | None = None,
            aux_params: Params | None = None, allow_missing: bool = False,
            force_rebind: bool = False, force_init: bool = False, begin_epoch: int = 0,
            num_epoch: int | None = None, validation_metric: Metric | None = None,
            monitor: Monitor | None = None, sparse_row_id_fn: object = None) -> None:
        """Train for the epochs from `begin_epoch` to before `num_epoch`."""
        if num_epoch is None:
            raise ValueError('give num_epoch, the number of epochs, got None')
        self.bind(train_data.provide_data, train_data.provide_label, for_training=True,
                  force_rebind=force_rebind)
        if monitor is not None:
            self.install_monitor(monitor)
        self.init_params(initializer=initializer, arg_params=arg_params, aux_params=aux_params,
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
                self.update_metric(eval_metric, data_batch.label)
                try:  # before the callbacks, as in MXNet 1
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

    def _needs(self, what: str, holds: bool) -> None:
        if not holds:
            raise ValueError('the module must be %s first: call %s' % (what, {
                'bound': 'bind and init_params', 'ready to train': 'init_optimizer'}[what]))

    def _one_batch(self, holds: bool) -> None:
        if not holds:
            raise NotImplementedError('on MXNet 2 a module splits one batch among its devices: it '
                                      'takes no list of batches and no pre_sliced=True')

    def set_params(self, arg_params: Params, aux_params: Params, allow_missing: bool = False,
                   force_init: bool = True, allow_extra: bool = False) -> None:
        """Set the module's parameters."""
        self.init_params(initializer=None, arg_params=arg_params, aux_params=aux_params,
                         allow_missing=allow_missing, force_init=force_init,
                         allow_extra=allow_extra)

    def save_params(self, fname: str) -> None:
        """Write the parameters to a file."""
        with legacy():  # otherwise MXNet 1 cannot read it
            mx.nd.save(fname, {
                '%s:%s' % (kind, name): array.as_in_context(mx.cpu())
                for kind, params in zip(('arg', 'aux'), self.get_params())
                for name, array in params.items()})

    def load_params(self, fname: str) -> None:
        """Read parameters that `save_params` wrote."""
        kinds: dict[str, Params] = {'arg': {}, 'aux': {}}
        with legacy():
            arrays = mx.nd.load(fname)
        for key, array in arrays.items():
            kind, _, name = key.partition(':')
            if kind not in kinds or not name:
                raise ValueError('%s is not a file of parameters: it has an array %r'
                                 % (fname, key))
            kinds[kind][name] = array
        self.set_params(kinds['arg'], kinds['aux'])

    def prepare(self, data_batch: mx.io.DataBatch, sparse_row_id_fn: object = None) -> None:
        """Prepare for a batch; sparse parameters are not supported."""
        if sparse_row_id_fn is not None:
            raise NotImplementedError('sparse_row_id_fn is for sparse parameters, which modules on '
                                      'MXNet 2 do not have')

    symbol = property(lambda self: self._symbol, doc='The graph.')
