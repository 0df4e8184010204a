"""From a checkpoint to results, step by step or in whole sequences.

- `device_arrays`: weights and inputs on devices; calls that refuse to run at the same time
- `compiled_graph`: the graph of a step, its weights and its states
- `bind_errors`: weights and inputs that a graph does not take
- `fold_constants`: computes what depends only on parameters
- `bucketed_network`: a graph for each length, and its outputs by batch and time
- `predictor`: Predictor
- `stepper`: Stepper
- `fuse_on_bind`: rolls up recurrences when a program with --fuse binds
- `serve_outputs`: the process in which `interop` runs MXNet
"""
