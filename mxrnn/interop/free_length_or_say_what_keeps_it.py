"""An axis 'time:35' of an input: the 35 in the graph is its number of steps, and becomes any."""
from __future__ import annotations

import contextlib
from typing import Any, Iterator, Mapping, Sequence

from .. import _check
from .._graph.graph import Graph
from .._graph.rolling import Finding, fixed_by, stated_steps
from .convert_to_steps import stepping
from .input_shapes import Shapes, graph_shapes
from .registry import ExportError
from .roll_without_steps import CountedSteps, option_that_frees, rolled_up

__all__ = ['naming_what_keeps', 'refuse_stated']


@contextlib.contextmanager
def naming_what_keeps(steps: CountedSteps | None, graph: Graph, params: Mapping[str, Any],
                      given: Shapes, states: bool = False) -> Iterator[None]:
    """Name the nodes that keep a number of steps that was to become any, if that is refused. If
    none was to become any, name the option with which the graph is taken, with `states` in steps.
    """
    try:
        yield
    except ExportError as error:
        if steps is None:
            number = next(iter(stated_steps(graph).values()), 0)
            tip = number and option_that_frees(
                graph, params, {**graph_shapes(graph, params), **given}, number,
                *[stepping(params)] * states)
            if not tip or tip in str(error):
                raise
            raise ExportError('%s\nA Reshape groups rows by %d. If that is the number of steps, '
                              '%s allows any' % (error, number, tip)) from None
        rolled, findings = rolled_up(graph, steps)
        own = {node.name for node in graph.walk() if node.inputs}
        known = {name: None for name in fixed_by(rolled, steps.number) if name in own}
        fixed = [str(each) for each in findings if each[1:3] == (steps.number, 'fixed')]
        if known:
            why = 'The number %d is still in %s. If it is the number of steps there, the graph ' \
                'takes no other%s' % (steps.number, _check.some(list(known)), steps.keeping(graph))
        elif fixed:
            why = '%s%s' % (fixed[0], steps.keeping(graph))
        else:
            raise
        raise ExportError('%s\n%s' % (error, why)) from None


def refuse_stated(findings: Sequence[Finding], steps: CountedSteps | None) -> None:
    """Refuse a rolled-up graph that divides all rows into sequences of `steps`."""
    for each in findings:
        if steps is not None and (each.kind, each.steps) == ('stated', steps.number):
            raise ExportError('node %s makes sequences of %d steps of all rows' % each[:2])
