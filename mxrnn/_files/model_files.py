"""The two files of a model, beside each other in a folder or in an archive.

Sockeye writes ``symbol.json`` and ``params.best``, SageMaker a ``model.tar.gz`` with
``model_algo-1-symbol.json`` and ``model_algo-1-0000.params``, or with ``model_algo-1``: a zip of
both, or arrays alone.
"""
from __future__ import annotations

import io
import os
import re
from typing import Iterable, Mapping, NamedTuple

from . import CheckpointError, archives, named

__all__ = ['ENDS', 'Pair', 'config_beside', 'pair_in']

#: How the names of archives end.
ENDS = '.tar', '.tar.gz', '.tgz', '.zip'


class Pair(NamedTuple):
    """The graph and the parameters of a model.

    Attributes
    ----------
    symbol, params : str
        Their paths; in an archive, their names for messages. The graph's is '' if there is none.
    contents : (bytes, bytes) or None
        Their contents, if they are in an archive.
    config : bytes
        The content of the ``config.json`` beside the graph, if there is one.
    """

    symbol: str
    params: str
    contents: tuple[bytes, bytes] | None = None
    config: bytes = b''


def pair_in(place: str) -> Pair | None:
    """The files in the folder or archive `place`; None if it is neither.

    Raises
    ------
    CheckpointError
        It does not have exactly one graph and one file of parameters, or a model of arrays alone.
    """
    name = os.path.basename(place)
    with named(place):
        if os.path.isdir(place):
            names = os.listdir(place)
            if any(map(_is_wanted, names)) or not any(map(_is_packed, names)):
                symbol, params = (os.path.join(place, each) for each in _chosen(names, place))
                return Pair(symbol, params, config=config_beside(symbol))
            contents = {each: _content(os.path.join(place, each)) for each in names
                        if _is_packed(each)}
        elif not os.path.isfile(place) or not (_is_packed(name) or place.lower().endswith(ENDS)):
            return None
        elif _is_packed(name):
            contents = {name: _content(place)}
        else:
            with open(place, 'rb') as stream:
                contents = archives.files_in(
                    stream, lambda name: _is_read(name) or _is_packed(name),
                    archives.room_for(os.path.getsize(place)))
    packed = {} if any(map(_is_wanted, contents)) else {
        name: content for name, content in contents.items() if _is_packed(name)}
    return _unpacked(packed, place) if packed else _of_contents(contents, place)


def config_beside(symbol: str) -> bytes:
    """The content of the ``config.json`` beside a graph, or nothing."""
    path = _config_of(symbol)
    with named(path):
        return _content(path) if os.path.isfile(path) else b''


def _content(path: str) -> bytes:
    with open(path, 'rb') as stream:
        return stream.read()


def _of_contents(contents: Mapping[str, bytes], place: str) -> Pair:
    symbol, params = _chosen(contents, place)
    return Pair('%s in %s' % (symbol, place), '%s in %s' % (params, place),
                (contents[symbol], contents[params]), contents.get(_config_of(symbol), b''))


def _config_of(symbol: str) -> str:
    return re.sub(r'symbol\.json$', 'config.json', symbol)


def _unpacked(contents: Mapping[str, bytes], place: str) -> Pair:
    """The files in one ``model_algo-1`` or several equal ones, which processes wrote."""
    room = archives.room_for(sum(map(len, contents.values())))
    found: Pair | None = None
    for name, content in sorted(contents.items()):
        inside = place if os.path.basename(place) == name else '%s in %s' % (name, place)
        pair = Pair('', inside, (b'', content))
        if content[:4] == archives.ZIP:
            with named(inside):
                files = archives.files_in(io.BytesIO(content), _is_read, room)
            room -= sum(map(len, files.values()))
            pair = _of_contents(files, inside)
        found = found or pair
        if pair.contents != found.contents:
            raise CheckpointError('%s has models that differ, %s. Unpack it and name one' % (
                place, ', '.join(sorted(contents))))
    assert found is not None
    return found


def _is_packed(name: str) -> bool:
    return re.fullmatch(r'model_algo-\d+', name) is not None


def _is_wanted(name: str) -> bool:
    return name.endswith(('symbol.json', '.params')) or name in ('params.best', 'params')


def _is_read(name: str) -> bool:
    return _is_wanted(name) or name.endswith('config.json')


def _chosen(names: Iterable[str], place: str) -> tuple[str, str]:
    """The names of the graph and the parameters, of the newest epoch or the best."""
    found = sorted(filter(_is_wanted, names))
    graphs = [name for name in found if name.endswith('symbol.json')]
    params = [name for name in found if name not in graphs]
    numbered = {name: re.match(r'%s-(\d{4,})\.params$' % re.escape(graph[:-len('-symbol.json')]),
                               name) for graph in graphs for name in params}
    params = [name for name in params if name != 'params'] or params
    if 'params.best' in params:
        params = ['params.best']
    elif len(graphs) == 1 and all(numbered.values()):
        params = sorted(params, key=lambda name: int(name.split('-')[-1][:-len('.params')]))[-1:]
    if len(graphs) != 1 or len(params) != 1:
        raise CheckpointError(
            '%s must have one graph (*symbol.json) and one file of parameters (*.params, '
            'params or params.best), got %s. Name both with symbol= and params= (--symbol, '
            '--params)' % (
                place, ', '.join(found[:8] + ['…'] * (len(found) > 8)) or 'neither'))
    return graphs[0], params[0]
