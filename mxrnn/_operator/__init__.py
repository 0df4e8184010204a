"""sym.RNN: the layout of its vector, FusedRNNCell, and `fuse` for ordinary cells.

- `rnn_defects`: whose sym.RNN runs, and its defects
- `fused_initializer`: FusedRNN, which initialises the vector
- `flat_weight_symbols`: the vector in the graph
- `padded_layer`: a layer over sequences of different lengths
- `fused_cell`: FusedRNNCell
- `fuse_layers`: layers of sym.RNN in the place of cells
- `fuse`: runs ordinary cells through sym.RNN
"""
