"""Refuses nodes with attributes or a number of inputs that their operators do not take."""
from __future__ import annotations

from .attributes import AttributeValueError
from .operator_rows import AnyNode, row

__all__ = ['check_attributes', 'lacks_inputs']

#: Attributes that change no number: device and storage of an array, the choice of a kernel, and
#: attributes only for quantised graphs.
WITHOUT_MEANING = frozenset((
    'ctx', 'workspace', 'cudnn_tune', 'cudnn_off', 'forward_stype', 'sparse_grad', 'ndev', 'key',
    'min_calib_range', 'max_calib_range'))


def lacks_inputs(op: str, count: int) -> bool:
    """Whether the operator `op` needs more than `count` inputs."""
    known = row(op)
    return known is not None and count < known.least_inputs


def check_attributes(node: AnyNode) -> None:
    """Refuse a node whose attributes are missing, invalid or unknown, or that has too few or too
    many inputs.

    Raises
    ------
    AttributeValueError
    """
    known = row(node.op)
    if known is None:
        return
    if lacks_inputs(node.op, len(node.inputs)):
        raise AttributeValueError('%s, %s: has %d inputs, must have at least %d' % (
            node.name, node.op, len(node.inputs), known.least_inputs))
    if len(node.inputs) > len(known.inputs) and not known.variadic:  # another operator of MXNet 2
        raise AttributeValueError('%s, %s: has %d inputs, must have at most %d' % (
            node.name, node.op, len(node.inputs), len(known.inputs)))
    for key in known.attributes:
        known.value(node, key)
    unknown = [key for key in node.attrs if key not in known.attributes
               and key not in WITHOUT_MEANING and not key.startswith('__')]
    if unknown and known.attributes:  # MXNet ignores attributes of operators that take none
        raise AttributeValueError('%s, %s: has no attribute %s, only %s' % (
            node.name, node.op, ', '.join(unknown), ', '.join(known.attributes)))
