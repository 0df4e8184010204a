"""Stepper: a network one step at a time, with states that belong to the caller."""
from __future__ import annotations

from typing import List, Mapping, Sequence, Union

import numpy as np

from .. import _check
from .._cells.base_cells import BaseRNNCell, check_cell
from .._cells.sequences import Outputs as SymbolOutputs
from .._cells.states import States as Nested
from .._files import reason_of
from .._operator.fuse import fuse
from .._runtime.mxnet import mx
from . import device_arrays
from .bind_errors import check_fit, check_half, known_types, wrong_for
from .compiled_graph import Compiled, Forms, Kept, Network, States, StateSpecs, apart, applied
from .device_arrays import Given, OneCall, Weights, as_array, looked_up

__all__ = ['Stepper']

Outputs = Union[mx.nd.NDArray, List[mx.nd.NDArray]]
#: How many operators with memory are kept: for the graph of a step, which takes little memory for
#: each batch size, and for the graphs of all sequences.
_STEPS, _SEQUENCES = 64, 2
#: How many graphs of sequences, one for each length, and operators without memory are kept.
_LENGTHS, _OTHERS = 8, 64
_LENGTH = 'valid_length '  #: no variable of a program has this name


class Stepper:
    """Run a network one step at a time, from states to new states.

    States are lists of arrays that belong to the caller. A step reads them and returns new ones. No
    step changes the states or outputs of another, so you can keep, save, copy and reorder the
    states of many sequences.

    Parameters
    ----------
    cell : BaseRNNCell
        A cell that can be stepped. For the weights of a FusedRNNCell use ``cell.unfuse()``, for
        which `load_rnn_checkpoint` packs them.
    network : callable
        ``network(run)`` builds the graph around the cell and returns its outputs, a Symbol or a
        list of Symbols. It must call ``run(inputs)`` once to apply the cell to a Symbol. Its
        Variables that are not weights are the inputs of each step.
    arg_params, aux_params : dict of str to NDArray
        The weights, which are not copied: Steppers made from the same arrays share them. Other
        entries are ignored.
    ctx : Context, optional
        Where to run; the current context if None.

    Attributes
    ----------
    input_names : list of str
        The inputs of a step.
    state_names : list of str
        The names of the states, in their order.

    Raises
    ------
    MissingWeightsError
        A weight has no value; a KeyError that lists missing and present weights.
    TypeError, ValueError, NotImplementedError
        An argument has a wrong type or value, or the cell cannot be stepped.

    Notes
    -----
    The graph is prepared once for each shape of its inputs, which for most networks means once for
    each batch size. A Stepper serves one call at a time; a call while another one runs raises
    RuntimeError. So give each thread its own Stepper, or use a lock.

    Examples
    --------
    >>> import mxnet as mx, mxrnn as rnn
    >>> cell = rnn.GRUCell(8)
    >>> def network(run):
    ...     words = mx.sym.Embedding(mx.sym.Variable('data'), input_dim=5, output_dim=4,
    ...                              name='embed')
    ...     return mx.sym.FullyConnected(run(words), num_hidden=5, flatten=False, name='score')
    >>> shapes = {'embed_weight': (5, 4), 'gru_i2h_weight': (24, 4), 'gru_i2h_bias': (24,),
    ...           'gru_h2h_weight': (24, 8), 'gru_h2h_bias': (24,), 'score_weight': (5, 8),
    ...           'score_bias': (5,)}
    >>> weights = {name: mx.nd.random.uniform(-1, 1, shape) for name, shape in shapes.items()}
    >>> stepper = rnn.Stepper(cell, network, weights)
    >>> scores, states = stepper.read(stepper.begin(2), data=[[1, 2, 3], [3, 2, 1]])
    >>> scores.shape
    (2, 3, 5)
    >>> scores, states = stepper.step(states, data=[4, 0])
    >>> scores.shape, [state.shape for state in states]
    ((2, 5), [(2, 8)])
    """

    def __init__(self, cell: BaseRNNCell, network: Network, arg_params: Weights,
                 aux_params: Weights | None = None, *, ctx: mx.Context | None = None) -> None:
        check_cell('cell', cell)
        _check.function('network', network)
        blocker = cell._blocker_()
        if blocker is not None:
            advice = ': use its unfuse() and load_rnn_checkpoint(unfused, prefix), or pack its ' \
                'weights with unfused.pack_weights(cell.unpack_weights(weights))'
            raise NotImplementedError('cell must be one that can be stepped, but %r cannot be%s' % (
                blocker, advice if hasattr(blocker, 'unfuse') else ''))
        device_arrays.check_weights('arg_params', arg_params)
        self._cell: BaseRNNCell | None = cell
        self._network: Network | None = network
        cell.reset()
        given = device_arrays.type_of_weights(cell, arg_params)
        self._begin = begin = cell.begin_state(
            func=mx.sym.Variable, **given)  # type: ignore[arg-type]
        outputs, states = applied(cell, network, lambda inputs: cell(inputs, begin))
        self._set_up(outputs, begin, states, arg_params, aux_params, ctx)

    @classmethod
    def from_symbols(cls, outputs: SymbolOutputs, begin_state: Sequence[mx.sym.Symbol],
                     states: Sequence[mx.sym.Symbol], arg_params: Weights,
                     aux_params: Weights | None = None, *, ctx: mx.Context | None = None
                     ) -> Stepper:
        """Make a Stepper from the graph of one step, or of several.

        Parameters
        ----------
        outputs : Symbol or list of Symbol
            The outputs of a step.
        begin_state : list of Symbol
            The Variables for the states before the step. `begin` needs their shapes, with 0 for the
            batch, as ``cell.begin_state(mx.sym.Variable)`` makes them.
        states : list of Symbol
            The states after the step, in the same order.
        arg_params, aux_params, ctx
            As for the class.
        """
        stepper = cls.__new__(cls)
        for name, symbols in (('begin_state', begin_state), ('states', states)):
            _check.instance(name, symbols, (list, tuple), 'a list of Symbols')
            for i, symbol in enumerate(symbols):
                _check.instance('%s[%d]' % (name, i), symbol, mx.sym.Symbol, 'a Symbol')
        if len(begin_state) != len(states):
            raise ValueError('states must be %d Symbols, as many as begin_state has, got %d'
                             % (len(begin_state), len(states)))
        stepper._cell, stepper._network = None, None
        stepper._begin = list(begin_state)
        stepper._set_up(outputs, begin_state, states, arg_params, aux_params, ctx)
        return stepper

    def _set_up(self, outputs: SymbolOutputs, begin: Sequence[mx.sym.Symbol],
                states: Sequence[mx.sym.Symbol], arg_params: object, aux_params: object,
                ctx: mx.Context | None) -> None:
        self._context = device_arrays.context_of(ctx)
        self._arg_params = device_arrays.check_weights('arg_params', arg_params)
        self._aux_params = device_arrays.check_weights('aux_params', aux_params)
        self._single = isinstance(outputs, mx.sym.Symbol) and len(outputs) == 1
        self._specs = StateSpecs(begin)
        self.state_names = self._specs.names
        self._placed: dict[str, mx.nd.NDArray] = {}
        self._step = self._graph(outputs, states, Forms(_STEPS))
        self.input_names = self._step.inputs
        check_fit(self._step.symbol, self._step.weights)
        check_half(self._step.symbol, self._step.weights, self._context)
        types = known_types(self._step.symbol, self._step.weights, self.state_names)
        self._types = {name: types.get(name, np.float32)
                       for name in [*self.input_names, *self.state_names]}
        self._ids = looked_up(self._step.symbol, self.input_names)
        self._readers: Kept[Compiled] = Kept(_LENGTHS)
        self._sequences = Forms(_SEQUENCES, _OTHERS)
        self._one_call = OneCall('Stepper')

    # Building

    def _graph(self, outputs: SymbolOutputs, states: Sequence[mx.sym.Symbol], forms: Forms
               ) -> Compiled:
        outputs = list(outputs) if isinstance(outputs, (list, tuple, mx.sym.Symbol)) else [outputs]
        for output in outputs:
            _check.instance('outputs', output, mx.sym.Symbol, 'a Symbol or a list of Symbols')
        if not outputs + list(states):
            raise ValueError('outputs must be a Symbol or a list of Symbols, got none')
        symbol = apart(outputs + list(states))
        needed = () if self._cell is None else self._cell._weight_names_()
        weights = device_arrays.params_of(symbol, self._arg_params, self._aux_params, needed)
        clash = sorted(set(weights).intersection(self.state_names))
        if clash:
            raise ValueError('arg_params must have no array with the name of a state, got %s'
                             % ', '.join(clash))
        self._placed.update((name, device_arrays.on(self._context, array))
                            for name, array in weights.items() if name not in self._placed)
        return Compiled(symbol, {name: self._placed[name] for name in weights},
                        self.state_names, forms)

    # Use

    def begin(self, batch_size: int = 1) -> States:
        """Return the first states of `batch_size` sequences: zeros, each in its own array.

        Raises ValueError if the shape of a state is not known.
        """
        _check.integer('batch_size', batch_size, 1, _check.LARGEST)
        return self._specs.zeros(batch_size, self._context,
                                 [self._types[name] for name in self.state_names])

    def step(self, states: States, /, **inputs: Given) -> tuple[Outputs, States]:
        """Take one step.

        Parameters
        ----------
        states : list of NDArray
            From `begin`, an earlier call or `take`; they are not changed.
        **inputs : NDArray, or anything that NumPy makes into an array
            The inputs by name, the batch first.

        Returns
        -------
        outputs : NDArray or list of NDArray
            As the network returns them.
        states : list of NDArray
            The states after the step. No later call changes them or the outputs.

        Raises
        ------
        TypeError, ValueError
            Names, types or shapes do not fit; `states` are unchanged.
        RuntimeError
            Another call of this Stepper is running.
        """
        with self._one_call:
            return self._run(self._step, states, self._arrays(inputs))

    def read(self, states: States, /, *, valid_length: object = None, **inputs: Given
             ) -> tuple[Outputs, States]:
        """Run over whole sequences, through `fuse` if the cell allows it.

        Parameters
        ----------
        states : list of NDArray
            As for `step`.
        valid_length : NDArray or list of int, optional
            Number of steps of each sequence; later steps are padding. All are valid if None.
        **inputs
            As for `step`, but sequences of shape (batch, length, ...). The network's function then
            gets Symbols with that additional axis; a FullyConnected needs ``flatten=False``.

        Returns
        -------
        outputs : NDArray or list of NDArray
            The outputs of all steps.
        states : list of NDArray
            After the last step, or each sequence's last valid step. You can continue with `step`.

        Raises
        ------
        TypeError, ValueError, RuntimeError
            As for `step`; also ValueError for a Stepper that was made from Symbols.

        Notes
        -----
        Each length has its own graph; the eight that were used last are kept. Two recurring pairs
        of length and batch size run fastest, because their working memory is kept. Another pair
        replaces one that did not occur in the last four calls.
        """
        with self._one_call:
            if self._cell is None or self._network is None:
                raise ValueError('read needs a Stepper made from a cell: make another one from the '
                                 'Symbols of the unrolled graph, with the same states')
            arrays = self._arrays(inputs)
            if valid_length is not None:
                arrays[_LENGTH] = as_array('valid_length', valid_length, self._context, np.float32)
            reader = self._reader(self._cell, self._network, arrays)
            return self._run(reader, states, arrays)

    def take(self, states: States, indices: object) -> States:
        """Copies of the states of the sequences `indices`, in that order.

        Parameters
        ----------
        states : list of NDArray
            As for `step`.
        indices : sequence of int
            From 0 to below the batch size, in any order, with repeats. In beam search, these are
            the sequences that the best hypotheses continue. One index takes a single sequence.

        Examples
        --------
        >>> import mxnet as mx, mxrnn as rnn
        >>> cell = rnn.RNNCell(2)
        >>> weights = {name: mx.nd.ones(shape) for name, shape in (
        ...     ('rnn_i2h_weight', (2, 3)), ('rnn_i2h_bias', (2,)), ('rnn_h2h_weight', (2, 2)),
        ...     ('rnn_h2h_bias', (2,)))}
        >>> stepper = rnn.Stepper(cell, lambda run: run(mx.sym.Variable('data')), weights)
        >>> _, states = stepper.step(stepper.begin(2), data=[[0, 0, 0], [-1, -1, -1]])
        >>> state, = stepper.take(states, [1, 1, 0])
        >>> (state > 0).asnumpy().tolist()
        [[0.0, 0.0], [0.0, 0.0], [1.0, 1.0]]
        """
        return self._specs.take(states, indices, self._context)

    # Running

    def _run(self, compiled: Compiled, states: States, inputs: dict[str, mx.nd.NDArray]
             ) -> tuple[Outputs, States]:
        self._specs.check(states)
        try:
            results = compiled(states, inputs)
        except mx.base.MXNetError as error:
            raise self._refusal(compiled, {**inputs, **dict(zip(self.state_names, states))},
                                error) from None
        count = len(results) - len(self._specs)
        outputs = results[0] if self._single and count == 1 else results[:count]
        return outputs, results[count:]

    def _refusal(self, compiled: Compiled, arrays: dict[str, mx.nd.NDArray], error: Exception
                 ) -> Exception:
        """The error that says which arrays the graph did not accept but raised `error`."""
        for name, array in arrays.items():
            if array.context != self._context:
                return ValueError('%s must be on %s, where the Stepper runs, got %s'
                                  % (name, self._context, array.context))
            if array.dtype != self._types.get(name, array.dtype):
                return TypeError('%s must be of type %s, got %s' % (
                    name, np.dtype(self._types[name]).name, np.dtype(array.dtype).name))
        shapes = {name: array.shape for name, array in arrays.items()}
        return ValueError('the inputs must fit the network and the batch size of the states: got '
                          '%s; %s' % (', '.join('%s of shape %s' % (name.strip(), shape)
                                                for name, shape in shapes.items()),
                                      wrong_for(compiled.symbol, shapes, compiled.weights)
                                      or 'MXNet says: %s' % reason_of(error)))

    def _arrays(self, inputs: Mapping[str, object]) -> dict[str, mx.nd.NDArray]:
        """The inputs as arrays, by name."""
        if inputs.keys() != set(self.input_names):
            weights = ', '.join(name for name in sorted(inputs) if name in self._step.weights)
            raise TypeError('the inputs must be %s, got %s%s' % (
                ', '.join(self.input_names) or 'none', ', '.join(sorted(inputs)) or 'none',
                ' (arg_params has %s)' % weights if weights else ''))
        return {name: as_array(name, inputs[name], self._context, self._types[name],
                               name in self._ids) for name in self.input_names}

    def _reader(self, cell: BaseRNNCell, network: Network, inputs: dict[str, mx.nd.NDArray]
                ) -> Compiled:
        """The graph for sequences of the inputs' length."""
        key = tuple((name, array.shape[1:]) for name, array in inputs.items())
        reader = self._readers.get(key)
        if reader is not None:
            return reader
        weights = self._placed
        shapes = {name: array.shape for name, array in (*weights.items(), *inputs.items())}
        valid_length = mx.sym.Variable(_LENGTH) if _LENGTH in inputs else None

        def unroll(sequence: mx.sym.Symbol) -> tuple[mx.sym.Symbol, Nested]:
            known = set(sequence.list_arguments())
            try:
                shape = sequence.infer_shape_partial(**{
                    name: each for name, each in shapes.items() if name in known})[1][0]
            except mx.base.MXNetError as error:
                raise ValueError('the inputs must fit the network, but MXNet says: %s'
                                 % reason_of(error)) from None
            if len(shape) < 3 or shape[1] < 1:
                raise ValueError('the inputs must be sequences that the network gives the shape '
                                 '(batch, length, ...), got %s' % ', '.join(
                                     '%s of shape %s' % (name, array.shape)
                                     for name, array in inputs.items()))
            return fuse(cell).unroll(shape[1], sequence, self._begin, merge_outputs=True,
                                     valid_length=valid_length)

        outputs, states = applied(cell, network, unroll)
        reader = self._graph(outputs, states, self._sequences)
        self._readers.add(key, reader)
        return reader
