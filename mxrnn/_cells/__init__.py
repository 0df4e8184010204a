"""The cells: layouts and lengths, gates, the base, layers, containers, modifiers, loops."""
