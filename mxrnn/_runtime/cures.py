"""Cures MXNet, so that it can be imported on current Python and NumPy.

MXNet 1.5 to 2.0.0b1 ask NumPy for names that it has taken out since 1.24, and Python for
`distutils`, gone in 3.12. They are answered while MXNet is being imported, and to MXNet's own
modules alone afterwards: NumPy and `sys.modules` are left as they were found. Where MXNet imports
as it is, nothing of this is done.
"""
from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.util
import logging
import math
import os
import re
import sys
import types
import warnings
from typing import Any, Iterator

import numpy as np

from . import cuda, failures, threads, watch

__all__ = ['cures', 'execute', 'version']

#: The cures that were needed to import MXNet, in words.
cures: list[str] = []


def version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r'\d+', text)[:3])


def _gone() -> dict[str, object]:
    """Return what MXNet's modules ask NumPy for and this NumPy may not have."""
    gone: dict[str, object] = dict(bool=bool, int=int)
    if version(np.__version__) < (2,):
        return gone
    constants = dict(PZERO=0.0, NZERO=-0.0, PINF=math.inf, Inf=math.inf, NINF=-math.inf,
                     NAN=math.nan, NaN=math.nan)
    functions = dict(alltrue=np.all, sometrue=np.any, round_=np.round, product=np.prod,
                     trapz=getattr(np, 'trapezoid', None),
                     in1d=lambda *args, **kwargs: np.isin(*args, **kwargs).ravel(),
                     msort=functools.partial(np.sort, axis=0))
    # MXNet wraps these without calling them; they left for numpy-financial.
    financial = dict.fromkeys(['mirr', 'npv', 'pmt', 'ppmt', 'pv', 'rate'])
    return dict(gone, **constants, **functions, **financial)


@contextlib.contextmanager
def _gone_from_numpy(gone: dict[str, object], asked: set[str]) -> Iterator[None]:
    """Let NumPy answer for the names in `gone` that it does not have; note which are `asked` for.

    Up to 1.23 NumPy has them all, from 1.24 on it calls its own `__getattr__` for the missing.
    """
    if version(np.__version__) < (1, 24):
        yield
        return
    numpys = vars(np)['__getattr__']

    def answer(name: str) -> object:
        if name in gone:
            asked.add(name)
            return gone[name]
        return numpys(name)

    vars(np)['__getattr__'] = answer
    try:
        yield
    finally:
        vars(np)['__getattr__'] = numpys


class _Version(tuple):  # type: ignore[type-arg]  # not written so in Python 3.8
    """As much of distutils' version classes as MXNet uses: comparing releases of NumPy."""

    def __new__(cls, text: str) -> _Version:
        return super().__new__(cls, version(text))


@contextlib.contextmanager
def _distutils() -> Iterator[bool]:
    """Stand in for `distutils.version` where neither Python nor setuptools provides it.

    What is entered tells whether that was needed.
    """
    if 'distutils' in sys.modules or importlib.util.find_spec('distutils'):
        yield False
        return
    package, module = types.ModuleType('distutils'), types.ModuleType('distutils.version')
    vars(package).update(__path__=[], version=module)
    vars(module).update(LooseVersion=_Version, StrictVersion=_Version)
    stubs = {each.__name__: each for each in (package, module)}
    sys.modules.update(stubs)
    try:
        yield True
    finally:
        for name in stubs:
            del sys.modules[name]


class _ShowsPlainly(type):
    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, str)

    def __call__(cls, value: object = '') -> str:
        text = str(value)
        if 'np.' in text and not isinstance(value, str):
            with np.printoptions(legacy='1.25'):
                return str(value)
        return text


class _PlainStr(str, metaclass=_ShowsPlainly):
    """`str`, which shows NumPy's scalars inside tuples as before NumPy 2: 4, not np.int64(4).

    A global ``np.set_printoptions(legacy='1.25')`` would change what the program prints as well,
    and from NumPy 2.2 on hold in the importing thread alone.
    """


#: The modules whose str() makes attributes of what operators, iterators and variables are given.
_ATTRIBUTE_WRITERS = ('mxnet._ctypes.symbol', 'mxnet._ctypes.ndarray', 'mxnet.symbol.symbol',
                      'mxnet.io.io')


def _keep_for_mxnet(gone: dict[str, object]) -> None:
    """Give MXNet's modules a NumPy that still has what is `gone`: their functions ask, too."""
    view = types.ModuleType('numpy', np.__doc__)
    vars(view).update(gone)
    vars(view).update(vars(np))
    for module_name, module in list(sys.modules.items()):
        if module_name.partition('.')[0] == 'mxnet':
            for name, value in list(vars(module).items()):
                if value is np:
                    setattr(module, name, view)


def execute(loader: Any, module: types.ModuleType) -> None:
    """Run MXNet's code with its own `loader`, cured of what keeps it from being imported."""
    file = module.__file__ or ''
    library = cuda.mxnet_library(os.path.dirname(file))
    failed = cuda.load(library)
    for clash in cuda.clashes():
        warnings.warn(clash, stacklevel=2)
    if '__version__' not in vars(module):  # else it is being reloaded
        # An import that failed has left modules that a new one would not bind in their package.
        for name in [name for name in sys.modules if name.startswith('mxnet.')]:
            del sys.modules[name]
    handlers = list(logging.root.handlers)
    gone = _gone()
    asked: set[str] = set()
    heartbeat = watch.heartbeat()
    try:
        with threads.chosen(), _distutils() as stand_in, _gone_from_numpy(gone, asked):
            watch.begin(library, *heartbeat)  # schedulers and servers work within the import
            loader.exec_module(module)
    except Exception as error:
        raise ImportError(failures.explanation(error, file, failed), name='mxnet') from error
    watch.attend(module)
    # MXNet 2 gives the root logger a handler, so that logging.basicConfig would do nothing.
    logging.root.handlers[:] = handlers
    if stand_in:
        cures.append('stand-in for distutils.version')
    if asked:
        _keep_for_mxnet(gone)
        cures.append('NumPy names for MXNet alone: ' + ', '.join(sorted(asked)))
    if version(np.__version__) >= (2,):
        for name in _ATTRIBUTE_WRITERS:
            vars(sys.modules[name])['str'] = _PlainStr
        cures.append('NumPy scalars in attributes as before NumPy 2')
