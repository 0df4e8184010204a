"""save_torch: writes a module's file, and runs it before it gets its name."""
from __future__ import annotations

import os
import warnings
from typing import Any, Mapping, Sequence

import numpy as np
import torch

from ... import _check
from ..._files import CheckpointError
from ..._files.atomic import replacing
from ..._files.checkpoint_refusals import refuse_checkpoint
from ..._graph.graph import Graph
from ..._graph.rolling import Unrolled
from ..._graph.shapes.infer import infer, variables_of
from ..._graph.symbol_json import graph_to_json
from ..export_check import check_export, log_unchecked
from ..file_runners import of_module, open_file
from ..free_length_or_say_what_keeps_it import (
    naming_what_keeps,
    refuse_batch,
    refuse_stated,
    sizes_of,
    stated_of,
)
from ..input_shapes import (
    Shapes,
    check_shapes,
    graph_shapes,
    misfit,
    rank_mismatch,
    shapes_found,
    without_number,
)
from ..likely_mistakes import wrong_lengths
from ..model import Model
from ..model_runners import REFUSED
from ..mxnet_process import begin
from ..registry import ExportError
from ..roll_without_steps import CountedSteps, roll_once, rolled_up
from .load_and_check_torch_file import FORMAT, STEPPED
from .module import GraphModule

__all__ = ['of_check', 'save_torch', 'write_torch']


def save_torch(module: GraphModule, path: str | os.PathLike[str], *,
               inputs: Mapping[str, Sequence[int | str]] | None = None, check: bool = True) -> None:
    """Write a module as one file, for `load_torch`.

    Parameters
    ----------
    module : GraphModule
        As `to_torch` made it, trained or not.
    path : str
        The file. If writing fails, the file that was there stays.
    inputs : dict, optional
        By name of an input, its shape for the check, with names for axes of any size; needed if the
        graph does not tell it. The file keeps numbers that stand beside names, and the number of
        steps into which a Reshape divides all rows, if it is not that of the first axis.
    check : bool
        Whether to read the file as `load_torch` does and compare it with the graph in MXNet, or in
        onnxruntime if MXNet cannot be imported, before `path` is replaced; as in `to_onnx`.

    Raises
    ------
    ExportError
        The file's outputs differ from the graph's, or the graph takes no data of such `inputs`.
    TypeError, ValueError
        `path` names a file of a checkpoint, or `inputs` are not shapes of inputs, or given although
        `to_torch` took them.
    CheckpointError
        The file cannot be written.

    Examples
    --------
    >>> import tempfile, torch
    >>> from mxrnn import interop
    >>> graph = interop.graph_from_json('''{"nodes": [
    ...     {"op": "null", "name": "data", "inputs": []},
    ...     {"op": "Activation", "name": "act", "attrs": {"act_type": "relu"},
    ...      "inputs": [[0, 0, 0]]}], "arg_nodes": [0], "heads": [[1, 0, 0]]}''')
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     interop.save_torch(interop.to_torch(interop.Model(graph, {}, {})), folder + '/act.pt')
    ...     module = interop.load_torch(folder + '/act.pt')
    >>> module(data=torch.tensor([-1., 2.]))
    tensor([0., 2.])
    """
    _check.instance('module', module, GraphModule, 'a module that to_torch made')
    log_unchecked(os.fspath(path), write_torch(module, path, _check.flag('check', check), inputs))
    arrays = {name: value for name, value in module._parameters.items() if value is not None}
    buffers = dict(module._buffers)
    for sentence in wrong_lengths(Model(module.graph, arrays, buffers), of_check(
            module.graph, {**arrays, **buffers}, inputs or {}) if not module.freed else module.freed
                                  ) if not module.states else ():
        warnings.warn(sentence, stacklevel=2)


def write_torch(module: GraphModule, path: str | os.PathLike[str], check: bool,
                inputs: Mapping[str, Sequence[int | str]] | None = None) -> tuple[str, str]:
    """Write the file of `save_torch`; returns a title, and how it was checked or why not."""
    path = os.fspath(path)
    refuse_checkpoint('path', path)
    if (module.states or module.freed) and inputs is not None:
        raise ValueError('leave out inputs: to_torch took those of this module')
    given = check_shapes({} if inputs is None else inputs, module.graph, module._parameters)
    if check:
        begin()
    try:
        with replacing([path]) as stage:
            place = os.path.join(stage, os.path.basename(path))
            content = content_of(module)
            axes = {} if module.states or module.freed else _kept_axes(module.graph, {
                **module._parameters, **module._buffers}, given)
            try:
                torch.save({**content, **({'axes': axes} if axes else {})}, place)
            except RuntimeError as error:  # the disk is full, for example
                raise OSError(error) from None
            return _checked_file(module, place, given) if check else ('', '')
    except OSError as error:
        raise CheckpointError('cannot save %s: %s' % (path, error)) from None


def of_check(graph: Graph, params: Mapping[str, Any], given: Shapes) -> dict[str, tuple[Any, ...]]:
    """Shapes for the check, whose axes may have any size in the file, but not the last ones and
    those that keep their number. Others have the graph's names."""
    own, found = _kept_axes(graph, params, given), graph_shapes(graph, params)

    def named(name: str, shape: Sequence[int | str]) -> list[int | str]:
        names = found[name] if len(found.get(name, ())) == len(shape) else shape
        return [size if isinstance(size, str) and size else '%s_%d' % (name, axis)
                if axis or 'batch' in names else 'batch' for axis, size in enumerate(names[:-1])]
    shapes: dict[str, tuple[Any, ...]] = {name: (*named(name, shape), *shape[-1:])
                                          for name, shape in {**own, **given}.items()}
    return {**shapes, **{name: tuple([kept or size or name for kept, size in zip(
        axes, shapes[name])]) for name, axes in own.items()}}


def _kept_axes(graph: Graph, params: Mapping[str, Any], given: Shapes
               ) -> dict[str, list[int | str]]:
    """By input, the axes that must keep their number: the graph takes no other, or a Reshape makes
    sequences of a number of steps of data of any size. The file leaves all other numbers, such as
    the batch, open: ''. The file has none if the graph does not tell the shapes that are not
    `given`, and none of an input that keeps its last axis alone.

    Raises
    ------
    ExportError
        Such an axis has no number.
    """
    rolled, findings = roll_once(graph)
    refuse_batch(rolled, params, given)
    names = [name for name in rolled.needed_variables() if name not in {*params, *given}]
    try:
        shapes = {**shapes_found(rolled, params, given, names, Unrolled(graph, findings)).shapes,
                  **given}
    except ExportError:
        refuse_stated(rolled, params, given)
        return {}
    refuse_stated(rolled, params, shapes)
    for fault in infer(rolled, variables_of(rolled, {
            **sizes_of(params), **shapes}, True)).faults if given else ():
        raise ExportError('the model does not take data of the shapes in inputs (--input): %s' % (
            misfit(graph, params, given) or rank_mismatch(graph, params, given) or str(fault)))

    def faults(shapes: Shapes) -> bool:
        return bool(infer(rolled, variables_of(rolled, {**sizes_of(params), **shapes})).faults)
    whole, stated = not faults(shapes), any(each.kind == 'stated' for each in findings)
    typed = {name for name, shape in given.items() if any(isinstance(size, str) for size in shape)}
    kept = {name: [size if isinstance(size, int) and (name in typed or any(stated_of(
        rolled, params, {**shapes, name: [*['rows'] * (at > 0), *shape[1:at], 'any',
                                          *shape[at + 1:]]})) or (
            whole and faults({**shapes, name: [*shape[:at], 'any', *shape[at + 1:]]}))) else ''
        for at, size in enumerate(shape)] for name, shape in shapes.items()}
    return {name: axes for name, axes in kept.items() if any(axes[:-1]) or (
        stated or name in typed) and any(axes)}


def _checked_file(module: GraphModule, place: str, given: Shapes) -> tuple[str, str]:
    if module.states and module.whole is None:
        return 'not checked', 'the module was read from a file that has its steps, not the graph'
    parts = [part for part in (module.encoder, module) if part is not None]
    kinds = [{name: value.detach().cpu() for part in parts
              for name, value in getattr(part, own).items() if value is not None}
             for own in ('_parameters', '_buffers')]
    if any(value.dtype == torch.bfloat16 for each in kinds for value in each.values()):
        return 'not checked', 'NumPy has no bfloat16'
    params, states = ({name: value.numpy() for name, value in each.items()} for each in kinds)
    graph, shapes, steps, untold = (*module.whole, '') if module.whole else _with_shapes(
        module.graph, {**params, **states}, given or module.freed)
    checked = check_export(
        Model(graph, params, states), lambda: open_file(place, onnx=False), by_torch=True,
        shapes=shapes, steps=steps, again=lambda part: of_module(GraphModule(
            part.graph, part.arg_params, part.aux_params).eval()))
    if checked[0] == 'checked':
        return checked
    reason = misfit(graph, {**params, **states}, given)
    if not reason and given and REFUSED in checked[1]:
        reason = rank_mismatch(graph, {**params, **states}, given)
    if reason:
        raise ExportError('the model does not take data of the shapes in inputs (--input): %s\n'
                          'Nothing was written' % reason)
    return 'not checked', untold or checked[1]


def _with_shapes(graph: Graph, params: Mapping[str, np.ndarray], given: Shapes
                 ) -> tuple[Graph, Shapes, CountedSteps | None, str]:
    """A graph, the shapes of its inputs that are `given` or that it tells, and why it does not
    tell the others."""
    given, steps = without_number(given)
    found, findings = rolled_up(graph, steps)
    names = [name for name in found.needed_variables() if name not in params and name not in given]
    try:
        with naming_what_keeps(steps, graph, params, given):
            return graph, {**shapes_found(found, params, given, names,
                                          Unrolled(graph, findings)).shapes, **given}, steps, ''
    except ExportError as error:
        return graph, given, steps, str(error).replace('\n', '. ')


def content_of(module: GraphModule) -> dict[str, Any]:
    """A module as text and tensors, in the form that its file stores."""
    return {'format': STEPPED if module.states else FORMAT, **_content(module)}


def _content(module: GraphModule) -> dict[str, Any]:
    content: dict[str, Any] = {
        'graph': graph_to_json(module.graph), 'parameters': _tensors(module._parameters),
        'buffers': _tensors(module._buffers)}
    if module.outputs != module.graph.outputs or module.states:
        content.update(outputs=module.outputs, states=module.states, axes=module.axes)
    if module.freed:
        content['freed'] = {name: list(shape) for name, shape in module.freed.items()}
    if module.encoder is not None:
        content['encoder'] = _content(module.encoder)
    return content


def _tensors(values: Any) -> dict[str, torch.Tensor]:
    return {name: value.detach().cpu() for name, value in values.items() if value is not None}
