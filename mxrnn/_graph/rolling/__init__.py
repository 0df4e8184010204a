"""Rolls unrolled graphs up again: from graph to graph, without MXNet and torch.

`roll` takes these steps:

1. It numbers the outputs of all nodes (`values_numbered_without_detours`) and finds their numbers
   of axes (`ranks`).
2. It finds chains of values that may be states (`candidates`), and the nodes between two of them
   that are alike in all steps: a recurrence (`find_recurrence`).
3. A recurrence becomes sym.RNN (`match_rnn`) or a loop (`loops`).
4. For each column, the values of all steps, a plan says which sequence or which operator over all
   steps it becomes (`vectorisation_plan`, `batching_rules`). `ambiguity` has what no plan can tell.
5. The graph is written (`write_rolled_graph`).
6. The number of steps is taken out of it (`make_length_symbolic`). Three modules find where it
   stands: `lengths_stated_by_reshapes` in Reshapes that split a batch and its steps behind a
   recurrence, `steps_stated_before_recurrences` in Reshapes that make steps of rows before one, and
   `lengths_clipped_or_fixed_by_fuse` in what `mxrnn.fuse` wrote. `reshapes_that_keep_lengths` finds
   Reshapes from which it cannot be taken.

`certify` compares the result with that of the graph of another length.
"""
from .ambiguity import Counted
from .certify_with_second_graph import certify, counting
from .lengths_clipped_or_fixed_by_fuse import bounds
from .lengths_stated_by_reshapes import grouping, stated_steps, with_windows
from .loops import Loop
from .make_length_symbolic import BEFORE_LOSS, fixed_by
from .match_rnn import Kernel
from .numbers_that_may_be_steps import Cut, cuts, divided, made_of, wrong_at_others
from .roll_up import Finding, RolledGraph, Unrolled, roll
from .sequence_axes import note_axes
from .sizes_read_from_sequences import computed
from .steps_stated_before_recurrences import cut_ends, stated_before
from .values_numbered_without_detours import Values

__all__ = ['BEFORE_LOSS', 'Counted', 'Cut', 'Finding', 'Kernel', 'Loop', 'RolledGraph', 'Unrolled',
           'Values', 'bounds', 'certify', 'computed', 'counting', 'cut_ends', 'cuts', 'divided',
           'fixed_by', 'grouping', 'made_of', 'note_axes', 'roll', 'stated_before', 'stated_steps',
           'with_windows', 'wrong_at_others']
