"""load_torch: reads a GraphModule's file, the graph as text and its tensors, without running code
from it (``torch.load(path, weights_only=True)``)."""
from __future__ import annotations

import os
import zipfile
from typing import Any, Sequence

import torch

from ... import _check
from ..._files import CheckpointError, reason_of
from ..._graph.symbol_json import graph_from_json
from .._source.overwrite_checks_and_checksums import is_source
from ..input_shapes import check_shapes, without_number
from .module import GraphModule

__all__ = ['FORMAT', 'STEPPED', 'load_torch']

FORMAT = 'graph of MXNet with tensors, 1'
#: For files with states. Older versions refuse it; they would run the file without states.
STEPPED = 'graph of MXNet in steps with tensors, 2'


def load_torch(path: str | os.PathLike[str], *, roll: bool = True) -> GraphModule:
    """Read a module that `save_torch` or ``python -m mxrnn export --torch`` wrote.

    Parameters
    ----------
    path : str
        The file. It may come from a stranger, because no code in it is run.
    roll : bool
        Whether the steps of an unrolled graph are rolled up, as `to_torch` does.

    Returns
    -------
    GraphModule
        In inference mode, on the CPU.

    Raises
    ------
    CheckpointError
        The file cannot be read, is damaged, or is of another kind.
    UnsupportedError
        The graph has operators that are not known.
    """
    path, roll = os.fspath(path), _check.flag('roll', roll)
    try:
        _check_archive(path)
        content = torch.load(path, map_location='cpu', weights_only=True)
    except OSError as error:
        raise CheckpointError('cannot read %s: %s' % (path, error.strerror)) from None
    except CheckpointError:
        raise
    except Exception as error:  # torch checks little of what it reads, so damage may raise anything
        # For other files torch advises weights_only=False, which would run code from the file.
        if isinstance(error, RuntimeError) and 'weights_only' not in str(error):
            raise CheckpointError('%s is damaged, or was not written by save_torch: %s'
                                  % (path, reason_of(error))) from None
        raise _foreign(path) from None
    if not isinstance(content, dict) or content.get('format') not in (FORMAT, STEPPED):
        raise _foreign(path)
    try:
        parts = [content, *([content['encoder']] if 'encoder' in content else [])]
        _check_sizes([each for part in parts for kind in ('parameters', 'buffers')
                      for each in _checked(part[kind]).items()], os.path.getsize(path))
        encoder = _module(parts[1], roll) if parts[1:] else None
        return _module(content, roll, encoder).eval()
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError('%s is damaged: %s' % (path, error)) from None


def _foreign(path: str) -> CheckpointError:
    """The error for a file of another kind."""
    source = os.path.splitext(path)[0] + '.py'
    return CheckpointError('%s was not written by save_torch%s' % (
        path, ': onnxruntime runs ONNX files' if path.endswith('.onnx') else
        ': it holds the weights of %s, which you can import' % source if is_source(source) else ''))


def _check_archive(path: str) -> None:
    """Refuse files that could unpack to more bytes than they have: compressed archives, and torch's
    old format, which allocates arrays before it reads them."""
    with open(path, 'rb') as stream:
        if stream.read(2) != b'PK':
            raise _foreign(path)
    try:
        with zipfile.ZipFile(path) as archive:
            packed = any(each.compress_type != zipfile.ZIP_STORED for each in archive.infolist())
    except zipfile.BadZipFile as error:
        raise CheckpointError('%s is damaged: %s' % (path, error)) from None
    if packed:
        raise _foreign(path)


def _check_sizes(tensors: Sequence[tuple[str, torch.Tensor]], size: int) -> None:
    """Refuse tensors with more elements than a file of `size` bytes can hold."""
    storages = {}
    for name, value in tensors:
        storage = value.untyped_storage() if value.layout == torch.strided else None
        if storage is None or value.numel() * value.element_size() > storage.nbytes():
            raise ValueError('%s has more elements than the file can hold' % name)
        storages[storage.data_ptr()] = storage.nbytes()
    if sum(storages.values()) > size:
        raise ValueError('its tensors have more elements than the file can hold')


def _module(content: dict[str, Any], roll: bool, encoder: GraphModule | None = None
            ) -> GraphModule:
    """The module made from the result of `_content`, or from a stranger's file."""
    outputs, states = content.get('outputs'), [tuple(pair) for pair in content.get('states', ())]
    axes = content.get('axes', {})
    names = [*(outputs or ()), *(name for pair in states for name in pair), *axes]
    if not all(isinstance(name, str) for name in names) or any(len(pair) != 2 for pair in states):
        raise ValueError('outputs must be names, and states pairs of names')
    if not all(isinstance(size, (int, str)) for each in axes.values() for size in each):
        raise ValueError('axes must be numbers or names')
    graph, freed = graph_from_json(content['graph']), content.get('freed', {})
    check_shapes(without_number(freed)[0], graph, content['parameters'])
    return GraphModule(graph, content['parameters'],
                       content['buffers'], roll=roll, outputs=outputs, states=states,
                       encoder=encoder, axes=axes, freed=freed)


def _checked(values: Any) -> dict[str, torch.Tensor]:
    if not isinstance(values, dict) or not all(
            isinstance(name, str) and isinstance(value, torch.Tensor)
            for name, value in values.items()):
        raise ValueError('it must contain tensors by name and nothing else')
    return values
