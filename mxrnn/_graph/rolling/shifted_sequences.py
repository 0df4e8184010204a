"""Parts of sequences that a graph reads as the whole sequence, but for one step at an end."""
from __future__ import annotations

from typing import Iterator, Mapping, Sequence

from .loops import Loop
from .match_rnn import Kernel
from .step_values import Lanes
from .vectorisation_plan import Apply, Claim, Part, Plan, Planner, Shift, StepSequence

__all__ = ['whole_parts']


def whole_parts(planner: Planner, claims: Mapping[int, Claim],
                recurrences: Sequence[Kernel | Loop]) -> set[Lanes]:
    """Columns without one step of a sequence, whose other steps make up a sequence of its length.

    A recurrence reads them behind another value: as its begin state, as a sum of all steps does, or
    in its first step, as a decoder does that reads what was there one step before.
    """
    data = [[column.lanes for column in (each.data if isinstance(each, Loop) else [each.data])]
            for each in recurrences]
    found: set[Lanes] = set()
    for number, each in enumerate(recurrences):
        begins = [claims.get(state.lanes[0])
                  for state in each.states] if isinstance(each, Loop) else []
        for lanes, plan in _below(planner, data[number]):
            if isinstance(plan, StepSequence) and any(
                    begin is not None and begin.column is plan.column
                    and begin.step == plan.span.first - plan.span.stride for begin in begins):
                found |= _without_one(lanes, plan)
            elif isinstance(plan, Shift):
                pending = [plan.rest]
                while pending:
                    for inner, part in _below(planner, [pending.pop()]):
                        found |= _without_one(inner, part)
                        if isinstance(part, StepSequence) and part.span.length == part.span.total:
                            pending.extend(data[part.recurrence])
    return found


def _below(planner: Planner, columns: Sequence[Lanes]) -> Iterator[tuple[Lanes, Plan]]:
    """Columns, and those that they are made of step by step."""
    pending, seen = list(columns), set(columns)
    while pending:
        lanes = pending.pop()
        plan = planner.plan(lanes)
        yield lanes, plan
        if isinstance(plan, Apply):
            new = set(plan.sequences) - seen
            seen |= new
            pending.extend(new)


def _without_one(lanes: Lanes, plan: Plan) -> set[Lanes]:
    """The column, if it is all of a sequence without its first or last step."""
    whole = isinstance(plan, (Part, StepSequence)) and plan.span.total == len(lanes) + 1
    return {lanes} if whole else set()
