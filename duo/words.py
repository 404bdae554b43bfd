"""Cut text into words and say when each was said, wherever the text was cut into pieces.

Pieces of text that follow each other, tokens say, are joined and cut between words (`cut`). In
Chinese and Japanese a character is a word. Signs without a letter or digit belong to a word beside
them. A silence of `BREATH` parts two words even if no blank does. Inside a piece time passes evenly
from character to character, after its leading blanks; times are kept to the millisecond.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from duo.spelling import HAN
from duo.transcript import TOLERANCE

#: Times are kept to the millisecond, as transcripts are.
DECIMALS = 3

#: A silence of this length (seconds) is more than breath: it parts words, and it breaks an answer,
#: or ends it where the system does not say when it does.
BREATH = 1.0

Interval = tuple[float, float]

_OPENING = "「『《〈（【〔"
_CLOSING = "、。」』》〉）】〕，．：；！？～"
_UNSPACED = re.compile(rf"[{HAN}{_OPENING}{_CLOSING}]")
# These stand in English text too, so they join without a blank only to a character of the above.
_OPENING += "“‘"
_CLOSING += "”…·"
_PIECE = re.compile(rf" ?(?:[{HAN}]|[{_OPENING}]+|[{_CLOSING}]+|[^ {HAN}{_OPENING}{_CLOSING}]+)")


@dataclass(frozen=True)
class Piece:
    """Text as it was spoken or heard from `start` to `end` (seconds): a token, a word, a phrase.

    `cycle` is the number of the system's cycle that it is of.
    """

    start: float
    end: float
    text: str
    cycle: int = 0


@dataclass(frozen=True)
class Word:
    """One word with its signs; in Chinese and Japanese one character.

    Attributes:
        text: without blanks around it.
        blank: what stands before it in the text: nothing, a blank, or a line break.
    """

    start: float
    end: float
    text: str
    blank: Literal["", " ", "\n"] = field(default="", compare=False)


def cut(text: str) -> tuple[str, ...]:
    """Cut a text into words; joined, they are the text with its blanks made single.

    A text without any is one piece of signs.

    >>> cut("Well -  what's up, Doc?")
    ('Well -', " what's", ' up,', ' Doc?')
    >>> cut("《红楼梦》用Python讲")
    ('《红', '楼', '梦》', '用', 'Python', '讲')
    """
    words: list[str] = []
    opening = ""
    for piece in _PIECE.findall(" ".join(text.split())):
        if re.search(r"\w", piece):
            words.append(opening + piece)
            opening = ""
        elif piece.strip(" " + _OPENING):
            if words and not opening:
                words[-1] += piece
            else:
                opening += piece
        else:
            opening += piece
    if opening:
        words[-1:] = ["".join(words[-1:]) + opening]
    return tuple(words)


def whole_words(text: str) -> str:
    """Cut off the last word, which may go on; what is followed by a blank does not.

    >>> whole_words("It is fi"), whole_words("It is "), whole_words("今天天")
    ('It is', 'It is', '今天')
    """
    end = len(text)
    words = () if text[-1:].isspace() else cut(text)[-1:]
    for _ in "".join("".join(words).split()):
        end = len(text[: end - 1].rstrip())
    return text[:end].rstrip()


def blank_between(before: str, after: str) -> str:
    """Return what joins two stretches of speech: a blank; in Chinese and Japanese nothing."""
    if not before or not after or before[-1].isspace() or after[0].isspace():
        return ""
    return "" if _UNSPACED.match(before[-1]) or _UNSPACED.match(after[0]) else " "


def words_of(pieces: Iterable[Piece]) -> tuple[Word, ...]:
    """Return the words of a text that came in pieces, wherever those were cut.

    >>> [word.text for word in words_of([Piece(0, 1, "J"), Piece(1, 2, "et"), Piece(2, 3, " lag")])]
    ['Jet', 'lag']
    """
    return words_and_signs(pieces)[0]


def joined(words: Iterable[Word]) -> str:
    """Join words to their text, line breaks made blanks."""
    return " ".join("".join(word.blank + word.text for word in words).split())


def merged(intervals: Iterable[Interval]) -> list[Interval]:
    """Unite intervals to disjoint ones in order."""
    return bridge_breaths(intervals, 0.0)


def bridge_breaths(intervals: Iterable[Interval], seconds: float) -> list[Interval]:
    """Unite intervals across silences of this length or shorter: for drawing alone."""
    union: list[Interval] = []
    for start, end in sorted(intervals):
        if union and start <= union[-1][1] + seconds:
            union[-1] = (union[-1][0], max(union[-1][1], end))
        else:
            union.append((start, end))
    return union


def length(intervals: Iterable[Interval]) -> float:
    """Count the seconds that intervals cover together; what they share counts once."""
    return sum(end - start for start, end in merged(intervals))


def common(one: Iterable[Interval], other: Iterable[Interval]) -> list[Interval]:
    """Find where two sets of intervals overlap.

    >>> common([(0, 2), (3, 5)], [(1, 4)])
    [(1, 2), (3, 4)]
    """
    return [
        (max(a, c), min(b, d))
        for a, b in merged(one)
        for c, d in merged(other)
        if min(b, d) > max(a, c)
    ]


def words_and_signs(pieces: Iterable[Piece]) -> tuple[tuple[Word, ...], tuple[Word, ...]]:
    """Words; without any, the signs.

    Signs that a long silence parts from all words are written with a neighbour, whose time they do
    not change.
    """
    run: list[Piece] = []
    found: list[Word] = []
    for piece in pieces:
        if run and piece.start - run[-1].end >= BREATH - TOLERANCE:
            found += _cut_run(run)
            run = []
        run.append(piece)
    words: list[Word] = []
    signs: list[Word] = []  # before the first word
    for one in [*found, *_cut_run(run)]:
        if re.search(r"\w", one.text):
            if signs:
                one = replace(one, text=joined([*signs, one]), blank=signs[0].blank)
                signs = []
            words.append(one)
        elif words:
            words[-1] = replace(words[-1], text=joined([words[-1], one]))
        else:
            signs.append(one)
    return tuple(words), tuple(signs)


def _cut_run(pieces: Sequence[Piece]) -> Iterator[Word]:
    """Cut speech without a long silence in it into words."""
    text, starts, ends = "", list[float](), list[float]()
    breaks: set[int] = set()  # where blanks hold a line break
    for piece in pieces:
        spoken = len(piece.text.lstrip())
        blanks = len(piece.text) - spoken
        share = (piece.end - piece.start) / max(spoken, 1)
        for number, character in enumerate(piece.text):
            if character == "\n":
                breaks.add(len(text) - text.endswith(" "))
            if character.isspace():
                if text.endswith(" "):
                    continue
                character = " "
            spoken_before = number - blanks
            starts.append(piece.start + share * max(spoken_before, 0))
            last = piece.end - share * (spoken - spoken_before - 1)
            ends.append(piece.start if spoken_before < 0 else last)
            text += character
    place = len(text) - len(text.lstrip())
    for number, word in enumerate(cut(text)):
        # The blank before the first word of a run is not in what `cut` gives.
        begin = place + (number > 0 and word.startswith(" "))
        place += len(word)
        blank: Literal["", " ", "\n"] = ""
        if begin and text[begin - 1] == " ":
            blank = "\n" if begin - 1 in breaks else " "
        start, end = round(starts[begin], DECIMALS), round(ends[place - 1], DECIMALS)
        yield Word(start, end, word.strip(), blank)
