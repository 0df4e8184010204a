"""Shared by the scripts in this folder; imported before anything that imports MXNet.

A script reads::

    from _common import Table, configuration, measure, mx, parse, parser, ratio

    options = parse(parser(__doc__))             # refuses a GPU that is not there
    configuration(rounds=5)                      # '#' lines: versions, machine, threads
    table = Table('case', 'ours_ms', 'ratio')    # CSV rows, printed as they come
    times = measure({'stock': stock_step, 'ours': our_step}, rounds=5)
    table.add('lstm', median(times['ours']) * 1e3, ratio(times, 'stock', 'ours'))
"""
from __future__ import annotations

import argparse
import contextlib
import gc
import os
import platform
import sys
import textwrap
import time
from statistics import median
from typing import Any, Callable, Iterator, NoReturn


def _threads_wanted() -> str:
    """The value of --threads, which counts before MXNet is loaded; it is parsed again later."""
    for argument, after in zip(sys.argv, [*sys.argv[1:], '']):
        if argument.startswith('--threads'):
            return argument.partition('=')[2] or after
    return '1'


# OpenMP and MXNet read these once, when they are loaded. With --threads default each library, and
# MXNet under mxrnn, takes what it takes where nobody says how many.
if _threads_wanted() != 'default':
    os.environ.setdefault('OMP_NUM_THREADS', _threads_wanted())
os.environ.setdefault('MXNET_SUBGRAPH_VERBOSE', '0')
# The package beside this folder is the one measured, installed or not.
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import numpy as np  # noqa: E402
from _options import Parser, filled, why_not_written  # noqa: E402

import mxrnn  # noqa: E402
from mxrnn._runtime import threads as runtime_threads  # noqa: E402

try:
    from mxrnn._runtime.mxnet import mx  # noqa: E402
except ImportError as error:
    if {'-h', '--help'} & set(sys.argv):
        print(filled(sys.modules['__main__'].__doc__ or ''))
        print('\nIts options are listed where MXNet is installed.')
        sys.exit(0)
    raise SystemExit(str(error)) from None
from _gpus import gpu_context, gpu_name  # noqa: E402

__all__ = ['Table', 'configuration', 'contexts', 'figure', 'measure', 'median', 'mx', 'parse',
           'parser', 'ratio', 'run', 'threads']


def parser(doc: str, ctx: bool = True, quick: bool = True, plot: bool = True,
           ) -> argparse.ArgumentParser:
    """A parser described by the script's docstring, with the options that scripts share."""
    result = Parser(doc)
    if ctx:
        result.add_argument('--ctx', choices=['cpu', 'gpu'], default='cpu',
                            help='where to run (default: cpu)')
    if quick:
        result.add_argument('--quick', action='store_true',
                            help='small sizes and few rounds, to see that the script works')
    if plot:
        result.add_argument('--plot', metavar='FILE.png',
                            help='draw the result (needs matplotlib)')
    return result


def parse(options: argparse.ArgumentParser, argv: list[str] | None = None) -> argparse.Namespace:
    """The options given; `--ctx` also becomes `.context`. What cannot be had is refused now."""
    result = options.parse_args(argv)
    if hasattr(result, 'ctx'):
        result.context = contexts([0] if result.ctx == 'gpu' else [])[0]
    if getattr(result, 'plot', None):
        _check_plot(options, result.plot)
    return result


def _check_plot(options: argparse.ArgumentParser, path: str) -> None:
    formats = _pyplot().figure().canvas.get_supported_filetypes()
    if os.path.splitext(path)[1][1:].lower() not in formats:
        options.error('--plot must end in one of %s, got %s'
                      % (', '.join('.' + name for name in sorted(formats)), path))
    if why_not_written(path):
        options.error('--plot must be a file that can be written, but %s' % why_not_written(path))


def run(main: Callable[[], int | None]) -> NoReturn:
    """Run the script and exit; Ctrl-C ends it with status 130 and one line."""
    try:
        sys.exit(main())
    except KeyboardInterrupt as interrupt:
        print(str(interrupt) or 'Interrupted.', file=sys.stderr, flush=True)
        sys.exit(130)


def contexts(gpus: list[int]) -> list[mx.Context]:
    """The contexts of the GPUs of these numbers, or the CPU if there are none in the list."""
    try:
        return [gpu_context(index) for index in gpus] or [mx.cpu()]
    except (RuntimeError, ValueError) as error:
        raise SystemExit('No GPU to run on: %s' % error) from None


def _processor() -> str:
    with contextlib.suppress(OSError), open('/proc/cpuinfo', encoding='utf-8') as lines:
        for line in lines:
            if line.startswith('model name'):
                return line.split(':', 1)[1].strip()
    return platform.processor() or platform.machine()


def threads() -> int:
    """Threads for the arithmetic of MXNet, for the libraries that it is compared with too."""
    return int(os.environ.get('OMP_NUM_THREADS') or runtime_threads.choice.threads or 1)


def configuration(contexts: list[mx.Context] | None = None, **settings: Any) -> None:
    """Print the `#` lines: versions, machine, threads, cards, and the settings given."""
    print('# Python %s, NumPy %s, MXNet %s, mxrnn %s'
          % (platform.python_version(), np.__version__, mx.__version__, mxrnn.__version__))
    print('# %s %s, %s, %d processors, %d thread%s (%s)'
          % (platform.system(), platform.machine(), _processor(), os.cpu_count() or 1,
             threads(), 's' * (threads() > 1), runtime_threads.choice.reason))
    for context in contexts or []:
        if context.device_type == 'gpu':
            print('# %s: %s' % (context, gpu_name(context.device_id)))
    if settings:
        print(textwrap.fill(', '.join('%s: %s' % item for item in settings.items()), 79,
                            initial_indent='# ', subsequent_indent='#   ',
                            break_on_hyphens=False, break_long_words=False))
    sys.stdout.flush()


class Table:
    """Rows of CSV, printed as they are added and kept in `rows`."""

    def __init__(self, *columns: str) -> None:
        self.columns = columns
        self.rows: list[tuple[Any, ...]] = []
        print(','.join(columns), flush=True)

    def add(self, *values: Any) -> None:
        """Print and keep one row; floats are shown with four digits."""
        if len(values) != len(self.columns):
            raise ValueError('%d values for the columns %s' % (len(values), self.columns))
        self.rows.append(values)
        print(','.join('%.4g' % v if isinstance(v, float) else str(v) for v in values),
              flush=True)


def measure(jobs: dict[str, Callable[[], Any]], rounds: int, warmup: int = 1,
            ) -> dict[str, list[float]]:
    """Seconds of each job, one for every round.

    Rounds are interleaved: each runs every job once, forwards and backwards in turn, so that a
    slow spell of the machine falls on all of them. MXNet is waited for on both sides. A job that
    returns a float has taken the time itself, in seconds.
    """
    times: dict[str, list[float]] = {name: [] for name in jobs}
    for i in range(-warmup, rounds):
        for name in list(jobs)[::-1 if i % 2 else 1]:
            gc.collect()
            mx.nd.waitall()
            start = time.perf_counter()
            seconds = jobs[name]()
            mx.nd.waitall()
            if not isinstance(seconds, float):
                seconds = time.perf_counter() - start
            if i >= 0:
                times[name].append(seconds)
    return times


def ratio(times: dict[str, list[float]], slow: str, fast: str) -> float:
    """How many times as long `slow` takes as `fast`: the median over the rounds."""
    return median(a / b for a, b in zip(times[slow], times[fast]))


def _pyplot() -> Any:
    try:
        import matplotlib
    except ImportError:
        raise SystemExit("--plot needs matplotlib: pip install '.[bench]'") from None
    matplotlib.use('Agg')
    from matplotlib import pyplot
    return pyplot


@contextlib.contextmanager
def figure(options: argparse.Namespace, title: str, xlabel: str, ylabel: str, whole: bool = False,
           ratio: bool = False, timed: bool = True) -> Iterator[Any]:
    """Axes to draw labelled lines on, saved with their legend, beside them, when the block ends.

    Where x is `whole`, so are its ticks. A `ratio` has a line at 1 and a logarithmic axis. With
    --quick the title says so, and an axis of times, which is y if `timed`, has no numbers: one or
    two rounds of small sizes tell none.
    """
    pyplot = _pyplot()
    fig, axes = pyplot.subplots(figsize=(9, 4.5), layout='constrained')
    axes.set_title(title + options.quick * ' (--quick: small sizes, no result)')
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    if whole:
        axes.xaxis.set_major_locator(pyplot.MaxNLocator(integer=True))
    if ratio:
        if not options.quick:
            axes.axhline(1, color='grey', linewidth=0.8)
        axes.set_yscale('log', base=2)
        axes.yaxis.set_major_formatter('{x:g}')
    yield axes
    low, high = axes.get_ylim()
    if ratio and high < 8 * low:  # powers of 2 alone would leave the axis bare
        axes.yaxis.set_major_locator(pyplot.LogLocator(base=2, subs=(1, 1.5)))
    if options.quick and timed:
        axes.tick_params(axis='y', which='both', left=False, labelleft=False)
        axes.set_ylabel(ylabel + ': not told by so few rounds')
    axes.legend(loc='upper left', bbox_to_anchor=(1.01, 1), fontsize='small')
    fig.savefig(options.plot, dpi=120)
    print('# drawn: %s' % options.plot, flush=True)
