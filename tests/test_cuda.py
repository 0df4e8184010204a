"""NVIDIA's libraries are loaded: from where, in what order, and what is said if not."""
# differences.md: a CUDA wheel without a toolkit
import ctypes
import os
import struct
import sys
from types import SimpleNamespace

import pytest

from mxrnn._runtime import cuda_libraries as _cuda
from mxrnn._runtime.import_failure import advice

CU112 = ['libdl.so.2', 'libcudnn.so.8', 'libcuda.so.1', 'libnccl.so.2', 'libcudart.so.11.0',
         'libcufft.so.10', 'libcublas.so.11', 'libcusolver.so.11', 'libcurand.so.10',
         'libnvrtc.so.11.2', 'libnvToolsExt.so.1', 'libc.so.6']
CU112_ORDER = ['libcudart.so.11.0', 'libnvToolsExt.so.1', 'libnvrtc.so.11.2', 'libcublas.so.11',
               'libcufft.so.10', 'libcurand.so.10', 'libcusolver.so.11', 'libnccl.so.2',
               'libcudnn.so.8', 'libcuda.so.1']


def elf(path, linked=(), code=()):
    """Write a shared library that links to `linked` and holds `code` for GPUs: (kind, number)."""
    strings = b'\0' + b''.join(name.encode() + b'\0' for name in linked)
    names = b'\0.nv_fatbin\0.shstrtab\0'
    bundle = b''.join(struct.pack('<HHIQ', kind, 0, 64, 8) + bytes(12) + struct.pack('<I', number)
                      + bytes(32) + b'CODECODE' for kind, number in code)
    fatbin = struct.pack('<IHHQ', 0xBA55ED50, 1, 16, len(bundle)) + bundle + bytes(8)
    dynamic, at = b'', 1
    for name in linked:
        dynamic += struct.pack('<qQ', 1, at)
        at += len(name) + 1
    base, start = 0x1000, 64 + 2 * 56  # the file is mapped at `base`
    offsets, offset = [], start
    for part in (strings, names, fatbin):
        offsets.append(offset)
        offset += len(part)
    dynamic += struct.pack('<qQ', 5, base + offsets[0]) + struct.pack('<qQ', 0, 0)
    sections = offset + len(dynamic)
    last = 2 if code else 1  # the section of names
    header = b'\x7fELF\x02\x01\x01' + bytes(9) + struct.pack(
        '<HHIQQQIHHHHHH', 3, 62, 1, 0, 64, sections, 0, 64, 56, 2, 64, last + 1, last)
    segments = struct.pack('<IIQQQQQQ', 1, 5, 0, base, base, sections, sections, 4096)
    segments += struct.pack('<IIQQQQQQ', 2, 6, offset, base + offset, base + offset, len(dynamic),
                            len(dynamic), 8)
    table = struct.pack('<IIQQQQIIQQ', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
    if code:
        table += struct.pack('<IIQQQQIIQQ', 1, 1, 2, 0, offsets[2], len(fatbin), 0, 0, 8, 0)
    table += struct.pack('<IIQQQQIIQQ', 12, 3, 0, 0, offsets[1], len(names), 0, 0, 1, 0)
    path.write_bytes(header + segments + strings + names + fatbin + dynamic + table)
    return str(path)


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A machine whose pip packages and system libraries are as the test says.

    `.pip(folder, *sonames)` installs empty libraries, `.system` are names that the loader finds,
    `.opened` lists what it has loaded.
    """
    opened, system = [], set()

    def load(name):
        if name in system or os.path.isabs(name):
            opened.append(name)
            return SimpleNamespace()
        raise OSError('%s: cannot open shared object file' % name)

    def pip(folder, *sonames):
        there = tmp_path / 'nvidia' / folder / 'lib'
        there.mkdir(parents=True)
        for soname in sonames:
            (there / soname).touch()
        return str(there)

    monkeypatch.setattr(sys, 'path', [str(tmp_path)])
    monkeypatch.delitem(sys.modules, 'nvidia', raising=False)
    monkeypatch.setattr(_cuda, '_open', load)
    return SimpleNamespace(opened=opened, system=system, pip=pip,
                           folder=str(tmp_path / 'nvidia'),
                           library=elf(tmp_path / 'libmxnet.so', CU112))


def all_of_cu112(machine):
    for folder, soname in [('cudnn', 'libcudnn.so.8'), ('nccl', 'libnccl.so.2'),
                           ('cuda_runtime', 'libcudart.so.11.0'), ('cufft', 'libcufft.so.10'),
                           ('cublas', 'libcublas.so.11'), ('cusolver', 'libcusolver.so.11'),
                           ('curand', 'libcurand.so.10'), ('cuda_nvrtc', 'libnvrtc.so.11.2'),
                           ('nvtx', 'libnvToolsExt.so.1')]:
        machine.pip(folder, soname)


def test_pips_libraries_in_the_order_of_their_dependencies(machine):
    all_of_cu112(machine)
    machine.system.add('libcuda.so.1')
    assert _cuda.load(machine.library) == {}
    assert [os.path.basename(name) for name in machine.opened] == CU112_ORDER
    assert all(name.startswith(machine.folder) for name in machine.opened[:-1])
    assert machine.opened[-1] == 'libcuda.so.1'


def test_a_toolkit_without_cudnn_is_completed_by_pip(machine):
    machine.pip('cudnn', 'libcudnn.so.8')
    machine.system.update(set(CU112_ORDER) - {'libcudnn.so.8'})
    assert _cuda.load(machine.library) == {}
    assert [name for name in machine.opened if os.path.isabs(name)] == [
        os.path.join(machine.folder, 'cudnn', 'lib', 'libcudnn.so.8')]


def test_nothing_is_loaded_for_a_build_for_the_cpu(machine, tmp_path):
    all_of_cu112(machine)
    cpu = elf(tmp_path / 'cpu.so', ['libopenblas.so.0', 'libc.so.6', 'libm.so.6'])
    assert _cuda.load(cpu) == {} and machine.opened == []
    (tmp_path / 'mxnet.dll').write_bytes(b'MZ' + bytes(100))
    assert _cuda.load(str(tmp_path / 'mxnet.dll')) == {} and machine.opened == []
    assert _cuda.load(None) == {}


def test_advice_without_a_driver(machine):
    all_of_cu112(machine)
    lines = advice(_cuda.load(machine.library))
    assert len(lines) == 1
    assert 'libcuda.so.1 comes with the NVIDIA driver' in lines[0]
    assert 'install the driver, or replace' in lines[0]


def test_advice_for_missing_libraries_names_every_package(machine):
    machine.system.update({'libcuda.so.1', 'libcudart.so.11.0', 'libcublas.so.11',
                           'libcufft.so.10', 'libcurand.so.10', 'libcusolver.so.11',
                           'libnvrtc.so.11.2'})
    lines = advice(_cuda.load(machine.library))
    assert [line.split(' ')[0] for line in lines[:-1]] == ['libnvToolsExt.so.1', 'libnccl.so.2',
                                                          'libcudnn.so.8']
    assert lines[-1] == ("pip can bring it: pip install 'nvidia-nvtx-cu11==11.8.86' "
                         "'nvidia-nccl-cu11==2.21.5' 'nvidia-cudnn-cu11==8.9.6.50'")


def test_advice_for_cudnn_9(machine):
    machine.system.update(set(CU112_ORDER) - {'libcudnn.so.8'})
    there = machine.pip('cudnn', 'libcudnn.so.9')
    lines = advice(_cuda.load(machine.library))
    assert '%s has another version' % os.path.join(there, 'libcudnn.so.9') in lines[0]
    assert lines[1] == "pip can bring it: pip install 'nvidia-cudnn-cu11==8.9.6.50'"


def test_advice_for_a_wheel_that_pip_cannot_serve(machine, tmp_path):
    machine.system.add('libcuda.so.1')
    cu102 = elf(tmp_path / 'cu102.so', ['libcuda.so.1', 'libcudart.so.10.2', 'libcudnn.so.8'])
    lines = advice(_cuda.load(cu102))
    assert "'nvidia-cudnn-cu11==8.9.6.50'" in lines[-2]
    assert 'No pip package brings libcudart.so.10.2' in lines[-1]
    assert 'LD_LIBRARY_PATH' in lines[-1]


def test_requirements_of_the_extras():
    needed = _cuda.pip_packages('cu112')
    assert len(needed) == 9 and 'nvidia-cudnn-cu11==8.9.6.50' in needed
    assert sorted(set(_cuda.pip_packages('cu117')) - set(needed)) == [
        'nvidia-cusparse-cu11==11.7.5.86']
    assert _cuda.pip_packages('cu102') == []


def test_code_for_gpus(tmp_path):
    path = elf(tmp_path / 'libmxnet.so', CU112, [(2, 50), (2, 86), (2, 50), (1, 86)])
    assert _cuda.linked(path) == CU112
    assert _cuda.compute_capabilities(path) == [(False, 50), (False, 86), (True, 86)]
    assert _cuda.compute_capabilities(elf(tmp_path / 'cpu.so', CU112)) == []
    assert _cuda.compute_capabilities(None) == []


@pytest.mark.parametrize('size', [0, 5, 30, 100, 200])
def test_a_file_that_is_cut_off_links_to_nothing(tmp_path, size):
    path = elf(tmp_path / 'libmxnet.so', CU112, [(2, 50)])
    with open(path, 'r+b') as file:
        file.truncate(size)
    assert _cuda.linked(path) == [] and _cuda.compute_capabilities(path) == []


@pytest.mark.parametrize('capability, machine_code, with_ptx', [
    ((3, 7), False, False), ((5, 2), True, True), ((7, 5), True, True), ((8, 0), True, True),
    ((8, 9), True, True), ((9, 0), False, True), ((10, 0), False, True), ((12, 0), False, True)])
def test_which_gpus_code_runs_on(capability, machine_code, with_ptx):
    code = [(False, 50), (False, 60), (False, 70), (False, 80), (False, 86)]
    assert _cuda.runs_on(code, capability) is machine_code
    assert _cuda.runs_on(code + [(True, 86)], capability) is with_ptx


def test_where_a_loaded_library_came_from():
    there = _cuda.origin('libstdc++.so.6')  # MXNet links to it
    assert os.path.isabs(there) and os.path.basename(there).startswith('libstdc++.so.6')
    assert ctypes.CDLL(there)._handle == ctypes.CDLL('libstdc++.so.6')._handle
    assert _cuda.origin('libnonesuch.so.1') is None
