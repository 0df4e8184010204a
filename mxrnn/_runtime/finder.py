"""Patches MXNet whenever it is imported, by hooking into Python's search for `mxnet`.

Every start of a program that uses mxrnn imports this module, so it imports almost nothing itself.
"""
from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any

__all__ = ['enable', 'fuses', 'replace_rnn', 'reports']

_PACKAGE = __name__.split('.')[0]

#: The modules of mxnet.rnn, and the names in mxrnn of the modules that can replace them.
_MODULES = {'mxnet.rnn.%s' % name: name for name in ('rnn_cell', 'rnn', 'io')}

#: Set by `replace_rnn`: whether mxrnn replaces mxnet.rnn when MXNet is imported.
_replaces_rnn = False

#: Set by `replace_rnn`: whether the program's graphs are bound with sym.RNN for recurrences.
fuses = False

#: Whether to report at the end what was fused.
reports = False


class _CuringLoader:
    """The loader of the package `mxnet`, with the patches around the execution of its code."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def __getattr__(self, name: str) -> Any:  # create_module, get_code, get_data, ...
        return getattr(self._loader, name)

    def exec_module(self, module: ModuleType) -> None:
        from . import import_patches
        # Afterwards the module looks the same as without mxrnn.
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        import_patches.execute(self._loader, module)
        if _replaces_rnn:
            _settle(module)


class _ReplacingLoader:
    """Returns a module of mxrnn in place of one of mxnet.rnn."""

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module: ModuleType = getattr(sys.modules[_PACKAGE], _MODULES[spec.name])
        self._spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._spec  # Python has just set it to the other name's


class _Finder:
    """Finds the package `mxnet` through the other finders, and wraps its loader."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        if name in _MODULES and sys.modules.get('mxnet.rnn') is sys.modules[_PACKAGE]:
            from importlib.machinery import ModuleSpec
            return ModuleSpec(name, _ReplacingLoader())  # type: ignore[arg-type]
        if name != 'mxnet':
            return None
        for finder in sys.meta_path:
            find = getattr(finder, 'find_spec', None)
            if find is not None and not isinstance(finder, _Finder):
                spec: ModuleSpec | None = find(name, path, target)
                if spec is not None:
                    if spec.origin is not None and hasattr(spec.loader, 'exec_module'):
                        spec.loader = _CuringLoader(spec.loader)  # type: ignore[assignment]
                    return spec
        return None


def enable() -> _Finder:
    """Patch MXNet when it is imported, by any code, from now on."""
    others = []
    for finder in sys.meta_path:
        if type(finder).__module__ == '_mxrnn_startup':  # it only waits for this module
            if finder.replaces_rnn:  # type: ignore[attr-defined]
                replace_rnn()
        elif type(finder).__module__ != __name__:  # from an mxrnn that was imported before
            others.append(finder)
    ours = _Finder()
    sys.meta_path[:] = [ours, *others]  # type: ignore[list-item]
    return ours


def replace_rnn(fuse: bool | None = None) -> None:
    """Replace mxnet.rnn by mxrnn, now or as soon as MXNet is imported.

    With `fuse`, graphs are bound with sym.RNN for recurrences. None: if the environment says so.
    """
    global _replaces_rnn, fuses
    if fuse is None:
        text = os.environ.get('MXRNN_FUSE') or '0'
        if text not in ('0', '1'):
            raise ValueError('MXRNN_FUSE must be 0 or 1, got %r' % text)
        fuse = text == '1'
    _replaces_rnn, fuses = True, fuse
    if 'mxnet' in sys.modules:
        _settle(sys.modules['mxnet'])


def _settle(mxnet: ModuleType) -> None:
    # No more of mxrnn is imported here: one of its modules may just be waiting for MXNet.
    mxnet.rnn = sys.modules['mxnet.rnn'] = sys.modules[_PACKAGE]  # type: ignore[attr-defined]
    for name in _MODULES:
        sys.modules.pop(name, None)
