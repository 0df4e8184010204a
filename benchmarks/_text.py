"""Text for the language models in this folder: sentences, rare words, a unigram model."""
from __future__ import annotations

import math
import re
from collections import Counter
from typing import Iterable

__all__ = ['END', 'RARE', 'read_text', 'unigram_perplexity']

END, RARE = '<eos>', '<unk>'


def read_text(train: str | None, valid: str | None, min_count: int, quick: bool = False,
              ) -> list[list[list[str]]]:
    """Sentences for training and for validation.

    Words that occur less than `min_count` times in the training part are `<unk>` in both. Files
    hold a sentence in each line, its words set apart by white space. Without `train` the text is
    Python's language reference; without `valid` a tenth is held out. `quick` takes little text.
    """
    sentences = _file(train) if train else _python_reference()
    if quick:
        sentences = sentences[:1000]
    parts = [sentences, _file(valid)] if valid else _held_out(sentences)
    for part, purpose, path in zip(parts, ('train', 'validate'), (train, valid or train)):
        if not part:
            raise SystemExit('There are no sentences to %s on%s%s.' % (
                purpose, ' in ' + path if path else '',
                '' if valid or purpose == 'train' else
                ': the last ten of every hundred are held out; give others by --valid'))
    counts = Counter(word for sentence in parts[0] for word in sentence)
    return [[[word if counts[word] >= min_count else RARE for word in sentence]
             for sentence in part] for part in parts]


def _python_reference() -> list[list[str]]:
    """Sentences, in lower case, of the language reference that comes with Python.

    Paragraphs that stand in it more than once are taken once, and grammar rules not at all.
    """
    from pydoc_data.topics import topics
    sentences, seen = [], set()
    for _, text in sorted(topics.items()):
        for paragraph in re.split(r'\n\s*\n', text.lower()):
            if '::=' in paragraph or paragraph in seen:
                continue
            seen.add(paragraph)
            for sentence in re.split(r'(?<=[.:?!])\s+', paragraph):
                words = re.findall(r"\w+(?:['’]\w+)?|[.,:;?!()]", sentence)
                if len(words) > 3:
                    sentences.append(words)
    return sentences


def _file(path: str) -> list[list[str]]:
    try:
        with open(path, encoding='utf-8-sig') as lines:
            return [words for words in map(str.split, lines) if words]
    except (OSError, UnicodeDecodeError) as error:
        raise SystemExit('%s cannot be read: %s' % (path, error)) from None


def _held_out(sentences: list[list[str]]) -> list[list[list[str]]]:
    """Of every hundred sentences, which hang together, the last ten are for validation."""
    parts: list[list[list[str]]] = [[], []]
    for i, sentence in enumerate(sentences):
        parts[i % 100 >= 90].append(sentence)
    return parts


def unigram_perplexity(train: Iterable[int], valid: Iterable[int]) -> float:
    """Perplexity on `valid` of the words' frequencies in `train`, one added to each count."""
    train, valid = list(train), list(valid)
    counts = Counter(train + list(set(train + valid)))
    total = sum(counts.values())
    losses = [-math.log(counts[word] / total) for word in valid]
    return math.exp(sum(losses) / len(losses))
