"""Contexts and names of GPUs, for measurements: what MXNet cannot run on is refused."""
from __future__ import annotations

from mxrnn._runtime import cuda_libraries, versions
from mxrnn._runtime.device_report import Gpu, fit, gpus, mxnet_library
from mxrnn._runtime.mxnet import mx

__all__ = ['gpu_context', 'gpu_name']


def gpu_name(index: int = 0) -> str:
    """Return the name of the card that is ``mx.gpu(index)``."""
    return _gpu(index).name


def _gpu(index: int) -> Gpu:
    if index < 0:
        raise ValueError('index must be an integer of at least 0, got %d' % index)
    found = gpus()
    if index >= len(found):
        raise RuntimeError('there is no GPU %d: the driver shows %d (%s)'
                           % (index, len(found), ', '.join(gpu.name for gpu in found) or 'none'))
    return found[index]


def gpu_context(index: int = 0) -> mx.Context:
    """Return ``mx.gpu(index)``, after checking that MXNet can run there.

    Raises
    ------
    RuntimeError
        MXNet is built without CUDA, there is no driver or no such GPU, or MXNet has no code for it;
        the message says which.
    """
    if not mx.runtime.Features().is_enabled('CUDA'):
        raise RuntimeError('MXNet %s is built only for the CPU; a GPU needs one of the wheels '
                           'mxnet-cu112 to mxnet-cu117: uninstall this one, then, in the folder '
                           'of mxrnn, %s' % (mx.__version__, versions.with_gpu()))
    gpu = _gpu(index)
    code = cuda_libraries.compute_capabilities(mxnet_library())
    if code and not cuda_libraries.runs_on(code, gpu.capability):
        raise RuntimeError('GPU %d is a %s; %s' % (index, gpu.name, fit(gpu, code)))
    return mx.gpu(index)
