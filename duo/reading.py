"""Read a transcript as a `duo.speech.Conversation`, by one rule for all.

- **Words** and when they are said: see `duo.words`.
- **Utterances** of the user are those that the transcript names, with the words heard of each, or
  spoken evenly if no word was timed. Words of an utterance that the recording ends in are one too.
- **Answers** end with `answer_end` or `cut`, or when the next `respond` replaces them. A system
  that reports no decisions (`fork`, `respond`, `ignore`) marks no such boundary, so there an answer
  also ends with a silence of `BREATH` seconds (of a cycle, if that is longer), and where a query
  ends: what is spoken after a query by a system that never says what it is doing counts as the
  reply, as it does in Full-Duplex-Bench (arXiv 2503.04721); after a silence of `SHORTEST_PAUSE` (of
  a cycle) it is one, else the system may have spoken on (`Answer.seamless`).
- **Signs alone** ("...", a pictogram) are no words, so that they are no speech and no answer
  either. They are kept, to be shown, in `signs` and `Conversation.wordless`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from duo.errors import BadInput
from duo.files import read_json
from duo.runs import MANIFEST
from duo.speech import (
    SHORTEST_PAUSE,
    Answer,
    Conversation,
    Cycle,
    Decision,
    Ending,
    Remark,
    Utterance,
)
from duo.transcript import TOLERANCE, Transcript, TranscriptEvent, read_scorable
from duo.words import BREATH, Piece, Word, joined, words_and_signs, words_of

_DECISIONS = frozenset({"fork", "respond", "ignore"})
_STATE_TOKENS = re.compile(r"<[12]>|<idle>")


def read_conversation(path: Path) -> Conversation:
    """Read anybody's transcript for scoring, with machine time from the manifest beside it.

    Raises:
        BadInput: see `duo.transcript.read_scorable`.
    """
    found = conversation_of(read_scorable(path))
    return replace(found, file=str(path), seconds_per_pass=seconds_per_pass(Path(path)))


def conversation_of(transcript: Transcript) -> Conversation:
    """Read a transcript; the module says by what rule."""
    header = transcript.header
    utterances = _utterances(transcript)
    decides = any(event.kind in _DECISIONS for event in transcript.events)
    answers = _answers(transcript, utterances, decides=decides)
    return Conversation(
        system=header.system,
        model=header.model,
        scenario=header.scenario,
        control_of=header.control_of,
        settings=header.settings,
        cycle_seconds=header.cycle_seconds,
        seconds=transcript.seconds,
        utterances=utterances,
        answers=tuple(answer for answer in answers if answer.words),
        wordless=tuple(answer for answer in answers if not answer.words),
        decisions=tuple(_decisions(transcript)),
        forks=tuple(event.start for event in transcript.of("fork")),
        revisions=tuple(_remarks(transcript.of("revision"))),
        notes=tuple(_remarks(transcript.of("note"))),
        cycles=tuple(
            Cycle(event.start, event.end, event.forward_passes or 0, event.tokens_processed or 0)
            for event in transcript.of("cycle")
        ),
        decides=decides,
        dropped_words=_dropped_words(transcript.events),
    )


def _utterances(transcript: Transcript) -> tuple[Utterance, ...]:
    """List the user's utterances in order."""
    heard: dict[str, list[Piece]] = {}
    for event in transcript.of("word"):
        heard.setdefault(event.utterance, []).append(_piece(event))
    found = []
    for event in transcript.of("utterance"):
        pieces = heard.pop(event.utterance, None) or [_piece(event)]
        words, signs = words_and_signs(pieces)
        about = event.utterance, event.start, event.end, event.text, event.label, event.category
        found.append(Utterance(*about, words, signs))
    for name, pieces in heard.items():  # nobody said what it is
        words, signs = words_and_signs(pieces)
        if shown := words or signs:
            start, end = shown[0].start, max(word.end for word in shown)
            found.append(Utterance(name, start, end, joined(shown), None, "", words, signs))
    return tuple(sorted(found, key=lambda utterance: utterance.start))


def _piece(event: TranscriptEvent) -> Piece:
    return Piece(event.start, event.end, event.text, event.cycle)


def _answers(
    transcript: Transcript, utterances: Iterable[Utterance], *, decides: bool
) -> list[Answer]:
    """Divide what the system said into answers, in order; those without words among them."""
    cycle_seconds = transcript.header.cycle_seconds
    gap, pause = max(cycle_seconds, BREATH), max(cycle_seconds, SHORTEST_PAUSE)
    query_ends = [u.end for u in utterances if u.label == "query"]
    answers: list[Answer] = []
    said: list[Piece] = []
    seamless = False

    def close(ending: Ending, at: float, forgotten: str = "", *, limited: bool = False) -> None:
        nonlocal said, seamless
        words, signs = words_and_signs(said)
        shown = words or signs
        if shown or ending == "complete":
            ended = at if ending == "cut" or not shown else shown[-1].end
            since = _tail(shown, forgotten)
            more = since, seamless, signs, limited
            answers.append(Answer(words, tuple(said), ending, ended, *more))
        said, seamless = [], False

    for event in transcript.events:
        if event.kind == "speech":
            if said and not decides:
                silence = event.start - said[-1].end + TOLERANCE
                asked = any(said[-1].start < end <= event.start for end in query_ends)
                if silence >= gap or asked:
                    close("open", said[-1].end)
                    seamless = silence < pause
            said.append(_piece(event))
        elif event.kind == "answer_end":
            close("complete", event.start, limited=event.by == "limit")
        elif event.kind == "respond":
            close("cut", event.start)
        elif event.kind == "cut" and said:
            close("cut", event.start, event.text)
        elif event.kind == "cut" and answers and answers[-1].ended == event.start:
            # What the response replaced: it says afterwards what was forgotten of that.
            since = _tail(answers[-1].shown, event.text)
            answers[-1] = replace(answers[-1], forgotten=since)
    close("open", 0.0)
    return sorted(answers, key=lambda answer: answer.start)


def _tail(words: Sequence[Word], text: str) -> float | None:
    """Find when the tail `text` of the words begins; None if it is empty."""
    left = sum(not character.isspace() for character in text)
    start = None
    for word in reversed(words):
        if left <= 0:
            break
        left -= sum(not character.isspace() for character in word.text)
        start = word.start
    return start


def _decisions(transcript: Transcript) -> Iterator[Decision]:
    expected: dict[int, str] = {}
    for event in transcript.of("fork", "predicted", "respond", "ignore"):
        if event.kind == "predicted":
            words = _STATE_TOKENS.sub("", event.text)
            expected[event.cycle] = expected.get(event.cycle, "") + words
            continue
        if event.kind != "fork":
            last = " ".join(list(expected.values())[-1].split()) if expected else ""
            action: Literal["respond", "ignore"] = (
                "respond" if event.kind == "respond" else "ignore"
            )
            yield Decision(event.start, action, event.by, last, event.utterance)
        expected = {}


def _remarks(events: Iterable[TranscriptEvent]) -> Iterator[Remark]:
    return (Remark(event.start, event.text.strip()) for event in events)


def _dropped_words(events: Iterable[TranscriptEvent]) -> int | None:
    """Count words that the system expected to hear and threw away; None if it expects nothing.

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


def seconds_per_pass(transcript: Path) -> float | None:
    """Read how many seconds a forward pass took on average; None if nobody wrote it down.

    `manifest.json` in the transcript's folder or the one above says how long the system computed in
    each recording (`machine_seconds`) and how many passes that were. Of conversations held at once
    it does not: their time cannot be told apart.
    """
    file = transcript.resolve()
    for folder in (file.parent, file.parent.parent):
        try:
            manifest = read_json(folder / MANIFEST)
            entry = manifest["transcripts"][file.relative_to(folder).as_posix()]
            seconds, passes = float(entry["machine_seconds"]), float(entry["forward_passes"])
        except (BadInput, ValueError, LookupError, TypeError):
            continue
        return seconds / passes if passes > 0 and 0 < seconds < float("inf") else None
    return None
