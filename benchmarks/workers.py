"""How much goes over the network in a step of dist_sync, and what slow links make of its time?

Two or more workers and a server, each on a host of its own: hosts are network namespaces, joined by
a bridge, and `tc` limits what each of them sends. The network is two layers of LSTM and a small
decoder, as ordinary cells, through `fuse`, and as FusedRNNCell, whose weights are one array.

    python benchmarks/workers.py   # as root, on Linux with iproute2
    python benchmarks/workers.py --workers 3 --rates 1gbit,50mbit --hidden 512

Bytes are those that the network interfaces counted. `least_s` and `most_s` are the formulas of
docs/distributed.md, from the time that a step takes where links are not limited. All hosts share
the processors of one machine, so times say something about links, not about computing.
"""
from __future__ import annotations

import argparse
import json
import os
import socket
import sys
import time
from typing import Any

from _common import Table, configuration, median, mx, parse, parser, run
from _hosts import Hosts, why_not
from _options import positive

import mxrnn as rnn

KINDS = ['cells', 'fuse', 'FusedRNNCell']
STEPS, BATCH, WORDS, LAYERS = 20, 16, 64, 2
UNITS = {'mbit': 1e6 / 8, 'gbit': 1e9 / 8}


def network(kind: str, hidden: int) -> mx.sym.Symbol:
    """A language model of few words, so that most weights are those of the cells."""
    if kind == 'FusedRNNCell':
        cell = rnn.FusedRNNCell(hidden, LAYERS, prefix='lstm_')
    else:
        cell = rnn.SequentialRNNCell()
        for i in range(LAYERS):
            cell.add(rnn.LSTMCell(hidden, 'lstm_l%d_' % i))
        cell = rnn.fuse(cell) if kind == 'fuse' else cell
    data = mx.sym.Embedding(mx.sym.Variable('data'), input_dim=WORDS, output_dim=hidden)
    outputs, _ = cell.unroll(STEPS, data, layout='TNC', merge_outputs=True)
    scores = mx.sym.FullyConnected(mx.sym.reshape(outputs, shape=(-1, hidden)), num_hidden=WORDS)
    return mx.sym.SoftmaxOutput(scores, mx.sym.reshape(mx.sym.Variable('label'), shape=(-1,)))


def work(kind: str, hidden: int, rounds: int) -> dict[str, float]:
    """Take some steps as a worker, all with the same batch."""
    store = mx.kv.create('dist_sync')
    shape = (STEPS, BATCH)
    described = [mx.io.DataDesc(name, shape, layout='TN') for name in ('data', 'label')]
    module = mx.mod.Module(network(kind, hidden), ['data'], ['label'])
    module.bind(described[:1], described[1:])
    module.init_params(mx.init.Uniform(0.1))
    module.init_optimizer(store, 'sgd', {'learning_rate': 0.01})
    values = mx.nd.random.randint(0, WORDS, shape=shape).astype('float32')
    batch = mx.io.DataBatch([values], [values])

    def step() -> None:
        module.forward_backward(batch)
        module.update()
        for array in module.get_outputs():
            array.wait_to_read()
        mx.nd.waitall()

    step()
    seconds = []
    before = traffic()
    for _ in range(rounds):
        start = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - start)
    sent, received = (b - a for a, b in zip(before, traffic()))
    weights = module.get_params()[0].values()
    return {'rank': store.rank, 'seconds': median(seconds), 'sent': sent / rounds,
            'received': received / rounds, 'parameters': sum(value.size for value in weights),
            'arrays': len(weights)}


def traffic() -> tuple[int, int]:
    """Bytes that this host's interface has sent and received."""
    with open('/proc/net/dev', encoding='ascii') as lines:
        fields = next(line for line in lines if line.strip().startswith('eth:')).split()
    return int(fields[9]), int(fields[1])


def measure(kind: str, rate: str, options: argparse.Namespace) -> dict[str, float]:
    """Run a scheduler and a server on the first host and a worker on each of the others."""
    with Hosts(options.workers + 1) as hosts:
        for host in range(options.workers + 1):
            if rate != 'none':
                hosts.limit(host, rate)
        command = [sys.executable, os.path.abspath(__file__), '--kind', kind, '--hidden',
                   str(options.hidden), '--rounds', str(options.rounds)]
        environment = dict(os.environ, DMLC_PS_ROOT_URI=hosts.addresses[0],
                           DMLC_PS_ROOT_PORT='9091', DMLC_NUM_SERVER='1',
                           DMLC_NUM_WORKER=str(options.workers))
        started = [hosts.start(host, command, env=dict(environment, DMLC_ROLE=role))
                   for host, role in [(0, 'scheduler'), (0, 'server')]
                   + [(i + 1, 'worker') for i in range(options.workers)]]
        printed = [process.communicate(timeout=300)[0] for process in started]
    found = [json.loads(line) for text in printed for line in text.splitlines()
             if line.startswith('{"rank"')]
    if len(found) < options.workers:
        raise SystemExit('a worker failed:\n' + '\n'.join(printed))
    return min(found, key=lambda result: result['rank'])


def main() -> None:
    """Measure every kind with every rate."""
    options = parser(__doc__, ctx=False, plot=False)
    options.add_argument('--workers', type=positive, default=2,
                         help='workers (default: %(default)s)')
    options.add_argument('--hidden', type=positive, default=256,
                         help='units in a layer (default: %(default)s)')
    options.add_argument('--rates', default='none,1gbit,200mbit,50mbit',
                         help='what each host can send (default: %(default)s)')
    options.add_argument('--rounds', type=positive, default=10,
                         help='steps to measure (default: %(default)s)')
    options.add_argument('--kind', choices=KINDS, help=argparse.SUPPRESS)  # in a worker
    result = parse(options)
    if result.kind:
        print(json.dumps(work(result.kind, result.hidden, result.rounds)), flush=True)
        return
    if why_not():
        raise SystemExit(why_not())
    if result.quick:
        result.hidden, result.rates, result.rounds = 16, '100mbit', 2
    rates = result.rates.split(',')
    configuration(workers=result.workers, servers=1, layers=LAYERS, hidden=result.hidden,
                  steps=STEPS, batch=BATCH, host=socket.gethostname())
    table = Table('weights', 'rate', 'arrays', 'parameters', 'sent_mb', 'received_mb', 'step_s',
                  'least_s', 'most_s')
    for kind in KINDS:
        alone = None
        for rate in rates:
            found = measure(kind, rate, result)
            if rate == 'none':
                alone = found['seconds']
            bounds: list[Any] = ['', '']
            if alone is not None and rate != 'none':
                push = 4 * found['parameters'] / (float(rate[:-4]) * UNITS[rate[-4:]])
                bounds = [alone + result.workers * push, alone + (1 + result.workers) * push]
            table.add(kind, rate, int(found['arrays']), int(found['parameters']),
                      found['sent'] / 1e6, found['received'] / 1e6, found['seconds'], *bounds)


if __name__ == '__main__':
    run(main)
