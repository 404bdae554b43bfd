"""Prepare a conversation for drawing: text without control characters, breaths bridged."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from duo.speech import (
    Answer,
    Conversation,
    Decision,
    Interval,
    Remark,
    Utterance,
    Word,
    bridge_breaths,
    conversation_of,
)
from duo.table import clean
from duo.transcript import Transcript

#: Speech that pauses for no longer than this many seconds is drawn as one piece.
BREATH = 0.4


def read_shown(transcript: Transcript) -> Conversation:
    """Read a transcript with text that can be drawn."""
    found = conversation_of(transcript)
    return replace(
        found,
        system=clean(found.system),
        utterances=tuple(_utterance(utterance) for utterance in found.utterances),
        answers=tuple(_answer(answer) for answer in found.answers),
        wordless=tuple(_answer(answer) for answer in found.wordless),
        decisions=tuple(_decision(decision) for decision in found.decisions),
        revisions=_remarks(found.revisions),
        notes=_remarks(found.notes),
    )


def stretches(words: Iterable[Word]) -> list[Interval]:
    """Stretches of speech as they are drawn."""
    return bridge_breaths(((word.start, word.end) for word in words), BREATH)


def _utterance(said: Utterance) -> Utterance:
    return replace(
        said, name=clean(said.name), text=clean(said.text), category=clean(said.category),
        words=_words(said.words), signs=_words(said.signs),
    )  # fmt: skip


def _answer(answer: Answer) -> Answer:
    return replace(answer, words=_words(answer.words), signs=_words(answer.signs))


def _words(words: Iterable[Word]) -> tuple[Word, ...]:
    return tuple(replace(word, text=clean(word.text)) for word in words)


def _decision(decision: Decision) -> Decision:
    return replace(decision, by=clean(decision.by), expected=clean(decision.expected))


def _remarks(remarks: Iterable[Remark]) -> tuple[Remark, ...]:
    return tuple(replace(remark, text=clean(remark.text)) for remark in remarks)
