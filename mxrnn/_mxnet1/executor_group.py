"""One graph on one or more devices: an executor for each device, and batches split among them."""
from __future__ import annotations

from typing import Any, Iterable, Mapping, Sequence, Tuple, Union

from . import mx
from .executor import Executor
from .metric_base import EvalMetric

__all__ = ['Array', 'Arrays', 'Described', 'Descs', 'Group', 'described', 'reshaped']

Array = mx.nd.NDArray
#: For each name an array, or one for each device.
Arrays = Sequence[Union[Array, Sequence[Array]]]
Descs = Sequence[mx.io.DataDesc]
#: Names and shapes.
Described = Union[Sequence[Union[mx.io.DataDesc, Tuple[str, Sequence[int]]]], None]


def described(shapes: Described) -> list[mx.io.DataDesc]:
    """Names and shapes as a list of DataDesc."""
    return [each if isinstance(each, mx.io.DataDesc) else mx.io.DataDesc(*each)
            for each in shapes or ()]


class Group:
    """Executors of one graph, which share each batch.

    Parameters
    ----------
    symbol : Symbol
    contexts : list of Context
    workload : list of float
        How much of a batch each device gets.
    data_shapes, label_shapes : list of DataDesc
    params, states : list of str
        Names of the arguments that are not inputs.
    requests : dict of str to str
        'write', 'add' or 'null' by argument.
    shared : Group, optional
        A group whose parameters and gradients are shared.
    """

    def __init__(self, symbol: mx.sym.Symbol, contexts: Sequence[mx.Context],
                 workload: Sequence[float], data_shapes: Descs, label_shapes: Descs,
                 params: Sequence[str], states: Sequence[str], requests: Mapping[str, str],
                 shared: Group | None = None) -> None:
        self.symbol, self.contexts, self.workload = symbol, list(contexts), list(workload)
        self.param_names, self.state_names = list(params), list(states)
        self.aux_names = symbol.list_auxiliary_states()
        types = {desc.name: desc.dtype for desc in [*data_shapes, *label_shapes]}
        self.execs: list[Executor] = [symbol.simple_bind(  # type: ignore[misc]
            ctx, type_dict=types, shared_arg_names=self.param_names,
            shared_exec=shared.execs[i] if shared else None,
            grad_req=requests, shared_buffer={}, **shapes)  # by names, which carry_states reads
            for i, (ctx, shapes) in enumerate(zip(contexts, self._shapes(
                data_shapes, label_shapes)))]

    def reshape(self, data_shapes: Descs, label_shapes: Descs) -> None:
        """Switch to batches of other shapes; parameters and states stay."""
        self.execs = [executor.reshape(partial_shaping=True, allow_up_sizing=True, **shapes)
                      for executor, shapes in zip(self.execs, self._shapes(
                          data_shapes, label_shapes))]

    def _shapes(self, data_shapes: Descs, label_shapes: Descs) -> list[dict[str, tuple[int, ...]]]:
        """Shapes by name, for each device."""
        self.data_shapes, self.label_shapes = list(data_shapes), list(label_shapes)
        self.slices = self._cut()
        return [{desc.name: self._part(desc, i) for desc in [*data_shapes, *label_shapes]}
                for i in range(len(self.contexts))]

    #: Arguments by parameter and device, and so on, for programs of MXNet 1 to read.
    param_arrays = property(lambda self: self.arrays(self.param_names))
    grad_arrays = property(lambda self: self.arrays(self.param_names, 'grad_dict'))
    state_arrays = property(lambda self: self.arrays(self.state_names))
    aux_arrays = property(lambda self: self.arrays(self.aux_names, 'aux_dict'))

    @property
    def batch_size(self) -> int:
        """Rows of a batch, on all devices together."""
        desc = self.data_shapes[0]
        return int(desc.shape[max(_axis(desc), 0)])

    def _cut(self) -> list[slice]:
        """The rows of each device."""
        total, rows, slices, begin = sum(self.workload), self.batch_size, [], 0
        for i, share in enumerate(self.workload):
            end = rows if i + 1 == len(self.workload) else begin + int(round(rows * share / total))
            if end <= begin:
                raise ValueError('a batch of %d rows leaves one of %d devices without rows, by '
                                 'work_load_list %r' % (rows, len(self.workload), self.workload))
            slices.append(slice(begin, end))
            begin = end
        return slices

    def _part(self, desc: mx.io.DataDesc, device: int) -> tuple[int, ...]:
        shape, axis = list(desc.shape), _axis(desc)
        if axis >= 0:
            shape[axis] = self.slices[device].stop - self.slices[device].start
        return tuple(shape)

    def _rows(self, array: Array, axis: int, device: int) -> Array:
        """A device's part of an array for a whole batch."""
        if axis < 0 or len(self.execs) == 1:
            return array
        rows = self.slices[device]
        return mx.nd.slice_axis(array, axis=axis, begin=rows.start, end=rows.stop)

    def _load(self, arrays: Sequence[Array], descs: Descs, what: str) -> None:
        if len(arrays) != len(descs):
            raise ValueError('the batch has %d arrays of %s, the module is bound to %s'
                             % (len(arrays), what, ', '.join(desc.name for desc in descs)))
        for array, desc in zip(arrays, descs):
            if not isinstance(array, Array):
                array = mx.nd.array(array, dtype=desc.dtype)
            for device, executor in enumerate(self.execs):
                if desc.name in executor.arg_dict:
                    part = self._rows(array, _axis(desc), device)
                    executor.arg_dict[desc.name][:] = part.as_in_context(self.contexts[device])

    def forward(self, batch: mx.io.DataBatch, is_train: bool) -> None:
        """Run all devices on their parts of `batch`."""
        self._load(batch.data, self.data_shapes, 'data')
        if self.label_shapes and batch.label:
            self._load(batch.label, self.label_shapes, 'labels')
        for executor in self.execs:
            executor.forward(is_train)

    def forget(self) -> None:
        """Free the memory of the last outputs, unless the program still uses them."""
        for executor in self.execs:
            executor.outputs = []

    def _needs_outputs(self) -> None:
        if not self.execs[0].outputs:
            raise ValueError('there are no outputs: call forward first (with several buckets, only '
                             'the last one run has outputs)')

    def backward(self, out_grads: Array | Sequence[Array] | None) -> None:
        """Compute gradients; `out_grads` are of the outputs of a whole batch."""
        self._needs_outputs()
        if isinstance(out_grads, Array):
            out_grads = [out_grads]
        for device, executor in enumerate(self.execs):
            executor.backward([self._rows(gradient, axis, device) for gradient, axis in zip(
                out_grads, self.output_axes())] if out_grads else None)

    def output_axes(self) -> list[int]:
        """The batch axis of each output; -1 if it has none."""
        return [mx.io.DataDesc.get_batch_axis(self.symbol[i].attr('__layout__'))
                for i in range(len(self.symbol.list_outputs()))]

    def get_outputs(self, merge_multi_context: bool = True, begin: int = 0,
                    end: int | None = None) -> Arrays:
        """Outputs of the last forward pass, joined over the devices or as a list for each."""
        self._needs_outputs()
        columns = list(zip(*[executor.outputs for executor in self.execs]))[begin:end]
        return _joined(columns, self.output_axes()[begin:], merge_multi_context)

    def arrays(self, names: Iterable[str], of: str = 'arg_dict') -> list[list[Array]]:
        """Arrays of the executors as a list for each name over the devices."""
        return [[getattr(executor, of)[name] for executor in self.execs] for name in names]

    def get_input_grads(self, merge_multi_context: bool = True) -> Arrays:
        """Gradients of the data; None if grad_req is 'null'."""
        arrays = self.arrays([desc.name for desc in self.data_shapes], 'grad_dict')
        if all(parts[0] is None for parts in arrays):
            raise ValueError("the module must be bound with inputs_need_grad=True, and a grad_req "
                             "for the data other than 'null'")
        return _joined(arrays, map(_axis, self.data_shapes), merge_multi_context)

    def get_states(self, merge_multi_context: bool = True) -> Arrays:
        """The states: arguments that are neither data nor parameters."""
        return _joined(self.state_arrays, [0] * len(self.state_names), merge_multi_context)

    def set_states(self, states: Arrays | None = None, value: float | None = None) -> None:
        """Set the states: arrays for a whole batch or by device, or one value everywhere."""
        if (states is None) == (value is None):
            raise ValueError('set_states takes either states or value')
        for i, parts in enumerate(self.state_arrays):
            for device, array in enumerate(parts):
                given: Any = value if states is None else states[i]
                if isinstance(given, (list, tuple)):
                    given = given[device]
                elif states is not None and len(parts) > 1:
                    given = given[self.slices[device]]
                array[:] = given if states is None else given.as_in_context(array.context)

    def set_params(self, arg_params: Mapping[str, Array], aux_params: Mapping[str, Array],
                   allow_extra: bool) -> None:
        """Write parameters to all devices."""
        for executor in self.execs:
            executor.copy_params_from(arg_params, aux_params, allow_extra_params=allow_extra)

    def get_params(self, arg_params: Mapping[str, Array], aux_params: Mapping[str, Array]) -> None:
        """Write the parameters, averaged over the devices, into the given arrays."""
        for given, of in ((arg_params, 'arg_dict'), (aux_params, 'aux_dict')):
            for name, array in given.items():
                parts = [part.as_in_context(mx.cpu()) for part in self.arrays([name], of)[0]]
                mean = parts[0] if len(parts) == 1 else mx.nd.add_n(*parts) / len(parts)
                mean.astype(array.dtype).copyto(array)

    def update_metric(self, metric: EvalMetric, labels: Sequence[Array]) -> None:
        """Update a metric with each device's outputs and labels."""
        self._needs_outputs()
        for device, executor in enumerate(self.execs):
            metric.update_dict({desc.name: self._rows(label, _axis(desc), device)
                                for label, desc in zip(labels, self.label_shapes)},
                               executor.output_dict)


def _axis(desc: mx.io.DataDesc) -> int:
    return int(mx.io.DataDesc.get_batch_axis(getattr(desc, 'layout', None)))


def _joined(arrays: Sequence[Sequence[Array]], axes: Iterable[int], merge: bool) -> Arrays:
    """The arrays of all devices, joined along the batch axis if there is one and `merge`."""
    if not merge:
        return [list(parts) for parts in arrays]
    return [mx.nd.concat(*[part.as_in_context(parts[0].context) for part in parts], dim=axis)
            if len(parts) > 1 and axis >= 0 and parts[0] is not None else parts[0]
            for parts, axis in zip(arrays, axes)]


def reshaped(descs: Descs, arrays: Sequence[Array]) -> list[mx.io.DataDesc]:
    """Descriptions of `arrays`, with the names and types of others."""
    return [mx.io.DataDesc(desc.name, array.shape, desc.dtype, desc.layout)
            for desc, array in zip(descs, arrays)]
