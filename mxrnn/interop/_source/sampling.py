"""Runs graphs on random data of two sets of sizes, which tells the shapes of all arrays."""
from __future__ import annotations

import functools
from types import MappingProxyType
from typing import Any, Dict, Mapping, Sequence, Union

import numpy as np
import torch
from torch import Tensor

from ..._graph.graph import Graph, Node
from ..._graph.shapes import sizes
from ..._graph.shapes.axes import Axes
from ..._graph.shapes.infer import infer
from ..._graph.shapes.sizes import Axis, axes_in, product
from .._torch.graph_module import GraphModule
from ..model import Model
from ..random_data import data_for
from .emitters import Fact, Facts, Open, Shape, Size

__all__ = ['Named', 'Sample', 'as_list', 'draw', 'labels_of', 'names_that_tell', 'run', 'survey']

#: One array for each input; of each of the two sets of sizes.
Sample = Dict[str, Tensor]
#: Shapes of inputs by name; names are axes of any size.
Named = Mapping[str, Sequence[Union[int, str]]]

#: The sizes of axes of any size: those of the first and of the second run. What strides of 2 and 4
#: leave of an axis, and a few elements more or less of that, differs between the two runs, and also
#: from what is so left of another axis. One of the sizes is odd and the other a multiple of 4, so
#: that a half rounded down is none rounded up. Where one axis is short another is long: the arrays
#: stay small.
_SIZES = [(3, 20), (31, 4), (5, 52), (68, 7), (9, 84), (89, 8)]
#: The same where a window needs more.
_LARGE = [(size + 16, other + 16) for size, other in _SIZES]


def draw(graph: Graph, shapes: Named, types: Mapping[str, Any], large: bool,
         told: Mapping[str, tuple[int, int]] = MappingProxyType({})) -> list[Sample]:
    """Random data of both sets of sizes for the inputs that have shapes; those of some axes may be
    `told`."""
    names = list(dict.fromkeys(size for shape in shapes.values() for size in shape
                               if isinstance(size, str) and size not in told))
    if len(names) > len(_SIZES):
        raise ValueError('inputs must have at most %d names of axes, got %s' % (
            len(_SIZES), ', '.join(names)))
    pairs = {**told, **dict(zip(names, _LARGE if large else _SIZES))}
    samples = []
    for which in (0, 1):
        random = np.random.RandomState(which)
        sizes = {name: tuple(pairs[size][which] if isinstance(size, str) else size
                             for size in shape) for name, shape in shapes.items()}
        steps = min([size for shape in sizes.values() for size in shape if len(shape) > 1] or [1])
        samples.append({name: torch.from_numpy(data_for(
            graph, name, shape, types.get(name, 'float32'), steps, random))
            for name, shape in sizes.items()})
    return samples


def names_that_tell(shapes: Named, names: Sequence[str]) -> list[str]:
    """The inputs whose sizes tell those of the others."""
    found: list[str] = []
    named: set[int | str] = set()
    for name in names:
        axes = {size for size in shapes[name] if isinstance(size, str)}
        if not axes <= named or not found:
            found.append(name)
        named |= axes
    return found


def run(graph: Graph, model: Model, *samples: Sample) -> list[list[Tensor]]:
    """The outputs of a graph for each sample, by `to_torch`."""
    needed = set(graph.arguments)
    module = GraphModule(graph, model.arg_params, model.aux_params, roll=False).eval()
    outputs = []
    for sample in samples:
        with torch.no_grad():
            result = module(**{name: value for name, value in sample.items() if name in needed})
        outputs.append([each.detach() for each in as_list(result)])
    return outputs


def as_list(outputs: Tensor | tuple[Tensor, ...]) -> list[Tensor]:
    """The outputs of a module, which are no tuple if there is one."""
    return [outputs] if isinstance(outputs, Tensor) else list(outputs)


def survey(graph: Graph, model: Model, samples: Sequence[Sample], labels: bool = True) -> Facts:
    """Shapes and types of the arrays that something reads, in both runs; with those of labels."""
    places = range(len(graph.nodes)) if labels else graph.needed()
    entries = sorted({*graph.heads, *(
        entry for place in places for entry in (
            graph.nodes[place].inputs if labels else graph.nodes[place].needed_inputs))})
    whole = graph._replace(heads=tuple(entries))
    runs = [dict(zip(entries, each)) for each in run(whole, model, *samples)]
    table = infer(whole, _variables(whole, model, samples))
    one, other = runs
    arrays = {entry: _fact(one[entry], other[entry], table.axes.get(entry, []))
              for entry in entries}
    bodies = {}
    for place in places:
        node = graph.nodes[place]
        if node.op == '_foreach':
            inputs = [[results[entry] for entry in node.inputs] for results in runs]
            bodies[place] = survey(node.subgraphs[0], Model(node.subgraphs[0], {}, {}), [
                _first_step(node, each) for each in inputs])
    return Facts(arrays, bodies, [[each[head] for head in graph.heads] for each in runs])


def _first_step(node: Node, inputs: Sequence[Tensor]) -> Sample:
    """The variables of the body of a loop in its first step."""
    body = node.body
    return {body.graph.nodes[place].name: value[0] if at < body.data else value
            for at, (place, value) in enumerate(zip(body.places, inputs))}


@functools.lru_cache(maxsize=None)
def _axis(one: int, other: int) -> Axis:
    """The axis that has these sizes in the two runs: those of two axes differ."""
    return Axis(label='%d or %d' % (one, other))


def _variables(graph: Graph, model: Model, samples: Sequence[Sample]) -> dict[int, Axes]:
    """The axes of a graph's variables by their places."""
    shapes = {name: array.shape for name, array in {**model.arg_params, **model.aux_params}.items()}
    pairs = {name: list(zip(*(sample[name].shape for sample in samples))) for name in samples[0]}
    return {place: [(_axis(*pair) if pair[0] != pair[1] else pair[0],) for pair in pairs[node.name]]
            if node.name in pairs else [(size,) for size in shapes[node.name]]
            for place, node in enumerate(graph.nodes)
            if node.is_variable and (node.name in pairs or node.name in shapes)}


def _fact(one: Tensor, other: Tensor, axes: Axes) -> Fact:
    """Shapes and the type of an array in both runs, and what is inferred of its axes."""
    known = len(axes) == one.dim()
    return Fact(tuple([_size(pair, product(axes[at]) if known else None)
                       for at, pair in enumerate(zip(one.shape, other.shape))]),
                str(one.dtype).partition('.')[2])


def _size(pair: tuple[int, int], size: sizes.Size | None) -> Size:
    if pair[0] == pair[1]:
        return pair[0]
    return Open(pair, _axis(*pair) if size is None or any(
        axis.unknown for axis in axes_in(size)) else size)


# ---- labels

def labels_of(graph: Graph, model: Model, samples: Sequence[Sample], facts: Facts,
              missing: Sequence[str]) -> list[Sample]:
    """Data for the labels of losses whose shapes nobody gave: those that fit the predictions."""
    found: list[Sample] = [{}, {}]
    for node in graph.nodes:
        for entry in node.inputs_of('label'):
            part = graph.ending_in([entry])
            names = [name for name in part.arguments if name in missing]
            if len(names) != 1 or names[0] in found[0]:
                continue
            data = facts.arrays[node.inputs[0]].shape
            for shape in _candidates(data, samples, node, len(part.nodes) > 1):
                labels = [{**sample, names[0]: torch.zeros([_of(size, which) for size in shape])}
                          for which, sample in enumerate(samples)]
                if all(_fits(node, part, model, label, data, which)
                       for which, label in enumerate(labels)):
                    for which, label in enumerate(labels):
                        found[which][names[0]] = label[names[0]]
                    break
    return found


def _of(size: Size, which: int) -> int:
    return size if isinstance(size, int) else size[which]


def _candidates(data: Shape, samples: Sequence[Sample], node: Node, reshaped: bool
                ) -> list[Shape]:
    """Shapes that labels of a loss of `data` may have, the most usual first."""
    inputs = [_fact(one, other, []).shape
              for one, other in zip(*(each.values() for each in samples))]
    pairs = [shape[:2] for shape in inputs if len(shape) > 1]
    if node.op == 'WarpCTC':
        return [(*shape[:1], node.label_length) for shape in inputs]
    found = [*(pairs if reshaped else []), data[:-1], *pairs, data[:1],
             *[shape[:1] for shape in inputs], data[:1] + data[2:], data,
             *[shape[::-1] for shape in pairs]]
    return [shape for shape in found if shape]


def _fits(node: Node, part: Graph, model: Model, sample: Sample, data: Shape, which: int) -> bool:
    """Whether the label of a loss has as many elements as the loss reads."""
    try:
        label, = run(part, model, sample)[0]
    except (RuntimeError, ValueError, IndexError):
        return False
    sizes = [_of(size, which) for size in data]
    every = int(np.prod(sizes))
    if node.op == 'WarpCTC':
        return label.numel() * node.input_length == sizes[0] * node.label_length
    if node.op != 'SoftmaxOutput':
        return label.numel() == (sizes[0] if node.op == 'SVMOutput' else every)
    if node.multi_output:
        return label.numel() * sizes[1] == every
    return label.numel() == (every // sizes[-1] if node.preserve_shape else sizes[0])
