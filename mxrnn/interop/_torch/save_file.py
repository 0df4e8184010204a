"""save_torch: the file of a module, which is run before its name gets it."""
from __future__ import annotations

import os

import torch

from ... import _check
from ..._files import CheckpointError
from ..._files.atomic import replacing
from ..._files.checkpoint_names import refuse_checkpoint
from ..._graph.rolling import RolledGraph
from ..._graph.rolling import roll as roll_up
from ..export_check import check_export, log_unchecked
from ..file_runners import of_module, open_file
from ..model import Model
from ..mxnet_process import begin
from ..reference import needed
from ..registry import ExportError
from ..stateful import shapes_found
from .files import content_of
from .module import GraphModule

__all__ = ['save_torch', 'write_torch']


def save_torch(module: GraphModule, path: str | os.PathLike[str], *, check: bool = True) -> None:
    """Write a module as one file, for `load_torch`.

    Parameters
    ----------
    module : GraphModule
        As `to_torch` made it, and as training has left it.
    path : str
        The file. If it cannot be written, what was there before stays.
    check : bool
        Whether the file is run before `path` gets it, as `load_torch` reads it, beside the graph in
        MXNet, or in onnxruntime where MXNet cannot be imported; as in `to_onnx`.

    Raises
    ------
    ExportError
        The file gives other numbers than the graph.
    ValueError
        `path` is the name of a file of a checkpoint.
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
    _check.instance('module', module, GraphModule, 'a module of to_torch')
    log_unchecked(os.fspath(path), write_torch(module, path, _check.flag('check', check)))


def write_torch(module: GraphModule, path: str | os.PathLike[str], check: bool
                ) -> tuple[str, str]:
    """Write the file of `save_torch`; returns how it was checked, or why not, with a title."""
    path = os.fspath(path)
    refuse_checkpoint('path', path)
    if check:
        begin()
    try:
        with replacing([path]) as stage:
            place = os.path.join(stage, os.path.basename(path))
            torch.save(content_of(module), place)
            return _checked_file(module, place) if check else ('', '')
    except (OSError, RuntimeError) as error:
        raise CheckpointError('cannot save %s: %s' % (path, error)) from None


def _checked_file(module: GraphModule, place: str) -> tuple[str, str]:
    graph = module.whole if module.states else module.graph
    if graph is None:
        return 'not checked', 'the file that it was read from has its steps, and not the whole'
    parts = [part for part in (module.encoder, module) if part is not None]
    kinds = [{name: value.detach().cpu() for part in parts
              for name, value in getattr(part, own).items() if value is not None}
             for own in ('_parameters', '_buffers')]
    if any(value.dtype == torch.bfloat16 for each in kinds for value in each.values()):
        return 'not checked', 'NumPy has no bfloat16'
    params, states = ({name: value.numpy() for name, value in each.items()} for each in kinds)
    rolled = roll_up(graph)
    names = [name for name in rolled.graph.arguments if name in needed(rolled.graph)
             and name not in params]
    try:
        shapes = shapes_found(rolled.graph, {**params, **states}, {}, names,
                              RolledGraph(graph, rolled.findings)).shapes if names else {}
    except ExportError:
        shapes = {}
    return check_export(Model(graph, params, states), lambda: open_file(place, onnx=False),
                        by_torch=True, shapes=shapes, again=lambda part: of_module(GraphModule(
                            part.graph, part.arg_params, part.aux_params).eval()))
