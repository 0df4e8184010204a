"""Finds, patches and imports MXNet, loads NVIDIA's libraries, and reports on it.

- `versions`: the version, and the commands that install MXNet
- `cuda_libraries`: what libraries link to and their GPUs; NVIDIA's libraries from pip
- `import_failure`: why MXNet cannot be imported
- `threads`: how many threads operators use
- `heartbeat_watch`: ends a process that trains with others if another one died or hangs
- `import_patches`: patches with which MXNet can be imported, or the part that runs graphs
- `finder`: patches MXNet whenever it is imported
- `symbol_graph`: Symbols as JSON and as graphs
- `loop_gradients`: right gradients of loops
- `mxnet`: MXNet itself, as `mx`
- `array_memory`: the memory of arrays on the CPU
- `device_report`: what MXNet runs on; GPUs, and whether MXNet has code for them
- `spawned_children`: processes that a program starts
- `spawned_main`: their main module
- `run_command`: the commands run, enable and disable; advice below a program's traceback
- `startup`: patches every program of an environment
"""
