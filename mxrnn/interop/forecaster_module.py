"""The network of a forecaster, between GluonTS's fields and its own inputs and outputs."""
from __future__ import annotations

from typing import Any, Mapping

import torch
from torch import Tensor, nn

from .model import Model
from .registry import ShapesNeeded
from .torch_model import WaitingModel, to_torch

__all__ = ['Network', 'of_quantiles']


class Network(nn.Module):
    """Takes a batch of GluonTS's fields, which `names` gives by MXNet's names.

    `form` says how the graph returns quantiles, if it does.
    """

    def __init__(self, model: Model, names: Mapping[str, str], quantiles: bool, form: Any) -> None:
        super().__init__()
        params = model.params
        network = to_torch(model) if all(
            node.stated_shape for node in model.graph.nodes
            if node.is_variable and node.name not in params) else WaitingModel(
                model, {}, ShapesNeeded(''))  # nobody can type the numbers of axes of fields
        self.inputs, self._names = network.inputs, dict(names)
        self._quantiles, self._form = quantiles, form
        #: One that waits for its first batch has no parameters that could be moved to a device.
        self._waiting = [network] if isinstance(network, WaitingModel) else []
        if not self._waiting and any(each.dtype == 'float64' for each in model.arg_params.values()):
            network = network.double()
        self.network: Any = None if self._waiting else network

    def forward(self, *args: Any, **batch: Any) -> Any:
        kind = next((each.dtype for each in self.parameters()), torch.float32)
        # All of the parameters' type, as GluonTS passes them to MXNet.
        given = {name: batch[self._names[name]].to(kind) for name in self.inputs}
        array = (self._waiting or [self.network])[0](**given)
        if self._waiting:
            self.network, self._waiting = self._waiting[0], []
        return of_quantiles(self._form, array) if self._quantiles else array


def of_quantiles(form: Any, array: Tensor) -> Any:
    """Quantiles in the form of today's GluonTS: (batch, time, quantiles), not changed later."""
    return (array.transpose(1, 2) if form == 0 else array,), None, None  # 0: of older versions
