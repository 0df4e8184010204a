"""Sizes that a graph leaves open: numbers, axes and products of them that have to be equal."""
import itertools

import pytest

from mxrnn._graph.shapes.sizes import (
    Axis,
    Source,
    add,
    in_words,
    interval,
    number_for,
    product,
    quotient,
    resolve,
    same,
)
from mxrnn._graph.shapes.unification import SizeError, unify


def read(label=''):
    """An axis that is read when the graph runs."""
    return Axis(Source('array', 0, None), label)


def test_axes_that_both_products_have_are_equal_and_the_rest_is_told():
    batch, free = read('batch'), Axis(Source('array', 1, None), free=True)
    unify(product([batch, free], 2), product([batch], 8))
    assert free.bound == 4
    one, two = (Axis(Source('array', axis, None), free=True) for axis in (1, 2))
    unify(product([batch, one], 2), product([batch, two], 2))
    assert resolve(one) is resolve(two)


@pytest.mark.parametrize('step', [-3, -2, -1, 1, 2, 3])
def test_a_part_of_an_open_axis_is_as_long_as_that_of_any_number(step):
    """Where a size is told, it is that of all axes that the bounds do not reach beyond."""
    bounds = [None, *range(-3, 4)]
    told = 0
    for begin, end in itertools.product(bounds, bounds):
        axis = read('batch')
        size = interval(begin, end, axis, step)
        if size is not None:
            told += 1
            assert [number_for(size, {axis: length}) for length in range(6, 12)] == [
                interval(begin, end, length, step) for length in range(6, 12)], (begin, end)
    assert told == 52


def test_a_sum_tells_its_free_axis():
    free, time = Axis(free=True), read('time')
    unify(add(free, 3), 10)
    assert resolve(free) == 7
    free = Axis(free=True)
    unify(add(product([free], 2), -2), add(product([time], 2), 4))
    assert same(free, add(time, 3))
    assert in_words(quotient(add(time, -1), 2), {}) == '(time - 1) / 2 rounded down'
    with pytest.raises(SizeError):
        unify(add(Axis(free=True), 3), 2)
