"""Executors as MXNet 1 has them, over the operator of a whole graph (CachedOp) of MXNet 2."""
from __future__ import annotations

import contextlib
import ctypes
from typing import Callable, Iterator, List, Mapping, Sequence, Tuple, Union

import numpy as np
from mxnet.base import NDArrayHandle
from mxnet.ndarray import CachedOp

from .._graph.graph import Entry, Graph, Node
from .._graph.reading import graph_from_json, graph_to_json
from . import mx

__all__ = ['Executor', 'infer_shapes', 'legacy']

Shapes = List[Tuple[int, ...]]
#: Gradients of the outputs.
Heads = Union[mx.nd.NDArray, Sequence[Union[mx.nd.NDArray, None]], Mapping[str, mx.nd.NDArray],
              None]
#: Is called with a name and the array of that name.
Watch = Callable[[str, mx.nd.NDArray], object]
#: Operators that hold graphs. With static memory MXNet 2 computes wrong gradients of them.
_LOOPS = {'_foreach', '_while_loop', '_cond'}
_LOSSES = {'LinearRegressionOutput', 'LogisticRegressionOutput', 'MAERegressionOutput',
           'SoftmaxOutput'}
_SUMS = 'elemwise_add', '_grad_add', 'add_n'


class Executor:
    """A graph bound to arrays, as ``Symbol.bind`` of MXNet 1 returns it.

    Arguments, gradients and auxiliary states are the arrays that were given, not copies. Each
    `forward` gives new outputs; those of the pass before keep their values.

    Parameters
    ----------
    symbol : Symbol
    ctx : Context
    args, aux_states : list of NDArray
        In the order of ``list_arguments`` and ``list_auxiliary_states``.
    args_grad : list of NDArray or None
        None where no gradient is wanted.
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
        #: The arrays that the last forward pass gave.
        self.outputs: list[mx.nd.NDArray] = []
        # Views with the memory of the arrays: other executors may want other gradients of them.
        views = {name: array.detach() for name, array in {**self.arg_dict, **self.aux_dict}.items()}
        wanted = [name for name, gradient in self.grad_dict.items() if gradient is not None]
        mx.autograd.mark_variables(
            [views[name] for name in wanted], [self.grad_dict[name] for name in wanted],
            [request for request in requests if request != 'null'])
        self._records = bool(wanted)
        self._inputs = [views[name] for name in symbol.list_inputs()]
        self._monitor: tuple[Watch, bool] | None = None
        graph = graph_from_json(symbol.tojson(remove_amp_cast=False))
        self._losses = [_is_loss(graph.nodes[head.node]) for head in graph.heads]
        with legacy():
            self._run = _operator(symbol, graph)

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
        self.outputs = []  # whose memory the new ones can take
        mode = mx.autograd.record if self._records else mx.autograd.pause
        with legacy(), mode(train_mode=bool(is_train)):
            outputs = self._run(*self._inputs, default_device=self._ctx)
        self.outputs = list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]
        return self.outputs

    def backward(self, out_grads: Heads = None, is_train: bool = True) -> None:
        """Compute the gradients that were asked for.

        Parameters
        ----------
        out_grads : NDArray, list or dict of NDArray, optional
            Gradients of the outputs; ones where none is given. Loss heads pass over theirs.
        is_train : bool
            Not used: the pass is that of the last `forward`.
        """
        if not self._records:
            return
        if not self.outputs:
            raise ValueError('backward needs a forward pass before it')
        if isinstance(out_grads, Mapping):
            out_grads = [out_grads[name] for name in self._symbol.list_outputs()]
        elif isinstance(out_grads, mx.nd.NDArray):
            out_grads = [out_grads]
        out_grads = out_grads or [None] * len(self.outputs)
        if len(out_grads) != len(self.outputs):
            raise ValueError('out_grads must have an array for each of %d outputs, has %d'
                             % (len(self.outputs), len(out_grads)))
        heads = [gradient.as_in_context(output.context) if gradient is not None
                 else output.detach() if is_loss else mx.nd.ones_like(output)
                 for gradient, output, is_loss in zip(out_grads, self.outputs, self._losses)]
        with legacy():
            mx.autograd.backward(self.outputs, head_grads=heads)

    def copy_params_from(self, arg_params: Mapping[str, mx.nd.NDArray],
                         aux_params: Mapping[str, mx.nd.NDArray] | None = None,
                         allow_extra_params: bool = False) -> None:
        """Write parameters and auxiliary states into the arrays that are bound."""
        for given, bound in ((arg_params, self.arg_dict), (aux_params or {}, self.aux_dict)):
            for name, array in given.items():
                if name in bound:
                    array.astype(bound[name].dtype).copyto(bound[name])
                elif not allow_extra_params:
                    raise ValueError('the graph has no %s' % name)

    def reshape(self, partial_shaping: bool = False, allow_up_sizing: bool = False,
                **kwargs: Sequence[int]) -> Executor:
        """Return an executor for other shapes, with the arrays whose shapes stay."""
        shapes, _, aux_shapes = infer_shapes(self._symbol, kwargs)
        if aux_shapes != [array.shape for array in self.aux_arrays]:
            raise ValueError('the shapes of auxiliary states must stay, would be %s' % aux_shapes)

        def fit(name: str, array: mx.nd.NDArray, shape: tuple[int, ...]) -> mx.nd.NDArray:
            if array.shape == shape:
                return array
            if not partial_shaping and name not in kwargs and name in self._parameters():
                raise ValueError('%s would change its shape from %s to %s: allow it by '
                                 'partial_shaping=True' % (name, array.shape, shape))
            if np.prod(shape) <= array.size:
                return array.reshape((-1,))[:int(np.prod(shape))].reshape(shape)
            if not allow_up_sizing:
                raise ValueError('%s would grow from %s to %s: allow it by allow_up_sizing=True'
                                 % (name, array.shape, shape))
            return mx.nd.zeros(shape, self._ctx, dtype=array.dtype)

        arrays = {name: fit(name, array, shape) for (name, array), shape
                  in zip(self.arg_dict.items(), shapes)}
        gradients = [None if array is None else array if array.shape == shape
                     else mx.nd.zeros(shape, self._ctx, dtype=array.dtype)
                     for array, shape in zip(self.grad_arrays, shapes)]
        return Executor(self._symbol, self._ctx, list(arrays.values()), gradients, self._requests,
                        self.aux_arrays)

    def _parameters(self) -> set[str]:
        """Arguments that look like parameters: those that have a gradient."""
        return {name for name, gradient in self.grad_dict.items() if gradient is not None}

    def set_monitor_callback(self, callback: Watch, monitor_all: bool = False) -> None:
        """Call ``callback(name, array)`` for the outputs of all operators from now on."""
        # Static memory has no values to show of what lies inside.
        self._run = _operator(self._symbol, graph_from_json(self._symbol.tojson(
            remove_amp_cast=False)), static=False)
        self._run._register_op_hook(
            lambda name, _, handle: callback(name.decode(), mx.nd.NDArray(
                ctypes.cast(handle, NDArrayHandle), writable=False)), monitor_all)

    def debug_str(self) -> str:
        """The graph, as text."""
        return str(self._symbol.debug_str())


@contextlib.contextmanager
def legacy() -> Iterator[None]:
    """Within it, 0 in a shape means 'unknown' and arrays are those of MXNet 1."""
    with mx.util.np_array(False), mx.util.np_shape(False):
        yield


def _by_name(what: str, names: Sequence[str], arrays: Sequence[mx.nd.NDArray]
             ) -> dict[str, mx.nd.NDArray]:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError('%s must have names of their own, but there are several called %s'
                         % (what, ', '.join(twice)))
    return dict(zip(names, arrays))


def _is_loss(node: Node) -> bool:
    """Whether an operator reads no gradient of its output, so that any array will do for it."""
    return node.op in _LOSSES and not (node.op == 'SoftmaxOutput' and node.out_grad)


def _operator(symbol: mx.sym.Symbol, graph: Graph, static: bool = True) -> CachedOp:
    """Make the operator that runs a graph, with static memory where that is right.

    MXNet 2.0.0b1 gives wrong gradients to variables that are added, and none to an output that is
    a variable, so sums and outputs read variables through an identity.
    """
    static = static and all(node.op not in _LOOPS for node in graph.nodes)
    cured = _through_identity(graph)
    if len(cured.nodes) > len(graph.nodes):
        symbol = mx.sym.fromjson(graph_to_json(cured))
    return CachedOp(symbol, [('static_alloc', True), ('static_shape', True)] if static else ())


def _through_identity(graph: Graph) -> Graph:
    """Put an identity behind each variable that is an output or is added."""
    nodes: list[Node] = []
    places: list[int] = []

    def moved(entries: Sequence[Entry], reads: bool) -> tuple[Entry, ...]:
        found = [Entry(places[entry.node], entry.output) for entry in entries]
        for at, entry in enumerate(found):
            if reads and nodes[entry.node].is_variable:
                nodes.append(Node('_copy', 'copy_%d' % len(nodes), {}, (entry,)))
                found[at] = Entry(len(nodes) - 1, 0)
        return tuple(found)

    for node in graph.nodes:
        inputs = moved(node.inputs, node.op in _SUMS)
        places.append(len(nodes))
        nodes.append(node._replace(inputs=inputs))
    heads = moved(graph.heads, True)
    return graph._replace(nodes=tuple(nodes), heads=heads)


def infer_shapes(symbol: mx.sym.Symbol, known: Mapping[str, Sequence[int]]
                 ) -> tuple[Shapes, Shapes, Shapes]:
    """Shapes of arguments, outputs and auxiliary states."""
    names = {*symbol.list_arguments(), *symbol.list_auxiliary_states()}
    given = {name: tuple(shape) for name, shape in known.items() if name in names}
    with legacy():
        found = symbol._infer_shape_impl(False, **given)
        if found[0] is None:
            partly = symbol._infer_shape_impl(True, **given)[0] or ()
            raise ValueError('the shapes that are given do not tell the shapes of %s' % (', '.join(
                name for name, shape in zip(symbol.list_arguments(), partly)
                if not shape or 0 in shape) or 'the arguments'))
    arg_shapes, out_shapes, aux_shapes = found
    return list(arg_shapes), list(out_shapes), list(aux_shapes)
