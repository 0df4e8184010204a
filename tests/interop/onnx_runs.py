"""Graphs as ONNX files, run by onnxruntime and compared with MXNet."""
from __future__ import annotations

from typing import Any, Mapping, NamedTuple, Sequence

import numpy as np
import pytest

from mxrnn.interop import Model, graph_from_json

from ..running import bound, flat, random_value
from .models import S

pytest.importorskip('onnx')
runtime = pytest.importorskip('onnxruntime')

from mxrnn.interop._onnx.conversion import contents  # noqa: E402
from mxrnn.interop.prepare import prepare  # noqa: E402
from mxrnn.interop.registry import ONNX  # noqa: E402
from mxrnn.interop.run.onnx_session import inputs_of  # noqa: E402


class File(NamedTuple):
    """The content of a file, the shapes of its inputs, and the outputs that it does not have."""

    content: bytes
    inputs: Mapping[str, Sequence[Any]]
    left_out: Sequence[str]


def exportable(model, inputs=None, *, rolled=True, **options):
    """The file that `to_onnx` writes of a model."""
    plan = prepare(model, inputs, operators=ONNX, roll=rolled, **options)
    return File(contents(plan)[0], plan.inputs, plan.left_out)


def grouped(outputs, states=()):
    """Outputs, one Symbol or a list, and nested states as one Symbol."""
    return S.Group(flat([outputs]) + flat(list(states)))


def exported(symbol, params, inputs, **options):
    """The file of `symbol`, as it was unrolled unless `rolled` says otherwise."""
    auxiliary = symbol.list_auxiliary_states()
    model = Model(graph_from_json(symbol.tojson()),
                  {name: array for name, array in params.items() if name not in auxiliary},
                  {name: params[name] for name in auxiliary})
    return exportable(model, inputs, **{'rolled': False, **options}).content


def session(content):
    """The file in onnxruntime, on one thread."""
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return runtime.InferenceSession(content, options, providers=['CPUExecutionProvider'])


def outputs_of(serving, data):
    """What a file gives for `data`, which get the types of its inputs."""
    return serving.run(None, {
        name: data[name].astype(kind) for name, _, kind in inputs_of(serving)})


def compare(symbol, inputs, runs, *, values=None, tolerance=1e-5, **options):
    """Export `symbol` once, run it with the shapes of each of `runs` here and there.

    `values` gives, from the name and the shape of an input, its data, or None for random numbers.
    Returns the largest difference, relative to the largest value of its output.
    """
    params = {}
    worst, serving = 0.0, None
    for shapes in runs:
        data = {}
        for name, shape in shapes.items():
            value = values(name, shape, shapes) if values else None
            data[name] = random_value(name, shape).astype('f') if value is None else value
        executor = bound(symbol, shapes, params, data)
        if serving is None:
            params = {name: array.asnumpy() for name, array in
                      {**executor.arg_dict, **executor.aux_dict}.items() if name not in shapes}
            serving = session(exported(symbol, params, inputs, **options))
            names = [output.name for output in serving.get_outputs()]
            listed = symbol.list_outputs()
            assert all(name in (each, each + '_output') or listed.count(each) > 1
                       for name, each in zip(names, listed)), (names, listed)
        wanted = [output.asnumpy() for output in executor.forward(is_train=False)]
        got = outputs_of(serving, data)
        named = {size: length for each in serving.get_inputs()
                 for size, length in zip(each.shape, data[each.name].shape)}
        for each, ours in zip(serving.get_outputs(), got):
            stated = [named.get(size, length) if isinstance(size, str) else length
                      if size is None else size for size, length in zip(each.shape, ours.shape)]
            assert stated == list(ours.shape), (each.name, each.shape, ours.shape)
        for name, ours, theirs in zip(symbol.list_outputs(), got, wanted):
            assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype), name
            if ours.size:
                same = (ours == theirs) | (np.isnan(ours) & np.isnan(theirs))
                difference = np.abs(ours[~same].astype('f8') - theirs[~same].astype('f8')
                                    ).max(initial=0)
                size = np.abs(theirs[np.isfinite(theirs)]).max(initial=0) or 1
                worst = max(difference / size, worst)  # in this order NaN is the larger one
                assert worst <= tolerance, (name, worst, ours, theirs)
    return worst
