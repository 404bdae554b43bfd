"""From a folder of transcripts to a study."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import select

from duo.errors import BadInput
from duo.transcript import Header, Transcript, TranscriptEvent, write_transcript
from sessions.study.blinding import Dialogue
from sessions.study.materials import (
    OTHER,
    WANTED,
    SoundOf,
    attention_checks,
    create_study,
    find_materials,
)
from sessions.study.store import VARIABLE
from sessions.study.study import Study, open_study
from sessions.study.tables import dialogues
from sessions.voice.extras import lacking
from tests.sessions.study.studies import StudyMaker, design, materials


@pytest.fixture(autouse=True)
def _no_other_database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)


def recorded(folder: Path, system: str, scenario: str, **header: Any) -> Path:
    said = "this is what was said in this long answer about it"
    events = (
        TranscriptEvent(
            start=0, end=1, channel="input", kind="utterance", cycle=0, text="Go.", utterance="a"
        ),
        TranscriptEvent(start=1, end=9, channel="output", kind="speech", cycle=1, text=said),
    )
    name = f"{scenario}-{header['seed']}" if "seed" in header else scenario
    path = folder / system / f"{name}.jsonl"
    facts = {"system": system, "model": "m", "scenario": scenario, "cycle_seconds": 1.0}
    write_transcript(path, Transcript(header=Header.model_validate(facts | header), events=events))
    return path


def test_the_same_scenario_by_each_system(tmp_path: Path) -> None:
    for system in ("duo", "duplex", "other"):
        for scenario in ("b", "a"):
            recorded(tmp_path, system, scenario)
    recorded(tmp_path, "duo", "c")
    found = find_materials(tmp_path, ["duplex", "duo"])
    assert found.systems == ("duplex", "duo")
    assert [item.name for item in found.items] == ["a", "b"]
    assert [[one.system for one in item.recordings] for item in found.items] == [
        ["duplex", "duo"]
    ] * 2
    assert found.left_out == ("c: no transcript of duplex",)
    assert find_materials(tmp_path).systems == ("duo", "duplex", "other")


def test_half_duplex_controls_are_no_items(tmp_path: Path) -> None:
    for system in ("duo", "duplex", "other"):
        recorded(tmp_path, system, "a")
        recorded(tmp_path, system, "a-control", control_of="a")
    found = find_materials(tmp_path, ["duo", "duplex"])
    assert [item.name for item in found.items] == ["a"]
    assert found.left_out == ("2 half-duplex controls",)


def test_controls_alone_are_nothing_to_compare(tmp_path: Path) -> None:
    for system in ("duo", "duplex"):
        recorded(tmp_path, system, "a-control", control_of="a")
    with pytest.raises(BadInput, match="no scenario was recorded with every system"):
        find_materials(tmp_path)


def test_seeds_are_kept_apart(tmp_path: Path) -> None:
    for system in ("x", "y"):
        for seed in (1, 2):
            recorded(tmp_path, system, "a", seed=seed)
    assert [item.name for item in find_materials(tmp_path).items] == ["a@1", "a@2"]


def test_what_does_not_fit_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no such file or folder"):
        find_materials(tmp_path / "none")
    with pytest.raises(BadInput, match="holds no transcripts"):
        find_materials(tmp_path)
    first = recorded(tmp_path, "duo", "a", scenario_sha256="1" * 64)
    with pytest.raises(BadInput, match="two systems or more"):
        find_materials(tmp_path)
    with pytest.raises(BadInput, match=r"no transcript of 'duplex'.*there are: duo"):
        find_materials(tmp_path, ["duo", "duplex"])
    with pytest.raises(BadInput, match="given twice"):
        find_materials(tmp_path, ["duo", "duo"])
    recorded(tmp_path, "duplex", "b")
    with pytest.raises(BadInput, match="no scenario was recorded with every system"):
        find_materials(tmp_path)
    other = recorded(tmp_path, "duplex", "a", scenario_sha256="2" * 64)
    with pytest.raises(BadInput, match="another scenario of this name") as caught:
        find_materials(tmp_path)
    assert (caught.value.file, caught.value.line) == (other, 1)
    other.write_bytes(first.read_bytes())
    with pytest.raises(BadInput, match="the same system, scenario and seed"):
        find_materials(tmp_path)
    other.write_text("{}\n", encoding="utf-8")
    with pytest.raises(BadInput, match="first line must be the header"):
        find_materials(tmp_path)


def test_attention_checks_state_their_answer_whatever_the_systems_say() -> None:
    from dataclasses import replace

    from tests.sessions.study.studies import dialogue

    (poor,) = materials(1).items
    mute = Dialogue(tuple(word for word in dialogue().words if word.who == "user"))
    weak = [replace(poor.recordings[0], shown=one) for one in (dialogue("so so so"), mute)]
    items = [*materials(3).items, replace(poor, name="weak", recordings=tuple(weak))]
    said = "Please choose this one."
    checks = attention_checks(items, 9, said, seed=1)
    assert checks == attention_checks(items, 9, said, seed=1)
    shown = {one.shown for item in items for one in item.recordings}
    for check in checks:
        wanted, other = check.recordings
        assert (wanted.system, other.system) == (WANTED, OTHER)
        assert other.shown in shown
        assert [one.text for one in wanted.shown.of("assistant")] == [said]
        assert wanted.shown.of("user") == other.shown.of("user")
        spoken = [word for word in wanted.shown.words if word.who == "assistant"]
        assert all(one.end <= two.start for one, two in pairwise(spoken))
        if other.shown.of("assistant"):
            assert spoken[0].start == other.shown.of("assistant")[0].start


@pytest.mark.parametrize(
    ("pages", "attention", "repeats"), [(1, 1, 0), (3, 1, 0), (4, 1, 1), (8, 2, 2), (40, 2, 2)]
)
def test_small_studies_have_few_checks(
    make_sqlite: StudyMaker, pages: int, attention: int, repeats: int
) -> None:
    by_size = {"attention": None, "repeats": None}
    study = make_sqlite(items=pages, checks=by_size)
    assert (study.attention, study.repeats) == (attention, repeats)
    study = make_sqlite(items=50, pages_per_rater=pages, checks=by_size)
    assert (study.attention, study.repeats) == (attention, repeats)
    study = make_sqlite(items=pages, checks={"attention": 3, "repeats": 1})
    assert (study.attention, study.repeats) == (3, 1)


def test_the_folder_says_what_it_is(tmp_path: Path) -> None:
    study = create_study(tmp_path / "s", design(), materials())
    study.database.close()
    marker = json.loads((tmp_path / "s" / "study.json").read_text("utf-8"))
    assert marker == {"kind": "study", "schema": 1, "study": study.name, "database": "sqlite"}


def test_a_study_is_made_once(tmp_path: Path) -> None:
    study = create_study(tmp_path / "s", design(), materials())
    with pytest.raises(BadInput, match="holds a study already"):
        create_study(tmp_path / "s", design(), materials())
    again = open_study(tmp_path / "s")
    assert (again.name, again.items, again.systems) == (study.name, 4, ("duo", "duplex"))
    assert again.design == study.design
    study.database.close()
    again.database.close()


def test_a_study_that_was_not_finished_is_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sessions.study.materials as creation

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(creation, "_add_item", killed)
        with pytest.raises(KeyboardInterrupt):
            create_study(tmp_path / "s", design(), materials())
    with pytest.raises(BadInput, match="finish `duo study create`"):
        open_study(tmp_path / "s")
    study = create_study(tmp_path / "s", design(), materials())
    assert study.items == 4
    study.database.close()


@pytest.mark.parametrize(
    ("marker", "message"),
    [
        (None, "is not a study"),
        ("{", "not JSON"),
        ("[]", "not a JSON object"),
        ('{"schema": 1}', "study: is missing"),
        ('{"kind": "states", "schema": 1, "study": "x"}', "is 'states', not 'study'"),
        ('{"schema": 9, "study": "x"}', "schema 9 is not 1"),
        ('{"schema": 1, "study": "x"}', "its database is not here"),
    ],
)
def test_folders_that_are_no_study(tmp_path: Path, marker: str | None, message: str) -> None:
    if marker is not None:
        (tmp_path / "study.json").write_text(marker, encoding="utf-8")
    with pytest.raises(BadInput, match=message):
        open_study(tmp_path)
    assert not (tmp_path / "study.sqlite").exists()


SILENT = lacking("sound") or lacking("piper")
aloud = pytest.mark.skipif(bool(SILENT), reason=SILENT or "all is there")


def sounding(folder: Path, *, but: str = "") -> Path:
    """Recordings with sound of different formats, loudness and tags; none of the system `but`."""
    import soundfile

    ways = ("duo", 24_000, 0.8, ".wav"), ("duplex", 8_000, 0.02, ".ogg")
    for system, rate, loud, suffix in ways:
        path = recorded(folder, system, "a")
        if system != but:
            noise = np.random.default_rng(0).standard_normal((4 * rate, 2)) * loud / 4
            with soundfile.SoundFile(path.with_suffix(suffix), "w", rate, 2) as file:
                file.title = f"what {system} said"
                file.write(noise)
    return folder


def sounds(study: Study) -> dict[str, Path]:
    with study.database.read() as connection:
        rows = connection.execute(select(dialogues.c.system, dialogues.c.audio)).all()
    study.database.close()
    return {row.system: study.folder / "audio" / row.audio for row in rows if row.audio}


@aloud
@pytest.mark.parametrize("sound", ["recorded", "one-voice"])
def test_sound_says_nothing_of_where_it_comes_from(tmp_path: Path, sound: SoundOf) -> None:
    import soundfile

    found = find_materials(sounding(tmp_path / "in"))
    checks = design(checks={"attention": 1})
    kept = sounds(create_study(tmp_path / "s", checks, found, sound=sound))
    assert set(kept) == {"duo", "duplex", WANTED, OTHER}
    loudness = []
    for system, path in kept.items():
        assert re.fullmatch(r"[0-9a-f]{16}\.flac", path.name)
        assert system.encode() not in path.read_bytes()
        info = soundfile.info(path)
        assert (info.samplerate, info.channels, info.subtype) == (16_000, 2, "PCM_16")
        assert not soundfile.SoundFile(path).copy_metadata()
        samples, _ = soundfile.read(path)
        loudness.append(20 * np.log10(samples[:, 1][np.abs(samples[:, 1]) > 0.005].std()))
    assert max(loudness) - min(loudness) < 3


@aloud
def test_all_systems_have_sound_or_none_has(tmp_path: Path) -> None:
    found = find_materials(sounding(tmp_path / "in", but="duo"))
    with pytest.raises(BadInput, match="has no sound, while"):
        create_study(tmp_path / "s", design(), found)
    assert not (tmp_path / "s" / "study.json").exists()
    assert not sounds(create_study(tmp_path / "none", design(), found, sound="none"))
    (tmp_path / "in" / "duo" / "a.wav").write_bytes(b"RIFF no sound")
    with pytest.raises(BadInput, match="is no sound that can be read"):
        create_study(tmp_path / "s", design(), find_materials(tmp_path / "in"))


def test_the_manifest_has_hashes(tmp_path: Path, make_sqlite: StudyMaker) -> None:
    study = make_sqlite()
    manifest = json.loads((study.folder / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["study"] == study.name
    assert manifest["transcripts"]["duo/talk-0.jsonl"] == "0" * 64
