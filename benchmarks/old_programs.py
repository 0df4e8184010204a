"""How much faster are old programs, as they stand, under ``python -m mxrnn run --fuse``?

A program that knows nothing of mxrnn (`_old_program.py`) trains stacks of ordinary cells of mx.rnn,
in the shapes of `train_step.py`: with mxnet.rnn itself, under `run`, under `run --fuse`, and after
an edit that gives the stack to `fuse`. With `--lm`, the language model of `bucketing_lm.py` is
trained for an epoch instead, with ordinary cells: with mxnet.rnn (`--stock`), under `run` and under
`run --fuse`.

    python benchmarks/old_programs.py
    python benchmarks/old_programs.py --lm
"""
from __future__ import annotations

import os
import re
import subprocess
import sys

from _common import Table, configuration, parse, parser, run
from _options import positive
from train_step import CASES, QUICK

FOLDER = os.path.dirname(os.path.abspath(__file__))

#: `import mxnet` works, and mx.rnn stays MXNet's own.
STOCK = ['-c', 'import runpy, sys, mxrnn; sys.argv[:] = sys.argv[1:]; '
               'runpy.run_path(sys.argv[0], run_name="__main__")']
RUN = ['-m', 'mxrnn', 'run']


def printed(*command: str) -> str:
    """Run Python and return what it prints."""
    paths = [os.path.dirname(FOLDER), os.environ.get('PYTHONPATH', '')]
    environment = dict(os.environ, MXNET_SUBGRAPH_VERBOSE='0',
                       PYTHONPATH=os.pathsep.join(filter(None, paths)))
    ended = subprocess.run([sys.executable, '-W', 'ignore', *command], env=environment,
                           capture_output=True, text=True)
    if ended.returncode:
        raise SystemExit('%s failed:\n%s' % (' '.join(command), ended.stderr))
    return ended.stdout


def stacks(quick: bool, rounds: int, passes: int) -> None:
    """Compare the shortest steps of stacks, of some passes, which take turns."""
    program = os.path.join(FOLDER, '_old_program.py')
    table = Table('cells', 'T', 'N', 'layers', 'H', 'stock_ms', 'run_ms', 'run_fuse_ms',
                  'edited_ms', 'fuse_to_stock', 'fuse_to_edited')
    for case in QUICK if quick else CASES:
        words = [program, *map(str, case), str(rounds)]
        ways = ([*STOCK, *words], [*RUN, *words], [*RUN, '--fuse', *words],
                [*RUN, *words, 'edited'])
        found = [[1000 * float(printed(*way).split()[-1]) for way in ways] for _ in range(passes)]
        stock, plain, fused, edited = map(min, zip(*found))
        table.add(*case, stock, plain, fused, edited, stock / fused, edited / fused)


def language_model(quick: bool) -> None:
    """Compare the training of the language model."""
    words = [os.path.join(FOLDER, 'bucketing_lm.py'), '--unfused', '--epochs', '1',
             *['--quick'] * quick]
    table = Table('way', 'samples_per_second', 'train_perplexity', 'to_stock')
    stock = 0.0
    for way, command in (('stock', [*words, '--stock']), ('run', [*RUN, *words]),
                         ('run --fuse', [*RUN, '--fuse', *words])):
        found = re.search(r'^1,([\d.]+),[\d.]+,([\d.]+)$', printed(*command), re.MULTILINE)
        if found is None:
            raise SystemExit('%s printed no row of epoch 1' % way)
        speed = float(found.group(2))
        stock = stock or speed
        table.add(way, speed, found.group(1), speed / stock)


def main() -> None:
    """Measure what is asked for."""
    options = parser(__doc__, ctx=False, plot=False)
    options.add_argument('--lm', action='store_true', help='the language model instead of stacks')
    options.add_argument('--rounds', type=positive, default=5,
                         help='steps to measure (default: %(default)s)')
    options.add_argument('--passes', type=positive, default=2,
                         help='how often each program is run (default: %(default)s)')
    result = parse(options)
    configuration(rounds=result.rounds, passes=result.passes)
    if result.lm:
        language_model(result.quick)
    else:
        stacks(result.quick, result.rounds, result.passes)


if __name__ == '__main__':
    run(main)
