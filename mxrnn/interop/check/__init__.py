"""Compares what an export wrote with its checkpoint, on random data.

- `random_inputs`: the inputs of a file and of its checkpoint, and numbers that their readers take
- `difference`: how far outputs are apart, and the first node that differs
- `export_check`: outputs of a file of any format
- `source_check`: those of a source, and gradients of its loss
- `compare`: the command, for an ONNX file
"""
