"""``Symbol.bind`` and ``simple_bind`` of MXNet 1."""
from __future__ import annotations

from typing import Any, Mapping, Sequence, Union

import numpy as np

from .. import _check
from . import mx
from .executor import Executor
from .running import infer_shapes

__all__ = ['Requests', 'bind', 'refuse_groups', 'simple_bind']

#: Arrays in their order or by name.
Arrays = Union[Sequence[Union[mx.nd.NDArray, None]], Mapping[str, mx.nd.NDArray]]
#: The gradients that are wanted: one answer, or one for each argument.
Requests = Union[str, Sequence[str], Mapping[str, str]]
_REQUESTS = 'write', 'add', 'null'


def _types(symbol: mx.sym.Symbol, given: Mapping[str, object]
           ) -> tuple[list[type], list[type]]:
    """Types of arguments and auxiliary states: float32 where nothing tells another."""
    names = symbol.list_arguments()
    given = {name: dtype for name, dtype in given.items() if name in names}
    try:
        found = symbol._infer_type_impl(False, **given)
    except mx.MXNetError:  # operators that must be told the type of their data
        found = None, None, None
    if found[0] is None:
        stated = symbol.attr_dict()
        free = {name: np.float32 for name in names if '__dtype__' not in stated.get(name, {})}
        found = symbol._infer_type_impl(False, **{**free, **given})
    return list(found[0]), list(found[2])


def _requests(symbol: mx.sym.Symbol, grad_req: Requests) -> list[str]:
    names = symbol.list_arguments()
    if isinstance(grad_req, str):
        requests = [grad_req] * len(names)
    elif isinstance(grad_req, Mapping):
        requests = [grad_req.get(name, 'null') for name in names]
    else:
        requests = list(grad_req)
    if len(requests) != len(names):
        raise ValueError('grad_req must have an entry for each of %d arguments, has %d'
                         % (len(names), len(requests)))
    for name, request in zip(names, requests):
        _check.choice('grad_req of %s' % name, request, _REQUESTS)
    return requests


def _listed(what: str, names: Sequence[str], arrays: Arrays | None) -> list[Any]:
    """`arrays`, given as a list or a dict, in the order of `names`."""
    if arrays is None or isinstance(arrays, Mapping):
        missing = [name for name in names if name not in (arrays or ())]
        if missing:
            raise ValueError('%s must have an array for each of %s' % (what, ', '.join(missing)))
        return [arrays[name] for name in names] if arrays else []
    arrays = list(arrays)
    if len(arrays) != len(names):
        raise ValueError('%s must have %d arrays, has %d' % (what, len(names), len(arrays)))
    return arrays


def refuse_groups(group2ctx: object) -> None:
    """Refuse a model that lies on several devices."""
    if group2ctx:
        raise NotImplementedError('group2ctx, which puts parts of one model on several devices, '
                                  'has no counterpart in MXNet 2')


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
        Refused: MXNet 2 has no models on several devices.
    shared_exec
        Not used: operators of MXNet 2 share no memory.

    Raises
    ------
    ValueError
        Arrays are missing, or `grad_req` is none of the above.
    NotImplementedError
        `group2ctx` is given.
    """
    refuse_groups(group2ctx)
    names = symbol.list_arguments()
    if args_grad is None or isinstance(args_grad, Mapping):  # which may leave some out
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
    are used anew. `kwargs` are shapes by name.

    Raises
    ------
    ValueError
        The shapes do not tell those of all arguments.
    NotImplementedError
        `group2ctx`, or sparse arrays in `stype_dict`.
    """
    refuse_groups(group2ctx)
    if any(kind not in (None, 'default') for kind in (stype_dict or {}).values()):
        raise NotImplementedError('stype_dict asks for sparse arrays, which are not bound on '
                                  'MXNet 2')
    ctx, requests = ctx or mx.context.current_context(), _requests(symbol, grad_req)
    shapes, _, aux_shapes = infer_shapes(symbol, kwargs)
    names = symbol.list_arguments()
    types, aux_types = _types(symbol, type_dict or {})
    shared = set(shared_arg_names or ())
    args, gradients = [], []
    for name, shape, dtype, request in zip(names, shapes, types, requests):
        array = gradient = None
        if shared_exec is not None and name in shared:
            array, gradient = shared_exec.arg_dict.get(name), shared_exec.grad_dict.get(name)
            if array is not None and array.shape != shape:
                raise ValueError('%s is shared and has the shape %s, must be %s'
                                 % (name, array.shape, shape))
        args.append(mx.nd.zeros(shape, ctx, dtype=dtype) if array is None else array)
        gradients.append(mx.nd.zeros(shape, ctx, dtype=dtype)
                         if gradient is None and request != 'null' else gradient)
    aux = []
    for name, shape, dtype in zip(symbol.list_auxiliary_states(), aux_shapes, aux_types):
        array = shared_exec.aux_dict.get(name) if shared_exec is not None else None
        aux.append(mx.nd.zeros(shape, ctx, dtype=dtype) if array is None else array)
    return Executor(symbol, ctx, args, gradients, requests, aux)
