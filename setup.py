"""Installs mxrnn. MXNet is installed last: see mxrnn/_runtime/versions.py."""
import sys
from pathlib import Path

if sys.version_info < (3, 8):  # noqa: UP036  (pip runs this before it reads python_requires)
    sys.exit('mxrnn needs Python 3.8 or newer; this is Python %d.%d' % sys.version_info[:2])

from setuptools import find_packages, setup  # noqa: E402

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from mxrnn import __version__  # noqa: E402  (imports neither MXNet nor NumPy)
from mxrnn._runtime.cuda_libraries import WHEELS, pip_packages  # noqa: E402
from mxrnn._runtime.versions import REQUIREMENTS  # noqa: E402

setup(
    name='mxrnn',
    version=__version__,
    description="A drop-in replacement for mxnet.rnn, MXNet's symbolic RNN cell API",
    long_description=(HERE / 'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    license_files=['LICENSE'],
    keywords=['mxnet', 'rnn', 'lstm', 'gru', 'recurrent neural networks'],
    classifiers=[
        'Development Status :: 4 - Beta',
        'Intended Audience :: Science/Research',
        'Operating System :: POSIX :: Linux',
        'Topic :: Scientific/Engineering :: Artificial Intelligence',
        'Typing :: Typed',
        'Programming Language :: Python :: 3',
        'Programming Language :: Python :: 3 :: Only'] + [
        'Programming Language :: Python :: 3.%d' % minor for minor in range(8, 16)],
    packages=find_packages(include=['mxrnn', 'mxrnn.*']),
    package_data={'mxrnn': ['py.typed', '_runtime/*.pyi', '_runtime/mxnet_types/*.pyi']},
    zip_safe=False,
    python_requires='>=3.8',
    install_requires=REQUIREMENTS,
    extras_require={
        **{wheel: pip_packages(wheel) for wheel, served in WHEELS.items() if served},
        'test': ['pytest', 'pytest-xdist', 'hypothesis'],
        'dev': ['cosmic-ray'],
        'bench': ['matplotlib'],
        'docs': ['pdoc'],
        'onnx': ['onnx>=1.13'],
        'torch': ['torch'],
        'gluonts': ['gluonts[torch]>=0.16'],
    },
)
