"""Files: written whole or not at all, their names, and MXNet's files of arrays, without MXNet."""
