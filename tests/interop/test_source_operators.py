"""Each operator as source: outputs and gradients are MXNet's, or it is refused by name."""
from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from mxrnn import interop

from .. import mx, ours
from ..running import random_value
from .compare import difference, torch
from .operator_cases import OPS

from mxrnn.interop._source import methods  # noqa: E402, F401, I001  isort: skip
from mxrnn.interop._source.file import File  # noqa: E402, I001  isort: skip
from mxrnn.interop._source.sampling import survey  # noqa: E402, I001  isort: skip
from mxrnn.interop._source.scope import Scope  # noqa: E402, I001  isort: skip
from mxrnn.interop._source.table import LOSSES, Unsupported, Value  # noqa: E402, I001  isort: skip

pytestmark = ours

#: Cases whose gradients differ where elements are equal: torch divides that of an extreme between
#: them, and |x| has none at 0.
TIES = ('max', 'min', 'max_keep', 'min_keep', 'max_exclude', 'min_exclude',
        'max_exclude_all_of_nan', 'MAERegressionOutput_equal')
#: What raises in torch: MXNet takes the first or the last row.
RAISES = {'Embedding_outside': IndexError}
#: Cases that are refused, and what is said.
REFUSED = [
    ('gamma|gamma_poles|(depth_to|space_to)_.*|LRN|(cbrt|rcbrt|round|rint)(_halves)?|nanprod.*|'
     'moments.*|batch_take|scatter_nd.*|gemm2.*|(shape|size)_array|eye|linspace.*|hypot.*|'
     '_(hypot|rmod|logical_.*)_scalar.*|(broadcast)?_mod', 'no plain form'),
    ('slice_step|slice_of_nothing', 'a step below 0'),
    ('.*_exclude_all.*', 'over no axis'), ('argm(ax|in)', 'over all axes'),
    ('topk_mask', 'a mask'), ('arange_like_all', 'none of one axis'),
    ('smooth_l1_of_0', 'whose scalar is 0'), ('Pooling_sum.*', 'pool_type sum'),
    ('SoftmaxOutput.*_out(_grad)?', 'with out_grad'), ('SoftmaxOutput_4_training', 'more labels'),
    ('L2Normalization_vector', 'normalises nothing'),
    ('.*_of(_odd)?_(int32|integers).*|power_of_.*', 'of integers|no plain form|over no axis'),
    ('cumsum_to_int32', 'of integers')]


#: Of these, some are refused: those that torch makes real numbers of.
INTEGERS = re.compile('.*(int32|integers).*')


class Written:
    """An operator as a function, and its loss as another one."""

    def __init__(self, graph: Any, tensors: dict[str, Any]) -> None:
        self._graph, self._tensors = graph, tensors
        self.file = File({}, set())
        self._space: dict[str, Any] = {}
        self._space['self'] = torch.nn.Module().eval()
        exec('import math\nimport torch\nimport torch.nn.functional as F\nfrom torch import Tensor',
             self._space)
        with torch.no_grad():
            self._facts = survey(graph, interop.Model(graph, {}, {}), [tensors, tensors])
        self._given = {
            interop.Entry(place, 0): Value(node.name, tuple(tensors[node.name].shape),
                         str(tensors[node.name].dtype).partition('.')[2])
            for place, node in enumerate(graph.nodes) if node.is_variable}

    def _call(self, write: Any) -> Any:
        faults: list[str] = []
        scope = Scope(self.file, self._graph, self._facts, self._given, faults)
        returned = write(scope)
        if faults:
            raise Unsupported('; '.join(faults))
        names = [value.text for value in self._given.values()]
        code = '\n'.join([*self.file.helpers.values(), 'def call(%s):' % ', '.join(names),
                          *scope.body('return ' + returned)])
        exec(code, self._space)
        return self._space['call'](*[self._tensors[name] for name in names])

    def outputs(self) -> Any:
        return self._call(lambda scope: '(%s,)' % ', '.join(
            map(str, scope.emit(self._graph.heads))))

    def loss(self) -> Any:
        node = self._graph.nodes[self._graph.heads[0].node]
        return self._call(lambda scope: LOSSES[node.op](scope, node, *scope.emit(node.inputs)))


def reasons(name: str) -> list[str]:
    """What is said where a case is refused."""
    return [said for pattern, said in REFUSED if re.fullmatch(pattern, name)]


#: Without those that differ in one number, which the text has as it is.
CASES = [name for name in OPS if not re.search(r'_scalar_(-?inf|0.0|-2.0|1e.*|.*to_float)$',
                                                 name)]


@pytest.mark.parametrize('name', CASES)
def test_like_mxnet(name):
    op = OPS[name]
    symbol = mx.sym.Group(list(op.build()))
    data = {}
    for key, value in op.inputs.items():
        whole = getattr(value, 'dtype', None) == 'int32'
        value = value if isinstance(value, np.ndarray) else random_value(key, value)
        data[key] = np.asarray(value, 'int32' if whole else 'float32')
    executor = symbol.simple_bind(
        mx.cpu(), type_dict={key: value.dtype for key, value in data.items()},
        grad_req={key: 'write' if op.train and key not in op.fixed else 'null'
                  for key in symbol.list_arguments()},
        **{key: value.shape for key, value in data.items()})
    for key, array in executor.arg_dict.items():
        array[:] = data[key] if key in data else random_value(key, array.shape)
    if executor.aux_dict or set(executor.arg_dict) - set(data) or name == 'Dropout':
        pytest.skip('a layer with parameters: programs and cells have these')
    tensors = {key: torch.tensor(value).requires_grad_(
        op.train and key not in op.fixed and value.dtype == 'float32')
        for key, value in data.items() if key in executor.arg_dict}
    graph = interop.graph_from_json(symbol.tojson())
    written = Written(graph, tensors)
    try:
        outputs = written.outputs()
        head = graph.nodes[graph.heads[0].node].op
        loss = written.loss() if op.train and head in LOSSES else None
    except Unsupported as error:
        assert any(re.search(said, str(error)) for said in reasons(name)), error
        return
    except tuple(RAISES.values()):
        assert name in RAISES
        return
    expected = [each.asnumpy() for each in executor.forward(is_train=False)]
    for want, found in zip(expected, outputs):
        assert difference(want, found.detach().numpy()) <= 2e-6
    assert name not in RAISES and (not reasons(name) or INTEGERS.fullmatch(name))
    if not op.train or name in TIES:
        return
    heads = [random_value('head %d' % i, each.shape).astype(each.dtype)
             for i, each in enumerate(executor.forward(is_train=True))]
    executor.backward([mx.nd.array(head, dtype=head.dtype) for head in heads])
    if loss is None:
        loss = sum((found * torch.tensor(head)).sum() for found, head in zip(outputs, heads)
                   if found.requires_grad)
    if isinstance(loss, torch.Tensor):
        loss.backward()
    for key, array in executor.grad_dict.items():
        if array is not None:
            grad = tensors[key].grad
            grad = np.zeros(array.shape, 'float32') if grad is None else grad.numpy()
            assert difference(array.asnumpy(), grad) <= 2e-5, key
