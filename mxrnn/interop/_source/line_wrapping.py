"""Breaks lines of code that are too long."""
from __future__ import annotations

__all__ = ['wrapped']

_WIDTH = 100


def wrapped(line: str, depth: int = 0, deeper: int = 4) -> str:
    """A line of code, continued inside its brackets if it is too long. It begins in `depth`
    brackets. A comment at its end moves before it."""
    if len(line) <= _WIDTH:
        return line
    code, sign, comment = line.partition('  # ')
    if sign:
        return '%s# %s\n%s' % (' ' * (len(line) - len(line.lstrip())), comment, wrapped(code))
    breaks: list[tuple[int, int]] = []
    quote = ''
    for at, letter in enumerate(line[:_WIDTH]):
        if quote or letter in '\'"':
            quote = '' if letter == quote else quote or letter
            continue
        depth += (letter in '([{') - (letter in ')]}')
        if letter == ' ' and depth and line[at - 1] in ',+*/-':
            breaks.append((depth, at))
    if not breaks:
        return line
    late = [each for each in breaks if each[1] > _WIDTH // 2]
    least = min(late, default=(0, 0))[0]
    at_best, best = max((each for each in late if each[0] == least), default=breaks[-1])
    indent = len(line) - len(line.lstrip()) + deeper * (
        1 + line.lstrip().startswith(('def ', 'for ')))
    return line[:best] + '\n' + wrapped(' ' * indent + line[best + 1:], at_best, 0)
