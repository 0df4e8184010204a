"""A model is a graph with its weights; it is read from a checkpoint and written as one."""
from __future__ import annotations

import json
import re
from typing import Mapping, NamedTuple, Sequence

import numpy as np

from .. import _check
from .._files import CheckpointError, atomic, named, reason_of
from .._files import checkpoint_files as files
from .._files.checkpoint_files import refuse_missing
from .._files.find_model import Pair, config_beside, pair_in
from .._files.newest_checkpoint import Candidates
from .._files.params import add_checksum, read_sealed, refuse_names, write_arrays
from .._graph.graph import Graph
from .._graph.symbol_json import graph_from_json, graph_to_json, text_of
from .pack_gate_weights import Packing, packings, vector_layouts

__all__ = ['Model', 'arrays_alone', 'load', 'narrowed', 'save', 'widened']


class Model(NamedTuple):
    """A graph with the values of its parameters.

    Attributes
    ----------
    graph : Graph
    arg_params, aux_params : dict of str to numpy.ndarray
        Values of arguments and auxiliary states, by their names in the graph. Arrays of bfloat16
        have MXNet's form: a field called 'bfloat16' of 16-bit integers.
    epoch : int or None
        The epoch of the checkpoint that was read.
    text : str
        The text of the graph's file, so that `save` writes it unchanged.
    names : tuple of str
        The names of the file's arrays, in order.
    packed : tuple of Packing
        The arguments that the file stores by gate.
    checksum : bool
        Whether `save` adds a checksum, as `save_rnn_checkpoint` does. After `load`, whether the
        file has one.
    """

    graph: Graph
    arg_params: dict[str, np.ndarray]
    aux_params: dict[str, np.ndarray]
    epoch: int | None = None
    text: str = ''
    names: tuple[str, ...] = ()
    packed: tuple[Packing, ...] = ()
    checksum: bool = True

    def __repr__(self) -> str:
        return 'Model(epoch %s, inputs %s, outputs %s, %d parameters)' % (
            self.epoch, ', '.join(self.inputs) or 'none', ', '.join(self.outputs),
            len(self.arg_params) + len(self.aux_params))

    @property
    def inputs(self) -> list[str]:
        """The arguments of the graph without a value: data, labels, begin states."""
        return [name for name in self.graph.arguments if name not in self.arg_params]

    @property
    def params(self) -> dict[str, np.ndarray]:
        """All parameters: of arguments and of auxiliary states."""
        return {**self.arg_params, **self.aux_params}

    @property
    def outputs(self) -> list[str]:
        """Names of the graph's outputs."""
        return self.graph.outputs


def load(prefix: str | None = None, epoch: int | None = None, *, symbol: str | None = None,
         params: str | None = None, gates: Mapping[str, Sequence[str]] | None = None) -> Model:
    """Read a checkpoint, without MXNet and without the cells that made its graph.

    Parameters
    ----------
    prefix : str
        Path without the ends ``-symbol.json`` and ``-0007.params``. If only buckets have graphs,
        the largest one's is read. Or a folder or an archive (SageMaker's ``model.tar.gz``, also
        the zip ``model_algo-1`` in it) with one graph (``*symbol.json``) and one model's
        parameters (``*.params``, ``params``, or ``params.best`` of Sockeye). Archives are read in
        memory.
    epoch : int, optional
        If None, the newest that can be read; a skipped one is logged as a warning.
    symbol, params : str, optional
        Paths of the two files, instead of a prefix.
    gates : dict of str to sequence of str, optional
        Orders of gates for cells that a program defines, by prefix of the weights:
        ``{'highway_': ['_transform', '_carry']}``. The gates of mxrnn's cells are known.

    Returns
    -------
    Model
        Weights stored by gate are packed, as the graph takes them.

    Raises
    ------
    CheckpointError
        A file cannot be read or is damaged, or graph and weights do not fit each other.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> from mxrnn import interop
    >>> graph = interop.graph_from_json('''{"nodes": [
    ...     {"op": "null", "name": "data", "inputs": []},
    ...     {"op": "null", "name": "scale", "inputs": []},
    ...     {"op": "broadcast_mul", "name": "out", "inputs": [[0, 0, 0], [1, 0, 0]]}],
    ...     "arg_nodes": [0, 1], "heads": [[2, 0, 0]]}''')
    >>> model = interop.Model(graph, {'scale': np.ones((1, 3), 'float32')}, {})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     interop.save(model, folder + '/days', 4)
    ...     again = interop.load(folder + '/days')
    >>> again.epoch, again.inputs, again.outputs
    (4, ['data'], ['out_output'])
    """
    gates = _check.instance('gates', {} if gates is None else gates, Mapping, 'a dict')
    if symbol is not None or params is not None:
        if prefix is not None or epoch is not None:
            raise TypeError('load takes either prefix and epoch, or symbol and params')
        return _of_pair(Pair(_check.path('symbol', symbol), _check.path('params', params)), gates)
    prefix = _check.path('prefix', prefix)
    if files.is_remote(prefix):
        raise ValueError('prefix must be a path on this machine, got %s' % prefix)
    if isinstance(epoch, str) and epoch.endswith('.params'):
        raise TypeError('epoch must be an integer, got %r: give two files as symbol= and params='
                        % epoch)
    if epoch is not None:
        epoch = _check.whole('epoch', epoch, 0)
        refuse_missing(prefix, epoch)
        return _of_epoch(prefix, epoch, gates)
    there = files.places(prefix)
    pair = None if there else pair_in(prefix)
    if pair is not None:
        return _of_pair(pair, gates)
    candidates = Candidates(prefix, there, lambda place: _of_epoch(prefix, place[0], gates))
    model = candidates.newest()
    if model is None:
        raise candidates.refusal()
    candidates.warn()
    return model


def arrays_alone(place: str) -> dict[str, np.ndarray] | None:
    """The arrays of a model without a graph, such as k-means; None if it is another."""
    try:
        pair = pair_in(place)
    except CheckpointError:
        return None
    return None if pair is None or pair.symbol or pair.contents is None else read_sealed(
        pair.params, pair.contents[1], unnamed=True)[0]


def _of_epoch(prefix: str, epoch: int, gates: Mapping[str, Sequence[str]]) -> Model:
    symbol = files.path_of_graph(prefix)
    return _load(Pair(symbol, files.path_of(prefix, 'params', epoch), config=config_beside(symbol)),
                 epoch, gates)


def _of_pair(pair: Pair, gates: Mapping[str, Sequence[str]]) -> Model:
    number = re.search(r'-(\d{4,})\.params\b', pair.params)
    return _load(pair, int(number.group(1)) if number else None, gates)


def _load(pair: Pair, epoch: int | None, gates: Mapping[str, Sequence[str]]) -> Model:
    graph_path, path, contents, config = pair
    if not graph_path:
        raise CheckpointError('%s has arrays but no graph, so there is nothing to export. inspect '
                              'lists the arrays' % path)
    with named(graph_path):
        try:
            if contents is None:
                with open(graph_path, 'rb') as stream:
                    content = stream.read()
            else:
                content = contents[0]
        except FileNotFoundError:
            raise CheckpointError("cannot read %s: there is no such file. If save_parameters of "
                                  "Gluon wrote %s, write both with net.export('model', epoch=1) in "
                                  'Gluon' % (graph_path, path)) from None
        text = text_of(content)
        graph = _with_shapes(graph_from_json(text), config)
    read, checksum = read_sealed(path, None if contents is None else contents[1])
    kinds = {name: name if name.startswith(('arg:', 'aux:')) else
             ('aux:' if name in graph.auxiliary else 'arg:') + name for name in read}
    refuse_names(path, list(kinds.values()))
    args, auxiliary = ({kinds[name][len(kind):]: array for name, array in read.items()
                        if kinds[name].startswith(kind)} for kind in ('arg:', 'aux:'))
    try:
        packed = tuple(packings(graph, args, gates))
        values = {packing.name: packing.pack(args) for packing in packed}
        parts = {part for packing in packed for part in packing.parts}
        args = {**{name: array for name, array in args.items() if name not in parts}, **values}
        given = [*args, *auxiliary]
        if given and all('.' in name for name in given) and {*given}.isdisjoint(
                [*graph.arguments, *graph.auxiliary]) and any(
                    node.inputs_of('weight') for node in graph.nodes):
            raise ValueError('it is a Gluon file, which names arrays by blocks, such as %s. Write '
                             "both files with net.export('model', epoch=1) in Gluon" % given[0])
        faults = _faults(graph, args, auxiliary)
        if faults:
            raise ValueError('; '.join(faults))
    except (ValueError, TypeError, LookupError) as error:
        raise CheckpointError('%s does not fit the graph in %s: %s'
                              % (path, graph_path, reason_of(error))) from None
    return Model(graph, args, auxiliary, epoch, text, tuple(read), packed, checksum)


def _with_shapes(graph: Graph, config: bytes) -> Graph:
    """The graph, with the shapes of inputs that SageMaker's DeepAR writes beside it: the first axis
    is the batch."""
    try:
        shapes = {each['name']: tuple([0, *map(int, each['shape'][1:])])
                  for each in json.loads(config or b'{}').get('data_shapes', ())}
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return graph  # of another program
    return with_shapes(graph, shapes)


def with_shapes(graph: Graph, shapes: Mapping[str, tuple[int, ...]]) -> Graph:
    """The graph with shapes of inputs, of which 0 is any size, unless it states others."""
    return graph._replace(nodes=tuple([
        node._replace(attrs={'__shape__': str(shapes[node.name]), **node.attrs})
        if node.is_variable and node.name in shapes else node for node in graph.nodes]))


def _faults(graph: Graph, args: Mapping[str, np.ndarray],
            auxiliary: Mapping[str, np.ndarray]) -> list[str]:
    """Names that the arrays lack, and arrays whose sizes differ from the operators'."""
    given = {*args, *auxiliary}
    missing = [name for name in graph.own_weights() if name not in given]
    return (['missing %s' % ', '.join(missing)] if missing else []) + graph.describe_wrong_sizes(
        {name: array.shape for name, array in args.items()})


def save(model: Model, prefix: str, epoch: int, *, by_gate: bool | None = None) -> None:
    """Write a checkpoint that MXNet loads; this does not need MXNet.

    Parameters
    ----------
    model : Model
    prefix : str
        Path without the ends ``-symbol.json`` and ``-0007.params``. Missing folders are made.
    epoch : int
    by_gate : bool, optional
        Whether to write weights by gate, as mxrnn's checkpoint functions read them, or packed, as
        the graph takes them. If None, they are written as they were read, so that unchanged arrays
        and graphs give the same bytes.

    Raises
    ------
    ValueError
        `by_gate` is True, and neither the file nor the graph tells the gates of some weights.
    CheckpointError
        The files cannot be written; the old ones stay.
    """
    _check.instance('model', model, Model, 'a Model, as load and from_torch return it')
    prefix = _check.path('prefix', prefix)
    epoch = _check.whole('epoch', epoch, 0)
    arrays = _arrays(model, by_gate)
    targets = [files.path_of(prefix, 'params', epoch), files.path_of(prefix, 'symbol')]
    with atomic.saving(targets[0], targets) as (path, graph_path):
        write_arrays(path, arrays)
        if model.checksum:
            add_checksum(path, files.path_above(prefix, epoch))
        with open(graph_path, 'w', encoding='utf-8', newline='') as stream:
            stream.write(model.text or graph_to_json(model.graph))


def _arrays(model: Model, by_gate: bool | None) -> dict[str, np.ndarray]:
    """The arrays to write, in order."""
    if by_gate is None or by_gate:
        by_name = {packing.name: packing for packing in model.packed}
    else:
        by_name = {}
    if by_gate:
        by_name = {**{each.name: each for each in _known(model)}, **by_name}
        # A state's weight has as many rows per gate as it has columns.
        unknown = [name for name, value in model.arg_params.items() if name not in by_name
                   and (name.endswith('parameters') or name.endswith('h2h_weight')
                        and value.shape[0] not in (value.shape[1], value.shape[-1]))]
        if unknown:
            raise ValueError('by_gate=True needs to know the gates: they are unknown for %s'
                             % ', '.join(unknown))
    arrays: dict[str, np.ndarray] = {}
    for name, value in model.arg_params.items():
        parts = by_name[name].unpack(value) if name in by_name else {name: value}
        arrays.update({'arg:' + part: array for part, array in parts.items()})
    arrays.update({'aux:' + name: value for name, value in model.aux_params.items()})
    return {**{name: arrays[name] for name in model.names if name in arrays}, **arrays}


def _known(model: Model) -> list[Packing]:
    """The vectors of sym.RNN whose gates the graph tells."""
    found = []
    for name, layouts in vector_layouts(model.graph).items():
        if name in model.arg_params and len(layouts) == 1:
            (prefix, layout), = layouts.items()
            found.append(Packing(name, tuple(prefix + array.name for array in layout.arrays(1)),
                                 layout))
    return found


def widened(model: Model) -> Model:
    """The model with the numbers of arrays of bfloat16 in float32."""
    args, auxiliary = ({
        name: array if not array.dtype.names else (array['bfloat16'].astype('u4') << 16).view('f4')
        for name, array in arrays.items()} for arrays in (model.arg_params, model.aux_params))
    return model._replace(arg_params=args, aux_params=auxiliary)


def narrowed(array: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """The array in a type of MXNet, which may be bfloat16: numbers are rounded to the nearest."""
    if not dtype.names:
        return array.astype(dtype)
    bits = array.astype('f4').view('u4')
    return ((bits + 0x7fff + (bits >> 16 & 1)) >> 16).astype('<u2').view(dtype)
