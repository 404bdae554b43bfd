"""Full-Duplex-Bench v1's folders: its rules on our export give our numbers, and back again."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from duo.errors import BadInput
from duo.speech import Conversation
from duo.transcript import read_transcript
from duo.words import Word
from evaluation.fdb import (
    TASKS,
    Sample,
    Task,
    export,
    import_all,
    read_sample,
    write_sample,
)
from evaluation.interaction.results import interaction, read_all
from tests.evaluation.fdb_oracle import scores
from tests.evaluation.interaction.talk import Talk, answered
from tests.evaluation.interaction.test_interaction_metrics import random_talk

KINDS = {
    "pause_handling": "pause",
    "smooth_turn_taking": "turn_end",
    "user_interruption": "interruption",
}


def mean(values: list[Any]) -> float | None:
    return sum(values) / len(values) if values else None


def figures(held: Sequence[Conversation], system: str) -> dict[str, Any]:
    return interaction(held).systems[system].model_dump()


def assert_agrees(root: Path, found: dict[str, Any]) -> None:
    """The benchmark's rules on the folders of a system, and our figures of it."""
    for task, kind in KINDS.items():
        turns, latencies = scores(root / task) if (root / task).exists() else ([], [])
        ours = found["takeover"][kind]
        assert ours["n"] == len(turns)
        assert ours["value"] == pytest.approx(mean(turns), abs=1e-6)
        if kind != "pause":
            late = found["takeover_latency"][kind]
            assert late["n"] == len(latencies)
            assert late["value"] == pytest.approx(mean(latencies), abs=1e-6)


@given(seeds=st.lists(st.integers(0, 100_000), min_size=1, max_size=4, unique=True))
@settings(deadline=None, derandomize=True, max_examples=15)
def test_its_rules_on_our_export_give_our_numbers(
    tmp_path_factory: pytest.TempPathFactory, seeds: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("fdb")
    held = [random_talk(seed).conversation(folder / "talk") for seed in seeds]
    export(held, folder / "out")
    assert_agrees(folder / "out" / "duo", figures(held, "duo"))
    for path in (folder / "out").rglob("user_interruption/*/interrupt.json"):
        end = json.loads(path.read_text("utf-8"))[0]["timestamp"][1]
        output = json.loads((path.parent / "output.json").read_text("utf-8"))
        assert all(chunk["timestamp"][0] >= end for chunk in output["chunks"])


def test_an_export_by_hand(tmp_path: Path) -> None:
    talk = Talk(scenario="tea")
    words = [("What", 1.0, 1.5), ("then", 1.5, 2.0), ("is", 3.5, 4.0), ("it", 4.0, 5.0)]
    talk.user(1.0, 5.0, words=words)
    talk.mark("respond", 6.0)
    talk.speaks(6.0, 8)  # until 8.0
    talk.user(7.0, 7.5, category="interruption")
    talk.mark("cut", 8.0)
    answered(talk, 8.5, 2)
    counts = export([talk.conversation(tmp_path / "talk")], tmp_path / "out")
    assert dict(counts) == {("duo", task): 1 for task in TASKS}
    root = tmp_path / "out" / "duo"

    def read(place: str) -> Any:
        return json.loads((root / place).read_text("utf-8"))

    assert read("pause_handling/tea-u1/pause.json") == [
        {"text": "[PAUSE]", "timestamp": [2.0, 3.5]}
    ]
    assert read("pause_handling/tea-u1/output.json") == {"text": "", "chunks": []}
    assert read("smooth_turn_taking/tea-u1/turn_taking.json") == [
        {"text": "[TURN-TAKING]", "timestamp": [5.0, 5.0]}
    ]
    assert len(read("smooth_turn_taking/tea-u1/output.json")["chunks"]) == 8
    assert read("smooth_turn_taking/tea-u1/transcription.json")[0]["item"][2] == {
        "text": " is", "timestamp": [3.5, 4.0],
    }  # fmt: skip
    assert read("user_interruption/tea-u2/interrupt.json") == [
        {"context": "What then is it", "interrupt": "so then", "timestamp": [7.0, 7.5]}
    ]
    # What follows the interruption and belongs to it: the old answer's rest does not.
    assert read("user_interruption/tea-u2/output.json") == {
        "text": "word0 word1",
        "chunks": [
            {"text": " word0", "timestamp": [8.5, 8.75]},
            {"text": " word1", "timestamp": [8.75, 9.0]},
        ],
    }


milliseconds = st.integers(0, 9_000)


@st.composite
def samples(draw: st.DrawFn) -> Sample:
    """Draw what a speech system did: any words at any times."""
    task: Task = draw(st.sampled_from(TASKS))
    onset, end = sorted(draw(st.tuples(milliseconds, milliseconds)))
    texts = draw(st.lists(st.sampled_from(["yes", "well,", "it's", "42", "no!"]), max_size=6))
    first = end if task == "user_interruption" else 0
    times = sorted(draw(st.lists(
        st.integers(first, 12_000), min_size=2 * len(texts), max_size=2 * len(texts)
    )))  # fmt: skip
    output = tuple(
        Word(times[2 * n] / 1000, times[2 * n + 1] / 1000, text) for n, text in enumerate(texts)
    )
    user = (Word(0.0, onset / 1000, "so"), Word(end / 1000, end / 1000 + 0.5, "then"))
    return Sample(
        task=task,
        name=f"n{draw(st.integers(0, 10**6))}",
        mark=(onset / 1000, end / 1000),
        output=output,
        user=user if draw(st.booleans()) else (),
        interrupt="wait" if task == "user_interruption" else "",
        context="what" if task == "user_interruption" else "",
    )


@given(sample=samples())
@settings(deadline=None, derandomize=True, max_examples=60)
def test_samples_are_read_as_they_are_written(
    tmp_path_factory: pytest.TempPathFactory, sample: Sample
) -> None:
    root = tmp_path_factory.mktemp("fdb")
    write_sample(root, sample)
    assert read_sample(sample.task, root / sample.task / sample.name) == sample


@given(held=st.lists(samples(), min_size=1, max_size=5, unique_by=lambda s: (s.task, s.name)))
@settings(deadline=None, derandomize=True, max_examples=25)
def test_a_speech_system_gets_its_numbers_from_us(
    tmp_path_factory: pytest.TempPathFactory, held: list[Sample]
) -> None:
    folder = tmp_path_factory.mktemp("fdb")
    for sample in held:
        write_sample(folder / "moshi", sample)
    counts, left_out = import_all(folder / "moshi", folder / "out", "moshi")
    assert (sum(counts.values()), left_out) == (len(held), [])
    for path in (folder / "out").rglob("*.jsonl"):
        read_transcript(path)  # a transcript like any other
    conversations, bad = read_all([folder / "out"])
    assert bad == []
    assert_agrees(folder / "moshi", figures(conversations, "moshi"))


@given(seeds=st.lists(st.integers(0, 100_000), min_size=1, max_size=3, unique=True))
@settings(deadline=None, derandomize=True, max_examples=15)
def test_out_and_in_again(tmp_path_factory: pytest.TempPathFactory, seeds: list[int]) -> None:
    folder = tmp_path_factory.mktemp("fdb")
    held = [random_talk(seed).conversation(folder / "talk") for seed in seeds]
    if not export(held, folder / "out"):
        return
    import_all(folder / "out" / "duo", folder / "in", "duo")
    again = figures(read_all([folder / "in"])[0], "duo")
    before = figures(held, "duo")
    for key in ("takeover", "takeover_latency"):
        for kind in ("turn_end", "interruption"):
            assert again[key][kind]["value"] == pytest.approx(before[key][kind]["value"], abs=1e-6)
            assert again[key][kind]["n"] == before[key][kind]["n"]


def written(root: Path) -> Path:
    word = Word(5.0, 5.5, "yes")
    write_sample(root, Sample("smooth_turn_taking", "1", (4.0, 4.0), (word,)))
    return root / "smooth_turn_taking" / "1"


@pytest.mark.parametrize(
    ("file", "content", "field"),
    [
        ("output.json", {"text": ""}, "chunks"),
        ("output.json", {"chunks": [7]}, "chunks[0]"),
        ("output.json", {"chunks": [{"text": "a"}]}, "chunks[0].timestamp"),
        ("output.json", {"chunks": [{"text": "a", "timestamp": [2, 1]}]}, "chunks[0].timestamp"),
        ("output.json", {"chunks": [{"text": "a", "timestamp": [None, 1]}]}, "chunks[0].timestamp"),
        (
            "output.json",
            {"chunks": [{"text": "a", "timestamp": [2, 3]}, {"text": "b", "timestamp": [1, 3]}]},
            "chunks[1].timestamp",
        ),
        ("turn_taking.json", [], None),
        ("turn_taking.json", [{"text": "x", "timestamp": "4"}], "timestamp"),
        ("transcription.json", {}, None),
    ],
)
def test_bad_samples_are_named(
    tmp_path: Path, file: str, content: object, field: str | None
) -> None:
    folder = written(tmp_path)
    (folder / file).write_text(json.dumps(content), "utf-8")
    with pytest.raises(BadInput) as caught:
        read_sample("smooth_turn_taking", folder)
    assert str(caught.value).startswith(f"{folder / file}: ")
    assert caught.value.field == field


@pytest.mark.parametrize(
    "spoil",
    [
        lambda folder: (folder / "output.json").unlink(),
        lambda folder: (folder / "output.json").write_text('{"chunks": [\n}', "utf-8"),
        lambda folder: (folder / "output.json").write_bytes(b"\xff"),
    ],
)
def test_the_rest_is_still_imported(tmp_path: Path, spoil: Callable[[Path], object]) -> None:
    folder = written(tmp_path / "moshi")
    word = Word(5.0, 5.5, "yes")
    write_sample(tmp_path / "moshi", Sample("smooth_turn_taking", "2", (4.0, 4.0), (word,)))
    spoil(folder)
    counts, left_out = import_all(tmp_path / "moshi", tmp_path / "out", "moshi")
    assert dict(counts) == {"smooth_turn_taking": 1}
    assert [error.file for error in left_out] == [folder / "output.json"]


def test_a_last_word_without_an_end(tmp_path: Path) -> None:
    folder = written(tmp_path)
    chunks = [{"text": " a", "timestamp": [1, 2]}, {"text": " b", "timestamp": [2, None]}]
    (folder / "output.json").write_text(json.dumps({"chunks": chunks}), "utf-8")
    found = read_sample("smooth_turn_taking", folder)
    assert found.output == (Word(1, 2, "a"), Word(2, 2, "b"))


def test_nothing_to_import_and_no_place_to_export(tmp_path: Path) -> None:
    for root in (tmp_path, tmp_path / "none"):
        with pytest.raises(BadInput, match=root.name):
            import_all(root, tmp_path / "out", "x")
    talk = Talk()
    talk.user(1.0, 2.0)
    held = [talk.conversation(tmp_path / "talk")]
    with pytest.raises(BadInput, match="not empty"):
        export(held, tmp_path)


def test_two_of_one_name_are_both_exported(tmp_path: Path) -> None:
    held = []
    for seed in ("one", "two"):
        talk = Talk(scenario="same")
        talk.user(1.0, 2.0)
        held.append(talk.conversation(tmp_path / seed))
    assert sum(export(held, tmp_path / "out").values()) == 2
    names = {path.name for path in (tmp_path / "out/duo/smooth_turn_taking").iterdir()}
    assert names == {"same-u1", "same-u1-2"}


def test_samples_of_sound_are_recognised_and_keep_it(tmp_path: Path) -> None:
    kept: list[tuple[str, str, str]] = []

    class Told:
        def words(self, path: Path) -> tuple[Word, ...]:
            if path.read_bytes() != b"sound":
                raise BadInput("is no sound that can be read", file=path)
            said = (
                (("Well", 1.0), ("then,", 2.5))
                if path.name == "input.wav"
                else (("Yes", 0.5), ("no", 3.0))
            )
            return tuple(Word(at, at + 0.4, text) for text, at in said)

        def keep(self, user: Path, system: Path, target: Path) -> None:
            kept.append((user.name, system.name, target.name))

    def sample(task: Task, name: str, sound: bytes = b"sound") -> None:
        write_sample(tmp_path / "in", Sample(task, name, (1.0, 2.0), (), interrupt="Wait."))
        folder = tmp_path / "in" / task / name
        for file in ("output.json", "transcription.json"):
            (folder / file).unlink()
        for side in ("input.wav", "output.wav"):
            (folder / side).write_bytes(sound)

    for task in TASKS:
        sample(task, "1")
    sample("pause_handling", "broken", b"noise")
    counts, left_out = import_all(tmp_path / "in", tmp_path / "out", "moshi", Told)
    assert counts == dict.fromkeys(TASKS, 1)
    assert [error.message for error in left_out] == ["is no sound that can be read"]
    assert sorted(kept) == [("input.wav", "output.wav", f"{task}-1.flac") for task in sorted(TASKS)]
    for task in TASKS:
        talk = read_transcript(tmp_path / "out" / "moshi" / f"{task}-1.jsonl")
        said = "".join(event.text for event in talk.of("speech"))
        assert said == ("no" if task == "user_interruption" else "Yes no")
    with pytest.raises(BadInput, match=r"output\.json"):
        import_all(tmp_path / "in", tmp_path / "none", "moshi")
