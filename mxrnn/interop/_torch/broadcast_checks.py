"""Refuses arrays that MXNet refuses because their sizes differ; torch would repeat one of them."""
from __future__ import annotations

from typing import Any, Callable, Iterable, Iterator, Sequence

from torch import Tensor

from ..._graph.graph import Graph, Node
from ..._graph.operator_table import ROWS, has
from ..._graph.rnn_vector_layout import begin_states
from .._source.torch_operators import Run

__all__ = ['refusing']


def _rows(node: Node, arrays: Sequence[Tensor]) -> Iterator[int]:
    """The batch size of a sequence, and of its lengths if there are lengths."""
    yield arrays[0].shape[1 - node.axis]
    yield from arrays[1].shape if node.use_sequence_length else ()


_SizesOf = Callable[[Node, Sequence[Tensor]], Iterable[Any]]
#: By operator, the sizes of its inputs that have to be equal.
_SIZES: dict[str, _SizesOf] = {
    **{op: lambda node, arrays: [each.shape for each in arrays] for op in ROWS
       if op == 'add_n' or has(op, 'pair') and not op.startswith('broadcast_')},
    'batch_dot': lambda node, arrays: [each.shape[:-2] for each in arrays],
    'where': lambda node, arrays: [each.shape for each in arrays[
        arrays[0].dim() == 1 or arrays[0].shape[-1] == 1:]],  # such a condition selects rows
    **dict.fromkeys(('SequenceMask', 'SequenceLast', 'SequenceReverse'), _rows),
}


def _batches(graph: Graph, node: Node) -> _SizesOf:
    """The batch sizes of the data and of the states of an RNN. States that are made have one row
    for any batch."""
    begins = begin_states(node)
    read = [at for at, entry in enumerate(begins, -len(begins)) if any(
        each.is_variable for each in graph.ending_in([entry]).nodes)]
    return lambda node, arrays: [arrays[at].shape[1] for at in (0, *read)]


def refusing(graph: Graph, node: Node, run: Run, training: bool, settled: Callable[[], bool]
             ) -> Run:
    """`run`, which refuses inputs whose sizes differ, as MXNet does. It does not check while sizes
    are open, because arrays then have length 1 there.

    Parameters
    ----------
    training : bool
        Whether the first argument of `run` says if it is in training.
    settled : callable
        Whether all sizes are known.
    """
    sizes_of = _batches(graph, node) if has(node.op, 'kernel') else _SIZES.get(node.op)
    if sizes_of is None:
        return run

    def exact(*given: Any) -> Any:
        arrays = [each for each in given[training:] if each is not None]
        first, *others = sizes_of(node, arrays) if settled() else (None,)
        if any(each != first for each in others):
            raise ValueError('%s, %s, has inputs of several sizes: %s' % (
                node.name, node.op, ' and '.join(str(tuple(each.shape)) for each in arrays)))
        return run(*given)
    return exact
