"""Transcript files: what is written is read, and what is wrong is named."""

from __future__ import annotations

import json
import random
import signal
from contextlib import nullcontext
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duo.errors import BadInput
from duo.transcript import (
    SCHEMA,
    Header,
    Transcript,
    TranscriptEvent,
    read_scorable,
    read_transcript,
    transcripts_below,
    write_transcript,
)

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)  # fmt: skip
HEADERS = st.builds(
    Header,
    system=TEXT,
    model=TEXT,
    scenario=TEXT,
    scenario_sha256=TEXT,
    language=st.sampled_from(["en", "zh"]),
    seed=st.integers(),
    clock=st.sampled_from(["simulated", "real-time"]),
    cycle_seconds=st.floats(0.001, 10),
    settings=st.dictionaries(TEXT, JSON, max_size=3),
    versions=st.dictionaries(TEXT, TEXT, max_size=3),
)
KINDS = {
    "input": ["utterance", "word", "revision", "fork", "predicted", "respond", "ignore"],
    "output": ["speech", "answer_end", "cut", "note"],
    "system": ["cycle", "note"],
}


@st.composite
def events(draw: st.DrawFn) -> TranscriptEvent:
    channel = draw(st.sampled_from(sorted(KINDS)))
    start = draw(st.floats(0, 1000))
    return TranscriptEvent(
        start=start,
        end=start + draw(st.floats(0, 10)),
        channel=channel,  # type: ignore[arg-type]
        kind=draw(st.sampled_from(KINDS[channel])),
        cycle=draw(st.integers(0, 1000)),
        text=draw(TEXT),
        utterance=draw(TEXT),
        label=draw(st.sampled_from([None, "query", "non_query"])),
        category=draw(TEXT),
        by=draw(TEXT),
        forward_passes=draw(st.none() | st.integers(0, 9)),
        tokens_processed=draw(st.none() | st.integers(0, 9)),
    )


@st.composite
def transcripts(draw: st.DrawFn) -> Transcript:
    found = sorted(draw(st.lists(events(), max_size=6)), key=lambda event: event.start)
    return Transcript(header=draw(HEADERS), events=tuple(found))


@given(transcripts())
def test_what_is_written_is_read(tmp_path_factory: Any, transcript: Transcript) -> None:
    folder = tmp_path_factory.mktemp("transcripts")
    write_transcript(folder / "a.jsonl", transcript)
    assert read_transcript(folder / "a.jsonl") == transcript
    write_transcript(folder / "b.jsonl", read_transcript(folder / "a.jsonl"))
    assert (folder / "b.jsonl").read_bytes() == (folder / "a.jsonl").read_bytes()


HEADER = {
    "type": "header",
    "schema_version": SCHEMA,
    "system": "duo",
    "model": "m",
    "scenario": "s",
    "cycle_seconds": 1.0,
}
WORD = {"start": 1.0, "end": 1.5, "channel": "input", "kind": "word", "cycle": 2, "text": "好"}


def test_bytes_have_fixed_order_and_no_defaults(tmp_path: Path) -> None:
    header = Header(
        system="duo", model="m", scenario="s", cycle_seconds=1.0, settings={"b": {"d": 1, "c": 2}},
        versions={"torch": "2", "duo": "1"},
    )  # fmt: skip
    event = TranscriptEvent.model_validate(dict(reversed(WORD.items())))
    write_transcript(tmp_path / "a.jsonl", Transcript(header=header, events=(event,)))
    assert (tmp_path / "a.jsonl").read_text(encoding="utf-8") == (
        '{"type": "header", "schema_version": 2, "system": "duo", "model": "m", "scenario": "s", '
        '"cycle_seconds": 1.0, "settings": {"b": {"c": 2, "d": 1}}, '
        '"versions": {"duo": "1", "torch": "2"}}\n'
        '{"start": 1.0, "end": 1.5, "channel": "input", "kind": "word", "cycle": 2, "text": "好"}\n'
    )


def test_a_signal_while_it_is_written_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("duo.transcript.whole_file", lambda _: nullcontext(StringIO()))
    settings = {f"setting {number}": {"of": [1, "x", None]} for number in range(40)}
    header = Header(system="a", model="m", scenario="s", cycle_seconds=1.0, settings=settings)
    transcript = Transcript(header=header, events=())
    fired, draw = 0, random.Random(0)

    def interrupt(*_: object) -> None:
        nonlocal fired
        fired += 1
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    caught = 0
    try:
        for _ in range(60):
            try:
                signal.setitimer(signal.ITIMER_REAL, draw.uniform(1e-4, 2e-3))
                for _ in range(20):
                    write_transcript(Path("talk.jsonl"), transcript)
                signal.setitimer(signal.ITIMER_REAL, 0)
            except KeyboardInterrupt:
                caught += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert caught == fired > 0


def lines(*contents: Any) -> bytes:
    """A file of these lines; a dict is written as JSON."""
    written = [json.dumps(c) if isinstance(c, dict) else c for c in contents]
    return "".join(f"{line}\n" for line in written).encode()


@pytest.mark.parametrize(
    ("content", "line", "field", "message"),
    [
        (b"", 1, None, "empty"),
        (lines(WORD), 1, "type", "must be the header"),
        (lines(HEADER | {"schema_version": 3}), 1, "schema_version", "newer"),
        (lines(HEADER | {"schema_version": 0}), 1, "schema_version", "no version"),
        (lines(HEADER | {"schema_version": True}), 1, "schema_version", "no version"),
        (lines(HEADER | {"schema_version": "1"}), 1, "schema_version", "no version"),
        (lines(HEADER | {"model": 3}), 1, "model", "valid string"),
        (lines(HEADER | {"cycle_seconds": 0}), 1, "cycle_seconds", "0.001"),
        (lines(HEADER | {"mood": "good"}), 1, "mood", "not a field"),
        (lines(HEADER | {"a\x1b[31mb": 1}), 1, r"a\x1b[31mb", "not a field"),
        (lines(HEADER, HEADER), 2, None, "second header"),
        (lines(HEADER, WORD, WORD | {"start": 0.5}), 3, "start", "earlier than the event before"),
        (lines(HEADER, WORD | {"end": 0.5}), 2, "end", "before the start"),
        (lines(HEADER, WORD | {"start": -1}), 2, "start", "greater than or equal to 0"),
        (lines(HEADER, WORD | {"kind": "yell"}), 2, "kind", "'utterance'"),
        (lines(HEADER, WORD | {"kind": "speech"}), 2, "kind", "not of the channel input"),
        (lines(HEADER, WORD | {"cycle": None}), 2, "cycle", "integer"),
        (lines(HEADER, {"start": 1.0}), 2, "end", "missing"),
        (lines(HEADER, '{"start": NaN}'), 2, None, "not JSON"),
        (lines(HEADER, "[1, 2]"), 2, None, "not a JSON object"),
        (lines(HEADER, "[" * 100_000), 2, None, "not JSON"),
        (lines(HEADER) + b"\xff\xfe\n", 2, None, "not UTF-8"),
        (lines(HEADER, WORD, WORD)[:-30], 3, None, "cut off"),
        (lines(HEADER)[:-30], 1, None, "cut off"),
    ],
)
def test_a_mistake_is_named(
    tmp_path: Path, content: bytes, line: int, field: str | None, message: str
) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(content)
    with pytest.raises(BadInput) as caught:
        read_transcript(path)
    assert (caught.value.file, caught.value.line, caught.value.field) == (path, line, field)
    assert message in caught.value.message
    assert str(caught.value).isprintable()


@given(st.data(), transcripts())
def test_a_damaged_file_is_read_or_refused(
    tmp_path_factory: Any, data: st.DataObject, transcript: Transcript
) -> None:
    path = tmp_path_factory.mktemp("damaged") / "a.jsonl"
    write_transcript(path, transcript)
    whole = path.read_bytes()
    at = data.draw(st.integers(0, len(whole) - 1))
    path.write_bytes(whole[:at] + data.draw(st.binary(max_size=3)) + whole[at + 1 :])
    try:
        read_transcript(path)
    except BadInput as error:
        refusal = str(error)
    else:
        return
    assert refusal.isprintable()


def test_a_byte_order_mark_and_blank_lines_are_read_over(tmp_path: Path) -> None:
    said = {**WORD, "kind": "utterance", "label": "query"}
    for name, content in (("a", lines(HEADER, said)), ("b", lines("", HEADER, "", said, " "))):
        (tmp_path / name).write_bytes(b"\xef\xbb\xbf" + content)
    for read in (read_transcript, read_scorable):
        assert read(tmp_path / "a") == read(tmp_path / "b")
        assert len(read(tmp_path / "a").events) == 1


def test_a_line_break_of_another_kind_is_text(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    event = WORD | {"text": "a\u2028b\x85c\r\nd"}
    write_transcript(
        path,
        Transcript(
            header=Header.model_validate(HEADER), events=(TranscriptEvent.model_validate(event),)
        ),
    )
    assert read_transcript(path).events[0].text == "a\u2028b\x85c\r\nd"


def test_a_file_that_is_not_there_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="No such file"):
        read_transcript(tmp_path / "none.jsonl")
    with pytest.raises(BadInput, match="directory"):
        read_transcript(tmp_path)


def test_a_transcript_out_of_order_cannot_be_made() -> None:
    early, late = (
        TranscriptEvent.model_validate(WORD | {"start": start, "end": 9.0}) for start in (1.0, 2.0)
    )
    header = Header.model_validate(HEADER)
    assert Transcript(header=header, events=(early, late)).seconds == 9.0
    with pytest.raises(ValueError, match="earlier"):
        Transcript(header=header, events=(late, early))


# Which files below a folder are taken for transcripts.


def test_what_is_meant_as_a_transcript_is_found_below_a_folder(tmp_path: Path) -> None:
    (tmp_path / "duo").mkdir()
    kinds = {
        "duo/talk.jsonl": '{"type": "header", "schema_version": 1}',
        "duo/foreign.jsonl": '{"schema_version": 1, "system": "x"}',
        "headless.jsonl": '{"start": 0, "end": 1, "kind": "speech"}',
        "broken.jsonl": "{",
        "empty.jsonl": "",
        "blank.jsonl": "{}",
        "items.jsonl": '{"id": "validation/1", "score": 0.0}',
        "notes.txt": '{"type": "header"}',
    }
    for name, text in kinds.items():
        (tmp_path / name).write_text(text + "\n")
    found = [str(path.relative_to(tmp_path)) for path in transcripts_below(tmp_path)]
    assert found == [
        "blank.jsonl", "broken.jsonl", "duo/foreign.jsonl", "duo/talk.jsonl", "empty.jsonl",
        "headless.jsonl",
    ]  # fmt: skip
