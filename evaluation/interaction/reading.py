"""From a transcript's events to a `Conversation`: words joined, answers told apart."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from evaluation.interaction.conversation import (
    BREATH,
    SHORTEST_PAUSE,
    Answer,
    Conversation,
    Cycle,
    Ending,
    Utterance,
)
from evaluation.interaction.machine import seconds_per_pass
from evaluation.interaction.transcripts import TOLERANCE, Event, read_events
from evaluation.interaction.words import Piece, words_of

_DECISIONS = frozenset({"fork", "respond", "ignore"})
_STATE_TOKENS = re.compile(r"<[12]>|<idle>")


def read_conversation(path: Path) -> Conversation:
    """Read a transcript for scoring.

    Raises:
        BadInput: see `evaluation.interaction.transcripts.read_events`.
    """
    header, events = read_events(path)
    utterances = utterances_of(events)
    decides = any(event.kind in _DECISIONS for event in events)
    return Conversation(
        file=path,
        system=header.system,
        model=header.model,
        scenario=header.scenario,
        settings=header.settings,
        cycle_seconds=header.cycle_seconds,
        utterances=utterances,
        answers=tuple(
            answers_of(
                events,
                decides=decides,
                gap=max(header.cycle_seconds, BREATH),
                pause=max(header.cycle_seconds, SHORTEST_PAUSE),
                query_ends=[u.end for u in utterances if u.label == "query"],
            )
        ),
        cycles=tuple(
            Cycle(event.start, event.end, event.forward_passes or 0, event.tokens_processed or 0)
            for event in events
            if event.kind == "cycle"
        ),
        ignored=tuple(event.start for event in events if event.kind == "ignore"),
        decides=decides,
        dropped_words=_dropped_words(events),
        seconds_per_pass=seconds_per_pass(path),
    )


def utterances_of(events: Iterable[Event]) -> tuple[Utterance, ...]:
    """The user's utterances in order; one whose words nobody timed is spoken evenly."""
    pieces: dict[str, list[Piece]] = {}
    whole: list[Event] = []
    for event in events:
        if event.kind == "word":
            piece = Piece(event.start, event.end, event.text)
            pieces.setdefault(event.utterance, []).append(piece)
        elif event.kind == "utterance":
            whole.append(event)
    return tuple(
        Utterance(
            name=event.utterance,
            start=event.start,
            end=event.end,
            text=event.text,
            label=event.label or "non_query",
            category=event.category,
            words=words_of(
                pieces.get(event.utterance) or [Piece(event.start, event.end, event.text)]
            ),
        )
        for event in whole
    )


def answers_of(
    events: Iterable[Event],
    *,
    decides: bool,
    gap: float,
    pause: float,
    query_ends: Sequence[float],
) -> list[Answer]:
    """What the system said, answer by answer.

    An answer ends with `answer_end` or `cut`, or when the next `respond` replaces it. A system that
    reports no decisions (`decides`) marks no such boundary, so there an answer also ends with a
    silence of `gap` seconds, and where a query ends: what is spoken after a query by a system that
    never says what it is doing counts as the reply, as it does in Full-Duplex-Bench; after a
    silence of `pause` seconds it is one, else the system may have spoken on (`Answer.seamless`).
    """
    answers: list[Answer] = []
    said: list[Event] = []
    seamless = False

    def close(ending: Ending, at: float) -> None:
        nonlocal said, seamless
        words = words_of(Piece(event.start, event.end, event.text) for event in said)
        if words:
            tokens = tuple((event.start, event.end) for event in said)
            ended = at if ending == "cut" else words[-1].end
            answers.append(Answer(words, tokens, ending, ended, seamless))
        said, seamless = [], False

    for event in events:
        if event.kind == "speech":
            if said and not decides:
                silence = event.start - said[-1].end + TOLERANCE
                asked = any(said[-1].start < end <= event.start for end in query_ends)
                if silence >= gap or asked:
                    close("open", said[-1].end)
                    seamless = silence < pause
            said.append(event)
        elif event.kind == "answer_end":
            close("complete", event.start)
        elif event.kind in ("cut", "respond"):
            close("cut", event.start)
    close("open", 0.0)
    return sorted(answers, key=lambda answer: answer.start)


def _dropped_words(events: Iterable[Event]) -> int | None:
    """Words that the system expected to hear and threw away; None if it expects nothing.

    The look-ahead before a response by state token is not thrown away: it completes the query.
    """
    dropped, kept_back, any_at_all = 0, 0, False
    for event in events:
        if event.kind == "predicted":
            any_at_all = True
            dropped += kept_back
            kept_back = len(words_of([Piece(0, 0, _STATE_TOKENS.sub(" ", event.text))]))
        elif event.kind == "respond" and event.by == "state":
            kept_back = 0
    return dropped + kept_back if any_at_all else None
