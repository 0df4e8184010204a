"""Refuses arrays that MXNet refuses because their sizes differ; torch would repeat one of them."""
from __future__ import annotations

from typing import Any, Callable, Iterable, Iterator, Sequence

from torch import Tensor

from ..._graph.graph import Graph, Node
from ..._graph.operator_table import has, row
from ..._graph.rnn_vector_layout import begin_states
from . import Run

__all__ = ['refusing']


def _is_elementwise(node: Node) -> bool:
    """Whether a node combines two arrays of the same shape, element by element."""
    known = row(node.op)
    return node.op == 'add_n' or known is not None and not known.attributes and not (
        node.op.startswith('broadcast_')) and [each.name for each in known.inputs] == ['lhs', 'rhs']


def _rows(node: Node, arrays: Sequence[Tensor]) -> Iterator[int]:
    """The batch size of a sequence, and of its lengths if there are lengths."""
    yield arrays[0].shape[1 - node.axis]
    yield from arrays[1].shape if node.use_sequence_length else ()


#: By operator, the sizes of its inputs that have to be equal.
_SIZES: dict[str, Callable[[Node, Sequence[Tensor]], Iterable[Any]]] = {
    'elemwise_add': lambda node, arrays: [each.shape for each in arrays],
    'batch_dot': lambda node, arrays: [each.shape[:-2] for each in arrays],
    'where': lambda node, arrays: [each.shape for each in arrays[arrays[0].dim() == 1:]],
    **dict.fromkeys(('SequenceMask', 'SequenceLast', 'SequenceReverse'), _rows),
}


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
    sizes_of = _SIZES.get('elemwise_add' if _is_elementwise(node) else node.op)
    if has(node.op, 'kernel'):  # states that are made have one row for any batch
        begins = begin_states(node)
        read = [at for at, entry in enumerate(begins, -len(begins)) if any(
            each.is_variable for each in graph.ending_in([entry]).nodes)]

        def sizes_of(node: Node, arrays: Sequence[Tensor]) -> Iterable[Any]:
            return [arrays[at].shape[1] for at in (0, *read)]
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
