"""Installs mxrnn. MXNet itself comes by one of the extras: its builds overwrite each other."""
import re
import runpy
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).resolve().parent
VERSION = re.search(r"^__version__ = '(.+)'", (HERE / 'mxrnn' / '__init__.py').read_text(), re.M)
# This module needs neither MXNet nor the rest of the package.
CUDA = runpy.run_path(str(HERE / 'mxrnn' / '_runtime' / 'cuda.py'))

# The newest NumPy with which `import mxnet` works by itself; from Python 3.12 on there is none,
# and `import mxrnn` has to come first.
NUMPY = "numpy<1.24; python_version<'3.12'"
# MXNet's metadata asks for a NumPy that has no wheel for 3.13: pip would begin to compile it. The
# import says what to type there.
MXNET = "%s==1.9.1; python_version<'3.13'"

setup(
    name='mxrnn',
    version=VERSION.group(1),
    description="A drop-in replacement for mxnet.rnn, MXNet's symbolic RNN cell API",
    long_description=(HERE / 'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    classifiers=['Programming Language :: Python :: 3'] + [
        'Programming Language :: Python :: 3.%d' % minor for minor in range(8, 14)],
    packages=find_packages(include=['mxrnn', 'mxrnn.*']),
    package_data={'mxrnn': ['py.typed']},
    zip_safe=False,
    python_requires='>=3.8',
    install_requires=['numpy'],
    extras_require={
        'cpu': [MXNET % 'mxnet', NUMPY],
        **{wheel: [MXNET % ('mxnet-' + wheel), NUMPY] + CUDA['pip_packages'](wheel)
           for wheel in CUDA['WHEELS']},
        'test': ['pytest', 'hypothesis'],
        'bench': ['matplotlib'],
    },
)
