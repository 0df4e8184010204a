"""Generated sources, run where nothing but torch can be imported, and MXNet beside them."""
from __future__ import annotations

import builtins
import inspect
import json
import re
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mxrnn import interop
from mxrnn.interop.prepare import outputs as file_outputs

from .. import mx
from ..running import bound, random_value
from .compare import difference, magnitude, torch
from .models import S, random_model

#: Modules that a generated source may import.
ALLOWED = {'__future__', 'math', 'torch', 'typing'}
#: Outputs that are values of losses, which are no predictions.
VALUES = {'MakeLoss', 'make_loss', 'CTCLoss', 'softmax_cross_entropy'}


def _import(name, *rest):
    """Refuse what a source has no business with; torch imports what it likes."""
    if name.partition('.')[0] not in ALLOWED:
        raise AssertionError('the source imports %s' % name)
    return builtins.__import__(name, *rest)


class Source(NamedTuple):
    """A source, its module with the weights of its file, and the model that it was made of."""

    text: str
    module: Any
    model: Any
    inputs: Any = None


def read(text):
    """The class of a source, which can import nothing but torch."""
    space = {'__name__': 'generated', '__builtins__': {**vars(builtins), '__import__': _import}}
    exec(compile(text, 'model.py', 'exec', dont_inherit=True), space)
    return space['Model']


def generate(model, inputs=None, **options):
    """The source of a model, executed, with the weights from the file beside it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, 'model.py')
        interop.to_source(model, str(path), inputs, **options)
        text = path.read_text(encoding='utf-8')
        weights = torch.load(str(path.with_suffix('.pt')), weights_only=True)
    module = read(text)()
    module.load_state_dict(weights)
    return Source(text, module.eval(), model, inputs)


def source_of(symbol, data, inputs=None):
    """The source of a Symbol with random weights, which fit the data."""
    return generate(random_model(symbol, {name: array.shape for name, array in data.items()}),
                    inputs)


# ---- MXNet

def quiet(symbol):
    """The Symbol without random draws."""
    graph = json.loads(symbol.tojson())
    for node in graph['nodes']:
        if node['op'] == 'Dropout':
            node['attrs']['p'] = '0'
        elif node['op'] == 'RNN':
            node['attrs'].pop('p', None)
    return S.load_json(json.dumps(graph))


def run_mxnet(symbol, data, params):
    """A Symbol bound to data and to parameters, or to values by their names."""
    return bound(symbol, {name: value.shape for name, value in data.items()}, params, data, 'write')


# ---- the source

def given(source, data, method='forward'):
    """Arguments of a method: what is named so, or, of odd names, the graph's inputs in order."""
    graph = source.model.graph
    own = {re.sub(r'\W', '_', name): name for name in data}
    names = [own.get(name, name) for name in inspect.signature(
        getattr(source.module, method)).parameters]
    if not set(names) <= set(data):
        names = [graph.nodes[place].name for place in sorted(graph.needed())
                 if graph.nodes[place].is_variable
                 and graph.nodes[place].name not in source.model.arg_params]
    return [torch.as_tensor(data[name]) for name in names]


def predictions(graph):
    """The places of the outputs that forward gives: all but the values of losses."""
    return [place for place, head in enumerate(graph.heads)
            if graph.nodes[head.node].op not in VALUES] or list(range(len(graph.heads)))


def outputs(source, data):
    """What its forward gives, in the graph's order."""
    found = source.module(*given(source, data))
    return [found] if isinstance(found, torch.Tensor) else list(found)


def total(source, data, heads):
    """Its loss, or its outputs weighed by `heads`."""
    if hasattr(source.module, 'loss'):
        return source.module.loss(*given(source, data, 'loss'))
    return sum((found * torch.tensor(head)).sum() for found, head in zip(
        outputs(source, data), heads) if found.requires_grad)


def check(source, symbol, data, tolerance=1e-6, gradients=True):
    """Require MXNet's outputs and gradients, by its names: gradients of a state dict are as good
    a state dict, so they go back as weights do."""
    executor = run_mxnet(symbol, data, {**source.model.arg_params, **source.model.aux_params})
    expected = [each.asnumpy() for each in executor.forward(is_train=False)]
    expected = [expected[place] for place in predictions(source.model.graph)]
    read = file_outputs.predictions(source.model.graph)
    if read:  # forward gives what the loss reads
        inner = symbol.get_internals()
        scores = S.Group([inner[name] for name in source.model.graph.ending_in(read).outputs])
        expected = [each.asnumpy() for each in run_mxnet(scores, {
            name: array for name, array in data.items() if name in scores.list_arguments()}, {
            **source.model.arg_params, **source.model.aux_params}).forward(is_train=False)]
    with torch.no_grad():
        found = outputs(source, data)
    largest = max(map(magnitude, expected))
    worst = [difference(each, other.numpy(), largest) for each, other in zip(expected, found)]
    assert len(found) == len(expected) and max(worst) <= tolerance, worst
    if not gradients:
        return
    # A loss has the sums of other outputs in it, as MXNet's fit has.
    heads = [np.ones(each.shape, each.dtype) if hasattr(source.module, 'loss') else random_value(
        'head %d' % i, each.shape).astype(each.dtype)
        for i, each in enumerate(executor.forward(is_train=True))]
    executor.backward([mx.nd.array(head, dtype=head.dtype) for head in heads])
    module = source.module.train()
    module.zero_grad()
    kept = {key: value.clone() for key, value in module.state_dict().items()}
    loss = total(source, data, heads)
    if isinstance(loss, torch.Tensor):
        loss.backward()
    module.eval().load_state_dict(kept)  # BatchNorm's averages have moved
    state = {key: torch.zeros_like(value) for key, value in module.state_dict().items()}
    state.update({key: value.grad for key, value in module.named_parameters(remove_duplicate=False)
                  if value.grad is not None})
    grads = interop.from_source(state, source.model, inputs=source.inputs).arg_params
    far = {}
    wanted = {name: array.asnumpy() for name, array in executor.grad_dict.items()
              if array is not None}
    largest = max(map(magnitude, wanted.values()), default=0.)
    for name, array in wanted.items():
        if not array.any() and np.array_equal(grads[name], source.model.arg_params[name]):
            continue  # the source does not train it, nor does MXNet: fix_gamma of BatchNorm
        # What cancels out is noise: the gradient of a bias before BatchNorm.
        size = magnitude(array)
        distance = difference(array, grads[name], size if size > 1e-3 * largest else largest)
        if not distance <= 10 * tolerance:
            far[name] = distance
    assert not far, far
