"""Sentences as numbers, and the iterators that hand them out in batches."""
from ._data.corpus import read_tokens, write_tokens
from ._data.sentence_encoding import decode_sentences, encode_sentences
from ._data.sentences import BucketSentenceIter, SentencePairIter
from ._data.stream import StreamIter

__all__ = ['BucketSentenceIter', 'SentencePairIter', 'StreamIter', 'decode_sentences',
           'encode_sentences', 'read_tokens', 'write_tokens']
