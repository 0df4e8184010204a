"""Runs a source before it is written, and compares its outputs and gradients with the graph's."""
from __future__ import annotations

import contextlib
from typing import Any, Callable, Dict, Iterable, Iterator, List, Mapping, Sequence, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from ..._files import reason_of
from ..._graph.graph import Graph
from ..._graph.operator_table import has
from ..check.difference import difference, tolerance
from ..model import Model
from ..prepare.step_layout import Layout
from ..registry import ExportError
from ..run.evaluator import evaluate, run, variables
from .constant_draws import ConstantDraws
from .layers_and_state_dict import File
from .methods import Methods
from .sample_data import FAULTS, Named, Sample, drawn
from .step_methods import StepMethods

__all__ = ['Check', 'at_own_length']

#: The largest difference of gradients, relative to the largest value: a wrong loss exceeds it, and
#: numbers that cancel out in sums do not.
_OF_GRADIENTS = 1e-3
#: Gradients of parameters and of inputs, by name.
_Gradients = List[Dict[str, np.ndarray]]
_Result = TypeVar('_Result')


class Check:
    """The check of a source; raises ExportError if something is wrong with it.

    Parameters
    ----------
    text : str
        The source.
    state : dict of str to Tensor
        Its weights.
    file, methods
        The file and the methods, as written.
    graph, model
        The graph and the model of which the source was written.
    """

    def __init__(self, text: str, state: Mapping[str, Tensor], file: File, methods: Methods,
                 graph: Graph, model: Model) -> None:
        self._file, self._methods, self._graph, self._model = file, methods, graph, model
        space: dict[str, Any] = {'__name__': 'source'}
        with _refusing():
            exec(compile(text, 'source', 'exec'), space)
            self._module: nn.Module = space['Model']().eval()
            self._module.load_state_dict(state)

    def outputs(self, graph: Graph, sample: Sample) -> tuple[float, str]:
        """The largest difference from a graph's outputs for `sample`, and how numbers were drawn.
        """
        def compare() -> float:
            with torch.no_grad(), _refusing(), _one_seed():
                got = self._module(*[sample[name] for name in self._methods.inputs])
            return _allowed(_apart(zip(_as_list(got), run(graph, self._model, sample))),
                            'the source')
        return self._drawing_alike(compare)

    def steps(self, steps: StepMethods, graph: Graph, sample: Sample) -> tuple[float, str]:
        """The largest difference of steps from their graph, and of chunks from `graph`, and how
        numbers were drawn."""
        return self._drawing_alike(lambda: self._steps(steps, sample, run(
            graph, self._model, sample)))

    def _drawing_alike(self, compare: Callable[[], _Result]) -> tuple[_Result, str]:
        """Compare with one seed. A source may draw in another order than its graph, and steps
        draw other numbers than whole sequences: constants then take the place of what is drawn."""
        try:
            return compare(), ''
        except ExportError:
            if not any(has(node.op, 'draws') for node in self._graph.walk()):
                raise
        with ConstantDraws():
            return compare(), ', with constants for random numbers'

    def _steps(self, steps: StepMethods, sample: Sample, outputs: Sequence[Tensor]) -> float:
        sources = [steps.stepped.sources[name] for name in steps.states]
        begins = dict(zip(steps.states, run(self._graph._replace(
            heads=(*sources, *self._graph.heads)), self._model, sample)))
        random = torch.Generator().manual_seed(0)
        given = {**sample, **begins, **{state.given: torch.rand(
            begins[state.given].shape, generator=random).to(begins[state.given].dtype)
            for state in steps.stepped.states}}
        wanted = run(steps.graph, self._model, given)
        with torch.no_grad(), _refusing(), _one_seed():
            got, states = self._module.steps(*[given[name] for name in steps.inputs], tuple(
                [given[name] for name in steps.states]))
            pairs = list(_pairs_of_steps(steps, self._module, sample, dict(zip(
                self._methods.outputs, outputs)), begins))
        return _allowed(_apart([*zip([*_as_list(got), *states], wanted), *pairs]),
                        'the method steps of the source')

    def loss(self, sample: Sample) -> tuple[bool, str]:
        """Compare the gradients of the loss, without what only training draws. Returns whether it
        could, and how numbers were drawn."""
        return self._drawing_alike(lambda: self._loss(sample))

    def _loss(self, sample: Sample) -> bool:
        reason: ExportError | None = None
        for labels in self._labels(sample) if self._methods.of_loss else ():
            given = {**sample, **labels}
            read = [name for name in self._methods.inputs if given[name].is_floating_point()]
            given.update((name, given[name].detach().requires_grad_()) for name in read)
            inputs = {name: given[name] for name in read}
            try:  # torch refuses labels that are not classes
                with _refusing(), _one_seed():
                    loss = self._module.loss(*[given[name] for name in self._methods.of_loss])
                    found = _gradients(loss, dict(self._module.named_parameters()), inputs)
            except ExportError as error:
                reason = reason or error
            else:
                return self._compare(found, given, inputs)
        if reason is not None:
            raise reason
        return False

    def _labels(self, sample: Sample) -> Iterator[Sample]:
        """Labels to try: both of two classes, then only one of them."""
        nodes = self._graph.nodes
        needed = {nodes[place].name for place in self._graph.needed()}
        # If a prediction equals its label, torch's and MXNet's gradients of the distance differ.
        apart = set(self._graph.ending_in([
            entry for node in nodes if node.op == 'MAERegressionOutput'
            for entry in node.inputs_of('label')]).arguments)
        names = [name for name in self._methods.of_loss if name not in needed]
        random = torch.Generator().manual_seed(0)
        for low, high in ((0, 2), (0, 1), (1, 2)):
            yield {name: torch.randint(low, high, sample[name].shape, generator=random).to(
                sample[name].dtype) + .25 * (name in apart) for name in names}

    def _compare(self, found: _Gradients, given: Sample, inputs: Sample) -> bool:
        facts, read = self._methods.facts.arrays, len(self._methods.read)
        graph = self._graph._replace(heads=self._graph.heads[read:])
        if any(node.op == 'SoftmaxOutput' and not node.multi_output and not node.preserve_shape
               and len(facts[node.inputs[0]].shape) == 4 for node in graph.nodes):
            return False  # outside of training MXNet takes another axis
        weights = variables(self._model, gradients=True)
        with _one_seed():
            outputs = evaluate(graph, {**weights, **given})
        wanted = _gradients(sum(each.sum() for each in outputs if each.requires_grad),
                            weights, inputs)
        places = self._file.places
        flat = np.zeros(1 + sum(each.size for each in places.values()),
                        np.result_type('f', *wanted[0].values()))
        for name, array in wanted[0].items():
            flat[places[name]] = array
        pairs = [(key, array * (self._file.state[key] > 0), flat[self._file.state[key]])
                 for key, array in found[0].items() if key in self._file.state]
        pairs += [(name, array, wanted[1][name]) for name, array in found[1].items()]
        largest = max([_size(other) for _, _, other in pairs], default=0.)
        for name, one, other in pairs:
            far = float(np.abs(one - other)[np.isfinite(other)].max(initial=0.))
            scale = max(_size(other), .01 * largest) or 1.
            if not far <= _OF_GRADIENTS * scale:
                raise ExportError('the gradient of %s in the loss of the source differs from the '
                                  'graph by %g' % (name, far / scale))
        return True


def _pairs_of_steps(steps: StepMethods, module: nn.Module, sample: Sample,
                    whole: Mapping[str, Tensor], begins: Sample
                    ) -> Iterator[tuple[Tensor, Tensor]]:
    """The outputs of one step and the following ones, and the same for `whole` sequences;
    `begins` are the states before the first step."""
    axes = steps.stepped.axes
    layouts = {name: Layout(each) for name, each in axes.items()}
    times = {name: layouts[name].time for name in steps.inputs}
    length = next(sample[name].shape[time] for name, time in times.items() if time is not None)
    if steps.encoder is not None:
        states = module.encode(*[sample[name] for name in steps.encoder])
    else:
        states = module.begin(next((sample[name].shape[axes[name].index('batch')]
                                    for name in steps.inputs if 'batch' in axes[name]), 1))
    if steps.once:
        found, states = states
        yield from zip(_as_list(found), (whole[name] for name in steps.once))
    zeros = {state.given for state in steps.stepped.states if not state.begin}
    yield from zip(states, (torch.zeros_like(value) if name in zeros else value
                            for name, value in begins.items()))
    states = tuple(begins.values())
    parts = []
    for begin, count in ((0, 1), (1, length - 1)):
        found, states = module.steps(*[
            sample[name] if time is None else sample[name].narrow(time, begin, count)
            for name, time in times.items()], states)
        parts.append((_as_list(found), count))
    for at, name in enumerate(steps.stepped.outputs[:len(parts[0][0])]):
        if name not in layouts:
            continue
        first, last = [layouts[name].to_caller(found[at].numpy(), count)
                       for found, count in parts]
        yield (torch.from_numpy(last if layouts[name].time is None else np.concatenate(
            [first, last], 1)), torch.from_numpy(layouts[name].to_caller(
                whole[name].numpy(), length)))


def _apart(pairs: Iterable[tuple[Tensor, Tensor]]) -> float:
    """The largest difference in pairs, relative to the second of each pair."""
    worst = 0.
    for one, other in pairs:
        if one.shape != other.shape:
            raise ExportError('the source returns an output of shape %s, but the graph %s'
                              % (tuple(one.shape), tuple(other.shape)))
        worst = max(worst, difference(*(each.detach().double().numpy() for each in (one, other))))
    return worst


def _allowed(worst: float, what: str) -> float:
    if not worst <= tolerance([]):
        raise ExportError('%s differs from the graph by %g' % (what, worst))
    return worst


def _gradients(loss: Any, weights: Sample, inputs: Sample) -> _Gradients:
    """The gradients of weights and of inputs; zeros if the loss ignores them."""
    leaves = [{name: each for name, each in weights.items() if each.requires_grad}, inputs]
    every = [each for group in leaves for each in group.values()]
    grads = iter(torch.autograd.grad(loss, every, allow_unused=True) if every and isinstance(
        loss, Tensor) and loss.requires_grad else [None] * len(every))
    return [{name: np.zeros(each.shape, 'f') if grad is None else (
        grad if grad.dtype == torch.float64 else grad.float()).numpy()
             for (name, each), grad in zip(group.items(), grads)} for group in leaves]


def _as_list(outputs: Any) -> list[Tensor]:
    return [outputs] if isinstance(outputs, Tensor) else list(outputs)


def _size(array: np.ndarray) -> float:
    """The largest magnitude in an array."""
    return float(np.abs(array[np.isfinite(array)]).max(initial=0.))


def at_own_length(graph: Graph, model: Model, shapes: Named, types: Mapping[str, Any],
                  other: Sample, own: Mapping[str, Sequence[int]]) -> Sample | None:
    """Data that a graph takes as it was unrolled.

    Parameters
    ----------
    graph : Graph
        Before its steps were rolled up.
    model, shapes, types : Model, dict, dict
        Its arrays; shapes, with names of axes of any size, and types of inputs.
    other : dict
        Data of another length, whose other axes it takes.
    own : dict
        By name of an axis, the sizes that it may have had when the graph was unrolled.

    Returns
    -------
    dict or None
        None if it takes no such data.
    """
    sizes = {size: other[name].shape[at] for name, shape in shapes.items()
             for at, size in enumerate(shape) if isinstance(size, str)}
    sizes.update(batch=3, **{name: fits[0] for name, fits in own.items()})
    sample = drawn(graph, {name: [size if isinstance(size, int) else sizes[size]
                                  for size in shape] for name, shape in shapes.items()}, types)
    with contextlib.suppress(*FAULTS):
        run(graph, model, sample)
        return sample
    return None


@contextlib.contextmanager
def _one_seed() -> Iterator[None]:
    """Draw from one seed, the one of `run`."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        yield


@contextlib.contextmanager
def _refusing() -> Iterator[None]:
    """Turn any error that the source raises into an ExportError."""
    try:
        yield
    except Exception as error:  # any class: from torch, or from Python for bad text
        raise ExportError('the source raises %s: %s' % (
            type(error).__name__, reason_of(error))) from error
