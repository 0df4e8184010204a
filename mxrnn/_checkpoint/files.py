"""The files of checkpoints: written whole or not at all, and looked over before MXNet reads them.

A checkpoint of the prefix ``p`` and epoch 7 is ``p-0007.params`` with the parameters and
``p-symbol.json`` with the graph, which all epochs share; ``p-0007.states``, if there, has the
optimiser's states. MXNet writes and reads them. What is here decides where it writes, and whether
what it is to read is a file that it will survive.
"""
from __future__ import annotations

import contextlib
import json
import logging
import os
import pickle
import re
import shutil
import socket
import struct
import tempfile
import zlib
from typing import Any, BinaryIO, Iterator

from .._runtime.mxnet import mx

__all__ = ['CheckpointError', 'check_params', 'check_symbol', 'epochs', 'is_remote', 'path_of',
           'read_states', 'remove', 'save']


class CheckpointError(mx.base.MXNetError, KeyError):
    """A checkpoint cannot be written or read; the message names the file and what is wrong.

    Handlers written for ``mxnet.rnn`` catch it: that raises `MXNetError` for a file that it cannot
    open and `KeyError` for a weight that is missing.
    """

    __str__ = Exception.__str__  # KeyError would show the message in quotes


def is_remote(prefix: str) -> bool:
    """Whether MXNet is to resolve `prefix` itself, as ``s3://`` and ``hdfs://``."""
    return '://' in prefix


def path_of(prefix: str, kind: str, epoch: int = 0) -> str:
    """The file of a `kind`: ``'symbol'``, ``'params'`` or ``'states'``."""
    return prefix + '-symbol.json' if kind == 'symbol' else '%s-%04d.%s' % (prefix, epoch, kind)


def epochs(prefix: str) -> list[int]:
    """The epochs with a file of parameters, in ascending order."""
    folder, base = os.path.split(prefix)
    pattern = re.compile(re.escape(base) + r'-(\d{4,})\.params')
    try:
        found = [pattern.fullmatch(name) for name in os.listdir(folder or '.')]
    except OSError as error:
        raise CheckpointError('no checkpoint %s-*.params: %s' % (prefix, error)) from error
    # '%04d' writes no leading zero before five digits, and neither does a name that is ours.
    return sorted(int(m.group(1)) for m in found if m and '%04d' % int(m.group(1)) == m.group(1))


def remove(prefix: str, epoch: int) -> None:
    """Delete the checkpoint of an epoch. The graph stays, for other epochs share it."""
    # The file of parameters goes first: without it the other one passes for nothing.
    for kind in ('params', 'states'):
        with contextlib.suppress(FileNotFoundError):
            os.remove(path_of(prefix, kind, epoch))


# ---- writing

#: Written by a process that may still be at it: host, process, and what `mkdtemp` adds.
_STAGE = re.compile(r'\.mxrnn-(?P<host>[^/\\]+)-(?P<pid>\d+)-\w+\.tmp[/\\]?')


def save(prefix: str, epoch: int, symbol: Any, arg_params: dict, aux_params: dict,
         states: bytes | None = None) -> None:
    """Write a checkpoint so that whatever happens on the way, what was there before stays.

    The files are written into a hidden folder beside the target, looked over, flushed to the disk
    and only then renamed: states, parameters, graph, so that parameters never lack their states.
    A process that is killed leaves that folder behind; the next save beside it, on the same
    machine, deletes it.
    """
    kinds = ['states'] * (states is not None) + ['params'] + ['symbol'] * (symbol is not None)
    folder, base = os.path.split(prefix)
    target = path_of(prefix, 'params', epoch)
    try:
        os.makedirs(folder or '.', exist_ok=True)
        _sweep(folder or '.')
        with _stage(folder or '.') as stage:
            staged = os.path.join(stage, base)
            with _unlogged(stage):
                mx.model.save_checkpoint(staged, epoch, symbol, arg_params, aux_params)
            if states is not None:
                with open(path_of(staged, 'states', epoch), 'wb') as stream:
                    stream.write(states + _seal(states, path_of(staged, 'params', epoch)))
            # MXNet does not notice a disk that fills up when it closes a file.
            check_params(path_of(staged, 'params', epoch))
            if symbol is not None:
                check_symbol(path_of(staged, 'symbol'))
            for kind in kinds:
                _flush(path_of(staged, kind, epoch))
            for kind in kinds:
                target = path_of(prefix, kind, epoch)
                os.replace(path_of(staged, kind, epoch), target)
        if os.name == 'posix':
            _flush(folder or '.')
    except (OSError, mx.base.MXNetError) as error:
        raise CheckpointError('cannot save %s: %s'
                              % (target, _STAGE.sub('', brief(error)))) from error
    # As MXNet says it, with the name that the file has in the end.
    logging.info('Saved checkpoint to "%s"', path_of(prefix, 'params', epoch))
    if states is not None:
        logging.info('Saved optimizer states to "%s"', path_of(prefix, 'states', epoch))


@contextlib.contextmanager
def _stage(folder: str) -> Iterator[str]:
    stage = tempfile.mkdtemp('.tmp', '.mxrnn-%s-%d-' % (socket.gethostname(), os.getpid()), folder)
    try:
        yield stage
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def _sweep(folder: str) -> None:
    """Delete what processes of this machine that are gone have left unfinished in `folder`."""
    if os.name != 'posix':  # elsewhere os.kill does kill
        return
    for name in os.listdir(folder):
        match = _STAGE.fullmatch(name)
        if match and match.group('host') == socket.gethostname():
            try:
                os.kill(int(match.group('pid')), 0)
            except ProcessLookupError:
                shutil.rmtree(os.path.join(folder, name), ignore_errors=True)
            except (OSError, OverflowError):
                pass  # it runs, for another user


@contextlib.contextmanager
def _unlogged(stage: str) -> Iterator[None]:
    """Drop the messages that name the folder `stage`, which nobody will find."""
    def other(record: logging.LogRecord) -> bool:
        return stage not in record.getMessage()

    logging.root.addFilter(other)
    try:
        yield
    finally:
        logging.root.removeFilter(other)


def _flush(path: str) -> None:
    directory = os.path.isdir(path)
    descriptor = os.open(path, os.O_RDONLY if directory else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def brief(error: BaseException) -> str:
    """What an error says, without the stack that MXNet puts around it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if isinstance(error, mx.base.MXNetError) and not isinstance(error, CheckpointError):
        lines = lines[-1:]
    return ' '.join(lines) or type(error).__name__


# ---- looking over what MXNet is to read

#: Bytes of an element, by MXNet's number of the type.
_ITEM_SIZES = {0: 4, 1: 8, 2: 2, 3: 1, 4: 4, 5: 1, 6: 8, 7: 1, 8: 2, 12: 2}
_LIST_MAGIC = 0x112
_V1, _V2, _V3 = 0xF993FAC8, 0xF993FAC9, 0xF993FACA  # before them a file has the rank here
_DENSE, _ROW_SPARSE, _CSR = 0, 1, 2
_MOST_DIMENSIONS = 32


class _Reader:
    """Reads a file of known size, and refuses to go beyond its end."""

    def __init__(self, stream: BinaryIO) -> None:
        self.stream = stream
        self.size = os.fstat(stream.fileno()).st_size
        self.at = 0

    def skip(self, count: int, what: str) -> None:
        if count > self.size - self.at:
            raise ValueError('%s takes %d bytes from byte %d on, the file has %d'
                             % (what, count, self.at, self.size))
        self.at += count
        self.stream.seek(self.at)

    def take(self, count: int, what: str) -> bytes:
        start = self.at
        self.skip(count, what)
        self.stream.seek(start)
        return self.stream.read(count)

    def number(self, form: str, what: str) -> int:
        return struct.unpack('<' + form, self.take(struct.calcsize(form), what))[0]


def check_params(path: str) -> None:
    """Refuse a file of parameters that MXNet did not write to its end.

    MXNet takes every length in the file at its word, which costs the process or all of its memory
    where a length is wrong. So this walks over the file first, from header to header. The layout,
    little-endian, is that of ``NDArray::Save`` in MXNet's ``src/ndarray/ndarray.cc``: the number
    0x112, a reserved word, the arrays, their names. The elements themselves carry no checksum.
    """
    with _named(path), open(path, 'rb') as stream:
        reader = _Reader(stream)
        if reader.number('Q', 'the header') != _LIST_MAGIC:
            raise ValueError('it does not begin as a file of arrays does')
        reader.skip(8, 'the header')
        count = reader.number('Q', 'the header')
        for i in range(count):
            _skip_array(reader, 'array %d of %d' % (i + 1, count))
        named = reader.number('Q', 'the number of names')
        if named != count:
            raise ValueError('it has %d arrays and %d names' % (count, named))
        names = []
        for _ in range(count):
            length = reader.number('Q', 'the length of a name')
            names.append(reader.take(length, 'a name').decode('utf-8'))
        if reader.at != reader.size:
            raise ValueError('%d bytes follow its end' % (reader.size - reader.at))
    odd = [name for name in names if not name.startswith(('arg:', 'aux:'))]
    twice = sorted({name for name in names if names.count(name) > 1}) if len(
        set(names)) < count else []
    if odd or twice:
        raise CheckpointError('%s is no file of parameters: %s' % (path, '; '.join(
            ['%s begins with neither arg: nor aux:' % name for name in odd]
            + ['%s is there twice' % name for name in twice])))


def _skip_array(reader: _Reader, what: str) -> None:
    magic = reader.number('I', what)
    storage = reader.number('i', what) if magic in (_V2, _V3) else _DENSE
    if storage not in (_DENSE, _ROW_SPARSE, _CSR):
        raise ValueError('%s has the unknown kind of storage %d' % (what, storage))

    def shape() -> list[int]:
        if magic in (_V1, _V2, _V3):
            rank, form = reader.number('i', what), 'q'
        else:
            rank, form = magic, 'I'
        least = 0 if magic == _V3 else 1  # a rank below it means an array that was never filled
        if not least <= rank <= _MOST_DIMENSIONS:
            raise ValueError('%s has the rank %d' % (what, rank))
        sizes = [reader.number(form, what) for _ in range(rank)]
        if min(sizes, default=0) < 0:
            raise ValueError('%s has the shape %s' % (what, tuple(sizes)))
        return sizes

    def item_size() -> int:
        number = reader.number('i', what)
        if number not in _ITEM_SIZES:
            raise ValueError('%s has the unknown type %d' % (what, number))
        return _ITEM_SIZES[number]

    stored = shape() if storage else []
    logical = shape()
    reader.skip(8, what)  # the device, which MXNet maps to one that is there
    size = item_size()
    indices = [(item_size(), shape()) for _ in range(storage)]  # one array, or two for CSR
    fits = True
    if storage == _DENSE:
        stored = logical
    elif storage == _ROW_SPARSE:
        fits = stored[1:] == logical[1:] and indices[0][1] == stored[:1] <= logical[:1]
    else:  # of CSR, MXNet may have saved no elements where the indices tell how many there are
        fits = indices[0][1] == [logical[0] + 1] and stored in ([0], indices[1][1])
        stored = indices[1][1]
    if not fits:
        raise ValueError('%s has indices that do not fit its shape %s' % (what, tuple(logical)))
    for item, sizes in [(size, stored)] + indices:
        for length in sizes:
            item *= length
        reader.skip(item, what)


def check_symbol(path: str, text: str | None = None) -> dict[str, Any]:
    """Refuse a graph with references to what is not in it, for MXNet would follow them.

    The graph is read from the file, or it is the `text` that MXNet has made of it. Returns it as
    JSON has it. In a file, how many outputs the nodes have can be wrong or, in those of old
    versions, missing; in MXNet's own text it is right.
    """
    with _named(path):
        if text is None:
            with open(path, encoding='utf-8') as stream:
                text = stream.read()
        graph = json.loads(text)
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
            raise ValueError('%s refers to output %d of node %d, which has no such'
                             % (what, output, node))

    for i, node in enumerate(nodes):
        for entry in node['inputs']:
            check(entry, i, 'node %d, %s,' % (i, node['name']))
        for subgraph in node.get('subgraphs', []):
            _check_graph(subgraph)
    for entry in graph['heads']:
        check(entry, len(nodes), 'the result')


@contextlib.contextmanager
def _named(path: str) -> Iterator[None]:
    """Turn what goes wrong in looking at a file into the one error, with its name."""
    try:
        yield
    except OSError as error:
        raise CheckpointError('cannot read %s: %s' % (path, error.strerror)) from error
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise CheckpointError('%s is not whole: %s' % (path, brief(error))) from error


# ---- the optimiser's states

_SEAL = b'\nmxrnn crc32 '


def _seal(states: bytes, params_path: str) -> bytes:
    """What follows the pickle in the file: checksums of it and of the parameters that it is for.

    MXNet, as pickle does, reads no further than the pickle.
    """
    checksum = 0
    with open(params_path, 'rb') as stream:
        for block in iter(lambda: stream.read(1 << 20), b''):
            checksum = zlib.crc32(block, checksum)
    return _SEAL + b'%08x %08x' % (zlib.crc32(states), checksum)


def read_states(prefix: str, epoch: int) -> tuple[dict[Any, Any], Any]:
    """The optimiser's states of a checkpoint, and the optimiser or None if it is not in there."""
    path = path_of(prefix, 'states', epoch)
    with _named(path):
        with open(path, 'rb') as stream:
            content = stream.read()
        states, seal, sums = content.rpartition(_SEAL)
        if seal:
            intact = _seal(states, path_of(prefix, 'params', epoch))
            if intact[:-8] != seal + sums[:-8]:
                raise ValueError('its checksum does not match')
            if intact != seal + sums:
                raise ValueError('it belongs to other parameters than the file of them has')
    try:
        found = pickle.loads(content)
        states, optimizer = found if isinstance(found, tuple) else (found, None)
        return dict(states), optimizer
    except Exception as error:  # a damaged pickle can raise anything
        raise CheckpointError('%s has no states of an optimiser: %s'
                              % (path, brief(error))) from error
