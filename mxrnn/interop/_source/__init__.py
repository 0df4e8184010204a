"""Writes a plan as readable PyTorch, with one emitter for each operator.

- `emitter_api`: what emitters are made with: texts of arrays, and how to register
- `torch_operators`: what functions that run operators in torch share
- `pasted`: functions that a source may contain
- `python_text`: identifiers, literals, imports, long lines
- `pasting`: pastes those functions, and writes calls of them
- `program_names`: names for layers and variables
- `size_texts`: axes' sizes as text, and those that a source checks
- `moved_weights`: weights that a graph only moves
- `class_file`: the file while it is written: layers, weights, methods
- `method_writer`: writes one method
- `creation`: operators that make arrays
- `elementwise`: operators on each element
- `moves`: operators that move elements or look them up
- `reductions`: operators that reduce or order elements
- `layers`: matrix products, convolutions, norms
- `losses`: loss heads
- `sequences`: RNN, loops, operators with lengths
- `methods`: the methods scores, forward and loss
- `step_methods`: the methods begin, encode and steps
- `class_text`: writes a plan with these
"""
