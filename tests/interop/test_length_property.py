"""A file is right at every length that it takes: random programs whose numbers follow laws of T."""

import pytest

pytest.importorskip('onnx')
pytest.importorskip('onnxruntime')
torch = pytest.importorskip('torch')

from .formats import FORMATS  # noqa: E402
from .length_programs import judged, judged_against, program  # noqa: E402

#: Seeds of the tests that run each time, and those of a night.
FEW, MANY = range(26), range(26, 400)


def free(format):
    """A program whose file takes other lengths and is right."""
    for seed in range(0, 400, 4):
        found = judged(seed, format)
        if found.taken and not found.wrong:
            return program(seed, format == 'states')
    raise AssertionError('all are tied')


class Scaled:
    """A draft whose first output is scaled."""

    def __init__(self, draft, factor):
        self.__dict__.update(vars(draft))
        self.symbol = draft.symbol * factor


@pytest.mark.parametrize('format', ['onnx', 'states'])
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
