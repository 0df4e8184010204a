"""MXNet's file of a graph (``-symbol.json``): looked over without MXNet."""
from __future__ import annotations

import json
from typing import Any

from .._files.errors import named

__all__ = ['check_symbol']


def check_symbol(path: str, text: str | None = None) -> dict[str, Any]:
    """Refuse a graph with references to what is not in it, for MXNet would follow them.

    Parameters
    ----------
    path : str
        The file, for messages too.
    text : str, optional
        The graph, if it has been read already. By default the file is read.

    Returns
    -------
    dict
        The graph as JSON has it. How many outputs a node has can be wrong or, in files of old
        versions, missing; in text that MXNet has just made of a graph it is right.

    Raises
    ------
    CheckpointError
        The file cannot be read, or it is no graph that MXNet survives.
    """
    with named(path):
        if text is None:
            with open(path, encoding='utf-8') as stream:
                text = stream.read()
        graph: dict[str, Any] = json.loads(text)
        _check_graph(graph)
        return graph


def _check_graph(graph: Any) -> None:
    nodes, rows = graph['nodes'], graph.get('node_row_ptr')
    if rows is not None and len(rows) != len(nodes) + 1:
        raise ValueError('it has %d nodes and the outputs of %d' % (len(nodes), len(rows) - 1))

    def check(entry: list[int], before: int, what: str) -> None:
        node, output = entry[0], entry[1]
        if not 0 <= node < before:
            raise ValueError('%s refers to node %d of %d' % (what, node, before))
        if output < 0 or (rows is not None and output >= rows[node + 1] - rows[node]):
            raise ValueError('%s refers to output %d of node %d, which has fewer'
                             % (what, output, node))

    for i, node in enumerate(nodes):
        for entry in node['inputs']:
            check(entry, i, 'node %d, %s,' % (i, node['name']))
        for subgraph in node.get('subgraphs', []):
            _check_graph(subgraph)
    for entry in graph['heads']:
        check(entry, len(nodes), 'the result')
