"""The main module of processes that a program under ``python -m mxrnn run`` spawns."""
from mxrnn._runtime import spawned_children

if __name__ == '__mp_main__':
    globals().update(spawned_children.main_of_child())
