"""The formats that a model leaves in: each writes one, and returns what runs it."""
import numpy as np

from mxrnn import interop

from .compare import torch
from .onnx_runs import outputs_of, session
from .sources import generate, outputs


def _onnx(model, folder, inputs=None, check=False, **options):
    interop.to_onnx(model, str(folder / 'a.onnx'), inputs, check=check, **options)
    serving = session((folder / 'a.onnx').read_bytes())
    return lambda data: outputs_of(serving, data)


def _source(model, folder, inputs=None, check=False, **options):
    source = generate(model, inputs, check=check, **options)
    return lambda data: [each.detach().numpy() for each in outputs(source, data)]


def _torch(model, folder, inputs=None):
    module = interop.to_torch(model, inputs)

    def run(data):
        found = module(**{name: torch.tensor(array) for name, array in data.items()})
        return [each.detach().numpy() for each in (
            [found] if isinstance(found, torch.Tensor) else found)]
    return run


def _states(model, folder, inputs=None, **options):
    """In two chunks."""
    interop.to_onnx(model, str(folder / 'a.onnx'), inputs, check=False, states=True, **options)
    stepper = interop.load_stepper(str(folder / 'a.onnx'))

    def run(data):
        first = {name: array for name, array in data.items() if name in stepper.encoder_names}
        given = {name: array for name, array in data.items() if name in stepper.input_names}
        states = stepper.begin(next(iter(data.values())).shape[0], **first)
        steps = min(array.shape[1] for array in given.values() if array.ndim > 1)
        parts = []
        for part in (slice(0, steps // 2), slice(steps // 2, steps)):
            if part.start == part.stop:
                continue
            found, states = stepper.read(states, **{
                name: array[:, part] if array.ndim > 1 else array for name, array in given.items()})
            parts.append([found] if isinstance(found, np.ndarray) else found)
        return [np.concatenate(each, axis=1) if each[0].ndim == 3 else each[-1]
                for each in zip(*parts)]
    return run


#: Each takes a model, a folder and what `to_onnx` takes, and returns a function of data by name.
FORMATS = {'onnx': _onnx, 'source': _source, 'torch': _torch, 'states': _states}
