"""The main module of processes that a program under ``python -m mxrnn run`` spawns."""
from mxrnn._runtime import run_program

if __name__ == '__mp_main__':
    globals().update(run_program.main_of_child())
