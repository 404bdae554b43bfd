"""Test what is refused, with file, line and field; what the recorder writes is read."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from duo.errors import BadInput
from duo.reading import read_conversation
from duo.transcript import read_scorable, transcript_files, write_transcript
from evaluation.interaction.events import outcomes_of
from tests.evaluation.interaction.talk import Talk, answered
from tests.reports.stories import chinese, hostile, interrupted, waiting
from tests.sessions.fakes import Answerer
from tests.sessions.talk import played, utterance

Lines = list[dict[str, Any]]


def good() -> Lines:
    """Line 1: header; 2: utterance; 3 and 4: words; 5: respond; 6 to 13: speech; 14: end."""
    talk = Talk()
    talk.user(1.0, 3.0)
    answered(talk, 4.0)
    return talk.lines()


def without_cycles(lines: Lines) -> None:
    """Nobody says what is one cycle, and a piece of speech lasts into the next."""
    for line in lines[1:]:
        del line["cycle"]
    lines[5]["end"] = 4.4


def test_the_good_one_is_good(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in good()), "utf-8")
    assert len(read_scorable(path).events) == 13


@pytest.mark.parametrize(
    ("change", "line", "field"),
    [
        (lambda ls: ls[0].update(schema_version=3), 1, "schema_version"),
        (lambda ls: ls[0].update(schema_version=True), 1, "schema_version"),
        (lambda ls: ls[0].pop("schema_version"), 1, "schema_version"),
        (lambda ls: ls[0].update(settings={"a": float("inf")}), 1, "not JSON"),
        (lambda ls: ls[0].update(cycle_seconds=1e-320), 1, "cycle_seconds"),
        (lambda ls: ls[0].pop("system"), 1, "system"),
        (lambda ls: ls[0].update(cycle_seconds=0), 1, "cycle_seconds"),
        (lambda ls: ls[0].update(type="head"), 1, "type"),
        (lambda ls: ls[1].pop("label"), 2, "label"),
        (lambda ls: ls[1].update(label="maybe"), 2, "label"),
        (lambda ls: ls[1].update(label="non_query", category="interruption"), 2, "label"),
        (lambda ls: ls[1].update(label="non_query", category="stop_request"), 2, "label"),
        (lambda ls: ls[1].update(end=0.5), 2, "end"),
        (lambda ls: ls[2].update(start=-1), 3, "start"),
        (lambda ls: ls[3].update(start=float("nan")), 4, "not JSON"),
        (lambda ls: ls[3].update(start="2"), 4, "start"),
        (lambda ls: ls[3].update(start=1.5), 4, "start"),  # the word before lasts until 2
        (lambda ls: ls[3].update(end=3.5), 4, "start"),  # outlives its utterance
        (lambda ls: ls[4].update(start=1.0), 5, "start"),  # out of order
        (lambda ls: ls[6].update(start=4.1, cycle=9), 7, "start"),  # two things at once
        (lambda ls: ls[5].update(end=9.0), 10, "start"),  # outlasts its cycle
        (without_cycles, 7, "start"),
        (lambda ls: ls[13].update(start=1e308, end=1e308), 14, "start"),
        (lambda ls: ls[7].update(kind="speach"), 8, "kind"),
        (lambda ls: ls[7].pop("end"), 8, "end"),
    ],
)
def test_what_cannot_be_scored_is_named(
    tmp_path: Path, change: Callable[[Lines], object], line: int, field: str
) -> None:
    lines = good()
    change(lines)
    path = tmp_path / "t.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    with pytest.raises(BadInput) as caught:
        read_scorable(path)
    assert str(caught.value).startswith(f"{path}:{line}: {field}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "line", "field"),
    [
        (lambda ls: ls[1].update(end=2.0), 3, "start"),  # passes would be counted twice
        (lambda ls: ls[1].update(forward_passes=10**400), 2, "forward_passes"),
        (lambda ls: ls[2].update(tokens_processed=-1), 3, "tokens_processed"),
    ],
)
def test_cycles_that_cannot_be_counted_are_named(
    tmp_path: Path, change: Callable[[Lines], object], line: int, field: str
) -> None:
    talk = Talk()
    talk.costs(0, 3)
    talk.user(2.5, 3.0)
    lines = talk.lines()
    change(lines)
    path = tmp_path / "t.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    with pytest.raises(BadInput) as caught:
        read_scorable(path)
    assert str(caught.value).startswith(f"{path}:{line}: {field}: ")


def test_pieces_of_one_span_may_share_it(tmp_path: Path) -> None:
    """As of a system that says several pieces in a slice, whether or not slices are numbered."""
    talk = Talk()
    talk.user(1.0, 3.0)
    for text in ("Why", " not", "?"):
        talk.add("speech", 4.0, 5.0, text=text)
    for event in talk.events:
        del event["cycle"]
    (answer,) = talk.conversation(tmp_path).answers
    assert [word.text for word in answer.words] == ["Why", "not?"]


@pytest.mark.parametrize("place", [0, 1, 6])
def test_half_of_a_character_is_named_and_not_written_out(tmp_path: Path, place: int) -> None:
    lines = good()
    lines[place]["system" if place == 0 else "text"] = "\ud83d"
    path = tmp_path / "t.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    with pytest.raises(BadInput, match=rf":{place + 1}: \w+: holds half of a UTF-16 pair"):
        read_scorable(path)
    lines[place]["system" if place == 0 else "text"] = "\ud83d\ude00"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    assert read_scorable(path)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", 1), ("{}\n", 1), ("[]\n", 1), ("nonsense\n", 1), ('{"type": "header"', 1),
        (json.dumps(good()[0]) + "\n\x1b[31m\n", 2), (json.dumps(good()[0]) + "\n[" * 2, 2),
    ],
)  # fmt: skip
def test_what_is_no_transcript_is_named(tmp_path: Path, text: str, line: int) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text(text, "utf-8")
    with pytest.raises(BadInput) as caught:
        read_scorable(path)
    assert str(caught.value).startswith(f"{path}:{line}: ")
    assert str(caught.value).isprintable()


def test_nobody_spoke(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text(json.dumps(good()[0]) + "\n", "utf-8")
    with pytest.raises(BadInput, match="no utterance"):
        read_scorable(path)


def test_the_user_cannot_say_two_things_but_others_can_speak(tmp_path: Path) -> None:
    talk = Talk()
    talk.user(1.0, 3.0)
    talk.user(2.0, 4.0, "non_query", "background")
    assert len(talk.conversation(tmp_path).utterances) == 2
    talk.user(2.5, 3.5)
    with pytest.raises(BadInput, match="still saying"):
        talk.conversation(tmp_path)


@pytest.mark.parametrize("story", [interrupted, waiting, chinese, hostile])
def test_the_recorder_s_transcripts_are_read(tmp_path: Path, story: Callable[[], Any]) -> None:
    path = tmp_path / "t.jsonl"
    transcript = story()
    write_transcript(path, transcript)
    found = read_conversation(path)
    assert [u.name for u in found.utterances] == [e.utterance for e in transcript.of("utterance")]
    spoken = "".join("".join(e.text for e in transcript.of("speech")).split())
    said = "".join(word.text for answer in found.answers for word in answer.words)
    assert "".join(said.split()) == spoken


@given(
    queries=st.lists(st.booleans(), min_size=1, max_size=5),
    gaps=st.lists(st.floats(0.0, 6.0), min_size=5, max_size=5),
    words=st.integers(1, 40),
    decides=st.booleans(),
)
@settings(deadline=None, derandomize=True, max_examples=25)
def test_whatever_is_played_can_be_scored(
    tmp_path_factory: pytest.TempPathFactory,
    queries: list[bool],
    gaps: list[float],
    words: int,
    decides: bool,
) -> None:
    said = [
        utterance(
            f"u{n}", "one two three?" if query else "no no", query=query,
            **({"at": 1.0} if n == 0 else {"after_previous": gaps[n]}),
        )
        for n, query in enumerate(queries)
    ]  # fmt: skip
    path = tmp_path_factory.mktemp("played") / "t.jsonl"
    write_transcript(path, played(Answerer(words=words, decides=decides), *said))
    outcomes = list(outcomes_of(read_conversation(path)))
    assert {o.utterance for o in outcomes} <= {f"u{n}" for n in range(len(queries))}
    assert all(o.response is None or o.response.seconds >= 0 for o in outcomes)
    assert all(o.stop is None or (o.overlapped and o.stop.seconds > 0) for o in outcomes)


def test_files_and_folders(tmp_path: Path) -> None:
    talks = [Talk(scenario=name) for name in ("b", "a")]
    paths = [talk.write(tmp_path) for talk in talks]
    assert transcript_files([tmp_path]) == sorted(paths)
    assert transcript_files([paths[0], tmp_path]) == [paths[0], paths[1]]
    (tmp_path / "link").symlink_to(tmp_path / "duo")
    twice = [paths[0], tmp_path / "duo" / ".." / "duo" / paths[0].name, tmp_path / "link"]
    assert transcript_files(twice) == [paths[0], tmp_path / "link" / paths[1].name]
    (tmp_path / "empty").mkdir()
    for wrong in (tmp_path / "empty", tmp_path / "nothing"):
        with pytest.raises(BadInput, match=wrong.name):
            transcript_files([wrong])


def test_machine_time_comes_from_the_manifest(tmp_path: Path) -> None:
    talk = Talk()
    talk.user(1.0, 3.0)
    talk.costs(0, 6)
    answered(talk, 4.0)
    path = talk.write(tmp_path)
    entry = {"machine_seconds": 2.0, "forward_passes": 20}
    manifest = {"transcripts": {path.relative_to(tmp_path).as_posix(): entry}}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest), "utf-8")
    (found,) = outcomes_of(read_conversation(path))
    assert found.response is not None
    assert found.response.forward_passes == 5
    assert found.response.machine_ms == 500
    (tmp_path / "manifest.json").write_text('{"transcripts": []}', "utf-8")
    assert read_conversation(path).seconds_per_pass is None
