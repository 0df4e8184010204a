"""The main module of processes that a program under ``python -m mxrnn run`` spawns."""
from mxrnn._runtime import programs

if __name__ == '__mp_main__':
    globals().update(programs.main_of_child())
