"""The graphs that a cell has: unrolled or as a loop, fused or not, of one length or of any."""
import re

import mxrnn

from ..cases import CASES, OURS
from .models import V

#: Of an open length, through operators, in a loop, step by step; each but the last with lengths.
FORMS = ['any', 'any_lengths', 'fuse', 'lengths', 'fuse_lengths', 'loop', 'loop_lengths', 'steps']


def exists(case, form):
    """Whether the cell has a graph of this form: loops need cells that hand on all that they keep,
    open lengths need operators for all layers, and for each pair of directions at once unless a
    sequence is reversed within its own length. A FusedRNNCell with a projection or a clipped memory
    is unrolled by steps."""
    if form.startswith('loop'):
        return case.loops
    if form.startswith('any'):
        cell = case.make(mxrnn)
        fused = repr(mxrnn.fuse(cell))
        return (not any(isinstance(each, mxrnn.FusedRNNCell)
                        and (each._projection_size_ or each._clip_) for each in cell._all_cells_())
                and not re.search('not fused: (?!it is sym.RNN|it is no layer)', fused)
                and (form == 'any_lengths' or 'BidirectionalCell(' not in fused))
    return True


def unrolled(cell, form, layout='NTC', length=3):
    """Outputs and states of a cell over `data` in a form, or unrolled as it is."""
    data = V('data')
    lengths = V('lengths') if form.endswith('lengths') else None
    if form.startswith('loop'):
        return mxrnn.dynamic_unroll(cell, data, layout=layout, valid_length=lengths)
    cell = mxrnn.fuse(cell) if form.startswith(('fuse', 'any')) else cell
    return cell.unroll(None if form.startswith('any') else length, data, layout=layout,
                       merge_outputs=form != 'steps', valid_length=lengths)


BOUND = [case for case in CASES + OURS if case.binds]
#: All pairs of a case that can be bound and a form that it has.
EVERY = [(case, form) for case in BOUND for form in FORMS if exists(case, form)]
