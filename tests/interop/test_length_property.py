"""A file is right at every length that it takes: random programs whose numbers follow laws of T."""
from __future__ import annotations

import collections
from typing import Any

import numpy as np
import pytest

pytest.importorskip('onnx')
pytest.importorskip('onnxruntime')
torch = pytest.importorskip('torch')

from .formats import FORMATS  # noqa: E402
from .length_programs import COUNTS, LAWS, judged, judged_against, laws_of, program  # noqa: E402

#: Seeds of the tests that run each time, and those of a night.
FEW, MANY = range(26), range(26, 400)


def test_each_law_is_drawn_equally_often():
    seeds = len(COUNTS) * len(LAWS)
    for begin in 0, 3 * seeds:
        drawn = collections.Counter(law for seed in range(begin, begin + seeds)
                                    for law in laws_of(seed))
        assert drawn == {law: sum(COUNTS) for law in LAWS}


@pytest.mark.parametrize('seed', [*range(12), 130145])
def test_programs_have_one_checkpoint_and_their_own_graphs(seed):
    made, again = program(seed), program.__wrapped__(seed)
    lengths = (made.t0, *made.others)
    assert len({*lengths}) == 3 and str(made) == str(again)
    assert {law.split(':')[0] for law in made.places if ':' in law} == {*made.laws}
    for steps in lengths:
        for batch in made.batches:
            for one, other in zip(made.outputs(steps, batch), again.outputs(steps, batch)):
                np.testing.assert_array_equal(one, other)
    assert made.symbol(made.others[0]).list_arguments() == made.symbol(made.t0).list_arguments()


def free(format: str) -> Any:
    """A program whose file takes other lengths and is right."""
    for seed in range(0, 400, 4):
        found = judged(seed, format)
        if found.taken and not found.wrong:
            return program(seed, format == 'states')
    raise AssertionError('all are tied')


class Scaled:
    """A draft whose first output is scaled."""

    def __init__(self, draft: Any, factor: float) -> None:
        self.__dict__.update(vars(draft))
        self.symbol = draft.symbol * factor


@pytest.mark.parametrize('format', ['onnx', 'source', 'states'])
@pytest.mark.parametrize('change', ['law', 'weights', 'length', 'none'])
def test_a_file_of_another_program_is_found_wrong(format, change, tmp_path):
    """By a law that is felt at other lengths alone, by its weights, or by the number of steps."""
    made = free(format)
    runner = FORMATS[format](made.model(), tmp_path)
    other = made._replace(runs={})
    if change == 'law':
        other = other._replace(build=lambda steps: Scaled(made.build(steps), steps / made.t0))
    elif change == 'weights':
        other = other._replace(params={name: value * 1.1 for name, value in made.params.items()})
    elif change == 'length':
        other = other._replace(build=lambda steps: made.build(steps + (steps != made.t0)),
                               runs={(steps, batch): made.outputs(steps + (steps != made.t0), batch)
                                     for steps in (made.t0, *made.others)
                                     for batch in made.batches})
    found = judged_against(other, runner, format)
    assert found.own == ('wrong' if change == 'weights' else 'right')
    assert {*found.lengths.values()} == ({'right'} if change == 'none' else {'wrong'})


def refuse(data: Any) -> Any:
    raise ValueError('refused')


def test_a_refusal_is_neither_right_nor_wrong():
    found = judged_against(program(0), refuse, 'onnx')
    assert not found.taken and not found.wrong and found.own == 'refused'


@pytest.mark.parametrize('format, options, taken, wrong', [
    ('onnx', {}, .2, .03), ('source', {}, .2, .03), ('states', {}, .2, .03),
    ('onnx', {'typed': True}, .2, .01), ('onnx', {'certify': True}, .2, .01)],
    ids=['onnx', 'source', 'states', 'typed', 'certify'])
@pytest.mark.parametrize('seeds', [FEW, pytest.param(MANY, marks=pytest.mark.nightly)])
def test_files_are_right_at_every_length_that_they_take(format, options, taken, wrong, seeds):
    """None is wrong at its own length. At least the part `taken` takes other lengths, and at most
    `wrong` is wrong there, by limits that docs/lengths.md names: of a few seeds none."""
    found = [judged(seed, format, **options) for seed in seeds]
    assert not [each.seed for each in found if each.own == 'wrong']
    assert sum(each.taken for each in found) >= taken * len(seeds)
    assert len([each.seed for each in found if each.wrong]) <= wrong * sum(
        each.taken for each in found)
