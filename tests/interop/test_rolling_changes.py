"""Graphs changed in one place on purpose: rolled up or not, they compute the same as before."""
import functools
import math
import os
import random

import pytest

from .rolling_changes import bases, change, is_wrong

#: How many changed graphs are tried.
CHANGES = int(os.environ.get('MXRNN_CHANGES', 300))
SEEDS = 12

each_base = functools.lru_cache(maxsize=None)(bases)


@pytest.mark.parametrize('seed', range(SEEDS))
def test_changed_graphs(seed):
    draw, tried = random.Random(seed), 0
    while tried < math.ceil(CHANGES / SEEDS):
        changed = change(draw, draw.choice(each_base()))
        wrong = None if changed is None else is_wrong(changed)
        assert not wrong, changed
        tried += wrong is not None
