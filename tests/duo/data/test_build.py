"""Whole data sets: the same bytes whatever happens, a clean split, and clear errors."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tracemalloc
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from duo.data.build import (
    TRAIN,
    VALIDATION,
    Job,
    Reservoir,
    build,
    in_validation,
    spread,
    survey_sources,
)
from duo.data.dialogue import Dialogue
from duo.data.filters import HeldOut, read_held_out
from duo.data.plan import Place
from duo.data.recipe import KINDS, Recipe
from duo.data.sample import Sample, read_samples
from duo.data.sources import find_sources
from duo.data.writers import Extractive
from duo.errors import BadInput
from duo.files import sha256
from duo.runs import MANIFEST
from tests.duo.data.dialogues import record, records, write_lines

BOTH = (TRAIN, VALIDATION)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    write_lines(folder / "one.jsonl", records(60))
    extra = [{**talk, "id": f"more-{talk['id']}"} for talk in records(30)]
    write_lines(folder / "two.jsonl.gz", extra)
    return folder


def job(data: Path, out: Path, **settings: Any) -> Job:
    given_ = {"validation": 0.2, "part_size": 16, "samples": 100, **settings}
    return Job(sources=find_sources([str(data)]), out=out, **given_)


def built(data: Path, out: Path, **settings: Any) -> dict[str, bytes]:
    build(job(data, out, **settings))
    return {name: (out / name).read_bytes() for name in BOTH}


def group(sample: Sample) -> str:
    return Dialogue(sample.id.rpartition("#")[0], "", ()).group


def test_the_same_command_gives_the_same_bytes(data: Path, tmp_path: Path) -> None:
    first = built(data, tmp_path / "a")
    assert built(data, tmp_path / "b") == first
    assert built(data, tmp_path / "c", seed=1) != first
    assert not list((tmp_path / "a").glob(".parts-*"))


def test_counts_and_hashes_in_the_manifest(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "a"
    built(data, out)
    facts = json.loads((out / MANIFEST).read_text())
    for name in BOTH:
        samples = list(read_samples(out / name))
        counts = facts["counts"][name.removesuffix(".jsonl")]
        assert counts["samples"]["all"] == len(samples)
        turns = [turn for sample in samples for turn in sample.messages if turn.role == "user"]
        assert counts["kind"] == Counter(turn.kind for turn in turns)
        assert counts["state"] == Counter(turn.state or "none" for turn in turns)
        assert facts["files"][name]["sha256"] == sha256(out / name)
    assert [source["sha256"] for source in facts["sources"]] == [
        sha256(data / "one.jsonl"),
        sha256(data / "two.jsonl.gz"),
    ]
    assert facts["seed"] == 0
    assert facts["dialogues"] == {"one": 60, "two": 30}


def test_samples_are_as_many_as_asked_and_unlike(data: Path, tmp_path: Path) -> None:
    for samples in (7, 90, 250):
        out = tmp_path / str(samples)
        built(data, out, samples=samples)
        found = [sample for name in BOTH for sample in read_samples(out / name)]
        assert len(found) == samples
        assert len({sample.id for sample in found}) == len(found)
    built(data, tmp_path / "all", samples=None)
    found = [sample for name in BOTH for sample in read_samples(tmp_path / "all" / name)]
    assert len(found) == 90
    assert {sample.source for sample in found} == {"one", "two"}


@given(st.integers(1, 500), st.integers(1, 500), st.integers(0, 5))
def test_samples_spread_evenly(there: int, wanted: int, seed: int) -> None:
    places = list(spread(there, wanted, seed))
    assert len(places) == wanted
    assert places == sorted(places)
    assert 0 <= places[0] <= places[-1] < there
    if wanted >= 2 * there:
        assert set(places) == set(range(there))


class Killed(Exception):
    pass


class Fragile(Extractive):
    """A writer that dies at its n-th call."""

    def __init__(self, calls: int) -> None:
        super().__init__()
        self.calls = calls

    def write(self, places: Sequence[Place], attempt: int) -> list[str]:
        self.calls -= 1
        if not self.calls:
            raise Killed
        return super().write(places, attempt)


@pytest.mark.parametrize("calls", [1, 2, 4])
def test_a_build_that_was_stopped_goes_on(data: Path, tmp_path: Path, calls: int) -> None:
    def fragile(_: Path) -> Fragile:
        return Fragile(calls)

    def sturdy(_: Path) -> Fragile:
        return Fragile(10_000)

    expected = built(data, tmp_path / "whole", writer=sturdy)
    out = tmp_path / "stopped"
    with pytest.raises(Killed):
        build(job(data, out, writer=fragile))
    assert not any((out / name).exists() for name in (*BOTH, MANIFEST))
    done: list[tuple[str, int, int | None]] = []
    build(job(data, out, writer=sturdy), progress=lambda *told: done.append(told))
    assert {name: (out / name).read_bytes() for name in BOTH} == expected
    assert done[0] == ("dialogues to use", 1, None)
    assert done[-1] == ("samples", 100, 100)
    assert not list(out.glob(".parts-*"))


def test_a_kill_before_the_manifest_is_no_other_data_set(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = built(data, tmp_path / "whole")

    def killed(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("duo.data.build.write_manifest", killed)
        with pytest.raises(Killed):
            build(job(data, tmp_path / "a"))
    assert built(data, tmp_path / "a") == expected


def test_parts_that_are_done_are_not_done_again(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "a"
    with pytest.raises(Killed):
        build(job(data, out, writer=lambda _: Fragile(4)))
    [parts] = out.glob(".parts-*")
    before = (parts / "parts.jsonl").read_text()
    assert before.count("\n") == 3
    with pytest.raises(Killed):
        build(job(data, out, writer=lambda _: Fragile(2)))
    after = (parts / "parts.jsonl").read_text()
    assert after.startswith(before)
    assert after.count("\n") == 4


def test_what_is_there_is_left_or_mended(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "a"
    first = built(data, out)
    stamp = (out / TRAIN).stat().st_mtime_ns
    assert built(data, out) == first
    assert (out / TRAIN).stat().st_mtime_ns == stamp
    (out / TRAIN).write_text("damaged")
    assert built(data, out) == first
    with pytest.raises(BadInput, match=r"manifest\.json: seed: was begun with 0, now 1: choose"):
        build(job(data, out, seed=1))
    write_lines(data / "one.jsonl", records(61))
    with pytest.raises(BadInput, match=r"sources\.one\.sha256: was begun with"):
        build(job(data, out))
    write_lines(data / "one.jsonl", records(60))
    (out / MANIFEST).unlink()
    with pytest.raises(BadInput, match="holds another data set"):
        build(job(data, out))
    assert (out / TRAIN).read_bytes() == first[TRAIN]


def test_word_lists_are_part_of_what_was_built(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "a"
    built(data, out)
    lists = [tmp_path / name for name in ("english.yaml", "phrases.yaml")]
    for changed in lists:
        changed.write_text("other words")
    monkeypatch.setattr("duo.data.build._WORD_LISTS", lists)
    with pytest.raises(BadInput, match=r"word_lists\.english\.yaml: was begun with"):
        build(job(data, out))


@given(st.integers(0, 50), st.floats(0.05, 0.8))
@settings(max_examples=12)
def test_pieces_of_one_conversation_are_on_one_side(
    tmp_path_factory: pytest.TempPathFactory, seed: int, validation: float
) -> None:
    folder = tmp_path_factory.mktemp("split")
    source = write_lines(folder / "one.jsonl", records(60))
    built(source, folder / "out", seed=seed, validation=validation)
    sides = {
        name: {group(sample) for sample in read_samples(folder / "out" / name)} for name in BOTH
    }
    assert not sides[TRAIN] & sides[VALIDATION]
    assert all(in_validation(name, validation, seed) for name in sides[VALIDATION])


def test_data_sets_of_one_split_seed_share_their_split(data: Path, tmp_path: Path) -> None:
    def groups(name: str, **settings: Any) -> dict[str, set[str]]:
        built(data, tmp_path / name, validation=0.4, **settings)
        return {part: set(map(group, read_samples(tmp_path / name / part))) for part in BOTH}

    first, second = groups("a"), groups("b", seed=1, split_seed=0)
    assert not first[TRAIN] & second[VALIDATION]
    assert not second[TRAIN] & first[VALIDATION]
    assert first[TRAIN] & groups("c", seed=1)[VALIDATION]  # as it would be without


def test_the_split_has_the_size_asked_for() -> None:
    share = sum(in_validation(f"talk-{number}", 0.05, 0) for number in range(20_000)) / 20_000
    assert 0.045 < share < 0.055


def test_background_speech_does_not_cross_the_split(tmp_path: Path) -> None:
    def talk(number: int) -> dict[str, Any]:
        said = f"The town of place{number} lies by the sea. The road to place{number} is long."
        asked = f"What is the way to place{number}?"
        return {
            "id": f"talk-{number}",
            "messages": [
                {"role": ("user", "assistant")[turn % 2], "content": said if turn % 2 else asked}
                for turn in range(6)
            ],
        }

    path = write_lines(tmp_path / "x.jsonl", [talk(number) for number in range(80)])
    recipe = Recipe(mix={"background": 1.0}, remarks=1.0, restyle=0.0, disfluency=0.0)
    built(path, tmp_path / "a", recipe=recipe, samples=200, validation=0.4)
    heard = 0
    for name in BOTH:
        for sample in read_samples(tmp_path / "a" / name):
            for message in sample.messages:
                if message.role == "user" and message.kind == "background":
                    heard += 1
                    [number] = re.findall(r"place(\d+)", message.content)
                    assert in_validation(f"talk-{number}", 0.4, 0) == (name == VALIDATION)
                    assert group(sample) != f"talk-{number}"
    assert heard > 50


def test_turns_of_chats_are_told_again_and_the_chats_are_no_samples(tmp_path: Path) -> None:
    told = "I went to the harbour of place{0} and sat there for over an hour. It was quiet."
    chats = [
        {
            "id": f"chat-{number}",
            "messages": [
                {"role": "user", "content": "Where were you?"},
                {"role": "assistant", "content": told.format(number)},
            ],
        }
        for number in range(60)
    ]
    talks = [
        {
            "id": f"talk-{number}",
            "messages": [
                {"role": "user", "content": f"What is the name of house {number}?"},
                {"role": "assistant", "content": "It has no name that anybody knows of."},
            ],
        }
        for number in range(60)
    ]
    folder = tmp_path / "dialogues"
    folder.mkdir()
    write_lines(folder / "chitchat_timed.jsonl", chats)
    write_lines(folder / "talks.jsonl", talks)
    recipe = Recipe(mix={"story": 1.0}, remarks=1.0, restyle=0.0, disfluency=0.0)
    built(folder, tmp_path / "a", recipe=recipe, samples=150, validation=0.4)
    again = 0
    for name in BOTH:
        for sample in read_samples(tmp_path / "a" / name):
            assert sample.source == "talks"
            for message in sample.messages:
                for number in re.findall(r"harbour of place(\d+)", message.content):
                    again += 1
                    assert message.role == "user"
                    assert message.kind in ("story", "unfinished_remark")
                    assert in_validation(f"chat-{number}", 0.4, 0) == (name == VALIDATION)
    assert again > 20


def test_no_held_out_utterance_is_trained_on(data: Path, tmp_path: Path) -> None:
    built(data, tmp_path / "a", samples=300)
    turns = {
        message.content
        for name in BOTH
        for sample in read_samples(tmp_path / "a" / name)
        for message in sample.messages
        if message.role == "user" and len(message.content.split()) > 3
    }
    chosen = sorted(turns)[:: max(1, len(turns) // 60)]
    path = write_lines(tmp_path / "held.jsonl", [{"text": text.upper()} for text in chosen])
    held_out = read_held_out([path])
    assert len(held_out) > 30
    built(data, tmp_path / "b", samples=300, held_out=[path])
    for name in BOTH:
        for sample in read_samples(tmp_path / "b" / name):
            for message in sample.messages:
                assert message.role != "user" or message.content not in held_out
    dropped = json.loads((tmp_path / "b" / MANIFEST).read_text())["dropped"]
    assert sum(number for reason, number in dropped.items() if "held_out" in reason) > 10


def test_bad_lines(data: Path, tmp_path: Path) -> None:
    path = write_lines(tmp_path / "x.jsonl", [*records(30), "{", '{"a": 1}', record(99)])
    with pytest.raises(BadInput, match=r"x\.jsonl:31: not JSON"):
        build(job(path, tmp_path / "a", skip_bad=False))
    assert not (tmp_path / "a" / TRAIN).exists()
    named: list[BadInput] = []
    build(job(path, tmp_path / "b"), warn=named.append)
    assert json.loads((tmp_path / "b" / MANIFEST).read_text())["bad_records"] == {"x": 2}
    assert [bad.line for bad in named] == [31, 32]
    path = write_lines(tmp_path / "y.jsonl", ["{}"] * 9)
    with pytest.raises(BadInput, match=r"9 bad records, the first: .*y\.jsonl:1: has none of"):
        build(job(path, tmp_path / "c"))


def test_dialogues_too_many_for_the_memory_give_the_same_bytes(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = built(data, tmp_path / "a")
    monkeypatch.setattr("duo.data.build._KEPT_CHARACTERS", 5000)
    [survey] = [survey_sources(job(data, tmp_path / "b"), HeldOut())]
    assert survey.dialogues is None
    assert built(data, tmp_path / "b") == expected


def test_memory_is_bounded_by_what_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, size in (("_KEPT_CHARACTERS", 1000), ("_LENT_SENTENCES", 9), ("_LENT_DIALOGUES", 9)):
        monkeypatch.setattr(f"duo.data.build.{name}", size)

    def peak(count: int) -> int:
        path = write_lines(tmp_path / f"{count}.jsonl", records(count))
        task = job(path, tmp_path / f"out-{count}", samples=10)
        tracemalloc.start()
        build(task)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(20)  # what is made once
    assert peak(600) < 1.5 * peak(60) + 100_000


def test_nothing_to_train_on(tmp_path: Path) -> None:
    silent = {"messages": [{"role": "user", "content": "I like the sea."}]}
    path = write_lines(tmp_path / "x.jsonl", [silent, silent])
    with pytest.raises(BadInput, match=r"x\.jsonl: no dialogue here can be trained on"):
        build(job(path, tmp_path / "a"))
    path = write_lines(tmp_path / "y.jsonl", [record(1)])
    with pytest.raises(BadInput, match="no sample is left to train on"):
        build(job(path, tmp_path / "b", validation=1.0))
    assert not (tmp_path / "b" / TRAIN).exists()


def test_ids_that_make_all_dialogues_one_conversation_are_refused(tmp_path: Path) -> None:
    talks = [{**talk, "id": f"talk_{number}"} for number, talk in enumerate(records(60))]
    path = write_lines(tmp_path / "x.jsonl", talks)
    with pytest.raises(BadInput, match=r"x\.jsonl: id: its 60 dialogues .* one conversation"):
        build(job(path, tmp_path / "a"))
    build(job(path, tmp_path / "b", validation=0.0))  # where nothing is split, it does not matter
    build(job(write_lines(tmp_path / "y.jsonl", talks[:9]), tmp_path / "c", validation=1e-9))


def test_an_id_that_is_no_unicode_text(tmp_path: Path) -> None:
    odd = json.dumps({**record(7), "id": "odd"}).replace("odd", "\\ud800")
    path = write_lines(tmp_path / "x.jsonl", [odd, *records(30)])
    built(path, tmp_path / "a", samples=None)
    names = {sample.id for name in BOTH for sample in read_samples(tmp_path / "a" / name)}
    assert "?#0" in names


def test_a_writer_that_cannot_write_refuses_before_anything_is_read(tmp_path: Path) -> None:
    def refuse(_: Path) -> Any:
        raise BadInput("no key")

    path = write_lines(tmp_path / "x.jsonl", ["not read so far"])
    with pytest.raises(BadInput, match="no key"):
        build(job(path, tmp_path / "a", writer=refuse))


def test_a_reservoir_is_a_fair_sample() -> None:
    counts = Counter[int]()
    for seed in range(400):
        reservoir = Reservoir[int](5, str(seed))
        for item in range(50):
            reservoir.offer(item)
        assert len(set(reservoir.kept)) == 5
        counts.update(reservoir.kept)
    assert 15 < min(counts.values()) <= max(counts.values()) < 75


def run(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "duo.cli", "data", *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "100", **environment},
        timeout=120,
    )


def test_the_commands(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = run("build", "--source", data, "--samples", 50, "--out", out)
    assert done.returncode == 0, done.stderr
    assert "samples to train on" in done.stdout
    assert done.stderr == ""
    help_text = run("build", "--help").stdout
    assert [kind for kind in KINDS if kind not in help_text] == []
    shown = run("inspect", out, "-n", 2)
    assert shown.returncode == 0, shown.stderr
    assert "<1>" in shown.stdout
    assert "turns by label" in shown.stdout
    again = run("build", "--source", data, "--samples", 51, "--out", out)
    assert again.returncode == 2
    assert again.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--source", "missing.jsonl"], "no such file, folder or data set"),
        (["--writer", "poet"], "writer: unknown 'poet': use one of extractive, openai, model"),
        (["--form", "song"], "form: unknown 'song'"),
        (["--mix", "noise=1"], "mix: unknown kind 'noise'"),
        (["--without", "noise"], "without: unknown kind 'noise'"),
        (["--price", "x", "--writer", "openai"], "price: 'x' is not IN,OUT"),
        (["--price", "nan,1", "--writer", "openai"], "price: 'nan,1' is not IN,OUT"),
        (["--held-out", "missing.txt"], "missing.txt: cannot be read"),
        (["--writer", "model", "--instruction", "missing.txt"], "missing.txt: cannot be read"),
        (["--writer", "openai"], "OPENAI_API_KEY is not set"),
    ],
)
def test_bad_arguments_are_one_line(
    data: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    source = [] if "--source" in arguments else ["--source", str(data)]
    done = run("build", *source, "--out", tmp_path / "out", *arguments, OPENAI_API_KEY="")
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out" / TRAIN).exists()
