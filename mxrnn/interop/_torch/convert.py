"""to_torch and from_torch: a model as a module, and the weights back."""
from __future__ import annotations

from typing import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from ... import _check
from ..._graph.graph import Graph
from ..._graph.rolling import roll as roll_up
from ..model import Model
from ..stateful import blaming_axes, check_shapes, chosen_for_steps, in_steps
from .module import GraphModule

__all__ = ['from_torch', 'to_torch']


def to_torch(model: Model, *, outputs: Sequence[str] | None = None, roll: bool = True,
             states: bool = False, inputs: Mapping[str, Sequence[int | str]] | None = None
             ) -> GraphModule:
    """Make a torch.nn.Module that computes what the graph of `model` computes.

    Parameters
    ----------
    model : Model
        As `load` gives it.
    outputs : list of str, optional
        Names of the outputs that the module is to have, those of inner nodes included, such as
        'fc_output'; all outputs of the graph by default.
    roll : bool
        Whether the steps of an unrolled graph are rolled up where that changes nothing: into
        sym.RNN, which torch has a kernel for, or into a loop.
    states : bool
        Whether the module takes the states of all recurrences as inputs and gives them as outputs,
        under the names of ``to_onnx(states=True)``, so that it runs in steps, or in chunks of any
        number of steps.
    inputs : dict, optional
        Shapes of inputs by name for `states`, as in `to_onnx`. The graph tells those that are left
        out.

    Returns
    -------
    GraphModule
        In inference mode, as after ``.eval()``. Parameters and buffers (auxiliary states) have
        MXNet's names in its ``state_dict``. With `states` it has pairs of names in `states`; a
        decoder's encoder is a module of its own, `encoder`, which shares its weights.

    Raises
    ------
    UnsupportedError
        The graph has operators that are not known here; all of them are listed, each with its
        nodes.
    ExportError
        With `states`: it uses several steps of a sequence at once.
    ValueError
        Two variables of the graph have one name, there is no output of a name in `outputs`, or
        `inputs` has another name than that of an input, or sizes that contradict each other.
    TypeError
        `inputs` is no dict of shapes.

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
    _check.instance('model', model, Model, 'a Model, as load gives it')
    graph = model.graph if outputs is None else model.graph.select(outputs)
    if _check.flag('states', states):
        if not _check.flag('roll', roll):
            raise ValueError('states are those of a graph that is rolled up: not with roll=False')
        return _stepped(graph, model, {} if inputs is None else inputs, outputs is None).eval()
    if inputs is not None:
        raise ValueError('inputs are for states=True: other modules take any shapes')
    return GraphModule(graph, model.arg_params, model.aux_params, roll=roll).eval()


def _stepped(graph: Graph, model: Model, inputs: Mapping[str, Sequence[int | str]],
             choose: bool) -> GraphModule:
    params = {**model.arg_params, **model.aux_params}
    given = check_shapes(inputs, graph, params)
    graph, _ = chosen_for_steps(graph, params, given, choose)
    with blaming_axes(graph, params, given):  # refused as by the other ways out
        _, shapes, _ = in_steps(roll_up(graph).graph, params, given)
    stepped, _, _ = in_steps(roll_up(graph, training=True).graph, params, shapes)
    encoder = None if stepped.encoder is None else GraphModule(
        stepped.encoder, model.arg_params, model.aux_params, outputs=stepped.captured)
    module = GraphModule(
        stepped.graph, model.arg_params, model.aux_params, outputs=stepped.outputs,
        states=[(each.given, each.after) for each in stepped.states], encoder=encoder,
        axes={name: stepped.axes[name] for name in (
            *stepped.shapes, *(each.given for each in stepped.states), *stepped.outputs)
            if name in stepped.axes})
    module.whole = graph
    return module


def from_torch(module: GraphModule, model: Model) -> Model:
    """Take the weights of a module back, to be saved as a checkpoint.

    Parameters
    ----------
    module : GraphModule
        As `to_torch` made it of `model`, with `states` or without, and as training has left it.
    model : Model

    Returns
    -------
    Model
        `model` with the module's parameters and buffers, of the types that `model` has.

    Raises
    ------
    ValueError
        The module is of another graph; of one with `states`: it has other weights than `model`.

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
    _check.instance('module', module, GraphModule, 'a module of to_torch')
    _check.instance('model', model, Model, 'a Model, as load gives it')
    parts = [part for part in (module.encoder, module) if part is not None]
    if not module.states and module.graph not in (model.graph, _like(model.graph, module)):
        raise ValueError('module must be made of the same graph as model')
    params, states = dict(model.arg_params), dict(model.aux_params)
    for values, target in [*((part._parameters, params) for part in parts),
                           *((part._buffers, states) for part in parts)]:
        for name, value in values.items():
            if value is not None:
                if name not in target or target[name].shape != value.shape:
                    raise ValueError('module must be made of the same graph as model: it has %s of '
                                     'shape %s, the model %s' % (name, tuple(value.shape), (
                                         target[name].shape if name in target else 'none')))
                target[name] = _array_of(value, target[name].dtype)
    return model._replace(arg_params=params, aux_params=states)


def _like(graph: Graph, module: GraphModule) -> Graph:
    """The graph of the outputs that `module` has; `graph` itself if it has no such outputs."""
    try:
        return graph.select(module.outputs)
    except ValueError:
        return graph


def _array_of(value: Tensor, dtype: np.dtype) -> np.ndarray:
    """A copy of a tensor as an array of MXNet's: the inverse of `module.tensor`."""
    value = value.detach().cpu()
    if dtype.names == ('bfloat16',):
        return value.to(torch.bfloat16).view(torch.int16).numpy().astype(np.uint16).view(dtype)
    return np.array(value.numpy(), dtype)
