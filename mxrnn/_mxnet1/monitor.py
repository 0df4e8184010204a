"""MXNet 1's Monitor: statistics of operators' results."""
from __future__ import annotations

import logging
import math
import re
from typing import Callable, List, Union

from . import mx
from .executor import Executor

__all__ = ['Monitor']

_Statistic = Union[mx.nd.NDArray, List[mx.nd.NDArray]]
_Function = Callable[[mx.nd.NDArray], _Statistic]


class Monitor:
    """Statistics of the outputs, weights and gradients whose names match a pattern.

    Parameters
    ----------
    interval : int
        Number of batches between statistics.
    stat_func : function, optional
        Function of an array; by default the mean of its absolute values.
    pattern : str
        A regular expression.
    sort : bool
        Whether to sort the statistics by name.
    monitor_all : bool
        Whether to include inputs of operators.
    """

    def __init__(self, interval: int, stat_func: _Function | None = None, pattern: str = '.*',
                 sort: bool = False, monitor_all: bool = False) -> None:
        self.interval, self.sort, self.monitor_all = interval, sort, monitor_all
        self.stat_func = stat_func or (lambda x: mx.nd.norm(x) / math.sqrt(x.size))
        self.re_prog = re.compile(pattern)
        self.exes: list[Executor] = []
        self.queue: list[tuple[int, str, _Statistic]] = []
        self.step, self.activated = 0, False

    def stat_helper(self, name: str, array: mx.nd.NDArray) -> None:
        """Note the statistic of an array."""
        if self.activated and self.re_prog.match(name):
            self.queue.append((self.step, name, self.stat_func(array)))

    def install(self, exe: Executor) -> None:
        """Watch an executor."""
        exe.set_monitor_callback(self.stat_helper, self.monitor_all)
        self.exes.append(exe)

    def tic(self) -> None:
        """Begin a batch."""
        if self.step % self.interval == 0:
            self.queue, self.activated = [], True
        self.step += 1

    def toc(self) -> list[tuple[int, str, str]]:
        """End a batch; return step, name and statistic of each array."""
        if not self.activated:
            return []
        for exe in self.exes:
            for name, array in {**exe.arg_dict, **exe.aux_dict}.items():
                self.stat_helper(name, array)
        self.activated = False
        queue = sorted(self.queue, key=lambda row: row[1]) if self.sort else self.queue
        self.queue = []
        return [(step, name, '\t'.join(
            str(each.asscalar() if each.shape in ((1,), ()) else each.asnumpy())
            for each in (value if isinstance(value, list) else [value])) + '\t')
            for step, name, value in queue]

    def toc_print(self) -> None:
        """End a batch and log the statistics with the root logger, as MXNet 1 does."""
        for step, name, value in self.toc():
            logging.getLogger().info('Batch: %7d %30s %s', step, name, value)
