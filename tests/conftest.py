"""What every test starts from: the same seeds, automatic names from zero, a quiet MXNet."""
from __future__ import annotations

import os
import random
import sys

import numpy as np
import pytest

from . import mx

os.environ.setdefault('MXNET_SUBGRAPH_VERBOSE', '0')


@pytest.fixture(autouse=True)
def fresh_start():
    random.seed(0)
    np.random.seed(0)
    mx.random.seed(0)
    environment = sys.modules.get('mxrnn._operator.environment')
    if environment is not None:  # else mxnet.rnn is what is tested
        environment.GIVEN.clear()  # what is said once in a process is said once in each test
    with mx.name.NameManager(), mx.AttrScope():
        yield
