"""Encoded sentences in files that are mapped into memory, for corpora larger than memory."""
from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import zlib
from typing import Any, Iterable, Iterator, Sequence, Union

import numpy as np

from .. import _check
from .._files.atomic import replacing
from .tokens import chunks, first_unfit, fits, joint, narrowest, pieces, sizes

__all__ = ['Corpus', 'is_corpus', 'open_corpus', 'read_tokens', 'write_tokens']

_FORMAT = 'mxrnn tokens 1'
_INDEX = 'index.json'  #: written last; without it, or if it names other files, data is incomplete
_ARRAY = re.compile(r'(tokens|offsets)-[0-9a-f]{16}\.npy')
_HEADER = 128  # bytes of a NumPy file before its numbers


#: Sequences of numbers, or the folder that `write_tokens` wrote.
Sequences = Union[Sequence[Sequence[int]], str, 'os.PathLike[str]']


@dataclasses.dataclass(eq=False, repr=False)
class Corpus(Sequence[np.ndarray]):
    """The encoded sentences in a folder that `write_tokens` wrote. `read_tokens` opens it.

    A sequence of read-only arrays, one for each sentence. Data is read when it is used, and stays
    in memory only while the system has room for it.

    Attributes
    ----------
    path : str
        The folder.
    tokens : numpy.ndarray
        All tokens, one sentence after the other.
    offsets : numpy.ndarray
        Where each sentence begins in `tokens`, then where the last one ends.
    least, most : int
        The smallest and the largest token.
    """

    path: str
    tokens: np.ndarray
    offsets: np.ndarray
    least: int
    most: int
    checksum: int

    def __len__(self) -> int:
        return self.offsets.size - 1

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        i = range(len(self))[index]
        return self.tokens[self.offsets[i]:self.offsets[i + 1]]

    def __repr__(self) -> str:
        return 'Corpus(%r, %d sentences, %d tokens of type %s)' % (
            self.path, len(self), self.tokens.size, self.tokens.dtype.name)

    def __reduce__(self) -> tuple[object, ...]:
        return read_tokens, (self.path,)  # copies and other processes map the same files


def write_tokens(path: str | os.PathLike[str], sentences: Iterable[Sequence[int]]) -> Corpus:
    """Write encoded sentences to a folder, in one pass, with some thousands at a time in memory.

    The folder gets two NumPy files and an index. The files have the tokens, in the narrowest type
    that holds all, and the sentences' offsets. The index is written last. Until then the old
    content stays, and what a killed process leaves is not accepted by `read_tokens`. Only one
    process at a time may write to a folder.

    Parameters
    ----------
    path : str or path
        The folder: new, empty, or one that this function wrote, which is replaced.
    sentences : iterable of sequence of int
        Encoded sentences, for instance from ``encode_sentences(..., lazy=True)``.

    Returns
    -------
    Corpus
        The result of `read_tokens`.

    Raises
    ------
    ValueError, TypeError
        `path` has other files, or `sentences` is empty or has anything but whole numbers of 64
        bits. The old content of the folder stays.

    Examples
    --------
    >>> import os, tempfile
    >>> import mxrnn as rnn
    >>> folder = os.path.join(tempfile.mkdtemp(), 'corpus')
    >>> encoded, vocab = rnn.encode_sentences((line.split() for line in ['a b c', 'b a']),
    ...                                       lazy=True)
    >>> corpus = rnn.write_tokens(folder, encoded)
    >>> [sentence.tolist() for sentence in corpus]
    [[0, 1, 2], [1, 0]]
    >>> rnn.BucketSentenceIter(folder, batch_size=1)
    BucketSentenceIter(2 sentences, buckets [2, 3], 2 batches of 1)
    """
    folder = _folder(path)
    made = not os.path.isdir(folder)
    others = [] if made else [name for name in os.listdir(folder)
                              if name != _INDEX and not _ARRAY.fullmatch(name)
                              and not name.startswith('.mxrnn-')]
    if others:
        raise ValueError('path must be a new folder, or one that write_tokens wrote, but %r has %r'
                         % (folder, others[0]))
    sentences = _check.iterable('sentences', sentences, 'sentences')
    key = os.urandom(8).hex()
    names = ['%s-%s.npy' % (kind, key) for kind in ('tokens', 'offsets')]
    try:
        with replacing([os.path.join(folder, name) for name in [*names, _INDEX]]) as (
                tokens, offsets, described):
            index = {'format': _FORMAT, 'files': names, **_write(tokens, offsets, sentences)}
            with open(described, 'w', encoding='ascii') as file:
                json.dump(index, file)
    except BaseException:
        if made:
            with contextlib.suppress(OSError):
                os.rmdir(folder)
        raise
    for name in os.listdir(folder):  # the old corpus, and files of interrupted writes
        if _ARRAY.fullmatch(name) and name not in names:
            with contextlib.suppress(OSError):
                os.remove(os.path.join(folder, name))
    return read_tokens(folder)


def read_tokens(path: str | os.PathLike[str]) -> Corpus:
    """Open a folder that `write_tokens` wrote. Its files are mapped into memory, not read.

    Parameters
    ----------
    path : str or path
        The folder.

    Returns
    -------
    Corpus
        Pass it to `BucketSentenceIter` or `StreamIter`, which also take the path.

    Raises
    ------
    ValueError
        The folder does not exist, is not one of `write_tokens`, was not written to its end, or has
        files that do not fit its index (in size, type or shape). The message names the file.

    Examples
    --------
    >>> import os, tempfile
    >>> import mxrnn as rnn
    >>> folder = os.path.join(tempfile.mkdtemp(), 'corpus')
    >>> corpus = rnn.write_tokens(folder, [[1, 2], [3, 300]])
    >>> rnn.read_tokens(folder).tokens
    array([  1,   2,   3, 300], dtype=uint16)
    """
    folder = _folder(path)
    try:
        with open(os.path.join(folder, _INDEX), encoding='ascii') as file:
            index = json.load(file)
        if not isinstance(index, dict) or index.get('format') != _FORMAT:
            raise ValueError('%s has another format' % _INDEX)
        tokens, offsets = (
            _mapped(folder, name, kind, index[count] + extra)
            for name, kind, count, extra in zip(
                index['files'], (index['dtype'], '<i8'), ('tokens', 'sentences'), (0, 1)))
        if (offsets[0], offsets[-1]) != (0, tokens.size):
            raise ValueError('%s has other offsets' % index['files'][1])
        return Corpus(folder, tokens, offsets, index['least'], index['most'], index['checksum'])
    except FileNotFoundError as error:
        raise ValueError('path must be a folder that write_tokens wrote to its end, but there is '
                         'no %s' % error.filename) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError('path must be a folder that write_tokens wrote, and undamaged, but in %r '
                         '%s' % (folder, error)) from None


def is_corpus(value: object) -> bool:
    """Whether an iterator gets tokens on disk."""
    return isinstance(value, (str, os.PathLike, Corpus))


def open_corpus(name: str, value: object, dtype: np.dtype) -> Corpus:
    """Return the corpus for the argument `value`, a corpus or its path, if `dtype` can hold it."""
    try:
        corpus = value if isinstance(value, Corpus) else read_tokens(_check.path(name, value))
    except ValueError as error:
        raise ValueError('%s must be sequences of numbers or tokens on disk: %s'
                         % (name, error)) from None
    bounds = np.array([corpus.least, corpus.most])
    exact = dtype.kind != 'f' or max(-corpus.least, corpus.most) <= 2 ** (np.finfo(dtype).nmant + 1)
    if not fits(bounds, dtype) or not exact and not all(
            fits(piece, dtype) for piece in pieces(corpus.tokens)):
        raise ValueError('%s must have numbers that dtype %s can represent, got some from %d to %d'
                         % (name, dtype.name, corpus.least, corpus.most))
    return corpus


# ---- files

def _folder(path: object) -> str:
    folder = _check.path('path', path)
    if not isinstance(folder, str) or not folder:
        raise ValueError('path must be the name of a folder, got %r' % (path,))
    if os.path.exists(folder) and not os.path.isdir(folder):
        raise ValueError('path must be a folder, but %r is a file' % folder)
    return folder


def _write(tokens_file: str, offsets_file: str, sentences: Iterator[Sequence[int]]
           ) -> dict[str, object]:
    """Write both files; return their description for the index."""
    least = most = 0
    int64 = np.dtype('<i8')
    with _Column(tokens_file, np.dtype(np.uint8)) as tokens, _Column(offsets_file, int64) as ends:
        ends.append(np.zeros(1, int64))
        for chunk, values in chunks('sentences', sentences):
            lengths = sizes('sentences', chunk)
            if not fits(values, int64):
                raise ValueError('sentences must have whole numbers of at most 64 bits, got %r'
                                 % first_unfit(values, int64))
            ends.append(tokens.size + lengths.cumsum(dtype=int64))
            if values.size:
                least, most = min(least, int(values.min())), max(most, int(values.max()))
                tokens.append(values.astype(int64), narrowest(least, most, int64))
        if ends.size == 1:
            raise ValueError('sentences must not be empty')
    return {'sentences': ends.size - 1, 'tokens': tokens.size, 'dtype': tokens.dtype.str,
            'least': least, 'most': most, 'checksum': joint(tokens.crc, ends.crc)}


class _Column:
    """A NumPy file with one dimension that grows; its type widens when necessary."""

    def __init__(self, path: str, dtype: np.dtype) -> None:
        self._path = path
        self.dtype = dtype
        self.size = 0
        self.crc = 0  #: over the numbers as 64 bits

    def __enter__(self) -> _Column:
        self._file = open(self._path, 'xb')
        self._file.write(bytes(_HEADER))
        return self

    def append(self, values: np.ndarray, dtype: np.dtype | None = None) -> None:
        """Add 64-bit integers, and switch to `dtype` if it is another."""
        if dtype is not None and dtype != self.dtype:
            self._widen(dtype)
        self.crc = zlib.crc32(np.ascontiguousarray(values, '<i8').data, self.crc)
        self._file.write(values.astype(self.dtype.newbyteorder('<')).data)
        self.size += values.size

    def _widen(self, dtype: np.dtype) -> None:
        self._file.close()
        narrow = self._path + '.narrow'
        os.rename(self._path, narrow)
        self._file = open(self._path, 'xb')
        self._file.write(bytes(_HEADER))
        if self.size:
            before = np.memmap(narrow, self.dtype.newbyteorder('<'), 'r', _HEADER, (self.size,))
            for piece in pieces(before):
                self._file.write(piece.astype(dtype.newbyteorder('<')).data)
            del before, piece
        os.remove(narrow)
        self.dtype = dtype

    def __exit__(self, *error: object) -> None:
        self._file.seek(0)
        np.lib.format.write_array_header_1_0(self._file, {
            'descr': self.dtype.newbyteorder('<').str, 'fortran_order': False,
            'shape': (self.size,)})
        self._file.close()


def _mapped(folder: str, name: str, dtype: str, size: int) -> np.ndarray:
    """Map a NumPy file that must have this type and size."""
    if not _ARRAY.fullmatch(name):
        raise ValueError('%s names another file: %r' % (_INDEX, name))
    path = os.path.join(folder, name)
    expected = _HEADER + size * np.dtype(dtype).itemsize
    if os.path.getsize(path) != expected:
        raise ValueError('%s has %d bytes, not %d' % (name, os.path.getsize(path), expected))
    if not size:
        return np.zeros(0, dtype)
    try:
        # np.load would also accept archives, and take other bytes as a pickle
        found = np.lib.format.open_memmap(path, mode='r')
    except ValueError:
        raise ValueError('%s is not a token file: it does not begin like a NumPy array'
                         % name) from None
    if (found.dtype, found.shape) != (np.dtype(dtype), (size,)):
        raise ValueError('%s has %s of shape %r' % (name, found.dtype, found.shape))
    return found.view(np.ndarray)
