"""``bind``, ``simple_bind`` and executors of MXNet 1, over operators of whole graphs (CachedOp)."""
from __future__ import annotations

import ctypes
from typing import Any, Callable, Mapping, Sequence, Union

import numpy as np
from mxnet.base import NDArrayHandle

from .. import _check
from .._graph.graph import Node
from .._graph.symbol_json import graph_from_json
from . import legacy, mx
from .graph_as_two_cached_ops import Run
from .load_json_and_infer_shapes import infer_shapes

__all__ = ['Executor', 'Requests', 'bind', 'refuse_groups', 'simple_bind']

#: Arrays in order or by name.
Arrays = Union[Sequence[Union[mx.nd.NDArray, None]], Mapping[str, mx.nd.NDArray]]
#: Which gradients to compute: one answer, or one for each argument.
Requests = Union[str, Sequence[str], Mapping[str, str]]
_LOSSES = {'LinearRegressionOutput', 'LogisticRegressionOutput', 'MAERegressionOutput',
           'SoftmaxOutput'}


class Executor:
    """A graph bound to arrays, as ``Symbol.bind`` of MXNet 1 returns it.

    Arguments, gradients and auxiliary states are the given arrays, not copies. Each `forward`
    returns new outputs; earlier outputs keep their values.

    Parameters
    ----------
    symbol : Symbol
    ctx : Context
    args, aux_states : list of NDArray
        In the order of ``list_arguments`` and ``list_auxiliary_states``.
    args_grad : list of NDArray or None
        None if no gradient is wanted.
    requests : list of str
        'write', 'add' or 'null' for each argument.
    """

    def __init__(self, symbol: mx.sym.Symbol, ctx: mx.Context, args: Sequence[mx.nd.NDArray],
                 args_grad: Sequence[mx.nd.NDArray | None], requests: Sequence[str],
                 aux_states: Sequence[mx.nd.NDArray]) -> None:
        self._symbol, self._ctx, self._requests = symbol, ctx, list(requests)
        self.arg_arrays, self.aux_arrays = list(args), list(aux_states)
        self.grad_arrays = [gradient if request != 'null' else None
                            for gradient, request in zip(args_grad, requests)]
        self.arg_dict = _by_name('arguments', symbol.list_arguments(), self.arg_arrays)
        self.grad_dict = dict(zip(self.arg_dict, self.grad_arrays))
        self.aux_dict = _by_name('auxiliary states', symbol.list_auxiliary_states(),
                                 self.aux_arrays)
        #: The outputs of the last forward pass.
        self.outputs: list[mx.nd.NDArray] = []
        # Views with the arrays' memory, because other executors may want other gradients of them.
        views = {name: array.detach() for name, array in {**self.arg_dict, **self.aux_dict}.items()}
        wanted = [name for name, gradient in self.grad_dict.items() if gradient is not None]
        mx.autograd.mark_variables(
            [views[name] for name in wanted], [self.grad_dict[name] for name in wanted],
            [request for request in requests if request != 'null'])
        self._records = bool(wanted)
        self._values = views
        self._graph = graph_from_json(symbol.tojson(remove_amp_cast=False))
        self._losses = [_is_loss(self._graph.nodes[head.node]) for head in self._graph.heads]
        with legacy():
            self._run = Run(self._graph, {name: array.shape for name, array in views.items()})

    @property
    def output_dict(self) -> dict[str, mx.nd.NDArray]:
        """The outputs by their names."""
        return _by_name('outputs', self._symbol.list_outputs(), self.outputs)

    def forward(self, is_train: bool = False, **kwargs: mx.nd.NDArray
                ) -> list[mx.nd.NDArray]:
        """Compute the outputs; `kwargs` are values for arguments, written into their arrays."""
        for name, value in kwargs.items():
            if name not in self.arg_dict:
                raise TypeError('forward takes arguments of the graph, such as %s; got %s'
                                % (', '.join(list(self.arg_dict)[:5]), name))
            array = self.arg_dict[name]
            if value.shape != array.shape:
                raise ValueError('%s must have the shape %s that is bound, has %s'
                                 % (name, array.shape, value.shape))
            array[:] = value
        self.outputs = []  # frees memory for the new ones
        mode = mx.autograd.record if self._records else mx.autograd.pause
        with legacy(), mode(train_mode=bool(is_train)):
            self.outputs = self._run(self._values, self._ctx)
        return self.outputs

    def backward(self, out_grads: mx.nd.NDArray | Arrays | None = None, is_train: bool = True
                 ) -> None:
        """Compute the requested gradients.

        Parameters
        ----------
        out_grads : NDArray, list or dict of NDArray, optional
            Gradients of the outputs; ones by default. Loss heads ignore theirs.
        is_train : bool
            Not used: the mode is that of the last `forward`.
        """
        if not self._records:
            return
        if not self.outputs:
            raise ValueError('backward needs a forward pass before it')
        if isinstance(out_grads, mx.nd.NDArray):
            out_grads = [out_grads]
        out_grads = _listed('out_grads', self._symbol.list_outputs(),
                            out_grads or [None] * len(self.outputs))
        heads = [gradient.as_in_context(output.context) if gradient is not None
                 else output.detach() if is_loss else mx.nd.ones_like(output)
                 for gradient, output, is_loss in zip(out_grads, self.outputs, self._losses)]
        with legacy():
            mx.autograd.backward(self.outputs, head_grads=heads)

    def copy_params_from(self, arg_params: Mapping[str, mx.nd.NDArray],
                         aux_params: Mapping[str, mx.nd.NDArray] | None = None,
                         allow_extra_params: bool = False) -> None:
        """Write parameters and auxiliary states into the bound arrays."""
        for given, bound in ((arg_params, self.arg_dict), (aux_params or {}, self.aux_dict)):
            for name, array in given.items():
                if name in bound:
                    array.astype(bound[name].dtype).copyto(bound[name])
                elif not allow_extra_params:
                    raise ValueError('the graph has no %s' % name)

    def reshape(self, partial_shaping: bool = False, allow_up_sizing: bool = False,
                **kwargs: Sequence[int]) -> Executor:
        """Return an executor for other shapes; arrays whose shapes stay are shared."""
        shapes, _, aux_shapes = infer_shapes(self._symbol, kwargs)
        if aux_shapes != [array.shape for array in self.aux_arrays]:
            raise ValueError('the shapes of auxiliary states must stay, would be %s' % aux_shapes)

        def fit(name: str, array: mx.nd.NDArray, shape: tuple[int, ...]) -> mx.nd.NDArray:
            if array.shape == shape:
                return array
            is_parameter = self.grad_dict[name] is not None
            if is_parameter and name not in kwargs and not partial_shaping:
                raise ValueError('%s would change its shape from %s to %s: allow it with '
                                 'partial_shaping=True' % (name, array.shape, shape))
            if np.prod(shape) <= array.size:
                return array.reshape((-1,))[:int(np.prod(shape))].reshape(shape)
            if not allow_up_sizing:
                raise ValueError('%s would grow from %s to %s: allow it with allow_up_sizing=True'
                                 % (name, array.shape, shape))
            return mx.nd.zeros(shape, self._ctx, dtype=array.dtype)

        arrays = {name: fit(name, array, shape) for (name, array), shape
                  in zip(self.arg_dict.items(), shapes)}
        gradients = [None if array is None else array if array.shape == shape
                     else mx.nd.zeros(shape, self._ctx, dtype=array.dtype)
                     for array, shape in zip(self.grad_arrays, shapes)]
        return Executor(self._symbol, self._ctx, list(arrays.values()), gradients, self._requests,
                        self.aux_arrays)

    def set_monitor_callback(self, callback: Callable[[str, mx.nd.NDArray], object],
                             monitor_all: bool = False) -> None:
        """Call ``callback(name, array)`` for the outputs of all operators from now on."""
        with legacy():
            self._run = Run(self._graph, {}, static=False)
        self._run.watch(
            lambda name, _, handle: callback(name.decode(), mx.nd.NDArray(
                ctypes.cast(handle, NDArrayHandle), writable=False)), monitor_all)

    def debug_str(self) -> str:
        """The graph, as text."""
        return str(self._symbol.debug_str())


def _by_name(what: str, names: Sequence[str], arrays: Sequence[mx.nd.NDArray]
             ) -> dict[str, mx.nd.NDArray]:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError('%s must have different names, but there are several called %s'
                         % (what, ', '.join(twice)))
    return dict(zip(names, arrays))


def _is_loss(node: Node) -> bool:
    """Whether an operator ignores the gradient of its output, so that any array will do."""
    return node.op in _LOSSES and not (node.op == 'SoftmaxOutput' and node.out_grad)


def _types(symbol: mx.sym.Symbol, given: Mapping[str, object]
           ) -> tuple[list[type], list[type]]:
    """Types of arguments and auxiliary states; float32 if nothing tells another type."""
    names = symbol.list_arguments()
    given = {name: dtype for name, dtype in given.items() if name in names}
    try:
        found = symbol._infer_type_impl(False, **given)
    except mx.MXNetError:  # operators that need to know the type of their data
        found = None, None, None
    if found[0] is None:
        stated = symbol.attr_dict()
        free = {name: np.float32 for name in names if '__dtype__' not in stated.get(name, {})}
        found = symbol._infer_type_impl(False, **{**free, **given})
    return list(found[0]), list(found[2])


def _requests(symbol: mx.sym.Symbol, grad_req: Requests) -> list[str]:
    names = symbol.list_arguments()
    if isinstance(grad_req, str):
        grad_req = [grad_req] * len(names)
    elif isinstance(grad_req, Mapping):
        grad_req = [grad_req.get(name, 'null') for name in names]
    requests: list[str] = _listed('grad_req', names, grad_req)
    for name, request in zip(names, requests):
        _check.choice('grad_req of %s' % name, request, ('write', 'add', 'null'))
    return requests


def _listed(what: str, names: Sequence[str], given: Any) -> list[Any]:
    """A list or dict of values in the order of `names`."""
    if isinstance(given, Mapping):
        missing = [name for name in names if name not in given]
        if missing:
            raise ValueError('%s must have an array for each of %s' % (what, ', '.join(missing)))
        return [given[name] for name in names]
    given = list(given or ())
    if len(given) != len(names):
        raise ValueError('%s must have %d entries, has %d' % (what, len(names), len(given)))
    return given


def refuse_groups(group2ctx: object) -> None:
    """Refuse a model on several devices."""
    if group2ctx:
        raise NotImplementedError('group2ctx puts parts of one model on several devices, which '
                                  'MXNet 2 does not support')


def bind(symbol: mx.sym.Symbol, ctx: mx.Context, args: Arrays, args_grad: Arrays | None = None,
         grad_req: Requests = 'write', aux_states: Arrays | None = None, group2ctx: object = None,
         shared_exec: Executor | None = None) -> Executor:
    """Bind a Symbol to arrays, as ``Symbol.bind`` of MXNet 1 does.

    Parameters
    ----------
    symbol : Symbol
    ctx : Context
    args, args_grad, aux_states : list, or dict by name, of NDArray
    grad_req : str, list of str or dict of str
        'write', 'add' or 'null'.
    group2ctx
        Refused: MXNet 2 does not support models on several devices.
    shared_exec
        Not used: operators of MXNet 2 do not share memory.

    Raises
    ------
    ValueError
        Arrays are missing, or `grad_req` has another value.
    NotImplementedError
        `group2ctx` is given.
    """
    refuse_groups(group2ctx)
    names = symbol.list_arguments()
    if args_grad is None or isinstance(args_grad, Mapping):  # a mapping may omit some
        args_grad = [(args_grad or {}).get(name) for name in names]
    gradients = _listed('args_grad', names, args_grad)
    requests = ['null' if gradient is None else request
                for gradient, request in zip(gradients, _requests(symbol, grad_req))]
    return Executor(symbol, ctx, _listed('args', names, args), gradients, requests,
                    _listed('aux_states', symbol.list_auxiliary_states(), aux_states))


def simple_bind(symbol: mx.sym.Symbol, ctx: mx.Context | None = None,
                grad_req: Requests = 'write', type_dict: Mapping[str, object] | None = None,
                stype_dict: Mapping[str, str] | None = None, group2ctx: object = None,
                shared_arg_names: Sequence[str] | None = None,
                shared_exec: Executor | None = None, shared_buffer: object = None,
                **kwargs: Sequence[int]) -> Executor:
    """Bind a Symbol to new arrays of inferred shapes, as ``Symbol.simple_bind`` of MXNet 1 does.

    Arrays of `shared_exec` that are named in `shared_arg_names`, and all its auxiliary states,
    are reused. `kwargs` are shapes by name.

    Raises
    ------
    ValueError
        The shapes do not tell those of all arguments.
    NotImplementedError
        `group2ctx` is given, or `stype_dict` has sparse arrays.
    """
    refuse_groups(group2ctx)
    if any(kind not in (None, 'default') for kind in (stype_dict or {}).values()):
        raise NotImplementedError('stype_dict requests sparse arrays, which cannot be bound on '
                                  'MXNet 2')
    ctx, requests = ctx or mx.context.current_context(), _requests(symbol, grad_req)
    shapes, _, aux_shapes = infer_shapes(symbol, kwargs)
    names = symbol.list_arguments()
    types, aux_types = _types(symbol, type_dict or {})
    aux_names = symbol.list_auxiliary_states()
    again = {*(shared_arg_names or ()), *aux_names}

    def array(of: str, name: str, shape: tuple[int, ...], dtype: type) -> mx.nd.NDArray:
        """The array of the other executor, or a new one."""
        found = getattr(shared_exec, of).get(name) if shared_exec and name in again else None
        if found is None:
            return mx.nd.zeros(shape, ctx, dtype=dtype)
        if found.shape != shape:
            raise ValueError('%s is shared and has the shape %s, must be %s'
                             % (name, found.shape, shape))
        return found
    args = [array('arg_dict', *row) for row in zip(names, shapes, types)]
    gradients = [None if request == 'null' else array('grad_dict', name, shape, dtype)
                 for name, shape, dtype, request in zip(names, shapes, types, requests)]
    aux = [array('aux_dict', *row) for row in zip(aux_names, aux_shapes, aux_types)]
    return Executor(symbol, ctx, args, gradients, requests, aux)
