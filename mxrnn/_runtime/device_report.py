"""Reports what MXNet runs on; GPUs, and whether MXNet has code for them."""
from __future__ import annotations

import ctypes
import os
import platform
from typing import Callable, Iterable, NamedTuple

import numpy as np

from . import cuda_libraries as _cuda
from . import threads, versions
from .import_failure import clashes
from .mxnet import cures, mx

__all__ = ['device_report', 'fit', 'Gpu', 'gpus', 'mxnet_folder', 'mxnet_library']


class Gpu(NamedTuple):
    """A GPU, as the driver describes it."""

    name: str
    capability: tuple[int, int]


def _driver() -> ctypes.CDLL:
    return ctypes.CDLL(_cuda.DRIVER)


def _asked(call: Callable[..., int], *arguments: int | ctypes.c_int) -> int:
    """Return the integer that a driver's function writes through its first argument."""
    answer = ctypes.c_int()
    error = call(ctypes.byref(answer), *arguments)
    if error:
        raise RuntimeError('%s of the NVIDIA driver returned error %d'
                           % (getattr(call, '__name__', call), error))
    return answer.value


def gpus() -> list[Gpu]:
    """Return the GPUs that the driver lets this process see, in the order of ``mx.gpu(i)``.

    Raises
    ------
    RuntimeError
        There is no driver, or the driver finds no GPU.
    """
    try:
        driver = _driver()
    except OSError as error:
        raise RuntimeError('there is no NVIDIA driver (%s)' % error) from None
    code = driver.cuInit(0)
    if code:
        raise RuntimeError('the NVIDIA driver finds no GPU that it can use (cuInit returned %d%s)'
                           % (code, {100: ', no device'}.get(code, '')))
    found = []
    for index in range(_asked(driver.cuDeviceGetCount)):
        device = _asked(driver.cuDeviceGet, index)
        name = ctypes.create_string_buffer(256)
        driver.cuDeviceGetName(name, len(name), device)
        # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR
        major, minor = (_asked(driver.cuDeviceGetAttribute, which, device) for which in (75, 76))
        found.append(Gpu(name.value.decode(errors='replace'), (major, minor)))
    return found


def mxnet_folder() -> str:
    return mx.__path__[0]


def mxnet_library() -> str | None:
    return _cuda.mxnet_library(mxnet_folder())


def fit(gpu: Gpu, code: list[tuple[bool, int]]) -> str:
    """Say whether MXNet has code for `gpu`."""
    capability = 'compute capability %d.%d' % gpu.capability
    held = ', '.join('%s%d.%d' % (('PTX of ' if is_ptx else '',) + divmod(number, 10))
                     for is_ptx, number in code)
    if not code:
        return '%s; this MXNet has no code for GPUs' % capability
    if _cuda.runs_on(code, gpu.capability):
        return '%s, which this MXNet (%s) has code for' % (capability, held)
    return ('%s, which this MXNet (%s) has NO code for: nothing can run on it, whatever the driver'
            % (capability, held))


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
        code = _cuda.compute_capabilities(mxnet_library())
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
