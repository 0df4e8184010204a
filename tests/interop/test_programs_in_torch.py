"""Programs as people write them run in torch, rolled up as they are in steps."""
import numpy as np
import pytest

from mxrnn import interop
from mxrnn.interop.check.data import data_for

from .compare import torch
from .programs import PROGRAMS
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


def results(module, data):
    """Outputs, and gradients of the parameters."""
    outputs = module(**{name: value for name, value in data.items() if name in module.inputs})
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    module.zero_grad()
    sum((output * torch.linspace(.5, 1, output.numel()).reshape(output.shape)).sum()
        for output in outputs if output.requires_grad).backward()
    return outputs, {name: value.grad for name, value in module.named_parameters()}


@pytest.mark.parametrize('name', PROGRAMS)
def test_rolled_and_in_steps(name):
    _, model = model_of(name)
    rolled, steps = (interop.to_torch(model, roll=roll).double() for roll in (True, False))
    for batch in (3, 2) if 'batch' in PROGRAMS[name].shapes.get('data', ()) else (3,):
        data = {key: value.double() for key, value in drawn(
            model, settled(PROGRAMS[name].shapes, batch, 7)).items()}
        (found, found_grads), (wanted, grads) = (results(each, data) for each in (rolled, steps))
        torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-12)
        for key, value in grads.items():
            torch.testing.assert_close(found_grads[key], value, rtol=1e-9, atol=1e-11)
