"""What a transcript says, read for drawing: who spoke when, what was decided and why.

Nothing here knows of colours or points. Times are seconds on the conversation's clock.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from duo.transcript import Label, Transcript, TranscriptEvent
from reports.figures.typeset import chunks, clean

#: Speech that pauses for no longer than this many seconds is drawn as one piece.
BREATH = 0.4

_STATE_TOKENS = re.compile(r"<[12]>|<idle>")


@dataclass(frozen=True)
class Word:
    """A word, with the blank before it if there is one, and when it was said."""

    start: float
    end: float
    text: str


@dataclass(frozen=True)
class Utterance:
    """One utterance of the user. `label` is None where nobody said what it is."""

    name: str
    label: Label | None
    category: str
    words: tuple[Word, ...]

    @property
    def start(self) -> float:
        return self.words[0].start

    @property
    def end(self) -> float:
        return max(word.end for word in self.words)


@dataclass(frozen=True)
class Answer:
    """One answer of the system.

    Attributes:
        end: when its last word was said; of one that was cut, when it was.
        outcome: "complete", "cut" (given up for something the user said) or "open" (nobody said
            that it ended: it stopped for longer than a cycle, or the recording stops in it).
        forgotten: the words from here on were dropped from the system's memory; None for none.
    """

    start: float
    end: float
    outcome: Literal["complete", "cut", "open"]
    words: tuple[Word, ...]
    forgotten: float | None = None


@dataclass(frozen=True)
class Decision:
    """What an utterance was taken for, and what was expected of it just before.

    Attributes:
        action: "respond" or "ignore".
        by: "state" (a state token), "patience" (silence alone), "slice", or "" if not said.
        expected: the last look-ahead before the decision, state tokens left out.
    """

    at: float
    action: Literal["respond", "ignore"]
    by: str
    expected: str = ""


@dataclass(frozen=True)
class Remark:
    """Words about the conversation that belong to a moment of it."""

    at: float
    text: str


@dataclass(frozen=True)
class Lanes:
    """A conversation, ready to be drawn. `system` is the name of who answers."""

    system: str
    seconds: float
    utterances: tuple[Utterance, ...]
    answers: tuple[Answer, ...]
    decisions: tuple[Decision, ...]
    forks: tuple[float, ...]
    revisions: tuple[Remark, ...]
    notes: tuple[Remark, ...]

    @cached_property
    def user_speech(self) -> list[tuple[float, float]]:
        """When the user speaks, `(start, end)` in order, breaths bridged."""
        return stretches(word for utterance in self.utterances for word in utterance.words)

    @cached_property
    def system_speech(self) -> list[tuple[float, float]]:
        """When the system speaks."""
        return stretches(word for answer in self.answers for word in answer.words)

    @cached_property
    def overlaps(self) -> list[tuple[float, float]]:
        """When both speak at once."""
        return [
            (max(a, c), min(b, d))
            for a, b in self.user_speech
            for c, d in self.system_speech
            if min(b, d) > max(a, c)
        ]

    @cached_property
    def interruptions(self) -> list[Utterance]:
        """The user's utterances that began while the system spoke."""
        return [
            utterance
            for utterance in self.utterances
            if any(start < utterance.start < end for start, end in self.system_speech)
        ]

    @cached_property
    def waits(self) -> list[tuple[float, float]]:
        """Silences between the end of a query and the answer to it."""
        found = []
        silent_since = 0.0
        for answer in self.answers:
            if not answer.words:
                continue
            asked = [u for u in self.utterances if u.end <= answer.start]
            if asked and asked[-1].label != "non_query" and asked[-1].end >= silent_since:
                found.append((asked[-1].end, answer.start))
            silent_since = answer.words[-1].end
        return found


def stretches(words: Iterable[Word]) -> list[tuple[float, float]]:
    """Uninterrupted stretches of speech, `(start, end)`, in order."""
    found: list[tuple[float, float]] = []
    for word in sorted(words, key=lambda word: word.start):
        if found and word.start <= found[-1][1] + BREATH:
            found[-1] = (found[-1][0], max(found[-1][1], word.end))
        else:
            found.append((word.start, word.end))
    return found


def words_of(pieces: Iterable[tuple[float, float, str]]) -> list[Word]:
    """Words of a text that came in pieces `(start, end, text)`, wherever the pieces were cut.

    Inside a piece time passes evenly from character to character. Joined, the words are the text,
    each run of blanks made one.
    """
    text, starts, ends = "", list[float](), list[float]()
    for start, end, piece in pieces:
        piece = clean(piece)
        share = (end - start) / max(len(piece), 1)
        starts += [start + share * n for n in range(len(piece))]
        ends += [start + share * (n + 1) for n in range(len(piece))]
        text += piece
    words = []
    position = 0
    for chunk in chunks(text):
        first = position + len(chunk) - len(chunk.lstrip())
        position += len(chunk)
        if first < position:
            blank = " " if chunk[0] == " " else ""
            times = round(starts[first], 3), round(ends[position - 1], 3)
            words.append(Word(*times, blank + chunk.lstrip()))
    return words


def read_lanes(transcript: Transcript) -> Lanes:
    """Read a transcript for drawing."""
    return Lanes(
        system=clean(transcript.header.system),
        seconds=transcript.seconds,
        utterances=tuple(_utterances(transcript)),
        answers=tuple(_answers(transcript)),
        decisions=tuple(_decisions(transcript)),
        forks=tuple(event.start for event in transcript.of("fork")),
        revisions=tuple(_remarks(transcript.of("revision"))),
        notes=tuple(_remarks(transcript.of("note"))),
    )


def _remarks(events: Iterable[TranscriptEvent]) -> Iterable[Remark]:
    return (Remark(event.start, clean(event.text).strip()) for event in events)


def _utterances(transcript: Transcript) -> list[Utterance]:
    heard: dict[str, list[TranscriptEvent]] = {}
    for word in transcript.of("word"):
        heard.setdefault(word.utterance, []).append(word)
    whole = {event.utterance: event for event in transcript.of("utterance")}
    found = []
    for name in heard | whole:
        event = whole.get(name)
        pieces = [(word.start, word.end, word.text) for word in heard.get(name, ())]
        if event is not None and not pieces:
            pieces = [(event.start, event.end, event.text)]
        if words := words_of(pieces):
            label, category = (event.label, event.category) if event else (None, "")
            found.append(Utterance(clean(name), label, clean(category), tuple(words)))
    return sorted(found, key=lambda utterance: utterance.start)


def _answers(transcript: Transcript) -> list[Answer]:
    pause = transcript.header.cycle_seconds
    answers: list[Answer] = []
    said: list[TranscriptEvent] = []
    for event in transcript.of("speech", "answer_end", "cut"):
        if said and event.kind == "speech" and event.start > said[-1].end + pause:
            answers.append(_answer(said, "open", said[-1].end))
            said = []
        if event.kind == "speech":
            said.append(event)
        elif event.kind == "answer_end":
            answers.append(_answer(said, "complete", event.end))
            said = []
        elif said:
            answers.append(_answer(said, "cut", event.end, forgotten=event.text))
            said = []
    if said:
        answers.append(_answer(said, "open", said[-1].end))
    return answers


def _answer(
    said: list[TranscriptEvent],
    outcome: Literal["complete", "cut", "open"],
    end: float,
    forgotten: str = "",
) -> Answer:
    words = tuple(words_of((event.start, event.end, event.text) for event in said))
    if not words:
        return Answer(end, end, outcome, ())
    end = max(end, words[-1].end) if outcome == "cut" else words[-1].end
    return Answer(words[0].start, end, outcome, words, _tail(words, forgotten))


def _tail(words: tuple[Word, ...], text: str) -> float | None:
    """When the tail `text` of the words begins."""
    left = len(text.strip())
    for word in reversed(words):
        if left <= 0:
            break
        left -= len(word.text)
        start = word.start
    return start if words and text.strip() else None


def _decisions(transcript: Transcript) -> list[Decision]:
    decisions = []
    expected: dict[int, str] = {}
    for event in transcript.of("fork", "predicted", "respond", "ignore"):
        if event.kind == "predicted":
            words = _STATE_TOKENS.sub("", clean(event.text))
            expected[event.cycle] = expected.get(event.cycle, "") + words
            continue
        if event.kind != "fork":
            last = list(expected.values())[-1].strip() if expected else ""
            action: Literal["respond", "ignore"] = (
                "respond" if event.kind == "respond" else "ignore"
            )
            decisions.append(Decision(event.start, action, event.by, last))
        expected = {}
    return decisions
