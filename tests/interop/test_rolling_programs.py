"""Graphs of programs, rolled up: the same values, at any length."""
from __future__ import annotations

import numpy as np
import pytest

from mxrnn import interop

from .. import mx, rnn
from .compare import assert_equal
from .rolling import assert_same, bind, check_rolled, outputs_of, run_rolled, values_of
from .rolling_programs import PROGRAMS

each_program = pytest.mark.parametrize('program', PROGRAMS, ids=str)


def build(program, length):
    with mx.name.NameManager():
        return program.build(length)


def numbers(program, shapes):
    draw = np.random.RandomState(0)
    return {name: draw.randint(1, below, shapes[name]).astype(float)
            for name, below in program.numbers.items()}


@each_program
def test_kinds(program):
    rolled = check_rolled(build(program, 5))
    assert [each.what if each.kind == 'kernel' else each.kind for each in rolled.findings
            ] == program.kinds


@each_program
def test_against_mxnet_at_any_length(program):
    rolled = check_rolled(build(program, 5), length=5 if program.asked else None)
    for batch, length in ((2, 5),) if program.lists else ((2, 5), (3, 8), (1, 3)):
        shapes = program.shapes(length, batch)
        bound = bind(build(program, length), shapes, values=numbers(program, shapes))
        assert_equal(run_rolled(rolled, bound, shapes))


@each_program
def test_gradients(program):
    symbol = build(program, 4)
    if 'Dropout' in symbol.tojson():
        pytest.skip('it draws')
    shapes = program.shapes(4, 2)
    bound = bind(symbol, shapes, values=numbers(program, shapes), train=True,
                 fixed=program.numbers)
    assert_equal(run_rolled(check_rolled(symbol, training=True), bound, shapes))


def test_loss_that_is_an_output_as_well_has_one_gradient():
    program = next(each for each in PROGRAMS if each.name == 'loss_in_each_step')
    with mx.name.NameManager():
        joined = program.build(4)
        symbol = mx.sym.Group([joined, joined.get_internals()['t1_softmax_output']])
    shapes = program.shapes(4, 2)
    values = {**values_of(symbol, shapes), **numbers(program, shapes)}
    graph = interop.graph_from_json(symbol.tojson())
    assert_same(check_rolled(symbol).graph, graph, values)


def test_what_is_drawn_once_is_drawn_once():
    """One step's dropout is read by itself, besides with the others."""
    with mx.name.NameManager():
        outputs, _ = rnn.LSTMCell(3).unroll(4, mx.sym.Variable('data'))
        dropped = [mx.sym.Dropout(each, p=0.5) for each in outputs]
        symbol = mx.sym.Group([mx.sym.stack(*dropped, axis=0), mx.sym.tanh(dropped[1])])
    rolled = check_rolled(symbol, training=True)
    values = values_of(symbol, {'data': (50, 4, 3)})
    together, alone = outputs_of(rolled.graph, values, train=True)[:2]
    assert (together[1].tanh() - alone).abs().max() < 1e-12
