"""The back end that writes a graph as readable PyTorch, one emitter for each operator."""
