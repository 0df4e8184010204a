"""From a checkpoint to results, step by step or in whole sequences.

- `device_arrays`: weights and inputs on devices
- `single_calls`: calls that refuse to run at the same time
- `output_rows`: takes outputs apart by batch and time
- `state_specs`: names and shapes of states
- `compiled_graph`: the graph of a step, and its weights
- `bind_errors`: weights and inputs that a graph does not take
- `fold`: computes what depends only on parameters
- `bucketed_network`: a graph for each length
- `predictor`: Predictor
- `stepper`: Stepper
- `roll_for_mxnet`: rolls up recurrences of Symbols
- `fuse_on_bind`: the same when a program with --fuse binds
- `serve_outputs`: the process in which `interop` runs MXNet
"""
