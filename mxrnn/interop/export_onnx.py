"""to_onnx: writes graphs of MXNet as ONNX. It imports the package onnx when it is called."""
from __future__ import annotations

import os
import warnings
from typing import Any, Mapping, NamedTuple, Sequence

from .. import _check
from .._files.atomic import replacing
from .._graph.graph import Graph
from .check.export_check import Compared, check_export, log_unchecked
from .model import Model
from .prepare import Prepared, prepare, prepare_part
from .prepare.outputs import unknown_operators
from .registry import ONNX
from .run.exported_file import ExportedFile
from .run.mxnet_process import begin
from .run.onnx_file import open_content
from .seals import check_onnx_target, refuse_checkpoint, sealed

__all__ = ['encoder_of', 'to_onnx', 'without_onnx', 'write_onnx']


class Written(NamedTuple):
    """A plan whose file was written; whether and how it was checked, or why not. The texts are
    empty if no check was requested."""

    plan: Prepared
    checked: Compared = Compared('', '')


def to_onnx(model: Any, path: str, inputs: Mapping[str, Sequence[int | str]] | None = None, *,
            types: Mapping[str, _check.DType] | None = None, outputs: Sequence[str] | None = None,
            roll: bool = True, certify_by: Graph | None = None, states: bool = False,
            check: bool = True) -> None:
    """Write a model as an ONNX file with standard operators only (opset 17).

    Parameters
    ----------
    model : Model
        From `interop.load`.
    path : str
        The file. If it cannot be written or fails the check, nothing is written.
    inputs : dict, optional
        Shapes of inputs by name. An axis is an int, or a name such as 'batch', which allows any
        size. Axes with the same name have the same size. 'time:35' is the axis 'time' of a graph
        that was unrolled for 35 steps: a 35 that ties this axis then means the number of steps.
        Other inputs get their shape from the graph: widths from the weights that read them, a
        number where the graph ties an axis, and any size elsewhere. Labels of losses are not inputs
        of the file.
    types : dict, optional
        Types of inputs by name, such as ``{'data': 'float32'}``. Other inputs have the type that
        the graph states; otherwise int64 if only look-ups such as Embedding read them, or the
        parameters' type, as in MXNet.
    outputs : list of str, optional
        Names of the file's outputs. Outputs of inner nodes, such as 'scores_output', are allowed.
        If None, all outputs except losses that ONNX lacks (CTCLoss); a warning names these.
    roll : bool
        Whether cells that were unrolled step by step become one operator or loop, so that the file
        takes any number of steps; False keeps them unrolled.
    certify_by : Graph, optional
        The graph of another bucket of the same program. A number that differs between the two
        graphs is computed from the number of steps. ExportError if other things differ.
    states : bool
        Whether the states of all recurrences become inputs and outputs of the file. The file then
        runs in steps, or in chunks of any number of steps, as `load_stepper` does. A decoder's
        encoder gets its own file, 'days-encoder.onnx' for 'days.onnx'.
    check : bool
        Whether to run the file before it gets its name; see Notes.

    Raises
    ------
    ExportError
        The file's outputs differ from the model's, or its readers refuse it. Or ONNX lacks
        operators of the model (all are named). Or the graph does not fit `inputs`, for instance
        because it is fixed to a length, or does not tell a shape that `inputs` lacks. Or, with
        `states`, the graph uses several steps of a sequence at once.
    ValueError, TypeError
        `inputs` or `types` are not shapes or types of the model's arguments, `outputs` has a name
        that is not an output, or `path` names a file of a checkpoint, or one that `to_onnx` did not
        write of this model.
    ImportError
        The package onnx is not installed.

    Notes
    -----
    Outputs have MXNet's names and order; one that occurs twice gets a number. Loss heads
    (SoftmaxOutput and so on) become their predictions, and dropout is off as in inference. Values
    that depend only on parameters are computed during the export.

    The check runs the file and the model on the same random data. The file runs in onnxruntime,
    with `load_stepper` if it has states. The model runs in MXNet, or in torch if MXNet cannot be
    imported. The data have the length that the graph was unrolled for, then two other sizes if the
    file takes any. A number may differ by 1e-5 of the largest of its feature, or of its place on
    another axis, and by as much as rounding alone causes. Otherwise nothing is written, and the
    message names the first node that differs. The check takes about as long as the export. It runs
    MXNet in its own process. A file that cannot be
    checked is written, with a warning in the log: onnxruntime is missing, or the model draws random
    numbers or has operators that a program defines.

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
    written = write_onnx(model, path, inputs, types=types, outputs=outputs, roll=roll,
                         certify_by=certify_by, states=states, check=_check.flag('check', check))
    if check:
        log_unchecked(os.fspath(path), written.checked)
    if written.plan.left_out:
        warnings.warn('%s has no output %s: losses that ONNX does not have' % (
            path, ', '.join(written.plan.left_out)), stacklevel=2)


def write_onnx(model: Any, path: str, inputs: Mapping[str, Sequence[Any]] | None = None, *,
               types: Mapping[str, Any] | None = None, outputs: Sequence[str] | None = None,
               roll: bool = True, certify_by: Graph | None = None, states: bool = False,
               check: bool = True) -> Written:
    """Write the files of `to_onnx`."""
    _check.instance('model', model, Model, 'a Model, as load and from_torch return it')
    path = os.fspath(path)
    refuse_checkpoint('path', path)
    encoder = encoder_of(path)
    contents = _conversion().contents
    check_onnx_target(path, model)
    if check:
        begin()
    plan = prepare(model, inputs, types, outputs, operators=ONNX, certify_by=certify_by,
                   states=states, roll=roll)
    content, first = contents(plan, os.path.basename(encoder))
    files = {path: sealed(content)}
    if first is not None:
        check_onnx_target(encoder, model)
        files[encoder] = sealed(first)

    def again(part: Model) -> ExportedFile:
        return open_content(contents(prepare_part(
            part, inputs, types, operators=ONNX, roll=roll))[0])
    with replacing(list(files)) as staged:
        for place, content in zip(staged, files.values()):
            with open(place, 'wb') as file:
                file.write(content)
        return Written(plan, check_export(plan, staged[0], again)) if check else Written(plan)


def encoder_of(path: str) -> str:
    """The path of an encoder's file, beside the file of a step."""
    stem, end = os.path.splitext(path)
    return '%s-encoder%s' % (stem, end)


def without_onnx(graph: Graph) -> dict[str, list[str]]:
    """The names of nodes that ONNX cannot express, by operator.

    Raises
    ------
    ImportError
        The package onnx is not installed.
    """
    _conversion()
    return unknown_operators(graph, ONNX)


def _conversion() -> Any:
    with _check.needing('ONNX files need the package onnx, 1.13 or newer', '"onnx>=1.13"'):
        import onnx  # noqa: F401
        import onnx.reference  # noqa: F401
    from ._onnx import conversion
    return conversion
