"""How long does a step of an exported graph take in torch, against torch's own layers?

Builds the graphs of FusedRNNCell, of `fuse` and of ordinary cells, which are unrolled in MXNet and
rolled up in torch, turns them into modules by `interop.to_torch` and times inference, and forward +
backward, beside torch.nn.LSTM and GRU: time-major, on the same number of threads, in rounds that
take turns. Every implementation also computes the gradient of its input. `to_torch` is how many
times as fast as torch.nn it is; `from_cpu` the largest difference of the outputs from those on the
CPU, as a part of the largest. MXNet makes the graphs on the CPU; `--ctx gpu` needs a GPU of torch's
only, of any age, on which TF32 is switched off.

    python benchmarks/torch_graph.py
    python benchmarks/torch_graph.py --ctx gpu
"""
from __future__ import annotations

import importlib.util
from functools import partial
from typing import Any, Callable

import numpy as np
from _common import Table, configuration, measure, median, mx, parser, ratio, run, threads
from _options import positive
from train_step import CASES, PASSES, QUICK, stack

import mxrnn
from mxrnn import interop

if importlib.util.find_spec('torch') is None:
    raise SystemExit('torch_graph.py needs torch: pip install torch')
import torch  # noqa: E402

TORCH = 'torch.nn'

#: Functions that make a cell of mode, layers and units, by the name that the table has.
CELLS: dict[str, Callable[[str, int, int], Any]] = {
    'FusedRNNCell': lambda mode, layers, units: mxrnn.FusedRNNCell(units, layers, mode),
    'fuse': lambda mode, layers, units: mxrnn.fuse(stack(mxrnn, mode, layers, units)),
    'rolled': lambda mode, layers, units: stack(mxrnn, mode, layers, units),
}


def module(cell: Any, shape: tuple[int, int, int]) -> torch.nn.Module:
    """The graph of a cell with random weights."""
    outputs, _ = cell.unroll(shape[0], mx.sym.Variable('data'), layout='TNC', merge_outputs=True)
    shapes, _, _ = outputs.infer_shape(data=shape)
    random = np.random.RandomState(0)
    weights = {name: random.uniform(-.1, .1, size).astype('float32')
               for name, size in zip(outputs.list_arguments(), shapes) if name != 'data'}
    graph = interop.graph_from_json(outputs.tojson())
    return interop.to_torch(interop.Model(graph, weights, {}))


def first(outputs: Any) -> torch.Tensor:
    """The sequence, of a layer that gives states as well."""
    return outputs if isinstance(outputs, torch.Tensor) else outputs[0]


def from_cpu(layer: torch.nn.Module, data: torch.Tensor, device: str) -> float:
    """The largest difference of what `layer` gives on the device from what it gives on the CPU."""
    with torch.no_grad():
        expected = first(layer.cpu()(data.detach().cpu()))
        found = first(layer.to(device)(data)).cpu()
    return float((found - expected).abs().max() / expected.abs().max())


def step(layer: torch.nn.Module, data: torch.Tensor, train: bool) -> Callable[[], None]:
    """A step of a layer."""
    head = torch.ones_like(first(layer(data)))

    def run() -> None:
        with torch.set_grad_enabled(train):
            outputs = first(layer(data))
        if train:
            layer.zero_grad(set_to_none=True)
            data.grad = None
            outputs.backward(head)
        if data.is_cuda:
            torch.cuda.synchronize()
    return run


def main() -> None:
    options = parser(__doc__, ctx=False, plot=False)
    options.add_argument('--ctx', choices=['cpu', 'gpu'], default='cpu',
                         help='where torch is to run (default: cpu)')
    options.add_argument('--rounds', type=positive, default=10, help='rounds a case (default: 10)')
    options = options.parse_args()
    device = 'cuda' if options.ctx == 'gpu' else 'cpu'
    if device == 'cuda' and not torch.cuda.is_available():
        raise SystemExit('No GPU to run on: torch finds none')
    torch.set_num_threads(threads())
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    rounds = 2 if options.quick else options.rounds
    configuration(rounds=rounds, dtype='float32', torch=torch.__version__,
                  device=torch.cuda.get_device_name() if device == 'cuda' else 'cpu')
    table = Table('cell', 'T', 'N', 'layers', 'H', 'pass', 'implementation', 'ms', 'to_torch',
                  'from_cpu')
    for mode, length, batch, layers, units in QUICK if options.quick else CASES:
        shape = length, batch, units
        kind = {'lstm': torch.nn.LSTM, 'gru': torch.nn.GRU}[mode]
        built = {TORCH: kind(units, units, layers),
                 **{name: module(make(mode, layers, units), shape)
                    for name, make in CELLS.items()}}
        data = torch.empty(shape, device=device).uniform_(-.1, .1).requires_grad_()
        off = {name: from_cpu(layer, data, device) for name, layer in built.items()}
        for name in PASSES:
            train = name == 'training'
            jobs = {each: step(layer.train(train), data, train) for each, layer in built.items()}
            times = measure({each: partial(job) for each, job in jobs.items()}, rounds)
            for each, taken in times.items():
                table.add(mode, *shape[:2], layers, units, name, each, median(taken) * 1e3,
                          ratio(times, TORCH, each), off[each])


if __name__ == '__main__':
    run(main)
