"""What an exported file is compared with: a model in MXNet or in the package's evaluator."""
from __future__ import annotations

import contextlib
import re
from typing import Callable, ContextManager, Iterator, List, Mapping

import numpy as np

from ..._files import reason_of
from ..._graph.graph import Graph
from ..._graph.rolling import OneInput, structure
from ..model import Model

__all__ = ['Data', 'Reference', 'Run', 'Runner', 'of_torch', 'refusing']

Data = Mapping[str, np.ndarray]
#: What onnxruntime puts before its reason: a status, the node, a place in its own source.
_STATUS = re.compile(r"^\[ONNXRuntimeError\].*?Name:('[^']*') Status Message: (?:/\S+ )?"
                     r'(?:[\w:]+\([^)]*\) )?')
Run = Callable[[Data], List[np.ndarray]]
#: Makes a function that computes a graph's outputs with a model's weights.
Runner = Callable[[Model, Graph], Run]


def of_torch() -> tuple[str, Runner] | None:
    """The package's own evaluator; None if torch cannot be imported."""
    try:
        import torch

        from . import evaluator
    except ImportError:
        return None

    def make(model: Model, graph: Graph) -> Run:
        weights = evaluator.variables(model)

        def run(data: Data) -> list[np.ndarray]:
            given = {name: torch.from_numpy(array) for name, array in data.items()}
            with torch.no_grad(), refusing('torch', 'the checkpoint', data), evaluator.one_seed():
                return [each.numpy() for each in evaluator.evaluate(graph, {**weights, **given})]
        return run
    return 'torch', make


@contextlib.contextmanager
def refusing(runner: str, what: str, data: Data) -> Iterator[None]:
    """Raise ValueError with the reason if `what`, the checkpoint or the file, refuses `data`.

    The runners have no error class for this. torch raises the error of the operator that fails, and
    onnxruntime's classes share no base but Exception.
    """
    try:
        yield
    except Exception as error:
        # MXNet puts the call or its stack before the reason.
        _, _, reason = ' '.join(str(error).split()).rpartition('MXNetError: ')
        shapes = ' and '.join('%s of shape %s' % (name, array.shape)
                              for name, array in data.items())
        if runner != 'MXNet':
            reason = _STATUS.sub(r'\1: ', reason_of(error)).replace(
                'the graph does not take %s' % shapes, '').strip()  # a module says so, too
        raise ValueError('the graph of %s does not take %s. %s says: %s' % (
            what, shapes, runner, reason)) from None


class Reference:
    """A model in MXNet or torch: its own graph, and one of any length for other data.

    Parameters
    ----------
    model : Model
    free : Graph
        The graph for other sizes than those that the model's graph was unrolled for.
    name : str
        The library's name.
    runner : Runner
    one : OneInput, optional
        How the model's graph was made of the program's, of which each step has its own input: the
        program's is run.
    """

    def __init__(self, model: Model, free: Graph, name: str, runner: Runner,
                 one: OneInput | None = None) -> None:
        self.model, self.name = model, name
        self._free, self._runner, self._one = free, runner, one
        self._own_run, self._free_run = _own_run(model, runner, one), runner(model, free)

    def of(self, model: Model, one: OneInput | None = None) -> Reference:
        """Another model in the same library; `one` is its own, unless it is part of this model."""
        return Reference(model, structure(model.graph).graph, self.name, self._runner,
                         one or self._one)

    def changed(self, change: Callable[[Graph], Graph]) -> Reference:
        """The model with changed graphs, in the same library."""
        return Reference(self.model._replace(graph=change(self.model.graph)), change(self._free),
                         self.name, self._runner)

    def in_torch(self) -> tuple[Callable[[int], ContextManager[object]], Reference]:
        """What makes torch round in another way, by a seed, and the same graphs in torch."""
        from .evaluator import Rounding
        library = of_torch()
        assert library is not None
        return Rounding, Reference(self.model, self._free, *library, self._one)

    def outputs(self, data: Data, own: bool) -> list[np.ndarray]:
        """The outputs of the model's `own` graph, or of the one for other sizes.

        Raises
        ------
        ValueError
            The graph does not take the data.
        """
        return (self._own_run if own else self._free_run)(data)


def _own_run(model: Model, runner: Runner, one: OneInput | None) -> Run:
    """Runs the program's own graph; stacks its outputs of all steps as the model's graph does."""
    own = one and one.program_of(model.graph)
    if one is None or not own:
        return runner(model, model.graph)
    joined, (program, counts) = one, own
    run = runner(model, program)

    def outputs(data: Data) -> list[np.ndarray]:
        found = iter(run(joined.split(data)))
        return [np.stack([next(found) for _ in range(count)], 1) if count else next(found)
                for count in counts]
    return outputs
