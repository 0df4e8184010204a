"""Rolls unrolled graphs up again: from graph to graph, without MXNet and torch.

`roll` takes these steps:

1. It numbers the outputs of all nodes (`values_numbered_without_detours`) and finds their numbers
   of axes (`ranks`).
2. It finds chains of values that may be states (`candidates`), and the nodes between two of them
   that are alike in all steps: a recurrence (`find_recurrence`).
3. A recurrence becomes sym.RNN (`match_rnn`) or a loop (`loops`).
4. For each column, the values of all steps, a plan says which sequence or which operator over all
   steps it becomes (`vectorisation_plan`, `batching_rules`).
5. The graph is written (`write_rolled_graph`).

`with_one_input` comes before that: it makes one input of those that each step has for itself.

Numbers stay as they are: `shapes.ties` finds those that may depend on the number of steps.
"""
from .inputs_of_steps import OneInput, with_one_input
from .loops import Loop
from .match_rnn import Kernel
from .roll_up import Finding, RolledGraph, structure
from .values_numbered_without_detours import Values

__all__ = ['Finding', 'Kernel', 'Loop', 'OneInput', 'RolledGraph', 'Values', 'structure',
           'with_one_input']
