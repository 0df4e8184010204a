"""Runs files and models.

- `operators`: functions of the evaluator, where a text would be compared with itself
- `evaluator`: the outputs of a graph, on machines without MXNet
- `reference`: models in MXNet or in the evaluator, with which files are compared
- `mxnet_process`: MXNet in a process of its own
- `exported_file`: a file that is ready to run, whatever its format
- `onnx_session`: sessions of onnxruntime; opens a file with states, and its encoder's
- `onnx_stepper`: an ONNX file with states, step by step in onnxruntime
- `onnx_file`: ONNX files as such, and the table of their inputs, outputs and states
- `source_file`: classes of sources as such
"""
