"""Parts of sequences that a graph reads as a whole sequence, without one step at an end."""
from __future__ import annotations

from typing import Sequence

from .loops import Loop
from .match_rnn import Kernel
from .step_columns_and_recurrences import ByStep
from .vectorisation_plan import Part, Plan, Planner, Shift, StepSequence

__all__ = ['whole_parts']


def whole_parts(planner: Planner, recurrences: Sequence[Kernel | Loop]) -> set[ByStep]:
    """Columns without one step of a sequence that are read like a whole sequence of that length.

    A recurrence reads such a column behind another value: as its begin state (for running
    products), or in its first step (for a decoder that reads the values of one step before).
    """
    data = [[column.by_step for column in each.data] for each in recurrences]
    found: set[ByStep] = set()
    for number, each in enumerate(recurrences):
        begins = [planner.claims.get(state.by_step[0])
                  for state in each.states] if isinstance(each, Loop) else []
        for by_step, plan in planner.below(data[number], shared=False):
            if isinstance(plan, StepSequence) and any(
                    begin is not None and begin.column is plan.column
                    and begin.step == plan.span.first - plan.span.stride for begin in begins):
                found |= _without_one(by_step, plan)
            elif isinstance(plan, Shift):
                pending = [plan.rest]
                while pending:
                    for inner, part in planner.below([pending.pop()], shared=False):
                        found |= _without_one(inner, part)
                        if isinstance(part, StepSequence) and part.span.length == part.span.total:
                            pending.extend(data[part.recurrence])
    return found


def _without_one(by_step: ByStep, plan: Plan) -> set[ByStep]:
    """The column, if it is a whole sequence without its first or last step."""
    whole = isinstance(plan, (Part, StepSequence)) and plan.span.total == len(by_step) + 1
    return {by_step} if whole else set()
