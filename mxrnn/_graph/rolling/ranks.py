"""How many axes values have, as far as the graph tells."""
from __future__ import annotations

from typing import Callable, Optional

from ..graph import Node
from .values import Values

__all__ = ['find_ranks']

Rank = Optional[int]  #: None: not known.


def _reshaped(node: Node, rank: Rank) -> Rank:
    codes = node.shape
    if not codes or node.reverse or any(
            code in (-2, -3, -4) for code in codes):
        return None
    return len(codes)


def _split(node: Node, rank: Rank) -> Rank:
    return None if rank is None else rank - bool(node.squeeze_axis)


def _stated(node: Node, rank: Rank = None) -> Rank:
    shape = node.get('__shape__', ()) if node.is_variable else node.shape
    return len(shape) if isinstance(shape, tuple) and shape else None


def _product(node: Node, rank: Rank) -> Rank:
    return 2 if node.flatten else rank


#: The rank of an operator's outputs by that of its first input.
_RANKS: dict[str, Callable[[Node, Rank], Rank]] = {
    'Reshape': _reshaped, 'SliceChannel': _split, 'FullyConnected': _product,
    'Flatten': lambda node, rank: 2,
    'expand_dims': lambda node, rank: None if rank is None else rank + 1,
    'Embedding': lambda node, rank: None if rank is None else rank + 1,
    'RNN': lambda node, rank: 3,
    **dict.fromkeys(('_zeros', '_ones', '_full'), _stated),
}

#: Operators whose output has the rank of every input.
_EQUAL = frozenset((
    'Activation', 'tanh', 'sigmoid', 'relu', 'softsign', 'exp', 'log', 'sqrt', 'square', 'abs',
    'negative', 'clip', 'Cast', 'BlockGrad', '_copy', 'Dropout', 'softmax', 'log_softmax',
    'elemwise_add', 'elemwise_sub', 'elemwise_mul', 'elemwise_div', 'add_n', 'zeros_like',
    'ones_like', 'Concat', 'slice_axis', 'SwapAxis', 'SequenceReverse', 'SequenceMask', 'reverse',
    '_maximum', '_minimum'))

#: Operators whose output has the rank of the first input.
_FIRST = frozenset(('LeakyReLU', 'LayerNorm', 'BatchNorm', 'SoftmaxOutput', 'SoftmaxActivation',
                    'Convolution', 'Pooling', 'broadcast_axis', 'broadcast_like'))


def find_ranks(values: Values) -> list[Rank]:
    """By value, its rank or None."""
    ranks: list[Rank] = []
    for i, node in enumerate(values.nodes):
        given = [ranks[arg] for arg in values.args[i]]
        known = [rank for rank in given if rank is not None]
        first = given[0] if given else None
        if node.is_variable:
            rank = _stated(node)
        elif node.op in _RANKS:
            rank = _RANKS[node.op](node, first)
        elif node.op in _EQUAL or node.op.endswith('_scalar'):
            rank = known[0] if known else None
        elif node.op in _FIRST:
            rank = first
        elif node.op.startswith('broadcast_') and len(given) == 2:
            rank = max(known) if len(known) == 2 else None
        elif node.op == 'stack':
            rank = known[0] + 1 if known else None
        elif node.op == 'where':
            rank = given[1] if given[1] is not None else given[2]
        else:
            rank = None
        ranks.extend([rank] * values.count(i))
    return ranks
