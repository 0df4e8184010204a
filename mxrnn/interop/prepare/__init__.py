"""Makes a plan of a model and of what the user typed: the beginning of every export.

In reading order:

- `input_shapes`: checks the shapes and types that were typed, and finds the others in the graph
- `remedies`: what to type where a graph does not tell a size, or ties one
- `lengths`: the sizes that a file takes
- `outputs`: the outputs of a file, with or without losses
- `begin_state_rows`: begin states that are weights, for any batch
- `steps`: the graph of one step, the outputs that can be stepped, the axes of its arrays
- `array_types`: shapes and types of all arrays of a graph, without running it
- `losses`: the graph of a class that is trained, with labels
- `plan`: `prepare`, which puts these together, and `Prepared`, its result
"""
from .plan import Prepared, glance, prepare, prepare_part

__all__ = ['Prepared', 'glance', 'prepare', 'prepare_part']
