"""sym.RNN: the layout of its vector, FusedRNNCell, and `fuse` for ordinary cells."""
