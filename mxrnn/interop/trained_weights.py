"""from_source: takes the weights of a trained source back into a model."""
from __future__ import annotations

import os
from typing import Any, Mapping, Sequence

import numpy as np
from torch import Tensor, nn

from .. import _check
from ._source.class_file import flat_of
from ._source.class_text import written
from .model import Model, narrowed
from .prepare import prepare
from .seals import read_state

__all__ = ['from_source', 'from_torch']


def from_source(weights: str | os.PathLike[str] | Mapping[str, Tensor] | nn.Module, model: Model,
                *, inputs: Mapping[str, Sequence[Any]] | None = None,
                outputs: Sequence[str] | None = None) -> Model:
    """Take the weights of a trained source back, to save them as a checkpoint.

    Parameters
    ----------
    weights : str, Module or dict
        Path of the state dict, or the module, or the module's state dict.
    model : Model
        The model that `to_source` or `to_torch` got.
    inputs, outputs
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
    asked = made.asked if made is not None else {'inputs': inputs, 'outputs': outputs}
    state, file = _state_of(weights), written(
        prepare(model, training=True, **asked), in_memory=made is not None).file
    wanted = [*file.state, *file.constants]
    if set(state) != set(wanted):
        raise ValueError('weights must come from the source of model, with the inputs and outputs '
                         'of the export. %s' % '; '.join(
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
