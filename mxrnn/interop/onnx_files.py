"""to_onnx: a model as an ONNX file. The package onnx is imported when it is called."""
from __future__ import annotations

import os
from typing import Any, Mapping, Sequence

from .._files.atomic import replacing
from .._graph.graph import Graph
from ._onnx.table import ExportError

__all__ = ['ExportError', 'to_onnx', 'without_onnx']


def to_onnx(model: Any, path: str, inputs: Mapping[str, Sequence[Any]], *,
            types: Mapping[str, Any] | None = None) -> None:
    """Write a model as an ONNX file, of standard operators only (opset 17).

    Parameters
    ----------
    model : Model
        From `interop.load`.
    path : str
        Of the file. It is written whole or not at all.
    inputs : dict
        Shape of each input by its name: an axis is a name, such as 'batch', for any size, or an
        int. Axes of the same name have the same size. Labels of losses may be left out: they are
        no inputs of the file.
    types : dict, optional
        Type of inputs by name, such as ``{'data': 'int64'}`` for the numbers of words. Others have
        the type that the graph states, or the type of the parameters, as in MXNet.

    Raises
    ------
    ExportError
        The model has operators that ONNX has not (all of them are named), or its graph does not
        fit `inputs`, for instance as it was unrolled to a length.
    ValueError, TypeError
        `inputs` or `types` are no shapes or types of arguments of the model.
    ImportError
        The package onnx is not installed.

    Notes
    -----
    Outputs have the names and the order that they have in MXNet; one that is there twice gets a
    number. Loss heads (SoftmaxOutput and so on) are written as their predictions, dropout as in
    inference. Where the graph has no length in it (FusedRNNCell, `fuse`, `dynamic_unroll`), an axis
    of time may have a name. What depends on parameters alone is computed now.

    Examples
    --------
    >>> import os, tempfile
    >>> from mxrnn import interop
    >>> graph = interop.graph_from_json('''{"nodes": [
    ...     {"op": "null", "name": "data", "inputs": []},
    ...     {"op": "Activation", "name": "act", "attrs": {"act_type": "relu"},
    ...      "inputs": [[0, 0, 0]]}], "arg_nodes": [0], "heads": [[1, 0, 0]]}''')
    >>> model = interop.Model(graph, {}, {})  # or interop.load('days', 4)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     interop.to_onnx(model, folder + '/days.onnx', {'data': ('batch', 'time')})
    ...     os.listdir(folder)
    ['days.onnx']
    """
    path = os.fspath(path)
    content = _conversion().exportable(model, inputs, types).content
    with replacing([path]) as stage:
        with open(os.path.join(stage, os.path.basename(path)), 'wb') as file:
            file.write(content)


def without_onnx(graph: Graph) -> dict[str, list[str]]:
    """The names of nodes for which ONNX has no counterpart, by operator.

    Raises
    ------
    ImportError
        The package onnx is not installed.
    """
    unknown: dict[str, list[str]] = _conversion().unknown_operators(graph)
    return unknown


def _conversion() -> Any:
    try:
        import onnx  # noqa: F401
        import onnx.reference  # noqa: F401
    except ImportError as error:
        raise ImportError('ONNX files need the package onnx, 1.13 or newer (%s): '
                          'pip install "onnx>=1.13"' % error) from None
    from ._onnx import export
    return export
