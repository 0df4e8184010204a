"""Training of whole programs, against the numbers of MXNet 1.9.1."""
import json

import numpy as np
import pytest

from .train_programs import GOLDEN, TRAINED, summary


@pytest.mark.parametrize('name', TRAINED)
def test_outputs_of_every_step_are_those_of_1_9_1(name):
    wanted = [float(each) for each in json.loads(GOLDEN.read_text(encoding='utf-8'))[name]]
    # Processors add in different orders; 20 steps of training make more of it.
    np.testing.assert_allclose(summary(name), wanted, rtol=1e-4, atol=1e-6,
                               err_msg='if this change is meant: python -m tests.train_programs')
