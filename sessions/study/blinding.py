"""What a page may show of a transcript: words and times, and nothing that names the system.

A page gets `Dialogue`s, which hold no name, no id and no event of a system's inside. What systems
differ in by their machinery, not by what a user would hear, is made the same for all:

- control tokens in the text (state tokens, turn markers) are taken out;
- speech is cut into words, each timed between the moments at which its letters were spoken, so that
  tokens, slices and whole answers look alike;
- a blank is put between two words that a system's cycles ran together ("answerYou"), and between
  all of its cycles if each says a message of its own, so that none begins with a blank;
- characters that act instead of being read (controls, text direction) are taken out.

What a rater should see is left as it is: when the assistant speaks, what it says, that it stops.
`sessions.study.leaks` tests whether systems can still be told apart.
"""

from __future__ import annotations

import re
import string
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from operator import itemgetter
from typing import Any, Literal

from duo.speech import cut
from duo.transcript import Transcript, TranscriptEvent
from sessions.study.design import Line

Who = Literal["user", "assistant"]

#: State tokens (paper, section 2) and the turn markers of chat formats.
CONTROL_TOKEN = re.compile(r"<(?:[12]|idle)>|<\|[^<>|\n]{1,40}\|>|</?s>|<(?:start|end)_of_turn>")

#: Silence (seconds) that parts two utterances of the same speaker.
PAUSE = 1.0

#: So many cycles that go on without a blank, and none with one, are messages of their own.
_ALL_ANEW = 4

#: Invisible characters that scripts and emoji are put together with.
_JOINERS = "\u200c\u200d"


@dataclass(frozen=True)
class Word:
    """A word that somebody says, in seconds from the start of the conversation.

    Attributes:
        text: begins with a blank where one stands before it.
    """

    who: Who
    start: float
    end: float
    text: str


@dataclass(frozen=True)
class Utterance:
    """Words of one speaker without a pause between them."""

    who: Who
    start: float
    end: float
    words: tuple[Word, ...]

    @property
    def text(self) -> str:
        return "".join(word.text for word in self.words).strip()


@dataclass(frozen=True)
class Dialogue:
    """What a rater sees of a conversation.

    Attributes:
        words: by start.
        seconds: when the last word ends.
    """

    words: tuple[Word, ...]

    @property
    def seconds(self) -> float:
        return max((word.end for word in self.words), default=0.0)

    def of(self, who: Who) -> tuple[Utterance, ...]:
        """What one speaker says, cut at pauses of `PAUSE` seconds."""
        found: list[list[Word]] = []
        for word in (word for word in self.words if word.who == who):
            if found and word.start - found[-1][-1].end < PAUSE:
                found[-1].append(word)
            else:
                found.append([word])
        return tuple(Utterance(who, run[0].start, run[-1].end, tuple(run)) for run in found)

    @property
    def utterances(self) -> tuple[Utterance, ...]:
        """What both say, by start: what is read out to somebody who does not see the lanes."""
        return tuple(sorted((*self.of("user"), *self.of("assistant")), key=lambda one: one.start))

    def as_data(self) -> list[dict[str, Any]]:
        """As it is stored; `from_data` reads it."""
        return [asdict(word) for word in self.words]

    @classmethod
    def from_data(cls, data: Iterable[dict[str, Any]]) -> Dialogue:
        return cls(tuple(Word(**word) for word in data))


def harmless(text: str) -> str:
    """Text without control tokens and without characters that act; blanks are single."""
    return "".join(" " if _is_blank(text[place]) else text[place] for place in _kept(text))


def blinded(transcript: Transcript) -> Dialogue:
    """What a page may show of a transcript."""
    words = list(_user(transcript))
    runs = _runs(list(transcript.of("speech")))
    anew = _begins_anew(runs)
    for run in runs:
        words += _timed("assistant", run, anew=anew)
    return Dialogue(tuple(sorted(words, key=lambda word: word.start)))


def told(lines: Sequence[Line]) -> Dialogue:
    """A dialogue out of the lines of a design's worked example."""
    words = [
        word for line in lines for word in _timed(line.who, [(line.start, line.end, line.say, 0)])
    ]
    return Dialogue(tuple(sorted(words, key=lambda word: word.start)))


_Spoken = tuple[float, float, str, int]  # start, end, text, cycle
_Mark = tuple[int, float]  # offset in the text, time


def _user(transcript: Transcript) -> list[Word]:
    """The user's words as they were said: of the utterance, at the times they were heard."""
    words: list[Word] = []
    heard: dict[str, list[TranscriptEvent]] = {}
    for event in transcript.of("word"):
        heard.setdefault(event.utterance, []).append(event)
    for utterance in transcript.of("utterance"):
        heard.setdefault(utterance.utterance, [utterance])
    for events in heard.values():
        said = _timed("user", [(one.start, one.end, one.text, 0) for one in events])
        if words and said:  # utterances may be shown as one
            said[0] = replace(said[0], text=f" {said[0].text.strip()}")
        words += said
    return words


def _runs(events: Sequence[TranscriptEvent]) -> list[list[_Spoken]]:
    """Speech cut at pauses."""
    runs: list[list[_Spoken]] = []
    for event in events:
        if not runs or event.start - runs[-1][-1][1] >= PAUSE:
            runs.append([])
        runs[-1].append((event.start, event.end, event.text, event.cycle))
    return runs


def _begins_anew(runs: Sequence[Sequence[_Spoken]]) -> bool:
    """Whether each cycle's words are a message of their own: time slices are, streams are not.

    A tokenizer puts the blank before a word into the word's first token, but for the first word of
    a message. A stream of tokens that goes on through several cycles begins most of them with one.
    """
    borders = [pair for run in runs for pair in pairwise(run) if pair[0][3] != pair[1][3]]
    blank = any(before[2][-1:].isspace() or after[2][:1].isspace() for before, after in borders)
    return len(borders) >= _ALL_ANEW and not blank


def _timed(who: Who, spoken: Sequence[_Spoken], *, anew: bool = False) -> list[Word]:
    """The words of a stretch of speech; times lie between those of the pieces, letter by letter.

    Args:
        anew: each cycle begins a new word; see `_begins_anew`.
    """
    text, marks = "", list[_Mark]()
    for number, (start, end, piece, cycle) in enumerate(spoken):
        if number and cycle != spoken[number - 1][3] and _run_together(text, piece, anew=anew):
            text += " "
        marks += [(len(text), start), (len(text) + len(piece), end)]
        text += piece
    if not text:
        return []
    places = _kept(text)
    clean = "".join(" " if _is_blank(text[place]) else text[place] for place in places)
    words, first = [], 0
    for word in cut(clean):
        last = first + len(word)
        begin = first + (word[0] == " ")
        start, end = _time_after(places[begin], marks), _time_before(places[last - 1] + 1, marks)
        words.append(Word(who, round(start, 3), round(max(start, end), 3), word))
        first = last
    return words


def _kept(text: str) -> list[int]:
    """Places of the characters that are shown: no tokens, nothing that acts, single blanks."""
    gone = {place for found in CONTROL_TOKEN.finditer(text) for place in range(*found.span())}
    places: list[int] = []
    for place, character in enumerate(text):
        blank = _is_blank(character)
        if place in gone or not (blank or _is_read(character)):
            continue
        if not (blank and (not places or _is_blank(text[places[-1]]))):
            places.append(place)
    if places and _is_blank(text[places[-1]]):
        places.pop()
    return places


def _time_after(offset: int, marks: Sequence[_Mark]) -> float:
    """When the character after `offset` begins: between the marks around it in proportion."""
    after = min(bisect_right(marks, offset, key=itemgetter(0)), len(marks) - 1)
    return _between(offset, marks[after - 1], marks[after])


def _time_before(offset: int, marks: Sequence[_Mark]) -> float:
    """When the character before `offset` ends."""
    after = max(bisect_left(marks, offset, key=itemgetter(0)), 1)
    return _between(offset, marks[after - 1], marks[after])


def _between(offset: int, left: _Mark, right: _Mark) -> float:
    if right[0] == left[0]:
        return right[1]
    return left[1] + (right[1] - left[1]) * (offset - left[0]) / (right[0] - left[0])


def _run_together(text: str, piece: str, *, anew: bool) -> bool:
    """Whether a new cycle begins a word, or a sentence, right at the end of the last one's word."""
    end, begin = text[-1:], piece[:1]
    word = end.islower() or end in string.punctuation
    if anew and begin.isascii() and begin.isalnum():  # some scripts have no blanks
        word = word or (end.isascii() and end.isalnum())
        return word and end not in "-/'"
    return begin.isupper() and word and end not in "-/'"


def _is_blank(character: str) -> bool:
    return character.isspace()


def _is_read(character: str) -> bool:
    """Whether a character is read; others act: controls, marks of direction, halves of pairs."""
    return character.isprintable() or character in _JOINERS
