"""The report, and GPU contexts, on machines made up for the purpose."""
import ctypes
import importlib.util
from pathlib import Path
from types import SimpleNamespace

import pytest

from mxrnn._runtime import cuda_libraries as _cuda
from mxrnn._runtime import device_report as _report

from . import mx
from .processes import printed

CODE_1_9_1 = [(False, 50), (False, 60), (False, 70), (False, 80), (False, 86)]
CARDS = [('Tesla V100', 7, 0), ('NVIDIA L4', 8, 9), ('NVIDIA H100', 9, 0)]


_spec = importlib.util.spec_from_file_location(
    '_gpus', Path(__file__).resolve().parent.parent / 'benchmarks' / '_gpus.py')
_gpus = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_gpus)


def driver(cards):
    """NVIDIA's driver library on a machine with `cards`."""

    def write(value):
        def call(pointer, *arguments):
            pointer._obj.value = value(*arguments) if callable(value) else value
            return 0
        return call

    def name(buffer, size, device):
        buffer.value = cards[device - 7][0].encode()
        return 0

    return SimpleNamespace(  # handles of devices are not their numbers
        cuInit=lambda flags: 0 if cards else 100,
        cuDeviceGetCount=write(len(cards)), cuDeviceGet=write(lambda index: index + 7),
        cuDeviceGetName=name,
        cuDeviceGetAttribute=write(lambda which, device: cards[device - 7][which - 74]))


@pytest.fixture
def machine(monkeypatch):
    """Gives the machine these cards, a driver unless they are None, and MXNet this code."""
    def change(cards, code, built_for_cuda=True):
        def load():
            if cards is None:
                raise OSError('libcuda.so.1: cannot open shared object file')
            return driver(cards)

        monkeypatch.setattr(_report, '_driver', load)
        monkeypatch.setattr(_cuda, 'compute_capabilities', lambda path: code)
        monkeypatch.setattr(mx.runtime, 'Features', lambda: SimpleNamespace(
            is_enabled=lambda name: built_for_cuda and name == 'CUDA',
            items=lambda: [('CUDA', SimpleNamespace(enabled=built_for_cuda)),
                           ('BLAS_OPEN', SimpleNamespace(enabled=True)),
                           ('CAFFE', SimpleNamespace(enabled=False))]))
    return change


def section(title):
    """The lines of one section of the report."""
    lines = _report.device_report().splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(title + ' '))
    end = next((i for i in range(start + 1, len(lines)) if lines[i][0] != ' '), len(lines))
    return [line[16:] for line in lines[start:end]]


def test_report_as_a_command():
    report = printed('-m', 'mxrnn')
    assert report.split() == _report.device_report().split()
    assert all(len(line) < 80 or ' ' not in line.strip() for line in report.splitlines()[4:])


def test_report_of_what_is_installed(monkeypatch):
    monkeypatch.setattr(_cuda, 'installed', dict)
    assert section('MXNet')[1:] == ['installed: none of the wheels of PyPI']
    monkeypatch.setattr(_cuda, 'installed', lambda: {'mxnet': '1.9.1', 'mxnet-cu112': '1.9.0'})
    lines = section('MXNet')
    assert lines[1] == 'installed: mxnet 1.9.1, mxnet-cu112 1.9.0'
    assert lines[2].startswith('mxnet and mxnet-cu112 are installed at once')


def test_report_of_cuda_libraries(monkeypatch):
    monkeypatch.setattr(_cuda, 'wanted', lambda path: ['libcudart.so.11.0', 'libcudnn.so.8'])
    monkeypatch.setattr(_cuda, 'origin', {'libcudnn.so.8': '/site/libcudnn.so.8'}.get)
    assert section('CUDA libraries') == ['libcudart.so.11.0 from nowhere: it is not loaded',
                                         'libcudnn.so.8 from /site/libcudnn.so.8']
    monkeypatch.setattr(_cuda, 'wanted', lambda path: [])
    assert section('CUDA libraries') == ['MXNet links to none']


def test_report_of_report(machine):
    machine(CARDS, CODE_1_9_1)
    assert section('GPUs')[:3] == [
        'gpu(0) Tesla V100: compute capability 7.0, which this MXNet (5.0, 6.0, 7.0, 8.0, 8.6) '
        'has code for',
        'gpu(1) NVIDIA L4: compute capability 8.9, which this MXNet (5.0, 6.0, 7.0, 8.0, 8.6) '
        'has code for',
        'gpu(2) NVIDIA H100: compute capability 9.0, which this MXNet (5.0, 6.0, 7.0, 8.0, 8.6) '
        'has NO code for: nothing can run on it, whatever the driver']


def test_report_of_report_that_mxnet_is_not_built_for(machine):
    machine(CARDS[:1], [], built_for_cuda=False)
    assert section('GPUs')[0] == (
        'gpu(0) Tesla V100: compute capability 7.0; this MXNet has no code for GPUs')


def test_a_part_that_fails_does_not_spoil_the_report(machine, monkeypatch):
    def fail(*arguments):
        raise KeyError('broken')

    machine(CARDS, CODE_1_9_1)
    before = _report.device_report().splitlines()
    monkeypatch.setattr(_cuda, 'installed', fail)
    after = _report.device_report().splitlines()
    assert section('MXNet')[1:] == ["unknown: KeyError: 'broken'"]
    assert [line for line in after if line in before] == [
        line for line in before if line not in section('MXNet') and 'installed' not in line]


def test_an_error_of_the_driver_is_told(machine, monkeypatch):
    machine(CARDS, CODE_1_9_1)
    broken = driver(CARDS)
    broken.cuDeviceGetAttribute = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int,
                                                   ctypes.c_int)(lambda *arguments: 3)
    monkeypatch.setattr(_report, '_driver', lambda: broken)
    assert section('GPUs')[0].startswith('none: ') and 'returned error 3' in section('GPUs')[0]


def test_name_of_a_card(machine):
    machine(CARDS, CODE_1_9_1)
    assert _gpus.gpu_name() == 'Tesla V100' and _gpus.gpu_name(2) == 'NVIDIA H100'
    with pytest.raises(RuntimeError, match=r'there is no GPU 3: the driver shows 3 \(Tesla V100, '):
        _gpus.gpu_name(3)
    with pytest.raises(ValueError, match='index must be an integer of at least 0, got -1'):
        _gpus.gpu_name(-1)


def test_context_of_a_gpu(machine):
    machine(CARDS, CODE_1_9_1)
    assert _gpus.gpu_context(1) == mx.gpu(1)


@pytest.mark.parametrize('cards, code, built, index, words', [
    (CARDS, [], False, 0, 'built only for the CPU; a GPU needs one of the wheels mxnet-cu112'),
    (None, CODE_1_9_1, True, 0, 'there is no NVIDIA driver'),
    ([], CODE_1_9_1, True, 0, 'finds no GPU'),
    (CARDS, CODE_1_9_1, True, 3, 'there is no GPU 3'),
    (CARDS, CODE_1_9_1, True, 2, 'GPU 2 is a NVIDIA H100; compute capability 9.0, which this MXNet'
                                 r' \(5.0, 6.0, 7.0, 8.0, 8.6\) has NO code for')])
def test_refusal_of_a_context(machine, cards, code, built, index, words):
    machine(cards, code, built)
    with pytest.raises(RuntimeError, match=words):
        _gpus.gpu_context(index)
