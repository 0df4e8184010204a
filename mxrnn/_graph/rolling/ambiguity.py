"""What two steps may mean: every step, or only the first and the last."""
from __future__ import annotations

import itertools
from typing import Hashable, Sequence

from .step_columns_and_recurrences import ByStep
from .vectorisation_plan import Claim, Part, Planner, Same, StepSequence

__all__ = ['DOUBT', 'doubtful', 'half_joined']

#: The words for it in messages.
DOUBT = 'two steps are ambiguous: the program may mean every step, or only the first and the last'


def doubtful(planner: Planner, columns: Sequence[ByStep], begins: Sequence[int] = ()) -> bool:
    """Whether columns of two steps that are read together may mean two things.

    They may in two cases: one sequence is read in both orders; or one step of it is read in both
    steps beside the sequence, and with more steps this might be the next step. If both steps read a
    begin state of a recurrence with the states `begins`, it may be the state two steps earlier.
    """
    values = planner.values
    orders: dict[Hashable, int] = {}
    same = []
    for _, plan in planner.below(columns):
        if isinstance(plan, Same):
            same.append(plan.value)
        elif isinstance(plan, (Part, StepSequence)):
            key: Hashable = plan.recurrence if isinstance(plan, StepSequence) else (
                values.same[plan.source], plan.axis)
            if orders.setdefault(key, plan.span.stride) != plan.span.stride:
                return True
    return bool(same) and _reads(planner, same, orders, {values.same[each] for each in begins})


def half_joined(planner: Planner, columns: Sequence[ByStep]) -> set[int]:
    """Recurrences of two steps of which one alone, or a function of it, is joined to something
    else. With more steps, all but the first or all but the last may be joined. Outputs and
    `columns` read what is joined."""
    values, claims = planner.values, planner.claims
    found: set[int] = set()

    def stops(value: int) -> bool:
        by_step = planner.joined(values.owner[value])[1]
        return value in claims or bool(by_step) and planner.rolls(by_step)
    for value in values.above([*values.heads, *itertools.chain(*columns)],
                              lambda value: not stops(value)):
        by_step = planner.joined(values.owner[value])[1]
        if len(by_step) == 2 and not stops(value) and not values.are_one(by_step):
            one, other = ({claims.get(each, each) for each in values.above(
                [arg], lambda value: not stops(value)) if stops(each)} for arg in by_step)
            if one <= other or other <= one:
                found.update(each.recurrence for each in one | other
                             if isinstance(each, Claim) and each.total == 2)
    return found


def _reads(planner: Planner, found: Sequence[int], sequences: dict[Hashable, int],
           begins: set[int]) -> bool:
    """Whether values depend on steps of `sequences` or on `begins` without passing through another
    recurrence."""
    values, claims = planner.values, planner.claims
    for value in values.above(found, lambda value: value not in claims):
        if values.same[value] in begins or (
                value in claims and claims[value].recurrence in sequences):
            return True
        node = values.node(value)
        if node.op == 'slice_axis':  # SliceChannel tells how many steps there are
            source = values.args[values.owner[value]][0]
            if (values.same[source], planner.axis_of(node, source)) in sequences:
                return True
    return False
