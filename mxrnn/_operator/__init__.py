"""sym.RNN: the layout of its vector, FusedRNNCell, and `fuse` for ordinary cells.

- `rnn_defects`: whose sym.RNN runs, and its defects
- `packed_vector`: the vector's arrays, initialised and packed
- `flat_weight_symbols`: the vector in the graph
- `padded_layer`: a layer over sequences of different lengths
- `fused_cell`: FusedRNNCell
- `operator_cell`: layers of sym.RNN in the place of cells
- `input_projection`: inputs of all steps in one product
- `fuse`: runs ordinary cells through sym.RNN
- `save_unfused_graph`: saves graphs as without --fuse
- `automatic_fuse`: `fuse` for programs that run with --fuse
"""
