"""Every public name has an example in its docstring, and the examples run."""
import doctest
import importlib.util
import pydoc

import pytest

import mxrnn

from . import needs_operator

NAMES = [name for name in mxrnn.__all__ if name not in mxrnn._MODULES]
OF_INTEROP = ['to_onnx', 'OnnxStepper'] * bool(importlib.util.find_spec('onnxruntime'))


@pytest.mark.parametrize('name', [
    pytest.param(name, marks=[needs_operator] * (name == 'fuse')) for name in NAMES + OF_INTEROP])
def test_the_example_of_a_public_name_runs(name):
    value = getattr(mxrnn.interop if name in OF_INTEROP else mxrnn, name)
    found = doctest.DocTestParser().get_doctest(value.__doc__ or '', {}, name, None, 0)
    assert found.examples, '%s has no example' % name
    report = []
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    doctest.DocTestRunner(optionflags=flags).run(found, out=report.append)
    assert not report, ''.join(report)


@pytest.mark.parametrize('name', ['mxrnn', *mxrnn.__all__])
def test_help_shows_no_addresses(name):
    text = pydoc.render_doc(mxrnn if name == 'mxrnn' else getattr(mxrnn, name))
    assert ' at 0x' not in text
