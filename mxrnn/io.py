"""Sentences as numbers, and the iterators that hand them out in batches."""
from __future__ import annotations

from ._data.iterators import BucketSentenceIter, StreamIter, encode_sentences

__all__ = ['BucketSentenceIter', 'StreamIter', 'encode_sentences']
