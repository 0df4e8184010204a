"""Finds lengths of sequences in a graph, and the numbers that bound or fix them."""
from __future__ import annotations

from ..graph import Entry, Graph
from ..operator_table import has

__all__ = ['bounds', 'checked_by_fuse', 'clips_of', 'freed_of_fuse', 'masked', 'read_checked']

#: Operators that pass lengths on.
_HANDS_ON = ('where', 'floor', 'Cast', '_identity_with_attr_like_rhs')


def bounds(graph: Graph) -> set[int]:
    """Numbers of steps by which lengths of sequences are bounded."""
    most = [float(graph.nodes[place].a_max) for place in masked(graph)]
    return {int(each) for each in most if each.is_integer()}


def clips_of(graph: Graph) -> dict[int, int]:
    """By node that returns bounded lengths, the node that bounds them."""
    clips: dict[int, int] = {}
    for i, node in enumerate(graph.nodes):
        if node.op == 'clip':
            clips[i] = i
        elif node.op in _HANDS_ON:
            clips.update((i, clips[entry.node]) for entry in node.inputs if entry.node in clips)
    return clips


def masked(graph: Graph) -> dict[int, tuple[Entry, int]]:
    """By node that bounds lengths: a sequence with these lengths, and its axis of steps. It depends
    on no bound, or is one that fuse has counted and depends on bounds of others alone."""
    found: dict[int, tuple[Entry, int]] = {}
    clips, counted = clips_of(graph), checked_by_fuse(graph)
    behind: list[set[int]] = []
    for i, node in enumerate(graph.nodes):
        behind.append({i} if node.op == 'clip' else set())
        behind[i].update(*[behind[entry.node] for entry in node.inputs])
        if node.op.startswith('Sequence'):
            for entry in node.inputs_of('length'):
                clip, before = clips.get(entry.node), behind[node.inputs[0].node]
                if clip is not None and (not before or clip not in before and (
                        node.inputs[0].node in counted)):
                    found.setdefault(clip, (node.inputs[0], node.axis))
    return found


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


def freed_of_fuse(graph: Graph, length: int | None) -> tuple[set[int], set[int]]:
    """Places of the checks of fuse without which the graph takes any number of steps, and of the
    bounds of lengths that go with them: those of the sequences that were checked.

    A check stays if its number bounds other lengths: these are freed only if it is `length`.
    """
    checks = checked_by_fuse(graph)
    own = {place: graph.nodes[place].a_max for place, (sequence, axis) in masked(graph).items()
           if axis == 0 and checks.get(sequence.node) == graph.nodes[place].a_max}
    lengths = graph._replace(heads=tuple([
        entry for node in graph.nodes if node.op.startswith('Sequence')
        for entry in node.inputs_of('length')])).reached(lambda node: node.inputs)
    others = {graph.nodes[place].a_max for place in lengths - own.keys()
              if graph.nodes[place].op == 'clip'} - {length}
    return ({place for place, number in checks.items() if number not in others},
            {place for place, number in own.items() if number not in others})


def read_checked(graph: Graph) -> dict[int, int]:
    """By place of the recurrences that read what `mxrnn.fuse` has checked: the number of steps."""
    steps, found = checked_by_fuse(graph), {}
    for place, node in enumerate(graph.nodes):
        behind = steps.get(node.inputs[0].node) if node.inputs else None
        if behind and has(node.op, 'recurs'):
            found[place] = behind
        elif behind:
            steps.setdefault(place, behind)
    return found
