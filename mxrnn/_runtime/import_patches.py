"""Patches MXNet, so that it can be imported on current Python and NumPy.

MXNet 1.5 to 1.9.1 need names that NumPy has removed since 1.24, and `distutils`, which Python 3.12
removed. While MXNet is imported these are provided, and afterwards only for MXNet's own modules:
NumPy and `sys.modules` stay unchanged. If MXNet can be imported without this, nothing is done. If
it cannot be imported at all, `import_failure` explains why. MXNet 2 is left alone.
"""
from __future__ import annotations

import contextlib
import ctypes
import functools
import importlib
import importlib.util
import math
import os
import re
import sys
import types
import warnings
from typing import Any, Iterator

import numpy as np

from . import cuda_libraries, heartbeat_watch, threads
from .import_failure import clashes, explanation, found, too_new

__all__ = ['cures', 'execute', 'import_part', 'version']

#: The patches that were needed to import MXNet, in words.
cures: list[str] = []


def version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r'\d+', text)[:3])


def _gone() -> dict[str, object]:
    """Return the names that MXNet's modules need and this NumPy may lack."""
    gone: dict[str, object] = dict(bool=bool, int=int)
    if version(np.__version__) < (2,):
        return gone
    constants = dict(PZERO=0.0, NZERO=-0.0, PINF=math.inf, Inf=math.inf, NINF=-math.inf,
                     NAN=math.nan, NaN=math.nan)
    functions = dict(alltrue=np.all, sometrue=np.any, round_=np.round, product=np.prod,
                     trapz=getattr(np, 'trapezoid', None),
                     in1d=lambda *args, **kwargs: np.isin(*args, **kwargs).ravel(),
                     msort=functools.partial(np.sort, axis=0))
    # MXNet wraps these without calling them; they moved to numpy-financial.
    financial = dict.fromkeys(['mirr', 'npv', 'pmt', 'ppmt', 'pv', 'rate'])
    return dict(gone, **constants, **functions, **financial)


@contextlib.contextmanager
def _gone_from_numpy(gone: dict[str, object], asked: set[str]) -> Iterator[None]:
    """Let NumPy return the names in `gone` that it lacks; note in `asked` which are used.

    NumPy up to 1.23 has them all. From 1.24 on it calls its own `__getattr__` for missing names.
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
    """The part of distutils' version classes that MXNet uses: comparing releases of NumPy."""

    def __new__(cls, text: str) -> _Version:
        return super().__new__(cls, version(text))


@contextlib.contextmanager
def _distutils() -> Iterator[bool]:
    """Replace `distutils.version` if neither Python nor setuptools provides it.

    The context's value tells whether that was needed.
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
    """`str` that shows NumPy's scalars inside tuples as before NumPy 2: 4, not np.int64(4).

    A global ``np.set_printoptions(legacy='1.25')`` would change what the program prints as well,
    and from NumPy 2.2 on it applies only to the importing thread.
    """


#: The modules that convert arguments of operators, iterators and variables to attributes by str().
_ATTRIBUTE_WRITERS = ('mxnet._ctypes.symbol', 'mxnet._ctypes.ndarray', 'mxnet.symbol.symbol',
                      'mxnet.io.io')


def _keep_for_mxnet(gone: dict[str, object]) -> None:
    """Give MXNet's modules a NumPy that still has the names in `gone`, for their functions."""
    view = types.ModuleType('numpy', np.__doc__)
    vars(view).update(gone)
    vars(view).update(vars(np))
    for module_name, module in list(sys.modules.items()):
        if module_name.partition('.')[0] == 'mxnet':
            for name, value in list(vars(module).items()):
                if value is np:
                    setattr(module, name, view)


def execute(loader: Any, module: types.ModuleType) -> None:
    """Run MXNet's code with its own `loader`, with the patches that its import needs."""
    file = module.__file__ or ''
    if too_new(file):
        loader.exec_module(module)
        return
    library = cuda_libraries.mxnet_library(os.path.dirname(file))
    failed = cuda_libraries.load(library)
    for clash in clashes():
        warnings.warn(clash, stacklevel=2)
    if '__version__' not in vars(module):  # otherwise it is being reloaded
        # A failed import leaves modules that a new one would not bind in their package.
        for name in [name for name in sys.modules if name.startswith('mxnet.')]:
            del sys.modules[name]
    gone = _gone()
    asked: set[str] = set()
    heartbeat = heartbeat_watch.heartbeat()
    try:
        with threads.chosen(), _distutils() as stand_in, _gone_from_numpy(gone, asked):
            # Schedulers and servers work during the import.
            heartbeat_watch.begin(library, *heartbeat)
            loader.exec_module(module)
    except Exception as error:
        raise ImportError(explanation(error, file, failed), name='mxnet') from error
    heartbeat_watch.attend(module)
    if stand_in:
        cures.append('stand-in for distutils.version')
    if asked:
        _keep_for_mxnet(gone)
        cures.append('NumPy names for MXNet only: ' + ', '.join(sorted(asked)))
    if version(np.__version__) >= (2,):
        for name in {*_ATTRIBUTE_WRITERS} & {*sys.modules}:
            vars(sys.modules[name])['str'] = _PlainStr
        cures.append('NumPy scalars in attributes as before NumPy 2')


def import_part() -> None:
    """Import the part of MXNet that runs a loaded graph, as `mxnet`, in a third of the time.

    Most of the time MXNet's import makes a Python function of each operator, for each of its
    modules. A graph that is loaded from JSON calls none of them: `nd` and `sym` have none. Other
    submodules are imported when they are first used.
    """
    spec = found()
    if 'mxnet' in sys.modules:
        return
    module = sys.modules['mxnet'] = importlib.util.module_from_spec(spec)
    try:
        execute(_Part(), module)
    except ImportError:  # import all of it, or say why that is not possible
        for name in [name for name in sys.modules if name.partition('.')[0] == 'mxnet']:
            del sys.modules[name]


class _Part:
    """Runs, in the place of the package's code, that of the modules that run graphs."""

    def exec_module(self, module: types.ModuleType) -> None:
        release = importlib.import_module('mxnet.libinfo').__version__
        base = importlib.import_module('mxnet.base')
        for name in ('_init_op_module', '_init_np_op_module'):
            setattr(base, name, lambda *args, **kwargs: None)
        # This also lets the library read the attributes of its older operators.
        base._LIB.MXListAllOpNames(ctypes.byref(ctypes.c_uint()),
                                   ctypes.byref(ctypes.POINTER(ctypes.c_char_p)()))
        vars(module).update(__version__=release, __getattr__=_submodule)
        context = importlib.import_module('mxnet.context')
        vars(module).update(cpu=context.cpu, Context=context.Context)
        vars(module).update(sym=module.symbol, nd=module.ndarray)


def _submodule(name: str) -> types.ModuleType:
    try:
        return importlib.import_module('mxnet.' + name)
    except ModuleNotFoundError:
        raise AttributeError(name) from None
