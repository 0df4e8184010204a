"""Programs as people write them run in torch, rolled up as they are in steps."""
import numpy as np
import pytest

from mxrnn._graph.rolling import structure
from mxrnn.interop.check.data import data_for

from .compare import torch
from .programs import PROGRAMS
from .rolling import outputs_of
from .test_programs_leave import model_of, settled


def drawn(model, shapes):
    """Data that fits, the same each time."""
    random = np.random.RandomState(5)
    data = {}
    for name, shape in shapes.items():
        # A class, which a loss head reads; CTC's labels are data.
        label = 'label' in name and all(node.op != 'CTCLoss' for node in model.graph.nodes)
        data[name] = torch.from_numpy(random.randint(1, 4, shape).astype('float32') if label else
                                      data_for(model.graph, name, shape, 'float32', 3, random))
    return data


@pytest.mark.parametrize('name', PROGRAMS)
def test_rolled_and_in_steps(name):
    _, model = model_of(name)
    weights = {key: value.astype('float64') for key, value in {
        **model.arg_params, **model.aux_params}.items()}
    for batch in (3, 2) if 'batch' in PROGRAMS[name].shapes.get('data', ()) else (3,):
        data = drawn(model, settled(PROGRAMS[name].shapes, batch, 7))
        values = {**weights, **{key: value.double().numpy() for key, value in data.items()}}
        for one, other in zip(*(outputs_of(graph, values) for graph in (
                structure(model.graph).graph, model.graph))):
            torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-11)
