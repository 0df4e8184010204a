"""How long does it take to roll an unrolled graph up, and what does it gain?

Unrolls two layers of LSTM, as `mx.rnn` does, and rolls the graph up. `rewrite` is how long that
takes, `nodes` what the graph had and has. `torch` times inference of the rolled graph and of
torch.nn.LSTM, time-major, on one thread; `onnx` the start of a session of onnxruntime and its run,
of both graphs.

    python benchmarks/rolling.py
"""
from __future__ import annotations

import importlib.util
import os
import tempfile
import time
from functools import partial
from typing import Any, Callable

import numpy as np
from _common import Table, configuration, measure, median, mx, parser, run
from _options import positive

import mxrnn
from mxrnn import interop
from mxrnn._graph.rolling import structure

if any(importlib.util.find_spec(name) is None for name in ('torch', 'onnx', 'onnxruntime')):
    raise SystemExit('rolling.py needs torch and onnxruntime: pip install torch onnx onnxruntime')
import onnxruntime  # noqa: E402
import torch  # noqa: E402

LAYERS, UNITS = 2, 200


def unrolled(length: int) -> Any:
    """The graph of so many steps, and weights for it."""
    stack = mxrnn.SequentialRNNCell()
    for i in range(LAYERS):
        stack.add(mxrnn.LSTMCell(UNITS, 'l%d_' % i))
    outputs, _ = stack.unroll(length, mx.sym.Variable('data'), layout='TNC', merge_outputs=True)
    shapes, _, _ = outputs.infer_shape(data=(length, 1, UNITS))
    random = np.random.RandomState(0)
    weights = {name: random.uniform(-.1, .1, size).astype('float32')
               for name, size in zip(outputs.list_arguments(), shapes) if name != 'data'}
    return interop.Model(interop.graph_from_json(outputs.tojson()), weights, {})


def in_torch(layer: Any, data: torch.Tensor) -> Callable[[], Any]:
    def run() -> None:
        with torch.no_grad():
            layer(data)
    return run


def session(model: Any, length: int, rolled: bool) -> tuple[Any, float]:
    """A session of onnxruntime on one thread, and how long its start takes."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, 'model.onnx')
        interop.to_onnx(model, path, {'data': (length, 'batch', UNITS)}, roll=rolled)
        begin = time.perf_counter()
        started = onnxruntime.InferenceSession(path, options)
        return started, time.perf_counter() - begin


def main() -> None:
    options = parser(__doc__, ctx=False, plot=False)
    options.add_argument('--rounds', type=positive, default=10, help='rounds a case (default: 10)')
    options = options.parse_args()
    rounds = 2 if options.quick else options.rounds
    torch.set_num_threads(1)
    configuration(rounds=rounds, torch=torch.__version__, onnxruntime=onnxruntime.__version__)
    table = Table('what', 'T', 'N', 'implementation', 'ms')
    for length in (20,) if options.quick else (35, 200, 1180):
        model = unrolled(length)
        begin = time.perf_counter()
        rolled = structure(model.graph)
        table.add('rewrite', length, '', '%d to %d nodes' % (len(model.graph.nodes), len(
            rolled.graph.nodes)), (time.perf_counter() - begin) * 1e3)
    for length, batches in ((20, (1,)),) if options.quick else ((35, (1, 32)), (200, (1,))):
        model = unrolled(length)
        layers = {'torch.nn': torch.nn.LSTM(UNITS, UNITS, LAYERS),
                  'rolled': interop.to_torch(model)}
        sessions = {}
        for name, rolls in (('unrolled', False), ('rolled', True)):
            sessions[name], taken = session(model, length, rolls)
            table.add('onnx, start', length, '', name, taken * 1e3)
        for batch in batches:
            data = torch.empty(length, batch, UNITS).uniform_(-.1, .1)
            times = measure({name: in_torch(layer, data) for name, layer in layers.items()},
                            rounds)
            for name, each in times.items():
                table.add('torch', length, batch, name, median(each) * 1e3)
            times = measure({name: partial(started.run, None, {'data': data.numpy()})
                             for name, started in sessions.items()}, rounds)
            for name, each in times.items():
                table.add('onnx', length, batch, name, median(each) * 1e3)


if __name__ == '__main__':
    run(main)
