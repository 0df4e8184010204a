"""A graph as a torch.nn.Module."""
from __future__ import annotations

from typing import Any, Callable, Mapping, NamedTuple, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from ... import _check
from ..._graph.graph import Graph
from ..._graph.merge_rnn import merged
from ..._graph.operator_table import has
from ..._graph.rolling import structure
from ..._graph.shapes.missing_shapes import Place
from ..._graph.shapes.scales import Tie
from .._source.torch_operators import Device, tensor
from ..model import Model
from ..prepare.input_shapes import Shapes, misfit, unequal, without_number
from ..prepare.lengths import checked, opened, settled
from ..prepare.outputs import without_losses
from ..registry import ExportError
from .graph_runner import Schedule, UnsupportedError
from .runtime_sizes import Runner

__all__ = ['GraphModule', 'UnsupportedError', 'as_list', 'module_of', 'run']


class _Judged(NamedTuple):
    """A schedule, what raises a ValueError for inputs with which its graph is not right, the
    axes of inputs that must be numbers, and what ties those whose numbers the graph does not tell.
    """

    runner: Runner
    check: Callable[[dict[str, Tensor]], object]
    numbers: Mapping[Place, int]
    untold: Mapping[Place, Tie]

    def stated(self, given: Mapping[str, Tensor], first: Mapping[Place, int]) -> dict[str, Tensor]:
        """The inputs with their sizes as numbers, in a program that runs without this check."""
        numbers = {**first, **self.numbers}
        return {name: value.reshape([
            numbers.get((name, at), size) for at, size in enumerate(value.shape)])
            for name, value in given.items() if any(name == own for own, _ in numbers)}


class GraphModule(nn.Module):
    """Computes the outputs of an MXNet graph.

    Call it with the graph's inputs by name, or in the order of `inputs`. It returns the outputs in
    the order of `outputs`: one Tensor if there is one output, otherwise a tuple. Labels of loss
    heads may be left out if no gradients are computed. Loss heads
    return predictions and have MXNet's gradients. They ignore the gradient that comes from above,
    so any will do, as in ``outputs.backward(torch.ones_like(outputs))``. Without what only CTC
    losses read, a call returns the other outputs; if there are none, what the losses read.

    Parameters
    ----------
    graph : Graph
    arg_params, aux_params : dict of str to numpy.ndarray
        Values of the graph's parameters and auxiliary states. Arguments without a value become
        inputs; values under other names are ignored.
    roll : bool
        See `to_torch`.
    freed : dict, optional
        Shapes of inputs: with an axis such as 'time:35', that number of steps becomes any.

    Attributes
    ----------
    graph : Graph
        The graph as it was given. Rolling up does not change it.
    inputs, outputs : list of str
        Names, in the graph's order.
    freed : dict
    """

    def __init__(self, graph: Graph, arg_params: Mapping[str, np.ndarray],
                 aux_params: Mapping[str, np.ndarray], *, roll: bool = True,
                 freed: Mapping[str, Sequence[int | str]] | None = None) -> None:
        super().__init__()
        self.graph, self.freed = graph, dict(freed or {})
        #: Shapes of inputs that have to be kept, with names for axes of any size.
        self._axes = without_number(self.freed)[0]
        self._roll = _check.flag('roll', roll)
        #: The type of real numbers that `to`, `half` and similar calls gave the module.
        self._real: torch.dtype | None = None
        arguments, auxiliary = graph.arguments, graph.auxiliary
        graph.check_names()
        if 'training' in arguments + auxiliary:
            raise ValueError("no variable may be called training: torch's modules have an "
                             'attribute of that name')
        if 'self' in arguments and 'self' not in arg_params:
            raise ValueError('no input may be called self: inputs are passed by name, and Python '
                             'uses self')
        missing = [name for name in auxiliary if name not in aux_params]
        if missing:
            raise ValueError('aux_params must contain the auxiliary states %s' % ', '.join(missing))
        #: The graph of calls without what only CTC losses read.
        self._predicting = without_losses(graph)[0]
        self._of_ctc = {*arguments} - {*self._predicting.arguments, *arg_params}
        needed = {graph.nodes[place].name for place in graph.needed()}
        self._labels = {*arguments} - needed | self._of_ctc
        self.inputs = [name for name in arguments if name not in arg_params]
        self.outputs = graph.outputs
        # Filled directly, because MXNet's names may be names of Module's attributes.
        for name in arguments:
            if name in arg_params:
                value = tensor(arg_params[name])
                self._parameters[name] = nn.Parameter(value, value.is_floating_point())
        for name in auxiliary:
            self._buffers[name] = tensor(aux_params[name])
        #: Outputs that occur twice: in MXNet only the last one gets a gradient.
        self._again = [[i for i, head in enumerate(each.heads) if head in each.heads[i + 1:]]
                       for each in (self._predicting, graph)]
        faults = Schedule(graph).faults
        if faults:
            raise UnsupportedError('the graph has operators that cannot be run: %s' % '; '.join(
                '%s, %d times: %s' % (what, len(nodes), ', '.join(nodes[:5]) + (
                    ', …' if len(nodes) > 5 else '')) for what, nodes in sorted(faults.items())))
        #: By whether it trains, whether losses are computed, and numbers of axes of inputs.
        self._runners: dict[Any, _Judged] = {}
        #: The sizes that the first call had of axes that the graph ties without telling them.
        self._first: dict[Place, int] = {}

    def _runner(self, training: bool, losses: bool, ranks: Mapping[str, int],
                shapes: Shapes) -> _Judged:
        """The schedule of the graph, with or without CTC losses, for inputs with these numbers of
        axes, or these shapes. It is rolled up differently where training draws at random."""
        graph = self.graph if losses else self._predicting
        arrays: Any = {**self._parameters, **self._buffers}
        check: Callable[[dict[str, Tensor]], object] = len
        numbers: dict[Place, int] = {}
        untold: dict[Place, Tie] = {}
        if self._roll:
            graph = structure(graph, training=training).graph
            names = [name for name in graph.needed_variables() if name not in arrays]
            typed, steps = without_number(self.freed)
            if self.freed:
                found = settled(graph, arrays, typed, names, counted=steps)
                graph, check = found.graph, found.fits
                numbers = {(name, at): size for name, shape in found.shapes.items()
                           for at, size in enumerate(shape) if isinstance(size, int)}
            else:
                own, verdict = opened(
                    graph, arrays, {name: shapes[name] for name in names if name in shapes}, names,
                    ranks={name: ranks[name] for name in names if name in ranks})
                graph, check = verdict.graph, lambda given: checked(own, verdict, {
                    name: tuple(each.shape) for name, each in given.items() if name in own})
                tied = {(name, at): verdict.axes[label] for name, shape in own.items()
                        for at, label in enumerate(shape)
                        if isinstance(label, str) and verdict.axes[label].ties}
                numbers = {place: axis.sizes[0] for place, axis in tied.items()
                           if len(axis.sizes) == 1}
                # Of what an operator of the program makes, nothing is known.
                untold = {place: tie for place, axis in tied.items() for tie in axis.ties[::-1]
                          if tie.numbers and not axis.sizes and axis.label not in verdict.batches}
            graph = _merged(graph)
        runner = Runner(graph)
        runner.schedule.convert(self._real)
        return _Judged(runner, check, numbers, untold)

    def __getstate__(self) -> dict[str, object]:
        # The runners are functions, which pickle does not keep; they are made again.
        return {name: value for name, value in super().__getstate__().items()
                if name != '_runners'}

    def __setstate__(self, state: dict[str, object]) -> None:
        super().__setstate__(state)
        self._runners = {}

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> GraphModule:
        super()._apply(fn, recurse)
        single, double = (fn(torch.empty(0, dtype=each)).dtype
                          for each in (torch.float32, torch.float64))
        if single == double:  # then all real numbers have one type, also those made in the graph
            self._real = single
            for each in self._runners.values():
                each.runner.schedule.convert(single)
        return self

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, metadata: Any,
                              strict: bool, missing: list[str], unexpected: list[str],
                              errors: list[str]) -> None:
        super()._load_from_state_dict(state_dict, prefix, metadata, strict, missing, unexpected,
                                      errors)
        # torch reads dots in names as modules inside this one.
        own = {prefix + name for name in [*self._parameters, *self._buffers]}
        unexpected[:] = [name for name in unexpected if name not in own]

    def extra_repr(self) -> str:
        return 'inputs=%s, outputs=%s, %d nodes' % (self.inputs, self.outputs,
                                                    len(self.graph.nodes))

    def forward(self, *args: Tensor, **kwargs: Tensor) -> Any:
        """Compute the outputs."""
        given = self._given(args, kwargs)
        if torch.compiler.is_compiling() or torch.jit.is_tracing():
            return self._outputs_of(given)
        try:
            return self._outputs_of(given)
        except (IndexError, RuntimeError, ValueError) as error:
            shapes = {name: tuple(value.shape) for name, value in given.items()}
            params: Any = {**self._parameters, **self._buffers}
            rolled = structure(self.graph).graph
            reason = misfit(rolled, params, shapes) or unequal(rolled, params, shapes)
            if not reason and 'is invalid for input of size' in str(error):
                reason = 'the graph does not take %s' % ' and '.join(
                    '%s of shape %s' % (name, tuple(value.shape)) for name, value in given.items())
            if not reason:
                raise
            raise ValueError('%s\n%s' % (reason, error)) from error

    def _outputs_of(self, given: dict[str, Tensor]) -> Any:
        variables = {**self._parameters, **self._buffers, **given}
        device: Device = 'cpu'
        for value in variables.values():  # torch.export does not support generators here
            if value is not None:
                device = value.device
                break
        losses = self._of_ctc <= given.keys()
        ranks = {name: each.dim() for name, each in given.items()}
        kind = self.training, losses, tuple(ranks.items())
        if kind not in self._runners:
            self._runners[kind] = self._runner(self.training, losses, ranks, {})
        if torch.compiler.is_compiling() or torch.jit.is_tracing():
            given = {**given, **self._runners[kind].stated(given, self._first)}
        else:
            try:
                self._runners[kind].check(given)
            except ExportError:  # unless these shapes tell more than their numbers of axes
                found = self._runner(self.training, losses, {}, {
                    name: tuple(each.shape) for name, each in given.items()})
                found.check(given)
                self._runners[kind] = found
            for (name, at), tie in self._runners[kind].untold.items():
                size = given[name].shape[at]
                if self._first.setdefault((name, at), size) != size:
                    raise ExportError('axis %d of %s must be %d, as in the first call, got %d: '
                                      'node %s' % (at, name, self._first[name, at], size, tie))
        variables.update(given)
        results = self._runners[kind].runner(variables, given, self.training, device)
        for i in self._again[losses]:
            results[i] = results[i].detach()
        return results[0] if len(results) == 1 else tuple(results)

    def _given(self, args: tuple[Tensor, ...], kwargs: dict[str, Tensor]) -> dict[str, Tensor]:
        if len(args) > len(self.inputs):
            raise TypeError('expected at most %d inputs, %s, got %d'
                            % (len(self.inputs), self.inputs, len(args)))
        given = dict(zip(self.inputs, args))
        unknown = [name for name in kwargs if name not in self.inputs or name in given]
        got = {*given, *kwargs}
        optional = self._labels - self._of_ctc if got & self._of_ctc else self._labels
        missing = [name for name in self.inputs if name not in got | optional]
        if unknown or missing:
            labels = [name for name in self.inputs if name in optional]
            raise TypeError('the inputs must be %s%s, got %s' % (
                ', '.join(name for name in self.inputs if name not in labels) or 'none',
                ' (and may be %s)' % ', '.join(labels) if labels else '',
                ', '.join([*given, *kwargs]) or 'none'))
        given.update(kwargs)
        for name, value in given.items():
            _check.instance(name, value, Tensor, 'a torch.Tensor')
        if not torch.compiler.is_compiling() and not torch.jit.is_tracing():
            self._check_axes(given)
        return given

    def _check_axes(self, given: Mapping[str, Tensor]) -> None:
        """Refuse inputs with another rank or other sizes than in `freed`, and differing batch
        sizes."""
        batches: dict[int, str] = {}
        for name, axes in self._axes.items():
            if name not in given:
                continue
            shape = tuple(given[name].shape)
            if len(shape) != len(axes) or any(
                    isinstance(size, int) and size != own for size, own in zip(axes, shape)):
                raise ValueError('%s must have the shape (%s), got %s' % (
                    name, ', '.join(map(str, axes)), shape))
            batches.update({own: name for size, own in zip(axes, shape) if size == 'batch'})
        if len(batches) > 1:
            raise ValueError('inputs must have the same batch size, got %s' % ' and '.join(
                '%s of shape %s' % (name, tuple(given[name].shape)) for name in batches.values()))


def _merged(graph: Graph) -> Graph:
    """The graph with all layers in one call, unless that joins weight vectors anew."""
    joined = all(graph.nodes[node.inputs[1].node].op == '_rnn_param_concat'
                 for node in graph.nodes if has(node.op, 'kernel') and len(node.inputs) > 1)
    return merged(graph) if joined else graph


def run(graph: Graph, model: Model, sample: Mapping[str, Tensor]) -> list[Tensor]:
    """The outputs of a graph, by `to_torch`; what it draws begins with one seed."""
    module = module_of(graph, model)
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)  # of the CPU: others take longer
        outputs = module(**{name: sample[name] for name in module.inputs if name in sample})
    return [each.detach() for each in as_list(outputs)]


def module_of(graph: Graph, model: Model) -> GraphModule:
    """The module of a graph as it is, for inference."""
    return GraphModule(graph, model.arg_params, model.aux_params, roll=False).eval()


def as_list(outputs: Tensor | tuple[Tensor, ...]) -> list[Tensor]:
    """A module's outputs, as a list even if there is only one."""
    return [outputs] if isinstance(outputs, Tensor) else list(outputs)
