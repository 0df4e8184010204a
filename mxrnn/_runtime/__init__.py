"""Finds, patches and imports MXNet, loads NVIDIA's libraries, and reports on it.

- `versions`: the version, and the commands that install MXNet
- `elf_files`: what libraries link to, and their GPUs
- `cuda_libraries`: NVIDIA's libraries from pip
- `import_failure`: why MXNet cannot be imported
- `threads`: how many threads operators use
- `distributed_exit`: the end of a process that trains with others
- `heartbeat_watch`: ends a process if another one died or hangs
- `import_patches`: patches with which MXNet can be imported
- `finder`: patches MXNet whenever it is imported
- `symbol_graph`: Symbols as JSON and as graphs
- `loop_gradients`: right gradients of loops
- `mxnet`: MXNet itself, as `mx`
- `array_memory`: the memory of arrays on the CPU
- `mxnet_without_operators`: the part of MXNet that runs a loaded graph
- `gpus`: GPUs, and whether MXNet has code for them
- `device_report`: what MXNet runs on
- `advice`: advice below a program's traceback
- `spawned_children`: processes that a program starts
- `spawned_main`: their main module
- `run_command`: the commands run, enable and disable
- `startup`: patches every program of an environment
"""
