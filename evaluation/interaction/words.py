"""Words and when they were said, from pieces of text that were cut anywhere."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

#: Times are kept to the millisecond, as transcripts are.
DECIMALS = 3

_HAN = "\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3041-\u30ff\u31f0-\u31ff\u3400-\u9fff\uf900-\ufaff"
_HAN += "\U00020000-\U0003ffff"
_WORD = re.compile(rf"[{_HAN}]|[^\s{_HAN}]+")

Interval = tuple[float, float]


@dataclass(frozen=True)
class Piece:
    """Text as it was spoken or heard from `start` to `end` (seconds): a token, a word, a phrase."""

    start: float
    end: float
    text: str


@dataclass(frozen=True)
class Word:
    """One word, without blanks; in Chinese and Japanese one character."""

    start: float
    end: float
    text: str


def words_of(pieces: Iterable[Piece]) -> tuple[Word, ...]:
    """The words of a text that came in pieces, wherever those were cut.

    Inside a piece time passes evenly from character to character, after its leading blanks.
    Signs without a letter or digit belong to the word before them, or at the beginning to the word
    after.

    >>> words_of([Piece(0, 1, "J"), Piece(1, 2, "et"), Piece(2, 3, " lag"), Piece(3, 4, ".")])
    (Word(start=0.0, end=2.0, text='Jet'), Word(start=2.0, end=4.0, text='lag.'))
    """
    text, starts, ends = "", list[float](), list[float]()
    for piece in pieces:
        spoken = len(piece.text.lstrip())
        blanks = len(piece.text) - spoken
        share = (piece.end - piece.start) / max(spoken, 1)
        starts += [piece.start] * blanks + [piece.start + share * n for n in range(spoken)]
        ends += [piece.start] * blanks + [piece.end - share * n for n in reversed(range(spoken))]
        text += piece.text
    words: list[Word] = []
    before = ""  # signs that wait for their word
    since = 0.0
    for found in _WORD.finditer(text):
        start, end = round(starts[found.start()], DECIMALS), round(ends[found.end() - 1], DECIMALS)
        if re.search(r"\w", found.group()):
            start = since if before else start
            words.append(Word(float(start), float(end), before + found.group()))
            before = ""
        elif words:
            words[-1] = Word(words[-1].start, float(end), words[-1].text + found.group())
        else:
            since = since if before else start
            before += found.group()
    return tuple(words)


def merged(intervals: Iterable[Interval]) -> list[Interval]:
    """The union of intervals, as disjoint intervals in order."""
    union: list[Interval] = []
    for start, end in sorted(intervals):
        if union and start <= union[-1][1]:
            union[-1] = (union[-1][0], max(union[-1][1], end))
        else:
            union.append((start, end))
    return union


def length(intervals: Iterable[Interval]) -> float:
    """Seconds that intervals cover together; what they share counts once."""
    return sum(end - start for start, end in merged(intervals))


def common(one: Sequence[Interval], other: Sequence[Interval]) -> list[Interval]:
    """Where two sets of intervals overlap.

    >>> common([(0, 2), (3, 5)], [(1, 4)])
    [(1, 2), (3, 4)]
    """
    return [
        (max(a, c), min(b, d))
        for a, b in merged(one)
        for c, d in merged(other)
        if min(b, d) > max(a, c)
    ]
