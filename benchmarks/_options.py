"""Options of the scripts in this folder: what each may be, checked before any work begins."""
from __future__ import annotations

import argparse
import math
import os
import re
import tempfile
import textwrap
from typing import Any, Callable, NoReturn

__all__ = ['Parser', 'filled', 'integers', 'learning_rate', 'positive', 'probability',
           'seed_number', 'threads_number', 'why_not_written']

#: Epochs are added to the seed, and NumPy takes no seed of more than 32 bits.
LAST_SEED = 10 ** 9


#: Messages of argparse, and how each reads like the other refusals.
_SAID: list[tuple[str, str | Callable[[re.Match[str]], str]]] = [
    (r'^argument (\S+): must', r'\1 must'),
    (r"^argument (\S+): invalid choice: '?(.*?)'? \(choose from (.*)\)$",
     lambda found: '%s must be one of %s, got %s' % (
         found[1], found[3].replace("'", ''), found[2])),
    (r"^argument (\S+): ignored explicit argument '(.*)'$", r'\1 takes no value, got \2'),
    (r'^argument (\S+): expected one argument$', r'\1 needs a value'),
]


class Parser(argparse.ArgumentParser):
    """Errors in one line that begins with the option: '--epochs must be at least 1, got -3'."""

    def __init__(self, doc: str) -> None:
        super().__init__(formatter_class=argparse.RawDescriptionHelpFormatter,
                         allow_abbrev=False, description=filled(doc))

    def add_argument(self, *names: Any, **arguments: Any) -> argparse.Action:
        metavar = {positive: 'N', seed_number: 'N', learning_rate: 'X', probability: 'X'}
        if arguments.get('type') in metavar:
            arguments.setdefault('metavar', metavar[arguments['type']])
        return super().add_argument(*names, **arguments)

    def error(self, message: str) -> NoReturn:
        for said, better in _SAID:
            message = re.sub(said, better, message)
        self.exit(2, '%s: %s (--help lists the options)\n' % (self.prog, message))


def filled(doc: str) -> str:
    """Paragraphs for 80 columns; examples, which are indented, as they are."""
    return '\n\n'.join(paragraph if paragraph.startswith(' ') else
                       textwrap.fill(paragraph, 79, break_on_hyphens=False)
                       for paragraph in doc.strip('\n').split('\n\n'))


def _integer(text: str, least: int, most: int | None = None) -> int:
    allowed = 'at least %d' % least if most is None else 'from %d to %d' % (least, most)
    try:
        number = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            'must be a whole number, %s, got %s' % (allowed, text)) from None
    if number < least or (most is not None and number > most):
        raise argparse.ArgumentTypeError('must be %s, got %s' % (allowed, text))
    return number


def _float(text: str, allowed: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError('must be %s, got %s' % (allowed, text)) from None


def positive(text: str) -> int:
    """A number of things, at least 1."""
    return _integer(text, 1)


def seed_number(text: str) -> int:
    """A seed that every generator takes."""
    return _integer(text, 0, LAST_SEED)


def threads_number(text: str) -> str:
    """A number of threads, or 'default'."""
    if text == 'default':
        return text
    try:
        return str(positive(text))
    except argparse.ArgumentTypeError as error:
        raise argparse.ArgumentTypeError("%s (or 'default')" % error) from None


def integers(text: str) -> list[int]:
    """The numbers in a list such as 0,1: in order, each once."""
    try:
        return sorted({int(number) for number in text.split(',')})
    except ValueError:
        raise argparse.ArgumentTypeError(
            'must be whole numbers with commas between them, got %s' % text) from None


def learning_rate(text: str) -> float:
    """A finite number above 0."""
    number = _float(text, 'a number above 0')
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError('must be a number above 0, got %s' % text)
    return number


def probability(text: str) -> float:
    """A probability of dropout."""
    number = _float(text, 'from 0 to below 1')
    if not 0 <= number < 1:
        raise argparse.ArgumentTypeError('must be from 0 to below 1, got %s' % text)
    return number


def why_not_written(path: str) -> str:
    """Why no file can be written at `path`, or ''."""
    folder = os.path.dirname(os.path.abspath(path))
    if not os.path.basename(path) or os.path.isdir(path):
        return '%s is a folder' % path
    if not os.path.isdir(folder):
        return 'there is no folder %s' % folder
    if not os.access(path if os.path.exists(path) else folder, os.W_OK):
        return '%s may not be written' % (path if os.path.exists(path) else folder)
    try:  # some file systems take no files, whatever their permissions say
        with tempfile.TemporaryFile(dir=folder):
            return ''
    except OSError as error:
        return 'no file can be made in %s: %s' % (folder, error.strerror)
