"""From an utterance's words to the moments at which they are heard.

A *word* is what a recogniser would hand on at once: with its punctuation, and with the blank before
it, so that the words joined are the text. Scripts written without blanks are cut character by
character. Words follow each other without a gap; a stretch of n words at r words a minute lasts
60 n / r seconds, of which a longer word takes a larger share.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

#: Languages whose speaking rate is counted in characters.
WITHOUT_BLANKS = frozenset({"zh", "yue", "ja"})

_HAN = "\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3041-\u30ff\u31f0-\u31ff\u3400-\u9fff\uf900-\ufaff"
_HAN += "\U00020000-\U0003ffff"
_OPENING = "「『《〈（【〔"
_CLOSING = "、。」』》〉）】〕，．：；！？～"
_UNSPACED = re.compile(rf"[{_HAN}{_OPENING}{_CLOSING}]")
# These stand in English text too, so they join without a blank only to a character of the above.
_OPENING += "“‘"
_CLOSING += "”…·"
_PIECE = re.compile(rf" ?(?:[{_HAN}]|[{_OPENING}]+|[{_CLOSING}]+|[^ {_HAN}{_OPENING}{_CLOSING}]+)")

#: The share of the time that a word takes besides one for each of its letters.
_ONSET = 2


@dataclass(frozen=True)
class Hearing:
    """One thing that is heard of an utterance: a word, or all of it anew.

    Attributes:
        text: the word with the blank before it; if `restates`, the whole utterance as of now.
        start: seconds from the utterance's start.
        end: when it is heard, seconds from the utterance's start.
        restates: the recogniser revises: `text` replaces all that was heard of the utterance.
    """

    text: str
    start: float
    end: float
    restates: bool = False


def cut(text: str) -> tuple[str, ...]:
    """The words of a text; joined, they are the text with its blanks made single.

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


def blank_between(before: str, after: str) -> str:
    """What joins two stretches of speech in writing: a blank; in Chinese and Japanese nothing."""
    if not before or not after or before[-1].isspace() or after[0].isspace():
        return ""
    return "" if _UNSPACED.match(before[-1]) or _UNSPACED.match(after[0]) else " "


def paced(words: Sequence[str], *, per_minute: float, start: float = 0.0) -> tuple[Hearing, ...]:
    """Give each word its time, from `start` on, at a rate in words (Chinese: characters)."""
    shares = [_ONSET + sum(character.isalnum() for character in word) for word in words]
    second = len(words) * 60 / per_minute / max(sum(shares), 1)
    hearings = []
    done = 0
    for word, share in zip(words, shares, strict=True):
        hearings.append(Hearing(word, start + second * done, start + second * (done + share)))
        done += share
    return tuple(hearings)


def revised(
    words: Sequence[Hearing], revisions: Iterable[tuple[int, str, float]]
) -> Iterator[Hearing]:
    """What is heard of an utterance whose recogniser changes its mind, in the order of hearing.

    A revision (n, text, delay) falls due `delay` seconds after word n ended. `text` then stands for
    the first n words, whatever was heard of them before; the words after them stay as they are. So
    the text finally heard is that of the last revision followed by the words after its n.
    """
    waiting = list(words)
    for count, text, delay in revisions:
        due = words[count - 1].end + delay
        while waiting and waiting[0].end <= due:
            yield waiting.pop(0)
        since = "".join(word.text for word in words[count : len(words) - len(waiting)])
        yield Hearing(text + since, due, due, restates=True)
    yield from waiting


def heard_text(hearings: Iterable[Hearing]) -> str:
    """All that was heard of an utterance, in the end."""
    text = ""
    for hearing in hearings:
        text = hearing.text if hearing.restates else text + hearing.text
    return text
