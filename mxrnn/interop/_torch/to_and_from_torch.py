"""to_torch and from_torch: from a model to a torch module, and its weights back."""
from __future__ import annotations

from typing import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from ... import _check
from ..._graph.graph import Graph
from ..._graph.rolling import structure
from ..model import Model
from ..prepare.input_shapes import blaming_axes, check_shapes, without_number
from ..prepare.lengths import settled
from .module import GraphModule

__all__ = ['from_torch', 'to_torch']


def to_torch(model: Model, *, outputs: Sequence[str] | None = None, roll: bool = True,
             inputs: Mapping[str, Sequence[int | str]] | None = None) -> GraphModule:
    """Make a torch.nn.Module that computes what the graph of `model` computes.

    Parameters
    ----------
    model : Model
        As `load` returns it.
    outputs : list of str, optional
        Names of the module's outputs, such as 'fc_output'. Inner nodes are allowed. All outputs of
        the graph by default.
    roll : bool
        Whether to roll up the steps of an unrolled graph where that changes no result: into
        sym.RNN, for which torch has a kernel, or into a loop.
    inputs : dict, optional
        Shapes of inputs by name, as in `to_onnx`. Shapes left out are taken from the graph when
        the module is first called.

    Returns
    -------
    GraphModule
        In inference mode, as after ``.eval()``. Parameters and buffers (auxiliary states) have
        MXNet's names in its ``state_dict``.

    Raises
    ------
    UnsupportedError
        The graph has unknown operators. The message lists all of them with their nodes.
    ExportError
        The graph ties an axis of `inputs` that is to have any size.
    ValueError
        Two variables of the graph have one name; `outputs` has a name that is not an output; or
        `inputs` has a name that is not an input, or sizes that contradict each other.
    TypeError
        `inputs` is not a dict of shapes.

    Examples
    --------
    >>> from mxrnn import interop
    >>> graph = interop.graph_from_json('''{"nodes": [
    ...     {"op": "null", "name": "data", "inputs": []},
    ...     {"op": "Activation", "name": "act", "attrs": {"act_type": "relu"},
    ...      "inputs": [[0, 0, 0]]}], "arg_nodes": [0], "heads": [[1, 0, 0]]}''')
    >>> module = interop.to_torch(interop.Model(graph, {}, {}))
    >>> module(data=torch.tensor([-1., 2.]))
    tensor([0., 2.])
    """
    _check.instance('model', model, Model, 'a Model, as load returns it')
    graph = model.graph if outputs is None else model.graph.select(outputs)
    if inputs is not None:
        plain, steps = without_number(inputs)
        given = check_shapes(plain, graph, {**model.arg_params, **model.aux_params})
        if _check.flag('roll', roll):
            arrays = {**model.arg_params, **model.aux_params}
            rolled = structure(graph).graph
            with blaming_axes(rolled, arrays, given):
                settled(rolled, arrays, given, [
                    name for name in graph.needed_variables() if name not in arrays], counted=steps)
    return GraphModule(graph, model.arg_params, model.aux_params, roll=roll, freed=inputs).eval()


def from_torch(module: GraphModule, model: Model) -> Model:
    """Take the weights back from a module, to save them as a checkpoint.

    Parameters
    ----------
    module : GraphModule
        As `to_torch` made it from `model`, trained or not.
    model : Model

    Returns
    -------
    Model
        `model` with the module's parameters and buffers, in `model`'s types.

    Raises
    ------
    ValueError
        The module was made from another graph.

    Examples
    --------
    >>> from mxrnn import interop
    >>> graph = interop.graph_from_json('''{"nodes": [
    ...     {"op": "null", "name": "data", "inputs": []},
    ...     {"op": "null", "name": "scale", "inputs": []},
    ...     {"op": "broadcast_mul", "name": "out", "inputs": [[0, 0, 0], [1, 0, 0]]}],
    ...     "arg_nodes": [0, 1], "heads": [[2, 0, 0]]}''')
    >>> model = interop.Model(graph, {'scale': np.ones((1, 3), 'float32')}, {})
    >>> module = interop.to_torch(model)
    >>> with torch.no_grad():
    ...     _ = module.get_parameter('scale').mul_(2)
    >>> interop.from_torch(module, model).arg_params['scale'].tolist()
    [[2.0, 2.0, 2.0]]
    """
    _check.instance('module', module, GraphModule, 'a module that to_torch made')
    _check.instance('model', model, Model, 'a Model, as load returns it')
    if module.graph not in (model.graph, _like(model.graph, module)):
        raise ValueError('module and model must have the same graph: pass the model that to_torch '
                         'made the module from')
    params, states = dict(model.arg_params), dict(model.aux_params)
    for values, target in (module._parameters, params), (module._buffers, states):
        for name, value in values.items():
            if value is not None:
                if name not in target or target[name].shape != value.shape:
                    raise ValueError(
                        'module and model must have the same graph: %s has shape %s in the module '
                        'and %s in the model' % (name, tuple(value.shape), (
                            target[name].shape if name in target else 'none')))
                target[name] = _array_of(value, target[name].dtype)
    return model._replace(arg_params=params, aux_params=states)


def _like(graph: Graph, module: GraphModule) -> Graph:
    """The graph of the module's outputs; `graph` itself if it does not have all of them."""
    try:
        return graph.select(module.outputs)
    except ValueError:
        return graph


def _array_of(value: Tensor, dtype: np.dtype) -> np.ndarray:
    """A copy of a tensor as an MXNet array: the inverse of `tensor`."""
    value = value.detach().cpu()
    if dtype.names == ('bfloat16',):
        return value.to(torch.bfloat16).view(torch.int16).numpy().astype(np.uint16).view(dtype)
    return np.array(value.numpy(), dtype)
