"""One graph on one or more devices: an executor for each, and batches cut among them."""
from __future__ import annotations

from typing import Any, Iterable, Mapping, Sequence

import mxnet as mx

from .executor import Executor

__all__ = ['Group', 'described', 'joined', 'merged', 'reshaped']


def described(shapes: Any) -> list[Any]:
    """Names and shapes as a list of DataDesc."""
    return [each if isinstance(each, mx.io.DataDesc) else mx.io.DataDesc(*each)
            for each in shapes or ()]


def merged(parts: Sequence[Any], axis: int) -> Any:
    """Join what the devices have computed; a value without an axis of batches is the first's."""
    if len(parts) == 1 or axis < 0:
        return parts[0]
    first = parts[0].context
    return mx.nd.concat(*[part.as_in_context(first) for part in parts], dim=axis)


class Group:
    """Executors of one graph, which share each batch.

    Parameters
    ----------
    symbol : Symbol
    contexts : list of Context
    workload : list of float
        How much of a batch each device gets.
    data_shapes, label_shapes : list of DataDesc
    params : list of str
        Names of the arguments that are no inputs.
    requests : dict of str to str
        'write', 'add' or 'null' by argument.
    shared : Group, optional
        Its parameters, with their gradients, are used.
    """

    def __init__(self, symbol: Any, contexts: Sequence[Any], workload: Sequence[float],
                 data_shapes: Sequence[Any], label_shapes: Sequence[Any], params: Sequence[str],
                 requests: Mapping[str, str], shared: Group | None = None) -> None:
        self.symbol, self.contexts, self.workload = symbol, list(contexts), list(workload)
        self.data_shapes, self.label_shapes = list(data_shapes), list(label_shapes)
        self.params, self.requests = list(params), dict(requests)
        self.slices = self._cut()
        self.execs: list[Executor] = []
        for i, ctx in enumerate(self.contexts):
            inputs = [*self.data_shapes, *self.label_shapes]
            shapes = {desc.name: self._part(desc, i) for desc in inputs}
            types = {desc.name: desc.dtype for desc in inputs}
            self.execs.append(symbol.simple_bind(
                ctx, self.requests, types, shared_arg_names=self.params,
                shared_exec=shared.execs[i] if shared else None, shared_buffer={}, **shapes))

    @property
    def batch_size(self) -> int:
        """Rows of a batch, over all devices."""
        desc = self.data_shapes[0]
        return int(desc.shape[max(_axis(desc), 0)])

    def _cut(self) -> list[slice]:
        """The rows of each device."""
        total, rows, slices, begin = sum(self.workload), self.batch_size, [], 0
        if rows < len(self.contexts):
            raise ValueError('a batch of %d cannot be cut among %d devices'
                             % (rows, len(self.contexts)))
        for i, share in enumerate(self.workload):
            end = rows if i + 1 == len(self.workload) else begin + int(round(rows * share / total))
            if end <= begin:
                raise ValueError('work_load_list %r leaves a device without rows of a batch of %d'
                                 % (self.workload, rows))
            slices.append(slice(begin, end))
            begin = end
        return slices

    def _part(self, desc: Any, device: int) -> tuple[int, ...]:
        shape, axis = list(desc.shape), _axis(desc)
        if axis >= 0:
            shape[axis] = self.slices[device].stop - self.slices[device].start
        return tuple(shape)

    def _rows(self, array: Any, desc: Any, device: int) -> Any:
        axis = _axis(desc)
        if axis < 0 or len(self.execs) == 1:
            return array
        rows = self.slices[device]
        return mx.nd.slice_axis(array, axis=axis, begin=rows.start, end=rows.stop)

    def _load(self, arrays: Sequence[Any], descs: Sequence[Any], what: str) -> None:
        if len(arrays) != len(descs):
            raise ValueError('the batch has %d arrays of %s, the module is bound to %s'
                             % (len(arrays), what, ', '.join(desc.name for desc in descs)))
        for array, desc in zip(arrays, descs):
            if not isinstance(array, mx.nd.NDArray):
                array = mx.nd.array(array, dtype=desc.dtype)
            for device, executor in enumerate(self.execs):
                if desc.name in executor.arg_dict:
                    part = self._rows(array, desc, device)
                    executor.arg_dict[desc.name][:] = part.as_in_context(self.contexts[device])

    def forward(self, batch: Any, is_train: bool) -> None:
        """Run all devices on their parts of `batch`."""
        self._load(batch.data, self.data_shapes, 'data')
        if self.label_shapes and batch.label:
            self._load(batch.label, self.label_shapes, 'labels')
        for executor in self.execs:
            executor.forward(is_train)

    def backward(self, out_grads: Any) -> None:
        """Compute gradients; `out_grads` are of the outputs of a whole batch."""
        if out_grads is not None and not isinstance(out_grads, (list, tuple)):
            out_grads = [out_grads]
        for device, executor in enumerate(self.execs):
            heads = None
            if out_grads:
                heads = [mx.nd.slice_axis(gradient, axis=axis, begin=self.slices[device].start,
                                          end=self.slices[device].stop)
                         if axis >= 0 and len(self.execs) > 1 else gradient
                         for gradient, axis in zip(out_grads, self.output_axes())]
            executor.backward(heads)

    def output_axes(self) -> list[int]:
        """The axis of batches of each output; -1 where it has none."""
        return [mx.io.DataDesc.get_batch_axis(self.symbol[i].attr('__layout__'))
                for i in range(len(self.symbol.list_outputs()))]

    def outputs(self, merge: bool, begin: int = 0, end: int | None = None) -> list[Any]:
        """Outputs, joined over the devices or as a list for each."""
        columns = list(zip(*[executor.outputs for executor in self.execs]))[begin:end]
        if not merge:
            return [list(column) for column in columns]
        return [merged(column, axis) for column, axis in zip(columns, self.output_axes()[begin:])]

    def arrays(self, names: Iterable[str], gradients: bool = False) -> list[list[Any]]:
        """Arguments, or their gradients, as a list for each name over the devices."""
        return [[(executor.grad_dict if gradients else executor.arg_dict)[name]
                 for executor in self.execs] for name in names]

    def input_grads(self, merge: bool) -> list[Any]:
        """Gradients of the data."""
        arrays = self.arrays([desc.name for desc in self.data_shapes], gradients=True)
        if not merge:
            return arrays
        return [merged(parts, _axis(desc)) for parts, desc in zip(arrays, self.data_shapes)]

    def fill(self, names: Sequence[str], arrays: Any, value: Any) -> None:
        """Write `arrays`, of a whole batch or by device, or else one value into arguments."""
        for i, parts in enumerate(self.arrays(names)):
            for device, array in enumerate(parts):
                if arrays is None:
                    array[:] = value
                    continue
                given = arrays[i]
                if isinstance(given, (list, tuple)):
                    given = given[device]
                elif len(parts) > 1:
                    given = given[self.slices[device]]
                array[:] = given.as_in_context(array.context)

    def set_params(self, arg_params: Mapping[str, Any], aux_params: Mapping[str, Any],
                   allow_extra: bool) -> None:
        """Write parameters to all devices."""
        for executor in self.execs:
            executor.copy_params_from(arg_params, aux_params, allow_extra_params=allow_extra)

    def get_params(self, arg_params: Mapping[str, Any], aux_params: Mapping[str, Any]) -> None:
        """Write the parameters, averaged over the devices, into the arrays given."""
        for given, of in ((arg_params, 'arg_dict'), (aux_params, 'aux_dict')):
            for name, array in given.items():
                parts = [getattr(executor, of)[name].as_in_context(mx.cpu())
                         for executor in self.execs]
                mean = parts[0] if len(parts) == 1 else mx.nd.add_n(*parts) / len(parts)
                mean.astype(array.dtype).copyto(array)

    def update_metric(self, metric: Any, labels: Any, pre_sliced: bool) -> None:
        """Give a metric each device's outputs with their labels."""
        for device, executor in enumerate(self.execs):
            if pre_sliced:
                parts = labels[device]
            else:
                parts = [self._rows(label, desc, device)
                         for label, desc in zip(labels, self.label_shapes)]
            if self.label_shapes and not pre_sliced:
                named = {desc.name: part for desc, part in zip(self.label_shapes, parts)}
            else:
                named = dict(enumerate(parts))
            metric.update_dict(named, executor.output_dict)


def _axis(desc: Any) -> int:
    return int(mx.io.DataDesc.get_batch_axis(getattr(desc, 'layout', None)))


def reshaped(descs: Sequence[Any], arrays: Sequence[Any]) -> list[Any]:
    return [mx.io.DataDesc(desc.name, array.shape, desc.dtype, desc.layout)
            for desc, array in zip(descs, arrays)]


def joined(batches: Sequence[Any]) -> Any:
    """Batches of the devices as one."""
    data, label = ([mx.nd.concat(*arrays, dim=0) for arrays in zip(*columns)] for columns in (
        [batch.data for batch in batches], [batch.label or [] for batch in batches]))
    return mx.io.DataBatch(data, label)
