"""Sentences as numbers, and the iterators that make batches of them."""
