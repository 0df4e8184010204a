"""Reports what MXNet runs on."""
from __future__ import annotations

import os
import platform
from typing import Callable, Iterable

import numpy as np

from . import cuda_libraries as _cuda
from . import elf_files, threads, versions
from .gpus import fit, gpus, mxnet_folder, mxnet_library
from .import_failure import clashes
from .mxnet import cures, mx

__all__ = ['device_report']


def _mxnet() -> Iterable[str]:
    yield '%s in %s' % (mx.__version__, mxnet_folder())
    yield 'installed: ' + (', '.join('%s %s' % each for each in _cuda.installed().items())
                           or 'none of the wheels of PyPI')
    yield from clashes()


def _features() -> Iterable[str]:
    yield ' '.join(sorted(name for name, feature in mx.runtime.Features().items()
                          if feature.enabled))


def _threads() -> Iterable[str]:
    number, reason = threads.choice
    yield '%s%s' % ('' if number is None else '%d: ' % number, reason)


def _cuda_libraries() -> Iterable[str]:
    wanted = _cuda.wanted(mxnet_library())
    for soname in wanted:
        yield '%s from %s' % (soname, _cuda.origin(soname) or 'nowhere: it is not loaded')
    if not wanted:
        yield 'MXNet links to none'


def _gpus() -> Iterable[str]:
    try:
        found = gpus()
    except RuntimeError as error:
        yield 'none: %s' % error
    else:
        code = elf_files.compute_capabilities(mxnet_library())
        for index, gpu in enumerate(found):
            yield 'gpu(%d) %s: %s' % (index, gpu.name, fit(gpu, code))
    yield 'mx.context.num_gpus() is %d' % mx.context.num_gpus()


_SECTIONS: dict[str, Callable[[], Iterable[str]]] = {
    'mxrnn': lambda: ['%s in %s' % (versions.VERSION,
                                    os.path.dirname(os.path.dirname(__file__)))],
    'Python': lambda: ['%s on %s' % (platform.python_version(), platform.platform())],
    'NumPy': lambda: [np.__version__], 'MXNet': _mxnet, 'features': _features,
    'cures': lambda: cures or ['none'], 'threads': _threads, 'CUDA libraries': _cuda_libraries,
    'GPUs': _gpus}


def device_report() -> str:
    """Return, as text, what MXNet runs on; for bug reports, so it never raises.

    It lists Python, NumPy, MXNet and its features, the patches for its import, how many threads it
    uses on the CPU, the CUDA libraries with their files, and the GPUs with their compute capability
    and whether this MXNet has code for them. ``python -m mxrnn`` prints it.

    Examples
    --------
    >>> import mxrnn as rnn
    >>> print(rnn.device_report())  # doctest: +ELLIPSIS
    mxrnn ...
    """
    lines = []
    for title, section in _SECTIONS.items():
        told: list[str] = []
        try:
            told.extend(section())
        except Exception as error:
            told.append('unknown: %s: %s' % (type(error).__name__, error))
        for line in told:
            lines.append('%-15s %s' % (title, line))
            title = ''
    return '\n'.join(lines)
