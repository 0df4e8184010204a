"""The main module of processes that a program under ``python -m mxrnn run`` spawns."""
from mxrnn._runtime import run_and_enable

if __name__ == '__mp_main__':
    globals().update(run_and_enable.main_of_child())
