"""The tool that takes checks of rolling out tells which are noticed."""
from __future__ import annotations

import functools

import pytest

from mxrnn._graph.rolling import roll

from .rolling_changes import bases
from .rolling_checks import caught_by, deciding, must_stay, mutants

pytest.importorskip('torch')

ALWAYS = 'match_rnn._Matcher._is_rest: always '
OTHER = "self._op(column) != '_rminus_scalar' or self._of(column)[0] is not gate"
ONE = 'float(self._node(column).scalar) == 1'


def test_a_check_is_noticed_by_what_it_decides():
    """What is no GRU, since it has no 1 - z, is needed to notice that this is not looked at."""
    base = next(each for each in bases() if each.name == 'gru')
    nodes = [node._replace(attrs={'scalar': '0.5'}) if node.op == '_rminus_scalar' else node
             for node in base.graph.nodes]
    cases = [must_stay(name, graph, base.values, functools.partial(roll, graph))
             for name, graph in (('gru', base.graph),
                                 ('none', base.graph._replace(nodes=tuple(nodes))))]
    of_module = {str(each): each for each in mutants('match_rnn')}
    for count, expected in ((1, {OTHER: 'gru: other findings', ONE: None}),
                            (2, {OTHER: 'gru: other findings', ONE: 'none: other findings'})):
        found = deciding(['match_rnn'], cases[:count])
        assert {check: caught_by(of_module[ALWAYS + check], found) for check in expected
                } == expected
    assert roll(base.graph).findings[0].kind == 'kernel'
