"""Programs as people write them leave for ONNX without an option."""
from __future__ import annotations

import numpy as np
import pytest

from mxrnn import interop

from .onnx_runs import bound, session
from .programs import PROGRAMS

from mxrnn.interop._onnx.export import exportable  # noqa: E402, I001  isort: skip


def settled(shapes, **sizes):
    """Shapes in numbers."""
    return {name: tuple(sizes.get(size, size) for size in shape)
            for name, shape in shapes.items()}


@pytest.mark.parametrize('name', PROGRAMS)
def test_without_an_option(name):
    build, shapes, wanted = PROGRAMS[name]
    symbol = build()
    first = settled(shapes, batch=3, time=7, source_time=7, target_time=5, memory_2=4,
                    memory_time=7, question_time=6)
    params = bound(symbol, first, {}, {})
    model = interop.Model(interop.graph_from_json(symbol.tojson()), {
        key: array.asnumpy() for key, array in params.arg_dict.items() if key not in shapes},
        {key: array.asnumpy() for key, array in params.aux_dict.items()})
    written = exportable(model)
    assert written.inputs == wanted
    serving = session(written.content)
    chosen = [i for i, output in enumerate(symbol.list_outputs())
              if output not in written.left_out]
    for batch, time in ((3, 7), (2, 4)):
        sizes = settled(shapes, batch=batch, time=time, source_time=time, target_time=time + 1,
                        memory_2=time, memory_time=time, question_time=time + 2)
        random = np.random.RandomState(batch)
        data = {key: random.randint(1, min(time, 5), sizes[key]).astype('f') for key in wanted}
        executor = bound(symbol, sizes, {**model.arg_params, **model.aux_params}, data)
        expected = [output.asnumpy() for output in executor.forward(is_train=False)]
        found = serving.run(None, data)
        assert len(found) == len(chosen)
        for ours, theirs in zip(found, [expected[i] for i in chosen]):
            assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
            np.testing.assert_allclose(ours, theirs, atol=1e-5 * (np.abs(theirs).max() + 1e-6))
