"""Checkpoints: writing whole files or none, and fitting them to graphs and modules.

- `safe_pickle_arrays`: arrays from strangers' bytes
- `safe_pickle`: reads pickles without trusting them
- `optimizer_states_file`: the file of an optimiser's states
- `optimizer_progress`: gives a module its optimiser's progress
- `position`: the place in training
- `checks`: checks that saving and loading share
- `saving`: save_rnn_checkpoint
- `several_workers`: positions of workers that train together
- `loading`: load_rnn_checkpoint
- `retention`: deletes old checkpoints
- `checkpoint_callback`: do_rnn_checkpoint
"""
