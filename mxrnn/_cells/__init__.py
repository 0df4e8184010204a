"""The cells.

- `known_shapes`: the shapes and types that Symbols tell
- `sequences`: sequences in layouts or as steps
- `states`: states, in any nesting
- `variables`: RNNParams
- `unroll`: options and checks of `unroll`, masks for different lengths
- `weights_by_gate`: weights as arrays, packed and unpacked
- `base_cells`: BaseRNNCell, and the loop over steps
- `gate_equations`: the gates of each family, its step, and the base of cells with gates
- `dense`: RNNCell, LSTMCell, LSTMPCell, GRUCell
- `conv`: the same with convolutions
- `normalised`: the same with layer normalisation
- `modifiers`: cells around another, residual and dropout
- `noise`: zoneout, variational dropout, dropped weights
- `containers`: stacks and both directions, whose cells may share one container's variables
- `dynamic_unroll`: a cell as a loop
- `carried_states`: states from batch to batch
"""
