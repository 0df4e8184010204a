"""Finds, patches and imports MXNet, loads NVIDIA's libraries, and reports on it."""
