"""The process in which `interop` runs models: it answers requests for their outputs in MXNet.

It imports no more of this package than it needs, because every export waits for it.
"""
from __future__ import annotations

import os
import pickle
import sys
import types
from typing import TYPE_CHECKING, BinaryIO, Callable, Dict, List, Mapping, Union

import numpy as np

from .._graph.graph import Graph, Node
from .._graph.graph_editing import origin
from .._graph.symbol_json import graph_to_json

if TYPE_CHECKING:
    from .._runtime.mxnet_types.executor import Executor
    from .._runtime.mxnet_types.nd import NDArray

__all__ = ['serve']

#: Arrays by name.
_Arrays = Dict[str, np.ndarray]
#: Computes outputs, or says why MXNet does not take the data.
_Run = Callable[[_Arrays], Union[List[np.ndarray], str]]
#: Executors in which an operator failed. Freeing one may end or block the process.
_failed: list[Executor] = []


def serve() -> None:
    """Answer requests from the standard input until it ends.

    A request is None or (params, graph, number, data). `params` are arrays by name; None stands for
    those before. `graph` is the graph of this number, or None for one that was sent before. The
    answer is the list of outputs, MXNet's words if it does not take these data, or a ValueError.
    After None all is freed; the answer is 'freed', or 'kept' if MXNet cannot free it. The first
    answer, 'ready', says that MXNet is imported.
    """
    replies = os.fdopen(os.dup(1), 'wb')
    os.dup2(2, 1)  # keeps MXNet's printed text out of the answers
    from .._runtime.import_patches import import_part
    import_part()
    from .._runtime.mxnet import mx
    mx.nd  # noqa: B018  (imported when it is first used)
    _send(replies, 'ready')
    runs: dict[int, _Run] = {}
    params: dict[str, NDArray] = {}
    while True:
        try:
            asked = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        if asked is None:
            runs, params = {}, {}
            _send(replies, 'freed' if not _failed else 'kept')
            continue
        arrays, graph, number, data = asked
        try:
            if arrays is not None:
                # Copies, because oneDNN reorders weights in place.
                params = {name: mx.nd.array(array, dtype=array.dtype)
                          for name, array in arrays.items()}
                runs = {}
            if graph is not None:
                runs[number] = _in_mxnet(mx, _predictions(graph), params)
            _send(replies, runs[number](data))
        except Exception as error:  # any error is an answer
            _send(replies, ValueError(str(error) or repr(error)))


def _send(replies: BinaryIO, what: object) -> None:
    pickle.dump(what, replies, protocol=4)
    replies.flush()


def _in_mxnet(mx: types.ModuleType, graph: Graph, params: Mapping[str, NDArray]) -> _Run:
    symbol = mx.sym.load_json(graph_to_json(graph, indent=None))
    names, auxiliary = symbol.list_arguments(), symbol.list_auxiliary_states()

    def run(data: _Arrays) -> list[np.ndarray] | str:
        given = {name: params[name] for name in names if name in params}
        given.update((name, mx.nd.array(array, dtype=array.dtype))
                     for name, array in data.items() if name in names)
        try:
            shapes, _, _ = symbol.infer_shape_partial(**{  # infer_shape prints its arguments
                name: array.shape for name, array in given.items()})
            kinds, _, _ = symbol.infer_type(**{name: array.dtype for name, array in given.items()})
            executor = symbol.bind(mx.cpu(), [
                given[name] if name in given else mx.nd.array(np.zeros(shape), dtype=kind)
                for name, shape, kind in zip(names, shapes, kinds)],
                grad_req='null', aux_states=[params[name] for name in auxiliary])
            _failed.append(executor)
            outputs = [each.asnumpy() for each in executor.forward(is_train=False)]
        except Exception as error:
            return str(error) or repr(error)
        _failed.remove(executor)
        return outputs
    return run


def _predictions(graph: Graph) -> Graph:
    """The graph for MXNet, in which loss heads read a label's variable directly.

    The label's shape then follows from the prediction's, whatever the program does with its labels.
    softmax gets a temperature, because without one it may end the process (docs/mxnet-defects.md).
    """
    read, nodes = {*graph.needed_variables()}, []
    for node in graph.nodes:
        node = _with_temperature(node)
        labels = node.inputs_of('label') if node.inputs else []
        if labels:
            own = {entry: origin(graph.nodes, entry) for entry in labels}
            node = node._replace(inputs=tuple(
                own[entry] if entry in own and graph.nodes[own[entry].node].name not in read
                else entry for entry in node.inputs))
        nodes.append(node)
    changed = graph._replace(nodes=tuple(nodes))
    return graph if changed == graph else changed.ending_in(graph.heads)


def _with_temperature(node: Node) -> Node:
    if node.op in ('softmax', 'log_softmax') and node.temperature is None:
        node = node._replace(attrs={**node.attrs, 'temperature': '1.0'})
    return node._replace(subgraphs=tuple(
        each._replace(nodes=tuple(map(_with_temperature, each.nodes)))
        for each in node.subgraphs)) if node.subgraphs else node
