"""MXNet's graphs as plain objects, the meaning of operators, and their weights; without MXNet."""
