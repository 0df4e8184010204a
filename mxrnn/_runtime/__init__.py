"""What everything runs on: MXNet found, cured and imported, NVIDIA's libraries, the report."""
