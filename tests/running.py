"""Cells put together, unrolled, bound and run: what most tests do with a case."""
from __future__ import annotations

import collections
import json
import zlib
from typing import Any, NamedTuple

import numpy as np

from . import mx, rnn


def stack(rnn, *cells, **kwargs):
    """A SequentialRNNCell of the cells."""
    outer = rnn.SequentialRNNCell(**kwargs)
    for cell in cells:
        outer.add(cell)
    return outer


def flat(nested):
    """The leaves of nested lists or tuples, in order."""
    if isinstance(nested, (list, tuple)):
        return [leaf for item in nested for leaf in flat(item)]
    return [nested]


def walk(cell):
    """The cell and all cells in it, outermost first."""
    inner = getattr(cell, '_cells', None) or [getattr(cell, 'base_cell', None)]
    return [cell] + [each for child in inner if child is not None for each in walk(child)]


def quiet(cell):
    """The cell without its random draws, but for those of cells of programs."""
    for each in walk(cell):
        for name in ('dropout', '_dropout', 'zoneout_outputs', 'zoneout_states', 'drop_inputs',
                     'drop_states', 'drop_outputs'):
            if hasattr(each, name):
                setattr(each, name, 0.)
    return cell


def reset(cell):
    """Reset the cell and every cell in it."""
    for each in reversed(walk(cell)):
        each.reset()


def named_anew(build):
    """`build`, with automatic names that begin anew in each graph."""
    def make(length):
        with mx.name.NameManager():
            return build(length)
    return make


def text_of(build):
    """JSON of the Symbols that `build` returns, in lists or alone; automatic names begin anew."""
    with mx.name.NameManager():
        return mx.sym.Group(flat(build())).tojson()


BEGIN = {'zeros': mx.sym.zeros, 'variable': mx.sym.Variable, 'uniform': mx.sym.uniform}


def begin_state(cell, kind, **kwargs):
    """begin_state by 'default', 'zeros', 'variable' or 'uniform', so that mxnet.rnn takes it too.

    Its modifiers call the parameter otherwise; its containers take it by keyword only.
    """
    if kind == 'default':
        return cell.begin_state(**kwargs)
    if hasattr(cell, 'base_cell'):
        return cell.begin_state(BEGIN[kind], **kwargs)
    return cell.begin_state(func=BEGIN[kind], **kwargs)


def inputs(kind, length):
    """Input variables: one 'symbol' called data, or a 'list' of data_t0, data_t1, …"""
    if kind == 'symbol':
        return mx.sym.Variable('data')
    return [mx.sym.Variable('data_t%d' % t) for t in range(length)]


class Loop:
    """A cell whose `unroll` is a loop."""

    def __init__(self, cell):
        self.cell = cell

    def __getattr__(self, name):
        return getattr(self.cell, name)

    def unroll(self, length, inputs, begin_state=None, layout='NTC', merge_outputs=None, **options):
        return rnn.dynamic_unroll(self.cell, inputs, begin_state, layout, **options)


#: The ways to unroll a cell: what to make of the cell.
WAYS = {'plain': lambda cell: cell, 'fuse': lambda cell: rnn.fuse(cell),
                        'at once': lambda cell: rnn.fuse(cell, inputs_at_once=True), 'loop': Loop}


def step(cell, length, states=None):
    """Call the cell for each of the steps data_t0, data_t1, …"""
    states = cell.begin_state() if states is None else states
    outputs = []
    for data in inputs('list', length):
        output, states = cell(data, states)
        outputs.append(output)
    return outputs, states


def random_value(name, shape, seed=0):
    """Values in [-0.8, 0.8] that depend on the name, the shape and the seed alone, float64."""
    random = np.random.RandomState(zlib.crc32(('%s %d' % (name, seed)).encode()))
    return random.uniform(-0.8, 0.8, shape)


def weights_of(symbol, **shapes):
    """Random weights for a graph whose other arguments are `shapes`."""
    found, _, _ = symbol.infer_shape(**shapes)
    return {name: mx.nd.array(random_value(name, shape))
            for name, shape in zip(symbol.list_arguments(), found) if name not in shapes}


def filled(symbol, values=None, **options):
    """A Symbol bound with `options`, its arguments with `values`, or with values by their names."""
    bound = symbol.simple_bind(mx.cpu(), **options)
    for name, array in bound.arg_dict.items():
        array[:] = (values or {}).get(name, random_value(name, array.shape))
    return bound


def bound(symbol, shapes, params, data, grad_req='null'):
    """`symbol` bound to `shapes`; arguments get `params` and `data`, or values by their names, and
    those without a shape gradients by `grad_req`."""
    kinds = {name: np.dtype(data[name].dtype) if name in data else 'float32' for name in shapes}
    executor = symbol.simple_bind(mx.cpu(), type_dict=kinds, grad_req={
        name: 'null' if name in shapes else grad_req for name in symbol.list_arguments()}, **shapes)
    for name, array in {**executor.arg_dict, **executor.aux_dict}.items():
        if name in params and params[name].shape == array.shape:  # labels grow with the batch
            array[:] = params[name]
        elif name in executor.aux_dict:  # of a variance, too
            array[:] = abs(random_value(name, array.shape)) + 0.1
        else:
            array[:] = data.get(name, random_value(name, array.shape))
    return executor


def operators(symbol):
    """How many nodes of each operator there are."""
    return collections.Counter(node['op'] for node in json.loads(symbol.tojson())['nodes']
                               if node['op'] != 'null')


class Run(NamedTuple):
    """Everything that came out of a graph, as NumPy arrays."""

    #: (batch, length, ...) for NTC, (length, batch, ...) for TNC.
    outputs: np.ndarray
    #: The final states, flattened.
    states: list[np.ndarray]
    #: The gradient of a random weighting of all outputs and states, by argument.
    grads: dict[str, np.ndarray]
    #: The values of the arguments.
    args: dict[str, np.ndarray]
    #: The bound symbol.
    symbol: Any


def run(cell, step, length=3, batch=2, *, layout='NTC',
        merge_outputs=True, begin=None, dtype='float32',
        seed=0, train=True, grad=True,
        values=None, **kwargs):
    """Unroll the cell over a variable ``data``, bind, run forward and backward.

    Arguments get `values`, or values that depend on their name, shape and `seed` alone, so that
    graphs with the same arguments get the same values, in any order and either layout. `begin` is
    None or a kind of `begin_state`; `kwargs` go to ``unroll``.
    """
    if begin is not None or dtype != 'float32':
        kwargs['begin_state'] = begin_state(cell, begin or 'default', dtype=dtype)
    outputs, states = cell.unroll(length, inputs('symbol', length), layout=layout,
                                  merge_outputs=merge_outputs, **kwargs)
    data = random_value('data', (batch, length) + tuple(step), seed)
    data = data if layout == 'NTC' else data.swapaxes(0, 1)
    return run_symbols(outputs, states, {'data': data.shape}, layout=layout, dtype=dtype,
                       seed=seed, train=train, grad=grad, values={'data': data, **(values or {})})


def run_symbols(outputs, states, shapes, *,
                layout='NTC', dtype='float32', seed=0, train=True,
                grad=True, values=None):
    """Bind outputs (one Symbol, or a list of steps) and nested states, run them as `run` does."""
    axis = layout.index('T')
    merged = isinstance(outputs, mx.sym.Symbol)
    # An entry that is in a group twice gets the last of its head gradients only, and the last
    # output of a list often is a state.
    with mx.name.NameManager():
        states = [mx.sym.identity(state) for state in flat(states)]
    symbol = mx.sym.Group(([outputs] if merged else list(outputs)) + states)
    types = {name: dtype for name in shapes}
    bound = symbol.simple_bind(mx.cpu(), grad_req='write' if grad else 'null', type_dict=types,
                               **shapes)
    args = {}
    for name, array in bound.arg_dict.items():
        args[name] = np.asarray((values or {}).get(name, random_value(name, array.shape, seed)),
                                dtype=array.dtype)
        array[:] = args[name]
    mx.random.seed(seed)
    results = [each.asnumpy() for each in bound.forward(is_train=train)]
    ours = results[:len(results) - len(states)]
    result = ours[0] if merged else np.stack(ours, axis)
    grads = {}
    if grad and train:
        head = np.moveaxis(random_value('outputs head', np.moveaxis(result, axis, 1).shape, seed),
                           1, axis)
        heads = [head] if merged else [np.take(head, t, axis) for t in range(len(ours))]
        heads += [random_value('state %d head' % i, state.shape, seed)
                  for i, state in enumerate(results[len(ours):])]
        bound.backward([mx.nd.array(each, dtype=dtype) for each in heads])
        grads = {name: array.asnumpy() for name, array in bound.grad_dict.items()}
    return Run(result, results[len(ours):], grads, args, symbol)
