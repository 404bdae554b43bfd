"""Sweeps: every point recorded once, resumed, and mistakes named by line and field."""

from __future__ import annotations

import io
import json
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

import evaluation
from duo.errors import BadInput
from duo.transcript import read_transcript
from sessions.recorder import COMMON
from sessions.sweep import Sweep, read_sweep, record_sweep
from tests.sessions import fakes
from tests.tiny import tiny_backbone

FAKE = "tests.sessions.fakes:factory"
TEXT = f"""\
systems: {FAKE}
scenarios: ['suite:dev-backchannel-110', pasta-dinner]
max_seconds: 60
seed: 3
base: {{words: 8}}
sweep:
  - words: [4, 8]
  - cycle_seconds: [0.5, 1.0]
    words: [4, 12]
  - words: [8]
"""
POINTS = [
    "words=4",
    "words=8",
    "cycle_seconds=0.5,words=4",
    "cycle_seconds=0.5,words=12",
    "cycle_seconds=1.0,words=4",
    "cycle_seconds=1.0,words=12",
]


def sweep(folder: Path, text: str = TEXT) -> Sweep:
    path = folder / "sweep.yaml"
    path.write_text(text)
    return read_sweep(path, folder / "out")


def recordings(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.glob("*/*/*"))}


def test_every_point_is_recorded(tmp_path: Path) -> None:
    found = sweep(tmp_path)
    assert [point.name for point in found.points] == POINTS
    folders = record_sweep(found)
    assert folders == [tmp_path / "out" / name for name in POINTS]
    assert len(recordings(tmp_path / "out")) == len(POINTS) * 5
    for point, folder in zip(found.points, folders, strict=True):
        for path in folder.glob("*/*.jsonl"):
            header = read_transcript(path).header
            assert header.settings == {"words": 8, **point.swept, "max_seconds": 60}
            assert header.seed == 3
    told = json.loads((tmp_path / "out" / "sweep.json").read_text())
    assert [point["name"] for point in told["points"]] == POINTS
    assert told["points"][2]["swept"] == {"cycle_seconds": 0.5, "words": 4}
    assert told["points"][2]["settings"] == {FAKE: {"cycle_seconds": 0.5, "words": 4}}
    assert len(told["scenarios"]) == 5


def test_a_sweep_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    conversations = iter(range(10**6))
    play = fakes.Answerer.reset

    def interrupted(self: fakes.Answerer) -> None:
        if next(conversations) == 13:
            raise KeyboardInterrupt
        play(self)

    with monkeypatch.context() as patched:
        patched.setattr(fakes.Answerer, "reset", interrupted)
        with pytest.raises(KeyboardInterrupt):
            record_sweep(sweep(tmp_path))
    there = recordings(tmp_path / "out")
    assert 0 < len(there) < 30
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*/*/*")}
    record_sweep(sweep(tmp_path))
    assert len(recordings(tmp_path / "out")) == 30
    assert times == {path: path.stat().st_mtime_ns for path in times}
    other = tmp_path / "undisturbed"
    other.mkdir()
    record_sweep(sweep(other))
    assert recordings(tmp_path / "out") == recordings(other / "out")
    monkeypatch.setattr(fakes, "Answerer", None)  # nothing is built any more
    record_sweep(sweep(tmp_path))


def test_a_sweep_can_grow(tmp_path: Path) -> None:
    record_sweep(sweep(tmp_path))
    record_sweep(sweep(tmp_path, f"{TEXT}  - takes: [0.0]\n"))
    assert (tmp_path / "out" / "takes=0.0").is_dir()
    with pytest.raises(BadInput, match="record it again with --force"):
        record_sweep(sweep(tmp_path, TEXT.replace("seed: 3", "seed: 4")))


def test_a_model_is_loaded_once_for_all_its_points(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = []

    def load(name: str, **_: Any) -> Any:
        loaded.append(name)
        return tiny_backbone(seed=len(loaded))

    monkeypatch.setattr("duo.backbone.load", load)
    text = f"""\
systems: [duo, turn-based, {FAKE}]
model: [duo=one, turn-based=two]
scenarios: [suite:dev-backchannel-110-written]
max_seconds: 8
sweep:
  - cycle_seconds: [1.0, 2.0]
  - duo.lookahead: [1, 2]
    duo.after_interruption: [drop, merge]
"""
    found = sweep(tmp_path, text)
    record_sweep(found)
    assert loaded == ["one", "two"]
    assert len(recordings(tmp_path / "out")) == 6 * 3
    [path] = (tmp_path / "out").glob("duo.lookahead=2,duo.after_interruption=merge/duo/*")
    header = read_transcript(path).header
    assert header.model == "one"
    swept = {"lookahead": 2, "after_interruption": "merge", "max_seconds": 8}
    assert header.settings == {**COMMON, **swept}
    manifest = json.loads((path.parents[1] / "manifest.json").read_text())
    assert len(manifest["transcripts"]) == 3
    record_sweep(found)
    assert loaded == ["one", "two"]


SETTINGS = st.dictionaries(
    st.sampled_from(["words", "takes", "cycle_seconds", f"{FAKE}.words"]),
    st.lists(st.sampled_from([1, 2, 0.5, True, None, "a b", "A B"]), min_size=1, max_size=3),
    min_size=1,
)


@given(SETTINGS)
def test_a_grid_has_every_combination_once(tmp_path_factory: Any, grid: dict[str, Any]) -> None:
    folder = tmp_path_factory.mktemp("sweep")
    text = json.dumps({"systems": FAKE, "scenarios": "jet-lag", "sweep": [grid]})
    try:
        found = sweep(folder, text)
    except BadInput as error:
        assert "would share the folder" in error.message  # noqa: PT017 - seldom raised
        return
    wanted = [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]
    unique = [
        point for place, point in enumerate(wanted) if str(point) not in map(str, wanted[:place])
    ]
    assert [str(dict(point.swept)) for point in found.points] == [str(each) for each in unique]
    names = [point.name for point in found.points]
    assert len({name.casefold() for name in names}) == len(names)
    assert not any(set(name) & set('/\\: *?"<>|') for name in names)


@pytest.mark.parametrize(
    ("old", "new", "line", "field", "message"),
    [
        ("sweep:", "swep:", 6, "swep", "is not a field"),
        (f"systems: {FAKE}", "systems: duet", 1, "systems", "unknown system 'duet'"),
        (f"systems: {FAKE}", "systems: []", 1, "systems", "must not be empty"),
        ("pasta-dinner", "pasta-diner", 2, "scenarios", "did you mean pasta-dinner"),
        ("suite:dev", "suite:train", 2, "scenarios", "no scenario of the suite"),
        ("max_seconds: 60", "max_seconds: 0", 3, "max_seconds", "greater than 0"),
        ("seed: 3", "seed: three", 4, "seed", "integer"),
        ("{words: 8}", "{words: [8]}", 5, "base.words", "must be a number"),
        ("[4, 8]", "[]", 7, "sweep[0].words", "must not be empty"),
        ("[4, 8]", "8", 7, "sweep[0].words", "list"),
        ("[4, 8]", "[4, .inf]", 7, "sweep[0].words[1]", "must be finite"),
        ("- words: [4, 8]", "- a-b: [4]", 7, "sweep[0].a-b", "is no setting"),
        ("- words: [4, 8]", "- duo.patience: [4]", 7, "sweep[0]", "'duo' is none of the systems"),
        ("- words: [4, 8]", "- words: [4, 4.0, 'a/b', 'a:b']", 7, "sweep[0]", "share the folder"),
        ("seed: 3", "limit: 0", 4, "limit", "greater than"),
    ],
)  # fmt: skip
def test_mistakes_are_named(
    tmp_path: Path, old: str, new: str, line: int, field: str, message: str
) -> None:
    with pytest.raises(BadInput) as caught:
        sweep(tmp_path, TEXT.replace(old, new, 1))
    error = caught.value
    assert message in error.message
    assert (error.file, error.line, error.field) == (tmp_path / "sweep.yaml", line, field)
    assert not (tmp_path / "out").exists()


def test_settings_of_ours_are_checked_before_anything_is_recorded(tmp_path: Path) -> None:
    text = "systems: [duo]\nscenarios: [jet-lag]\nsweep:\n- patience: [1]\n- lookahead: [1, {}]\n"
    for bad, message in (("0", "must be positive"), ("'a'", "valid integer")):
        with pytest.raises(BadInput, match=message) as caught:
            sweep(tmp_path, text.replace("{}", bad))
        assert (caught.value.line, caught.value.field) == (5, "sweep[1].lookahead")
    with pytest.raises(BadInput, match="duo has no setting 'patienc'") as caught:
        sweep(tmp_path, text.replace("patience", "patienc").replace("{}", "2"))
    assert (caught.value.line, caught.value.field) == (4, "sweep[0]")


def test_limit_draws_among_the_scenarios(tmp_path: Path) -> None:
    text = "systems: [duo]\nscenarios: ['suite:dev']\nlimit: {}\nsweep:\n- lookahead: [1, 2]\n"
    few = {each.name for each in sweep(tmp_path, text.format(5)).job.scenarios}
    more = {each.name for each in sweep(tmp_path, text.format(9)).job.scenarios}
    assert len(few) == 5
    assert len(more) == 9
    assert few < more


def test_progress_counts_the_whole_sweep(tmp_path: Path) -> None:
    console = Console(record=True, width=200, force_terminal=True, file=io.StringIO())
    record_sweep(sweep(tmp_path), console=console)
    assert "30/30" in console.export_text()


@pytest.mark.parametrize(
    ("file", "names", "scenarios"),
    [
        ("sweep.yaml", "decide_at cycle_seconds patience on_silence after_interruption", 32),
        ("yielding.yaml", "decide_at silence patience yielding answer_at hold_at hold_after", 128),
    ],
)
def test_the_sweeps_that_come_with_the_package_can_be_read(
    tmp_path: Path, file: str, names: str, scenarios: int
) -> None:
    found = read_sweep(Path(evaluation.__file__).parent / "experiments" / file, tmp_path)
    assert {name for point in found.points for name in point.swept} == set(names.split())
    assert len(found.job.scenarios) == scenarios
