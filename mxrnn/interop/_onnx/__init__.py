"""Graphs of MXNet in ONNX: to_onnx. The package onnx is imported when it is called."""
from __future__ import annotations

import os
import warnings
from typing import TYPE_CHECKING, Any, Iterator, Mapping, Sequence

from ... import _check
from ..._files.atomic import replacing
from ..._files.checkpoint_names import refuse_checkpoint
from ..._graph.graph import Graph
from ..export_check import check_export, log_unchecked
from ..file_runners import ExportedFile, open_content, open_file
from ..model import Model
from ..mxnet_process import begin
from ..onnx_session import sealed
from ..registry import ExportError

__all__ = ['encoder_of', 'ExportError', 'table_of', 'to_onnx', 'without_onnx', 'write_onnx']

if TYPE_CHECKING:
    from .onnx_file import Written


def to_onnx(model: Any, path: str, inputs: Mapping[str, Sequence[Any]] | None = None, *,
            types: Mapping[str, Any] | None = None, outputs: Sequence[str] | None = None,
            roll: bool = True, certify_by: Graph | None = None, states: bool = False,
            check: bool = True) -> None:
    """Write a model as an ONNX file, of standard operators only (opset 17).

    Parameters
    ----------
    model : Model
        From `interop.load`.
    path : str
        Of the file. It is written whole or not at all.
    inputs : dict, optional
        Shapes of inputs by name: an axis is a name, such as 'batch', for any size, or an int. Axes
        of the same name have the same size. 'time:35' is the axis 'time' of a graph that was
        unrolled for 35 steps: wherever the graph says 35, it means the number of steps. Other
        inputs get the shape that the graph tells: widths of the weights that read them, as many
        steps as the graph was unrolled for where it cannot be rolled, and any size elsewhere.
        Labels of losses are no inputs of the file.
    types : dict, optional
        Type of inputs by name, such as ``{'data': 'int64'}`` for the numbers of words. Others have
        the type that the graph states, or the type of the parameters, as in MXNet.
    outputs : list of str, optional
        Names of the outputs that the file gets. Those of inner nodes, such as 'scores_output',
        count too. If None, all outputs but losses that ONNX does not have (CTCLoss); a warning
        names these.
    roll : bool
        Whether cells that were unrolled step by step become one operator or loop, so that the file
        takes any number of steps; False leaves them as they are.
    certify_by : Graph, optional
        The graph of another bucket of the same program. What differs between the two is the number
        of steps, and becomes an axis of any size; a ValueError says where they differ in more.
    states : bool
        Whether the file takes the states of all recurrences as inputs and gives them as outputs,
        so that it runs in steps, or in chunks of any number of steps: `load_stepper` does that. A
        decoder's encoder then has a file of its own, 'days-encoder.onnx' for 'days.onnx'.
    check : bool
        Whether the file is run before `path` gets it; see Notes.

    Raises
    ------
    ExportError
        The file gives other numbers than the model, or its readers refuse it.
        The model has operators that ONNX has not (all of them are named), its graph does not fit
        `inputs`, for instance as it was unrolled to a length, or it does not tell the shape of an
        input that `inputs` lacks; with `states`, it uses several steps of a sequence at once.
    ValueError, TypeError
        `inputs` or `types` are no shapes or types of arguments of the model, `outputs` has a name
        that is no output, or `path` is the name of a file of a checkpoint.
    ImportError
        The package onnx is not installed.

    Notes
    -----
    Outputs have the names and the order that they have in MXNet; one that is there twice gets a
    number. Loss heads (SoftmaxOutput and so on) are written as their predictions, dropout as in
    inference. What depends on parameters alone is computed now.

    The check runs the file in onnxruntime, with `load_stepper` if it has states, and the model in
    MXNet, or in torch where MXNet cannot be imported, on the same random data: of the length that
    the graph was unrolled for, and of two other sizes if the file takes any. Outputs may differ by
    1e-5 of the largest value, or by as much as rounding alone makes. Nothing is written otherwise,
    and the message names the first node that differs. It takes several times as long as the export,
    and MXNet runs in a process of its own where it is installed. What cannot be checked is written,
    and a warning logged: without onnxruntime, and of models that draw random numbers or have
    operators of a program.

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
    written = write_onnx(model, path, inputs, types, outputs, roll, certify_by, states,
                         _check.flag('check', check))
    log_unchecked(os.fspath(path), written.checked)
    if written.left_out:
        warnings.warn('%s has no output %s: ONNX does not have these losses' % (
            path, ', '.join(written.left_out)), stacklevel=2)


def write_onnx(model: Any, path: str, inputs: Mapping[str, Sequence[Any]] | None = None,
               types: Mapping[str, Any] | None = None, outputs: Sequence[str] | None = None,
               roll: bool = True, certify_by: Graph | None = None, states: bool = False,
               check: bool = True) -> Written:
    """Write the files of `to_onnx`; returns what was decided of its inputs and outputs."""
    _check.instance('model', model, Model, 'a Model, as load gives it')
    path = os.fspath(path)
    refuse_checkpoint('path', path)
    encoder = encoder_of(path)
    export = _conversion().exportable
    if check:
        begin()
    written: Written = export(model, inputs, types, outputs, roll, certify_by,
                              os.path.basename(encoder) if states else '')
    files = {path: sealed(written.content)}
    if written.encoder is not None:
        files[encoder] = sealed(written.encoder.content)

    def again(part: Model) -> ExportedFile:
        given = [{name: value for name, value in (each or {}).items()
                  if name in part.graph.arguments} for each in (inputs, types)]
        return open_content(export(part, *given, None, roll).content)
    with replacing(list(files)) as stage:
        places = {target: os.path.join(stage, os.path.basename(target)) for target in files}
        for target, content in files.items():
            with open(places[target], 'wb') as file:
                file.write(content)
        if check:
            counted = {int(size.partition(':')[2]) for shape in (inputs or {}).values()
                       for size in shape if isinstance(size, str) and ':' in size}
            written = written._replace(checked=check_export(
                model,
                lambda: open_file(places[path], onnx=True), by_torch=False,
                length=None if certify_by is not None else max(counted, default=0), again=again))
    return written


def encoder_of(path: str) -> str:
    """The path of the file of an encoder, beside the file of a step."""
    stem, end = os.path.splitext(path)
    return '%s-encoder%s' % (stem, end)


def without_onnx(graph: Graph) -> dict[str, list[str]]:
    """The names of nodes for which ONNX has no counterpart, by operator.

    Raises
    ------
    ImportError
        The package onnx is not installed.
    """
    unknown: dict[str, list[str]] = _conversion().unknown_operators(graph)
    return unknown


def table_of(path: str) -> Iterator[tuple[str, list[str]]]:
    """Names, types and sizes of the inputs and outputs of an ONNX file, and its states."""
    _conversion()
    from . import metadata
    return metadata.table_of(path)


def _conversion() -> Any:
    try:
        import onnx  # noqa: F401
        import onnx.reference  # noqa: F401
    except ImportError as error:
        raise ImportError('ONNX files need the package onnx, 1.13 or newer (%s): '
                          'pip install "onnx>=1.13"' % error) from None
    from . import onnx_file
    return onnx_file
