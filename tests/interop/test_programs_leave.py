"""Programs as people write them leave for ONNX without an option."""
from __future__ import annotations

import numpy as np
import pytest

from mxrnn import interop

from .. import mx
from . import programs
from .onnx_runs import bound, session
from .programs import PROGRAMS

from mxrnn.interop._onnx.export import exportable  # noqa: E402, I001  isort: skip

#: Axes whose size is no matter of the batch or of the number of steps.
OTHERS = {'target_time': 5, 'answer_time': 5, 'memory_2': 4, 'memory_time': 6,
          'question_time': 7, 'user_time': 2, 'chars_1': 5}


def settled(shapes, batch, time):
    """Shapes in numbers."""
    sizes = {'batch': batch, 'time': time, 7: time, 'source_time': time, **OTHERS}
    return {name: tuple(sizes.get(size, size) for size in shape)
            for name, shape in shapes.items()}


def model_of(name):
    """The network of a program with weights of its own."""
    with mx.name.NameManager():
        symbol = PROGRAMS[name].build()
    shapes = PROGRAMS[name].shapes
    found = bound(symbol, settled(shapes, 3, 7), {}, {})
    return symbol, interop.Model(interop.graph_from_json(symbol.tojson()), {
        key: array.asnumpy() for key, array in found.arg_dict.items() if key not in shapes},
        {key: array.asnumpy() for key, array in found.aux_dict.items()})


@pytest.mark.parametrize('rolled', [False, True], ids=['as_is', 'rolled'])
@pytest.mark.parametrize('name', PROGRAMS)
def test_without_an_option(name, rolled, monkeypatch):
    symbol, model = model_of(name)
    wanted = PROGRAMS[name].rolled if rolled else PROGRAMS[name].wanted
    written = exportable(model, rolled=rolled)
    assert written.inputs == wanted
    serving = session(written.content)
    chosen = [i for i, output in enumerate(symbol.list_outputs())
              if output not in written.left_out]
    assert [each.name for each in serving.get_outputs()] == [
        symbol.list_outputs()[i] for i in chosen]
    sizes = [size for shape in wanted.values() for size in shape]
    for batch, time in ((3, 7), (2, 4), (1, 9)):
        batch = 3 if wanted.get('data', ())[:1] == (3,) else batch
        # The decoder of the autoencoder takes as many steps as the graph says, whatever is read.
        if 7 in sizes or name == 'autoencoder' or not any('time' in str(size) for size in sizes):
            time = 7
        monkeypatch.setattr(programs, 'TIME', time)
        with mx.name.NameManager():  # the program's own graph of that length
            symbol = PROGRAMS[name].build()
        shapes = settled(PROGRAMS[name].shapes, batch, time)
        random = np.random.RandomState(batch)
        data = {key: random.randint(1, min(time, 5), shapes[key]).astype('f') for key in wanted}
        executor = bound(symbol, shapes, {**model.arg_params, **model.aux_params}, data)
        expected = [output.asnumpy() for output in executor.forward(is_train=False)]
        found = serving.run(None, data)
        assert len(found) == len(chosen)
        for ours, theirs in zip(found, [expected[i] for i in chosen]):
            assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
            np.testing.assert_allclose(ours, theirs, atol=1e-5 * (np.abs(theirs).max() + 1e-6))
