"""Rolls unrolled graphs up again: from graph to graph, without MXNet and torch."""
from .certify_with_second_graph import certify
from .lengths_clipped_or_fixed_by_fuse import bounds
from .lengths_stated_by_reshapes import stated_steps
from .loops import Loop
from .make_length_symbolic import BEFORE_LOSS, fixed_by
from .match_rnn import Kernel
from .roll_up import Finding, RolledGraph, roll
from .sequence_axes import note_axes
from .sizes_read_from_sequences import computed
from .values_numbered_without_detours import Values

__all__ = ['BEFORE_LOSS', 'Finding', 'Kernel', 'Loop', 'RolledGraph', 'Values', 'bounds', 'certify',
           'computed', 'fixed_by', 'note_axes', 'roll', 'stated_steps']
