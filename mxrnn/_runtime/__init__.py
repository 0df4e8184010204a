"""Finds, patches and imports MXNet, loads NVIDIA's libraries, and reports on it.

- `versions`: the version, and the commands that install MXNet
- `cuda_libraries`: what libraries link to and their GPUs; NVIDIA's libraries from pip
- `import_failure`: why MXNet cannot be imported
- `threads`: how many threads operators use
- `heartbeat_watch`: ends a process that trains with others if another one died or hangs
- `symbol_graph`: Symbols as JSON and as graphs
- `import_patches`: patches for the import of MXNet, or of a part
- `finder`: patches MXNet whenever it is imported
- `loop_gradients`: right gradients of loops
- `mxnet`: MXNet itself, as `mx`
- `array_memory`: the memory of arrays on the CPU
- `device_report`: what MXNet runs on; GPUs, and whether MXNet has code for them
- `run_program`: the command run
- `spawned_main`: the main module of processes that such a program spawns
- `startup`: patches every program of an environment that has a copy of it
- `enable_patches`: the commands enable and disable, which write and remove that copy
"""
__all__ = ['CommandError']


class CommandError(Exception):
    """Why run, enable or disable cannot begin; unlike the errors of a program that runs."""
