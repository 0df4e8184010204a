"""to_source: a model as a Python file with weights. from_source takes trained weights back."""
from __future__ import annotations

import os
from typing import Any, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from .. import _check
from .._files.atomic import replacing
from .._graph.graph import Graph
from ._source.class_file import flat_of, state_dict_of
from ._source.class_text import OPERATORS, Written, text_of, written
from .check.source_check import check_source
from .model import Model, narrowed
from .prepare import prepare, prepare_part
from .run.mxnet_process import begin
from .seals import check_source_target, read_state, refuse_other_model, sealed_state, weights_of

__all__ = ['from_source', 'from_torch', 'to_source', 'write_source']


def to_source(model: Model, path: str | os.PathLike[str],
              inputs: Mapping[str, Sequence[int | str]] | None = None, *,
              types: Mapping[str, _check.DType] | None = None,
              outputs: Sequence[str] | None = None, certify_by: Graph | None = None,
              states: bool = False, check: bool = True) -> None:
    """Write a model as Python source that needs only torch, with its weights beside it.

    Parameters
    ----------
    model : Model
        From `interop.load`.
    path : str
        The source, such as 'model.py'; its state dict becomes 'model.pt'. Both are written, or
        neither. Names of modules that torch imports, such as 'math.py', are refused. So are names
        of existing files that are programs, changed sources, trained weights or other models.
    inputs : dict, optional
        Shapes by name, as in `to_onnx`. Shapes left out are taken from the graph.
    types : dict, optional
        Types of inputs by name, such as ``{'data': 'int64'}``; float32 otherwise.
    outputs : list of str, optional
        Names of the outputs of the class; all outputs by default.
    certify_by : Graph, optional
        The program's graph of another length, as in `to_onnx`.
    states : bool
        Whether the class also gets methods to run it in steps, or in chunks of any number of steps:
        ``outputs, states = model.steps(data, states)``. The first states come from
        ``begin(batch)``, or from ``encode(source)`` if a decoder reads an encoder.
    check : bool
        Whether to run the source before it is written; see Notes.

    Raises
    ------
    ExportError
        A source does not have operators (all are named), a shape is missing, or the source fails or
        differs from the graph. Or, with `states`, it uses several steps of a sequence at once.
    ValueError, TypeError
        An argument has a wrong value or type.

    Notes
    -----
    The check runs the source and the model as that of `to_onnx` does. Without MXNet, or if the
    model draws random numbers, it is compared with mxrnn's own evaluation. So are the gradients of
    its loss, without random draws and with BatchNorm in inference. The docstring has the results.

    Examples
    --------
    >>> import os, tempfile
    >>> from mxrnn import interop
    >>> graph = interop.graph_from_json('''{"nodes": [
    ...     {"op": "null", "name": "data", "inputs": []},
    ...     {"op": "Activation", "name": "act", "attrs": {"act_type": "tanh"},
    ...      "inputs": [[0, 0, 0]]}], "arg_nodes": [0], "heads": [[1, 0, 0]]}''')
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     interop.to_source(interop.Model(graph, {}, {}), folder + '/act.py',
    ...                       {'data': ('batch', 3)})
    ...     print(open(folder + '/act.py').read()[-90:].strip())
    def forward(self, data: Tensor) -> Tensor:
            return torch.tanh(data)
    """
    write_source(model, os.fspath(path), inputs, types, outputs, _check.flag('states', states),
                 _check.flag('check', check), certify_by)


def write_source(model: Model, path: str, inputs: Mapping[str, Sequence[Any]] | None,
                 types: Mapping[str, Any] | None, outputs: Sequence[str] | None, states: bool,
                 check: bool = True, certify_by: Graph | None = None) -> list[tuple[str, str]]:
    """`to_source`; returns what the user is told about the file: titles, and sentences."""
    there = check_source_target(path)
    if check:
        begin()
    plan = prepare(model, inputs, types, outputs, operators=OPERATORS, certify_by=certify_by,
                   states=states, training=True)
    source = written(plan)
    state = state_dict_of(source.file)
    refuse_other_model(path, there, state, model)
    own, checked = [('note', each) for each in source.notes], []
    if check:
        def again(part: Model) -> tuple[Written, str]:
            other = written(prepare_part(part, inputs, types, training=True))
            return other, text_of(other, path, [])
        checked = check_source(source, text_of(source, path, []), again)
    weights, text = weights_of(path), text_of(source, path, [
        *plan.lines, *own, *[('note', each) for each in plan.notes],
        *(each for each in checked if each[0] != 'sizes')])
    with replacing([path, weights]) as (staged, staged_weights):
        with open(staged, 'w', encoding='utf-8') as file:
            file.write(text)
        torch.save(sealed_state(state, text), staged_weights)
    return [*plan.remarks, *own, *checked]


def from_source(weights: str | os.PathLike[str] | Mapping[str, Tensor] | nn.Module, model: Model,
                *, inputs: Mapping[str, Sequence[Any]] | None = None,
                types: Mapping[str, _check.DType] | None = None,
                outputs: Sequence[str] | None = None, certify_by: Graph | None = None,
                states: bool = False) -> Model:
    """Take the weights of a trained source back, to save them as a checkpoint.

    Parameters
    ----------
    weights : str, Module or dict
        Path of the state dict, or the module, or the module's state dict.
    model : Model
        The model that `to_source` or `to_torch` got.
    inputs, types, outputs, certify_by, states
        The arguments that `to_source` got. A module of `to_torch` knows its own.

    Returns
    -------
    Model
        `model` with the weights, bit for bit.

    Raises
    ------
    ValueError
        The state dict belongs to another model.
    """
    made = getattr(weights, '_mxrnn', None)  # by to_torch
    asked = made.asked if made is not None else {
        'inputs': inputs, 'types': types, 'outputs': outputs, 'certify_by': certify_by,
        'states': _check.flag('states', states)}
    state, file = _state_of(weights), written(
        prepare(model, training=True, **asked), in_memory=made is not None).file
    wanted = [*file.state, *file.constants]
    if set(state) != set(wanted):
        raise ValueError('weights must come from the source of model, with the options of the '
                         'export. %s' % '; '.join(
                             '%s: %s' % (what, _check.some(names)) for what, names in (
                                 ('missing', [key for key in wanted if key not in state]),
                                 ('not of this source', [str(key) for key in state
                                                         if key not in wanted])) if names))
    flat = flat_of(file)
    for key, places in file.state.items():
        try:
            value = state[key].detach().cpu().double().numpy()
        except (AttributeError, TypeError, RuntimeError):
            raise ValueError('the weights must have %s as a dense tensor of numbers, got %s' % (
                key, getattr(state[key], 'layout', type(state[key]).__name__))) from None
        if value.shape != places.shape:
            raise ValueError('the weights must have %s of shape %s, got %s' % (
                key, places.shape, value.shape))
        flat[places.reshape(-1)] = value.reshape(-1)
    own = model.params  # begin states may have had more rows
    arrays = {name: np.broadcast_to(narrowed(flat[file.places[name]], own[name].dtype),
                                    own[name].shape) for name in file.arrays}
    return model._replace(
        arg_params={name: arrays.get(name, old) for name, old in model.arg_params.items()},
        aux_params={name: arrays.get(name, old) for name, old in model.aux_params.items()})


#: The other direction of `to_torch`.
from_torch = from_source


def _state_of(weights: str | os.PathLike[str] | Mapping[str, Tensor] | nn.Module
             ) -> Mapping[str, Tensor]:
    """The state dict of a file or a module."""
    if isinstance(weights, nn.Module):
        return weights.state_dict()
    if isinstance(weights, Mapping):
        return weights
    if not isinstance(weights, (str, os.PathLike)):
        raise TypeError('weights must be a path, a module or its state dict, got %r' % (weights,))
    content = read_state(weights)
    if not isinstance(content, Mapping):
        raise ValueError('weights must be a file with a state dict, got %s' % os.fspath(weights))
    return content
