"""valid_length: a batch of padded sequences against each of them alone, at its own length."""
from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np
import pytest

from . import differs, mx, rnn
from .cases import BOUND, OURS, Case, begin_state, flat, random_value

pytestmark = differs

LENGTH = 4
LENGTHS = [4, 0, 1, 3]
CASES = [case for case in BOUND + OURS if case.binds and not case.fused]


class Result(NamedTuple):
    outputs: np.ndarray  #: (batch, length, ...)
    states: list[np.ndarray]
    grads: dict[str, np.ndarray]


def batch_axes(cell: Any) -> list[int]:
    return [info['__layout__'].index('N') for info in cell.state_info]


def values(name: str, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    return random_value(name, shape).astype(dtype)


def evaluate(case: Case, rows: list[int], length: int, layout: str = 'NTC', *,
             padding: float = np.nan, lengths: Any = None, lengths_type: str = 'float32',
             merge: Any = True, dtype: str | None = None, listed: bool = False) -> Result:
    """Unroll over `rows` of the batch: values, heads and begin states are those of the rows."""
    dtype = dtype or case.dtypes[-1]
    cell = case.make(rnn)
    axes = batch_axes(cell)
    data = values('data', (len(LENGTHS), LENGTH) + case.step, dtype)[rows, :length]
    kwargs = {}
    given = {'data': data}
    if lengths is not None:
        given['lengths'] = np.array(lengths, lengths_type)
        kwargs['valid_length'] = mx.sym.Variable('lengths', dtype=lengths_type)
        data[np.arange(length) >= np.array(lengths)[:, None]] = padding
    if layout == 'TNC':
        given['data'] = data.swapaxes(0, 1)
    begin = begin_state(cell, 'variable', dtype=dtype)
    for state, info, axis in zip(begin, cell.state_info, axes):
        shape = list(info['shape'])
        shape[axis] = len(LENGTHS)
        given[state.name] = values(state.name, tuple(shape), dtype).take(rows, axis)
    inputs = mx.sym.Variable('data')
    if listed:
        inputs = list(mx.sym.split(inputs, num_outputs=length, axis=layout.index('T'),
                                   squeeze_axis=True))
    outputs, states = cell.unroll(length, inputs, begin, layout, merge, **kwargs)
    outputs = outputs if isinstance(outputs, mx.sym.Symbol) else mx.sym.stack(
        *outputs, axis=layout.index('T'))
    symbol = mx.sym.Group([outputs] + flat(states))
    bound = symbol.simple_bind(
        mx.cpu(), type_dict={name: value.dtype for name, value in given.items()},
        grad_req={name: 'null' if name == 'lengths' or case.random else 'write'
                  for name in symbol.list_arguments()},
        **{name: value.shape for name, value in given.items()})
    for name, array in bound.arg_dict.items():
        array[:] = given.get(name, values(name, array.shape, dtype))
    results = [each.asnumpy() for each in bound.forward(is_train=not case.random)]
    grads = {}
    if not case.random:
        shape = results[0].shape[2:]
        head = values('head', (len(LENGTHS), LENGTH) + shape, dtype)[rows, :length]
        heads = [head.swapaxes(0, 1) if layout == 'TNC' else head]
        for i, (state, axis) in enumerate(zip(results[1:], axes)):
            shape = state.shape[:axis] + (len(LENGTHS),) + state.shape[axis + 1:]
            heads.append(values('head%d' % i, shape, dtype).take(rows, axis))
        bound.backward([mx.nd.array(head, dtype=dtype) for head in heads])
        grads = {name: array.asnumpy() for name, array in bound.grad_dict.items()
                 if array is not None}
    if layout == 'TNC':
        results[0] = results[0].swapaxes(0, 1)
        grads = {name: grad.swapaxes(0, 1) if name == 'data' else grad
                 for name, grad in grads.items()}
    return Result(results[0], results[1:], grads)


@functools.lru_cache(maxsize=None)
def alone(case: Case, dtype: str | None = None) -> Result:
    """What a batch must give, put together from each sequence alone."""
    dtype = dtype or case.dtypes[-1]
    cell = case.make(rnn)
    axes = batch_axes(cell)
    begin = begin_state(cell, 'variable', dtype=dtype)
    results = {row: evaluate(case, [row], length, dtype=dtype)
               for row, length in enumerate(LENGTHS) if length}
    some = results[0]
    outputs = np.zeros((len(LENGTHS), LENGTH) + some.outputs.shape[2:], dtype)
    states = [np.zeros(state.shape[:axis] + (len(LENGTHS),) + state.shape[axis + 1:], dtype)
              for state, axis in zip(some.states, axes)]
    grads = {name: np.zeros(grad.shape, dtype) for name, grad in some.grads.items()}
    own = {state.name: i for i, state in enumerate(begin)}
    if grads:
        grads['data'] = np.zeros((len(LENGTHS), LENGTH) + case.step, dtype)
        for name, i in own.items():
            if name in grads:
                shape = list(cell.state_info[i]['shape'])
                shape[axes[i]] = len(LENGTHS)
                grads[name] = np.zeros(shape, dtype)
    for row, length in enumerate(LENGTHS):
        def at(axis, row=row):
            return (slice(None),) * axis + (row,)

        if not length:  # the begin states come out as they went in
            for i, (name, state) in enumerate(zip(own, states)):
                state[at(axes[i])] = values(name, state.shape, dtype)[at(axes[i])]
                if name in grads:
                    grads[name][at(axes[i])] = values('head%d' % i, state.shape,
                                                      dtype)[at(axes[i])]
            continue
        result = results[row]
        outputs[row, :length] = result.outputs[0]
        for i, state in enumerate(states):
            state[at(axes[i])] = result.states[i].take(0, axes[i])
        for name, grad in result.grads.items():
            if name == 'data':
                grads[name][row, :length] = grad[0]
            elif name in own:
                grads[name][at(axes[own[name]])] = grad.take(0, axes[own[name]])
            else:
                grads[name] += grad
    return Result(outputs, states, grads)


def assert_same(got: Result, want: Result, tolerance: float = 1e-6) -> None:
    def close(one, other, what):
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance, err_msg=what)

    close(got.outputs, want.outputs, 'outputs')
    assert len(got.states) == len(want.states)
    for i, pair in enumerate(zip(got.states, want.states)):
        close(*pair, 'state %d' % i)
    assert got.grads.keys() == want.grads.keys()
    for name in got.grads:
        close(got.grads[name], want.grads[name], name)


@pytest.mark.parametrize('layout', ['NTC', 'TNC'])
@pytest.mark.parametrize('case', CASES, ids=str)
def test_each_sequence_as_if_alone(case, layout):
    assert_same(evaluate(case, [0, 1, 2, 3], LENGTH, layout, lengths=LENGTHS), alone(case))
