"""Runs the class of a source, in whole sequences and in steps, beside other exported files."""
from __future__ import annotations

import contextlib
from typing import Any, Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from .._source.class_text import Written
from .._source.step_methods import StepMethods
from ..prepare.steps import Layout
from .evaluator import one_seed
from .exported_file import ExportedFile, Input, in_chunks
from .reference import Data, refusing

__all__ = ['as_list', 'in_steps', 'module_of', 'whole']


def module_of(text: str, state: Mapping[str, Tensor]) -> nn.Module:
    """The class of a source with its weights, in inference mode."""
    space: dict[str, Any] = {'__name__': 'source'}
    exec(compile(text, 'source', 'exec'), space)
    module: nn.Module = space['Model']().eval()
    module.load_state_dict(state)
    return module


def whole(module: nn.Module, source: Written) -> ExportedFile:
    """The method forward."""
    inputs = _inputs(source, source.methods.inputs)

    def outputs(data: Data, _: Sequence[int]) -> list[np.ndarray]:
        with _running(data):
            return [each.numpy() for each in as_list(module(*_tensors(data, inputs)))]
    return ExportedFile(inputs, source.methods.outputs, outputs)


def in_steps(module: nn.Module, source: Written, steps: StepMethods) -> ExportedFile:
    """The methods begin or encode, and steps."""
    axes = steps.stepped.axes
    given = {name: Layout(axes[name]) for name in steps.inputs}
    names = steps.stepped.outputs[:len(steps.stepped.outputs) - len(steps.stepped.states)]
    made = {name: Layout(axes[name]) for name in names if name in axes}
    first = [] if steps.encoder is None else _inputs(source, steps.encoder)
    moving = _inputs(source, steps.inputs)

    def begin(data: Data, batch: int) -> tuple[list[np.ndarray], Any]:
        with _running(data):
            if steps.encoder is None:
                return [], module.begin(batch)
            found = module.encode(*_tensors(data, first))
            once, states = found if steps.once else ((), found)
            return [each.numpy() for each in as_list(once)], states

    def read(states: Any, arrays: Data, count: int) -> tuple[list[np.ndarray], Any]:
        data = {name: given[name].to_file(array) for name, array in arrays.items()}
        with _running(data):
            found, states = module.steps(*_tensors(data, moving), states)
        found = dict(zip(names, as_list(found)))
        return [layout.to_caller(found[name].numpy(), count)
                for name, layout in made.items()], states
    return in_chunks(list({each[0]: each for each in [*first, *moving]}.values()), steps.once,
                     given, made, begin, read)


def _inputs(source: Written, names: Sequence[str]) -> list[Input]:
    return [(name, source.plan.shapes[name], np.dtype(source.plan.types.get(name, 'float32')))
            for name in names]


def _tensors(data: Data, inputs: Sequence[Input]) -> list[Tensor]:
    return [torch.from_numpy(np.ascontiguousarray(data[name], kind)) for name, _, kind in inputs]


def as_list(outputs: Any) -> list[Tensor]:
    """A method's outputs, as a list even if there is only one."""
    return [outputs] if isinstance(outputs, Tensor) else list(outputs)


@contextlib.contextmanager
def _running(data: Data) -> Iterator[None]:
    with torch.no_grad(), refusing('torch', 'the source', data), one_seed():
        yield
