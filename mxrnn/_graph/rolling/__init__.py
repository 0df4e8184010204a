"""Rolls unrolled graphs up again: from graph to graph, without MXNet and torch.

- `numbered_values`: the outputs of all nodes, as numbers, and their numbers of axes
- `step_columns`: columns, which have a value of each step, and families, which have a node of each
- `candidate_chains`: chains of values that may be states
- `find_recurrence`: a recurrence: the nodes between two of them that are alike in all steps
- `match_rnn`: a recurrence as sym.RNN
- `batching_rules`: operators over all steps at once
- `loops`: a recurrence as a loop
- `vectorisation_plan`: which sequence, or which operator over all steps, a column becomes
- `write_rolled_graph`: writes the graph
- `roll_up`: `structure`, which puts these together
- `inputs_of_steps`: one input in place of one for each step, before that
- `second_graph`: how each number follows from open axes, by a graph of other sizes

Numbers stay as they are: `shapes.ties` finds those that may depend on the number of steps.
"""
from .inputs_of_steps import OneInput, with_one_input
from .loops import Loop
from .match_rnn import Kernel
from .numbered_values import Values
from .roll_up import Finding, RolledGraph, structure, unrolled

__all__ = ['Finding', 'Kernel', 'Loop', 'OneInput', 'RolledGraph', 'Values', 'structure',
           'unrolled', 'with_one_input']
