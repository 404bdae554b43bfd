"""Choose what a page may show of a transcript: words and times, nothing that names the system.

A page gets `Dialogue`s, which hold no name, no id and no event of a system's inside. Words, their
times, utterances and answers are those of `duo.reading`, so that the pages say what the metrics
count. What systems differ in by their machinery, not by what a user would hear, is made the same:

- control tokens in the text (state tokens, turn markers) are taken out;
- a blank is put between two words that a system's cycles ran together ("answerYou"), and between
  all of its cycles if each says a message of its own, so that none begins with a blank;
- characters that act instead of being read (controls, text direction) are taken out;
- a dash stands where an answer was given up in a sentence, as a listener hears.

What a rater should see is left as it is: when the assistant speaks, what it says, that it stops.
`sessions.study.leaks` tests whether systems can still be told apart.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from duo import words as spoken
from duo.errors import BadInput
from duo.reading import conversation_of
from duo.speech import Answer
from duo.transcript import Transcript
from duo.words import Interval, Piece, common, words_of
from sessions.study.design import Line

Who = Literal["user", "assistant"]

#: State tokens (paper, section 2) and the turn markers of chat formats.
CONTROL_TOKEN = re.compile(r"<(?:[12]|idle)>|<\|[^<>|\n]{1,40}\|>|</?s>|<(?:start|end)_of_turn>")

#: If this many cycles go on without a blank, and none with one, they are messages of their own.
_ALL_MESSAGES = 4

#: Invisible characters that scripts and emoji are put together with.
_JOINERS = "\u200c\u200d"


@dataclass(frozen=True)
class Word:
    """A word that somebody says, in seconds from the start of the conversation.

    Attributes:
        text: begins with a blank where one stands before it.
        part: the number of the utterance or answer that it belongs to, of this speaker.
    """

    who: Who
    start: float
    end: float
    text: str
    part: int = 0


_WORDS = TypeAdapter(tuple[Word, ...])


@dataclass(frozen=True)
class Utterance:
    """An utterance of the user, or an answer of the assistant."""

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

    @property
    def overlaps(self) -> list[Interval]:
        """When both speak at once; what is signs alone is not spoken."""
        said = {
            who: [
                (word.start, word.end)
                for part in self.of(who)
                if re.search(r"\w", part.text)
                for word in part.words
            ]
            for who in _SPEAKERS
        }
        return common(said["user"], said["assistant"])

    def of(self, who: Who) -> tuple[Utterance, ...]:
        """Return what one speaker says: utterances of the user, answers of the assistant."""
        parts: dict[int, list[Word]] = {}
        for word in self.words:
            if word.who == who:
                parts.setdefault(word.part, []).append(word)
        return tuple(
            Utterance(who, part[0].start, max(word.end for word in part), tuple(part))
            for part in parts.values()
        )

    @property
    def utterances(self) -> tuple[Utterance, ...]:
        """What both say, by start: what is read out to somebody who does not see the lanes."""
        return tuple(sorted((*self.of("user"), *self.of("assistant")), key=lambda one: one.start))

    def as_data(self) -> list[dict[str, Any]]:
        """Return it as it is stored; `from_data` reads it."""
        return [asdict(word) for word in self.words]

    @classmethod
    def from_data(cls, data: Iterable[dict[str, Any]]) -> Dialogue:
        """Read what `as_data` wrote."""
        try:
            return cls(_WORDS.validate_python(tuple(data)))
        except ValidationError as error:
            raise BadInput("a stored dialogue is damaged", field="shown") from error


_SPEAKERS: tuple[Who, ...] = ("user", "assistant")


def harmless(text: str) -> str:
    """Clean a text of control tokens and of characters that act; make blanks single."""
    gone = _tokens(text)
    kept = (c for place, c in enumerate(text) if place not in gone and _is_shown(c))
    return " ".join("".join(kept).split())


def blinded(transcript: Transcript) -> Dialogue:
    """Choose what a page may show of a transcript."""
    found = conversation_of(transcript)
    words = [
        word
        for part, utterance in enumerate(found.utterances)
        for word in _shown("user", part, utterance.shown)
    ]
    answers = sorted((*found.answers, *found.wordless), key=lambda answer: answer.start)
    messages = _says_messages(answers)
    for part, answer in enumerate(answers):
        shown = list(_shown("assistant", part, _parted(answer, messages=messages)))
        if shown and found.written(answer) != answer.shown:
            shown[-1] = replace(shown[-1], text=f"{shown[-1].text}—")
        words += shown
    return Dialogue(tuple(sorted(words, key=lambda word: word.start)))


def example_dialogue(lines: Sequence[Line]) -> Dialogue:
    """Make a dialogue of the lines of a design's worked example."""
    words = [
        word
        for part, line in enumerate(lines)
        for word in _shown(line.who, part, words_of([Piece(line.start, line.end, line.say)]))
    ]
    return Dialogue(tuple(sorted(words, key=lambda word: word.start)))


def _says_messages(answers: Iterable[Answer]) -> bool:
    """Tell whether each cycle says a message of its own: time slices do, streams do not.

    A tokenizer puts the blank before a word into the word's first token, but for the first word of
    a message. A stream of tokens that goes on through several cycles begins most of them with one.
    """
    borders = [
        (before, after)
        for answer in answers
        for before, after in pairwise(answer.pieces)
        if before.cycle != after.cycle
    ]
    blank = any(before.text[-1:].isspace() or after.text[:1].isspace() for before, after in borders)
    return len(borders) >= _ALL_MESSAGES and not blank


def _parted(answer: Answer, *, messages: bool) -> Iterator[spoken.Word]:
    """Yield the words of an answer; part those that its cycles ran together by a blank."""
    borders: dict[int, float] = {}  # letters before a border, and when the cycle after it begins
    letters, text = 0, ""
    for number, piece in enumerate(answer.pieces):
        new = number > 0 and piece.cycle != answer.pieces[number - 1].cycle
        if new and _run_together(text, piece.text, messages=messages):
            borders[letters] = piece.start
        text += piece.text
        letters += len("".join(piece.text.split()))
    first = 0
    for word in answer.shown:
        last = first + len("".join(word.text.split()))
        if first in borders and not word.blank:
            word = replace(word, blank=" ")
        for border in (border for border in borders if first < border < last):
            place = _place(word.text, border - first)
            at = min(max(borders[border], word.start), word.end)
            yield replace(word, end=at, text=word.text[:place])
            word = replace(word, start=at, text=word.text[place:], blank=" ")
            first = border
        yield word
        first = last


def _place(text: str, letters: int) -> int:
    """Find where the first `letters` characters of a text end; blanks are not counted."""
    place = 0
    while letters:
        letters -= not text[place].isspace()
        place += 1
    return place


def _shown(who: Who, part: int, words: Iterable[spoken.Word]) -> Iterator[Word]:
    """Yield words without control tokens and without characters that act."""
    held = list(words)
    texts = [" " * bool(word.blank) + word.text for word in held]
    gone = _tokens("".join(texts))
    place, blank, first = 0, False, True
    for word, text in zip(held, texts, strict=True):
        kept = (c for at, c in enumerate(text, place) if at not in gone and _is_shown(c))
        clean = " ".join("".join(kept).split())
        place += len(text)
        blank = blank or text.startswith(" ")
        if clean:
            yield Word(who, word.start, word.end, " " * (blank and not first) + clean, part)
            blank = first = False


def _tokens(text: str) -> set[int]:
    """Find the places of the characters of control tokens."""
    return {place for found in CONTROL_TOKEN.finditer(text) for place in range(*found.span())}


def _run_together(text: str, piece: str, *, messages: bool) -> bool:
    """Tell whether a cycle begins a word, or a sentence, at the very end of the last one's word."""
    end, begin = text[-1:], piece[:1]
    word = end.islower() or end in string.punctuation
    if messages and begin.isascii() and begin.isalnum():  # some scripts have no blanks
        word = word or (end.isascii() and end.isalnum())
        return word and end not in "-/'"
    return begin.isupper() and word and end not in "-/'"


def _is_shown(character: str) -> bool:
    """Tell whether a character is read; others act: controls, marks of direction, surrogates."""
    return character.isprintable() or character.isspace() or character in _JOINERS
