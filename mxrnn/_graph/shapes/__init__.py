"""The inference of shapes: sizes of axes, and which axes operators keep element by element.

- `sizes`: sizes that are open, their products and sums
- `unification`: sizes that must be equal
- `axis_factors`: axes as products of sizes
- `rule_api`: what rules are made with
- `array_rules`: operators that compute, reduce, sort, look up or make elements
- `reshaping_rules`: operators that move elements
- `layer_rules`: layers, RNN, losses, operators with lengths
- `infer`: the axes of all values in a graph
- `constants`: numbers that are the same at every length
- `regrouping`: reshapes that split and join steps and batch
- `scales`: scalars made of a size
- `copies`: values computed more than once, and rounds that are repeated
- `ties`: which numbers tie an open size
- `substitution`: those numbers become sizes
- `missing_shapes`: shapes that were not given, with names for axes of any size
- `verdicts`: which open axes may have any size, and what ties the others
"""
