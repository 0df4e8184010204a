"""The check of a source: outputs as for other files, and gradients of its loss."""
from __future__ import annotations

from typing import Any, Callable, Dict, Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from ..._files import reason_of
from ..._graph.graph import Graph
from ..._graph.operator_table import has
from ..._graph.shapes.sizes import Axis, axes_in, number_for, resolve
from .._source.class_file import state_dict_of
from .._source.class_text import Written
from ..model import Model
from ..registry import ExportError
from ..run.evaluator import evaluate, one_seed, variables
from ..run.exported_file import ExportedFile
from ..run.reference import Data
from ..run.source_file import in_steps, module_of, whole
from .export_check import REMEDY, Compared, compared, drawing_alike
from .random_inputs import data_of

__all__ = ['check_source']

#: The largest difference of gradients, relative to the largest value: a wrong loss exceeds it, and
#: numbers that cancel out in sums do not.
_OF_GRADIENTS = 1e-3
_Named = Dict[str, Tensor]


def check_source(source: Written, text: str, again: Callable[[Model], tuple[Written, str]]
                 ) -> list[tuple[str, str]]:
    """Run a source and the model on random data, and compare outputs and gradients.

    Parameters
    ----------
    source : Written
    text : str
        Its text.
    again : callable
        Writes a model with other outputs in the same way.

    Returns
    -------
    list of (title, sentence)
        What was compared, and what was not.

    Raises
    ------
    ExportError
        The source raises an error or differs from the model.
    """
    def opened(source: Written, text: str) -> nn.Module:
        try:
            return module_of(text, state_dict_of(source.file))
        except Exception as error:  # any class: from torch, or from Python for bad text
            raise _raised(error) from error

    def rewritten(part: Model) -> ExportedFile:
        other, text = again(part)
        return whole(opened(other, text), other)

    def checked(file: ExportedFile) -> Compared:
        return compared(source.plan.with_outputs([
            source.losses.graph.heads.index(methods.heads[methods.outputs.index(name)])
            for name in file.names]), file, rewritten, True)
    methods, module = source.methods, opened(source, text)
    files = [whole(module, source)]
    if source.steps is not None:
        files.append(in_steps(module, source, source.steps))
    results = _in_one(*map(checked, files))
    same, drawn = drawing_alike(
        lambda: max([_compare_gradients(source, module, data) for data in results[0].data],
                    default=0),
        any(has(node.op, 'draws') for node in source.losses.graph.walk()))
    if same:
        results[0] = results[0]._replace(runs='%s; %d gradient%s%s' % (
            results[0].runs, same, 's' * (same > 1), drawn))
    remarks = [*(each.remark for each in results), ('sizes', '; '.join(
        filter(None, [each.sizes for each in results])))]
    missing = ['the gradients of loss'] * (bool(methods.of_loss) and not same)
    missing += ['what is drawn at random in training'] * any(
        has(node.op, 'draws') and getattr(node, 'p', 0) > 0 for node in source.losses.graph.walk())
    missing += ['the statistics of BatchNorm in training'] * any(
        'BatchNorm' in node.op for node in source.losses.graph.walk())
    return remarks + [('unchecked', ', '.join(missing))] * bool(missing)


def _in_one(whole: Compared, *chunks: Compared) -> list[Compared]:
    """What was compared for whole sequences and, if this differs by more than the number, for
    chunks."""
    if not chunks:
        return [whole]
    one = whole._replace(worst=max(whole.worst, chunks[0].worst), sizes='; '.join(
        filter(None, [whole.sizes, chunks[0].sizes])))
    other = chunks[0]._replace(worst=one.worst)
    if other.remark == one.remark:  # not checked
        return [one]
    if other.remark == one._replace(said='in chunks, ' + one.said).remark:
        return [one._replace(said='whole and ' + other.said)]
    return [whole._replace(said='whole, ' + whole.said), chunks[0]]


def _raised(error: Exception, where: str = '') -> ExportError:
    return ExportError('the source raises %s%s: %s\n%s' % (
        type(error).__name__, where, reason_of(error), REMEDY))


# ---- gradients

def _compare_gradients(source: Written, module: nn.Module, data: Data) -> int:
    """Compare the gradients of the loss with the evaluator's, without what only training draws;
    returns how many there are that can be compared."""
    methods, facts = source.methods, source.losses.facts.arrays
    graph = source.losses.graph._replace(heads=source.losses.graph.heads[len(methods.read):])
    if not methods.of_loss or any(
            node.op == 'SoftmaxOutput' and not node.multi_output and not node.preserve_shape
            and len(facts[node.inputs[0]].shape) == 4 for node in graph.nodes):
        return 0  # outside of training MXNet takes another axis
    sizes = {axis: number for name in methods.inputs for axis, number in zip(
        map(resolve, facts[methods.entries[name]].shape), data[name].shape)
        if isinstance(axis, Axis)}
    open_ = {name: facts[methods.entries[name]].shape for name in methods.of_loss}
    for axis in [axis for shape in open_.values() for size in shape for axis in axes_in(size)]:
        sizes.setdefault(axis, 3)  # of a label alone
    shapes = {name: [number_for(size, sizes) for size in shape] for name, shape in open_.items()}
    kinds = {name: np.dtype(source.plan.types.get(name, 'float32')) for name in shapes}
    needed = {*graph.needed_variables()}
    sample = {name: torch.from_numpy(array.astype(kinds[name])) for name, array in data_of(
        graph, {name: (shapes[name], kinds[name]) for name in shapes if name in needed}, {},
        {name: array for name, array in data.items() if name in shapes}).items()}
    # MXNet sends no gradient to labels, not even to data that are their own label.
    labelled = {*graph.ending_in([entry for node in graph.nodes
                                  for entry in node.inputs_of('label')]).arguments}
    reason: Exception | None = None
    for labels in _labels(graph, {name: (shape, kinds[name]) for name, shape in shapes.items()
                                  if name not in needed}):
        inputs = {name: value.clone().requires_grad_() for name, value in sample.items()
                  if value.is_floating_point() and name in methods.inputs
                  and name not in labelled}
        given = {**sample, **inputs, **labels}
        try:  # torch refuses labels that are not classes
            with one_seed():
                loss = module.loss(*[given[name] for name in methods.of_loss])
                found = _gradients(loss, dict(module.named_parameters()), inputs)
        except Exception as error:
            reason = reason or error
            continue
        weights = variables(source.plan.model, gradients=True)
        with one_seed():
            outputs = evaluate(graph, {**weights, **given})
        wanted = _gradients(sum(each.sum() for each in outputs if each.requires_grad), weights,
                            inputs)
        return _refuse_differences(source, found, wanted)
    assert reason is not None
    raise _raised(reason, ' in loss, with %s' % ' and '.join(
        '%s %s' % (name, tuple(shapes[name])) for name in methods.of_loss)) from reason


def _labels(graph: Graph, wanted: Mapping[str, tuple[Sequence[int], np.dtype]]) -> Iterator[_Named]:
    """Labels of these shapes and types to try: both of two classes, then only one of them."""
    # If a prediction equals its label, torch's and MXNet's gradients of the distance differ.
    apart = graph.ending_in([entry for node in graph.nodes if node.op == 'MAERegressionOutput'
                             for entry in node.inputs_of('label')]).arguments
    random = np.random.RandomState(0)
    for low, high in ((0, 2), (0, 1), (1, 2)):
        yield {name: torch.from_numpy((random.randint(low, high, shape) + .25 * (
            name in apart)).astype(kind)) for name, (shape, kind) in wanted.items()}


def _gradients(loss: Any, weights: _Named, inputs: _Named) -> list[dict[str, np.ndarray]]:
    """The gradients of weights and of inputs; zeros if the loss ignores them."""
    leaves = [{name: each for name, each in weights.items() if each.requires_grad}, inputs]
    every = [each for group in leaves for each in group.values()]
    grads = iter(torch.autograd.grad(loss, every, allow_unused=True) if every and isinstance(
        loss, Tensor) and loss.requires_grad else [None] * len(every))
    return [{name: np.zeros(each.shape, 'f') if grad is None else (
        grad if grad.dtype == torch.float64 else grad.float()).numpy()
             for (name, each), grad in zip(group.items(), grads)} for group in leaves]


def _refuse_differences(source: Written, found: list[dict[str, np.ndarray]],
                        wanted: list[dict[str, np.ndarray]]) -> int:
    """Refuse gradients that differ; returns how many were compared."""
    state, places = source.file.state, source.file.places
    flat = np.zeros(1 + sum(each.size for each in places.values()),
                    np.result_type('f', *wanted[0].values()))
    for name, array in wanted[0].items():
        if name in places:
            flat[places[name]] = array
    pairs = [(key, array * (state[key] > 0), flat[state[key]])
             for key, array in found[0].items() if key in state]
    pairs += [(name, array, wanted[1][name]) for name, array in found[1].items()]
    largest = max([_size(other) for _, _, other in pairs], default=0.)
    for name, one, other in pairs:
        far = float(np.abs(one - other)[np.isfinite(other)].max(initial=0.))
        scale = max(_size(other), .01 * largest) or 1.
        if not far <= _OF_GRADIENTS * scale:
            raise ExportError('the gradient of %s in the loss of the source differs from the graph '
                              'by %g of the largest\n%s' % (name, far / scale, REMEDY))
    return len(pairs)


def _size(array: np.ndarray) -> float:
    """The largest magnitude in an array."""
    return float(np.abs(array[np.isfinite(array)]).max(initial=0.))
