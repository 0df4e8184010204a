"""MXNet's graphs as plain objects, the meaning of operators, and their weights; without MXNet.

- `attributes`: kinds of operators' attributes
- `operator_rows`: what a row tells about a node, and refuses in it
- `operator_table`: one row for each operator
- `graph`: the graph as immutable objects
- `symbol_json`: graphs from and to JSON
- `graph_editing`: builds graphs, and replaces nodes
- `index_inputs`: inputs that are looked up in tables
- `rnn_vector_layout`: the arrays in the vector of sym.RNN
- `remove_no_ops`: removes operators without effect
- `merge_rnn`: directions and layers of an RNN as one node
"""
