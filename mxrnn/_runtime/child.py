"""The main module of processes that a program under ``python -m mxrnn run`` spawns."""
from mxrnn._runtime import launch

if __name__ == '__mp_main__':
    globals().update(launch.main_of_child())
