"""Checkpoints: writing whole files or none, and fitting them to graphs and modules.

- `safe_pickle`: reads pickles without trusting them
- `optimizer_states`: the file of an optimiser's states; gives a module its optimiser's progress
- `position`: the place in training
- `checkpoint_faults`: parameters that do not fit: names, shapes, types
- `saving`: save_rnn_checkpoint
- `worker_agreement`: positions of workers that train together
- `loading`: load_rnn_checkpoint
- `checkpoint_callback`: do_rnn_checkpoint, which also deletes old checkpoints
"""
