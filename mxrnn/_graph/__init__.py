"""MXNet's graphs as plain objects, the meaning of operators, and their weights; without MXNet.

- `attributes`: kinds of operators' attributes
- `operator_rows`: what a row tells about a node, and refuses in it
- `operator_table`: one row for each operator
- `graph`: the graph as immutable objects
- `symbol_json`: graphs from and to JSON
- `rnn_vector_layout`: the arrays in the vector of sym.RNN
- `graph_editing`: builds graphs, replaces nodes, removes those without effect
- `index_inputs`: inputs that are looked up in tables
- `merge_rnn`: directions and layers of an RNN as one node
"""
