"""Sentences as numbers, and the iterators that make batches of them.

- `number_checks`: checks of sequences and types
- `checksum`: identifies sequences of numbers
- `tokens`: many sequences as one array
- `sentence_encoding`: words to ids and back
- `corpus`: encoded sentences in files
- `buckets`: the lengths to pad to
- `rows_of_tokens`: rows of as many steps
- `base_iterator`: arguments, batches and positions of iterators
- `order`: the order of an epoch
- `bucketed`: iterators over sentences in buckets
- `sentences`: BucketSentenceIter, SentencePairIter
- `stream`: StreamIter
"""
