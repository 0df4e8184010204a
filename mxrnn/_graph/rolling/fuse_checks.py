"""What `mxrnn.fuse` writes around a number of steps: a check of it, and a bound of lengths."""
from __future__ import annotations

from ..graph import Entry, Graph
from ..graph_editing import Edit
from ..operator_table import has
from ..shapes.substitution import as_float32, bounded, size_of

__all__ = ['checked_by_fuse', 'counted_by_fuse', 'without_checks']

#: Operators that pass lengths on.
_HANDS_ON = ('where', 'floor', 'Cast', '_identity_with_attr_like_rhs')


def checked_by_fuse(graph: Graph) -> dict[int, int]:
    """By place of both Reshapes with which `mxrnn.fuse` checks a number of steps: that number.

    The first takes the axis of steps apart, the second joins it again.
    """
    found: dict[int, int] = {}
    for place, node in enumerate(graph.nodes):
        if node.op == 'Reshape' and node.get('shape') == (-3, -2):
            check = graph.nodes[node.inputs[0].node]
            if check.name.endswith('fused_steps') and check.get('shape', ())[:1] == (-4,):
                found[node.inputs[0].node] = found[place] = check.shape[1]
    return {place: number for place, number in found.items() if number > 0}


def counted_by_fuse(graph: Graph) -> dict[int, int]:
    """By place of the recurrences that read what `mxrnn.fuse` has checked: the number of steps; and
    0 for the slices with which it takes a row of the first step, for its shape."""
    steps, found = checked_by_fuse(graph), {}
    for place, node in enumerate(graph.nodes):
        behind = steps.get(node.inputs[0].node) if node.inputs else None
        if behind and has(node.op, 'recurs'):
            found[place] = behind
        elif behind:
            steps.setdefault(place, behind)
        if node.op == 'slice_axis' and node.name.endswith('fused_step'):
            found[place] = 0
    return found


def without_checks(graph: Graph) -> Graph:
    """The graph without the checks that fuse wrote around a number of steps, in which lengths that
    it bounded are at most the number of steps that the sequence has. Other bounds stay."""
    checks, edit = checked_by_fuse(graph), Edit(graph)
    # by place of a node that returns bounded lengths, the node that bounds them
    clips: dict[int, int] = {}
    freed: set[int] = set()
    for place, node in enumerate(graph.nodes):
        if node.op == 'clip':
            clips[place] = place
        elif node.op in _HANDS_ON:
            clips.update((place, clips[entry.node]) for entry in node.inputs if entry.node in clips)
        elif place in checks and node.shape == (-3, -2):
            edit.replaced[Entry(place, 0)] = graph.nodes[node.inputs[0].node].inputs[0]
        for entry in node.inputs_of('length') if node.op.startswith('Sequence') else ():
            sequence, at = node.inputs[0], clips.get(entry.node)
            if at is None or at in freed or node.axis or checks.get(sequence.node) != (
                    graph.nodes[at].a_max) or at in graph._replace(heads=(sequence,)).reached(
                        lambda each: each.inputs):
                continue
            clip = graph.nodes[at]
            freed.add(at)
            edit.replaced[Entry(at, 0)] = edit.writer.named(bounded(
                edit.writer, clip, size_of(edit.writer, clip.name, sequence, 0)), clip.name)
    for place, at in clips.items():
        node = graph.nodes[place]
        if node.op == '_identity_with_attr_like_rhs' and at in freed:
            edit.writer.nodes[place] = node._replace(inputs=(node.inputs[0], as_float32(
                edit.writer, graph.nodes[at].name, node.inputs[1])))
    return edit.graph()
