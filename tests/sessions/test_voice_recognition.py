"""Check word errors against an exhaustive count, and what a transcript says of them."""

from __future__ import annotations

from functools import lru_cache

from hypothesis import given, settings
from hypothesis import strategies as st

from duo.transcript import Header, Transcript, TranscriptEvent
from duo.words import Piece
from sessions.voice.recognition import WordErrors, errors_of, word_errors

some_words = st.lists(st.sampled_from("abc"), max_size=6)


def pieces(words: list[str], late: float = 0.0) -> list[Piece]:
    return [Piece(n + late, n + late + 1, f" {word}") for n, word in enumerate(words)]


def fewest_changes(one: tuple[str, ...], other: tuple[str, ...]) -> int:
    @lru_cache
    def count(a: int, b: int) -> int:
        if not a or not b:
            return a + b
        same = count(a - 1, b - 1) + (one[a - 1] != other[b - 1])
        return min(same, count(a - 1, b) + 1, count(a, b - 1) + 1)

    return count(len(one), len(other))


@settings(max_examples=300, deadline=None, derandomize=True)
@given(said=some_words, heard=some_words)
def test_errors_are_the_fewest_changes(said: list[str], heard: list[str]) -> None:
    found = word_errors(pieces(said), pieces(heard, late=2.0))
    assert found.wrong == fewest_changes(tuple(said), tuple(heard))
    assert found.words == len(said)
    assert len(found.delays) >= max(len(said), len(heard)) - found.wrong
    if said == heard:
        assert found.delays == (2.0,) * len(said)


def test_case_marks_and_how_text_was_cut_make_no_error() -> None:
    said = [Piece(0, 1, "Jet-lag,"), Piece(1, 2, " it’s 好吃。")]
    heard = [Piece(0, 1, "jet"), Piece(1, 2, " LAG"), Piece(1, 3, " it's"), Piece(3, 4, "好"),
             Piece(4, 5, "吃")]  # fmt: skip
    assert word_errors(said, heard) == WordErrors(5, 0, (0.0, 1.0, 1.0, 2.0, 3.0))


def test_a_revision_replaces_what_was_recognised_of_its_utterance() -> None:
    def event(kind: str, start: float, end: float, text: str, name: str) -> TranscriptEvent:
        more = {"label": "query", "category": "question"} if kind == "utterance" else {}
        return TranscriptEvent.model_validate(
            {"kind": kind, "start": start, "end": end, "text": text, "utterance": name, **more}
            | {"channel": "input", "cycle": 0}
        )

    events = [
        event("utterance", 0.0, 2.0, "one two", "a"),
        event("word", 0.0, 1.0, "one", "a"),
        event("recognised", 0.0, 3.0, "one", "a"),
        event("word", 1.0, 2.0, " two", "a"),
        event("recognised", 1.0, 3.0, " too", "a"),
        event("utterance", 3.0, 4.0, "three", "b"),
        event("word", 3.0, 4.0, "three", "b"),
        event("revision", 4.0, 4.0, "one two", "a"),
    ]
    header = Header(system="s", model="m", scenario="x", cycle_seconds=1.0)
    found = list(errors_of(Transcript(header=header, events=tuple(events))))
    assert found == [
        ("question", WordErrors(2, 0, (2.0, 2.0))),
        ("question", WordErrors(1, 1, ())),
    ]
    assert WordErrors.together(errors for _, errors in found) == WordErrors(3, 1, (2.0, 2.0))
