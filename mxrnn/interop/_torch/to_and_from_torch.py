"""to_torch and from_torch: from a model to a torch module, and its weights back."""
from __future__ import annotations

from typing import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from ... import _check
from ..._graph.graph import Graph
from ..._graph.shapes.infer import infer, variables_of
from ..ctc_predictions import marked, selected
from ..free_length_or_say_what_keeps_it import (
    naming_what_keeps,
    refuse_batch,
    refuse_stated,
    sizes_of,
)
from ..input_shapes import blaming_axes, check_shapes, graph_shapes, without_number
from ..model import Model
from ..registry import ExportError
from ..roll_without_steps import reading_windows, refuse_unequal, roll_once, rolled_up
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
        Shapes of inputs by name, as in `to_onnx`: with an axis such as 'time:35', whose number of
        steps becomes any, or if a Reshape makes windows or sequences of its rows. Shapes left out
        are taken from the graph.

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
        The graph keeps the number of an axis 'time:35'.
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
    graph = selected(model.graph, outputs)
    if inputs is not None:
        _check_free(model._replace(graph=graph), inputs, roll)
    return GraphModule(graph, model.arg_params, model.aux_params, roll=roll, freed=inputs).eval()


def _check_free(model: Model, inputs: Mapping[str, Sequence[int | str]], roll: bool) -> None:
    """Refuse `inputs` that decide nothing: without an axis 'time:35', of a graph that makes no
    windows, or sequences, of so many rows. Refuse those from which it keeps that number."""
    inputs, steps = without_number(inputs)
    params = {**model.arg_params, **model.aux_params}
    given = check_shapes(inputs, model.graph, params)
    graph = model.graph if steps else reading_windows(model, given).graph
    if not roll or steps is None and graph is model.graph and not any(
            each.kind == 'stated' for each in roll_once(graph).findings):
        raise ValueError("inputs needs an axis such as 'time:35', and roll=True: otherwise a "
                         'module takes any shapes')
    with blaming_axes(graph, params, given), naming_what_keeps(steps, graph, params, given):
        free = rolled_up(graph, steps).graph
        shapes = {**graph_shapes(free, params), **given}
        if steps:
            refuse_unequal(free, params, shapes, steps)
        faults = infer(free, variables_of(free, {**sizes_of(params), **shapes})).faults
        if faults:
            raise ExportError(str(faults[0]))
    refuse_batch(free, params, given, steps)
    refuse_stated(free, params, shapes)


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
    if module.graph not in (model.graph, *(
            _like(graph, module) for graph in (model.graph, marked(model.graph)))):
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
    """A copy of a tensor as an MXNet array: the inverse of `module.tensor`."""
    value = value.detach().cpu()
    if dtype.names == ('bfloat16',):
        return value.to(torch.bfloat16).view(torch.int16).numpy().astype(np.uint16).view(dtype)
    return np.array(value.numpy(), dtype)
