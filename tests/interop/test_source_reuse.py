"""No variable of a source is overwritten while something still reads it: small random programs."""
import random

import numpy as np
import pytest

from mxrnn import interop

from .. import mx, ours
from ..running import random_value
from .models import S, V, random_model
from .sources import generate, run_mxnet

torch = pytest.importorskip('torch')
pytestmark = ours

#: All arrays have this shape, so that any axis can pass for any other.
SHAPE = (3, 3, 3)


def parts_of(x, draw, name):
    """Parts of a split along any axis, some of them read several times or never, joined again."""
    axis = draw.randrange(3)
    parts = S.SliceChannel(x, num_outputs=3, axis=axis, squeeze_axis=True, name=name)
    read = [parts[at] for at in draw.sample(range(3), draw.randint(1, 3))]
    return [S.stack(*[function(draw.choice(read)) for _ in range(3)], axis=axis)
            for function in (S.identity, S.sigmoid)]


def places_of(x, draw, name):
    """The order of the elements, and the elements."""
    values, places = S.topk(x, k=3, ret_typ='both', axis=-1, name=name)
    return [values, S.tanh(values + places)]


STEPS = (
    parts_of, parts_of, places_of,
    lambda x, draw, name: [S.where(x > .1, x, S.zeros_like(x), name=name)],
    lambda x, draw, name: [S.tanh(x, name=name)],
    lambda x, draw, name: [S.SwapAxis(x, dim1=0, dim2=1, name=name)],
    lambda x, draw, name: [S.FullyConnected(x, num_hidden=3, flatten=False, name=name)])


def program(seed):
    """A Symbol of up to eight steps, whose names make the source take names again."""
    draw = random.Random(seed)
    arrays = [V('x')]
    for at in range(draw.randint(3, 8)):
        name = draw.choice([None, 'state%d' % at, 'h_t%d_out' % at])
        arrays += draw.choice(STEPS)(draw.choice(arrays[-3:]), draw, name)
    return S.Group([S.identity(each) for each in (draw.choice(arrays[1:]), arrays[-1])])


@pytest.mark.parametrize('seeds', [range(20), range(20, 40), range(40, 60)])
def test_no_variable_is_overwritten_while_it_is_read(seeds):
    for seed in seeds:
        with mx.name.NameManager():
            symbol = program(seed)
        data = random_value('data %d' % seed, SHAPE).astype('f')
        model = random_model(symbol, {'x': SHAPE})
        with torch.no_grad():
            found = interop.to_torch(model, {'x': SHAPE})(torch.tensor(data))
        expected = run_mxnet(symbol, {'x': data}, model.arg_params).forward()
        for one, other in zip(found, expected):
            np.testing.assert_allclose(one, other.asnumpy(), atol=1e-4, err_msg=str(seed))


def test_the_largest_elements_and_their_places_are_found_once():
    values, places = S.topk(V('x'), k=2, ret_typ='both')
    text = generate(random_model(S.Group([values, places]), {'x': (4, 3)}), {
        'x': ('batch', 3)}).text
    assert 'values, places = x.topk(2, -1)\n        return values, places.float()' in text
