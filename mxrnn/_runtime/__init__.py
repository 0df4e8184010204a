"""MXNet found, cured and imported, NVIDIA's libraries, and the report of all that."""
