"""The inference of shapes: sizes of axes, and which axes operators keep element by element."""
