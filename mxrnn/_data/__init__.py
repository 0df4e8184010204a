"""Sentences as numbers, and the iterators that make batches of them.

Modules of classes in pickled iterators (`tokens`, `corpus`, `order`, `bucketed`, `sentences`) keep
their names.

- `tokens`: checks of sequences and types; many sequences as one array, and its checksum
- `sentence_encoding`: words to ids and back
- `corpus`: encoded sentences in files
- `buckets`: the lengths to pad to
- `base_iterator`: arguments, rows, batches and positions of iterators
- `order`: the order of an epoch
- `bucketed`: iterators over sentences in buckets
- `sentences`: BucketSentenceIter, SentencePairIter
- `stream`: StreamIter
"""
