"""Time the words of an utterance: when each is heard.

A *word* (`duo.words.cut`) is what a recogniser would hand on at once: with its punctuation, and
with the blank before it, so that the words joined are the text. Words follow each other without a
gap; a stretch of n words at r words a minute lasts 60 n / r seconds, of which a longer word takes a
larger share.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

#: Languages whose speaking rate is counted in characters.
WITHOUT_BLANKS = frozenset({"zh", "yue", "ja"})

#: The share of the time that a word takes besides one for each of its letters.
_ONSET = 2


@dataclass(frozen=True)
class Hearing:
    """One thing that is heard of an utterance: a word, or all of it again.

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
    """Return what is heard of an utterance whose recogniser changes its mind, in order.

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
