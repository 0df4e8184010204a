"""MXNet 1's executors, modules, metrics and optimisers, for programs that run on MXNet 2."""
