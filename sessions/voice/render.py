"""Render what was said in a conversation as sound, in step with its words: one channel a side."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from duo.speech import Conversation
from duo.words import Word, joined
from sessions.voice.mix import at_level
from sessions.voice.recogniser import RATE, Sound
from sessions.voice.spoken import say_within
from sessions.voice.voices import Voice

#: A silence of this length (seconds) parts clauses; so does a mark at a word's end.
_GAP = 0.3
_MARKS = (*".,;:!?…。！？：；，、",)
#: Seconds in which a voice falls silent that is cut short.
_FADE = 0.05


def system_channel(conversation: Conversation, voice: Voice) -> Sound:
    """Let a voice say the system's words at their times.

    Each clause begins with its first word, or when the one before is over, and is said as fast as
    it was spoken, if the voice can. An answer that was given up is cut off at that moment.
    """
    return say_parts(
        [
            (answer.words, answer.ended if answer.ending == "cut" else None)
            for answer in conversation.answers
        ],
        voice,
    )


def say_parts(parts: Iterable[tuple[Sequence[Word], float | None]], voice: Voice) -> Sound:
    """Let a voice say words at their times: of each part, and when it is cut off, if it is."""
    placed = [
        (round(start * RATE), sound)
        for words, until in parts
        for start, sound in _said(words, voice, until)
    ]
    channel = np.zeros(max((at + len(sound) for at, sound in placed), default=0), np.float32)
    for at, sound in placed:
        channel[at : at + len(sound)] += sound
    return channel


def _said(words: Sequence[Word], voice: Voice, until: float | None) -> list[tuple[float, Sound]]:
    parts: list[tuple[float, Sound]] = []
    free = 0.0
    for clause in _clauses(words):
        start, end = max(clause[0].start, free), clause[-1].end
        if until is not None and start >= until:
            break
        seconds = max(end - start, 0.1)
        sound = at_level(say_within(voice, joined(clause), seconds))
        if until is not None:
            sound = _cut_off(sound, until - start)
        parts.append((start, sound))
        free = start + len(sound) / RATE
    return parts


def _clauses(words: Iterable[Word]) -> list[list[Word]]:
    clauses: list[list[Word]] = []
    for word in words:
        last = clauses[-1][-1] if clauses else None
        if last is None or last.text.endswith(_MARKS) or word.start - last.end >= _GAP:
            clauses.append([])
        clauses[-1].append(word)
    return clauses


def _cut_off(sound: Sound, seconds: float) -> Sound:
    count = round(seconds * RATE)
    if len(sound) <= count:
        return sound
    kept = sound[:count].copy()
    fade = min(round(_FADE * RATE), count)
    kept[count - fade :] *= np.linspace(1, 0, fade, dtype=np.float32)
    return kept
