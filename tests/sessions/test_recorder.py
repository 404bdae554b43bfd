"""Recording many pairs: resumed, refused, the same bytes every time."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from duo.chatformat import chat_format
from duo.chattemplate import DATE
from duo.errors import BadInput
from duo.transcript import read_transcript
from sessions.catalogue import find_scenarios
from sessions.recorder import Job, record_all
from tests.sessions import fakes
from tests.tiny import tiny_backbone

FAKE = "tests.sessions.fakes:factory"
FOLDER = "tests.sessions.fakes-factory"
ROOT = Path(__file__).parents[2]
SCENARIOS = find_scenarios(["pasta-dinner", "fall-of-rome", "zh-tang-poem"])


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(systems=[FAKE], scenarios=SCENARIOS, out=tmp_path / "out")


@pytest.fixture(autouse=True)
def no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here may load a model."""

    def load(*_: Any, **__: Any) -> None:
        raise AssertionError("a model was loaded")

    monkeypatch.setattr("duo.backbone.load", load)


def contents(folder: Path) -> dict[str, bytes]:
    """All files but the manifest."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "manifest.json"
    }


def manifest(job: Job) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((job.out / "manifest.json").read_text())
    return found


def test_every_pair_is_recorded(job: Job) -> None:
    paths = record_all(job)
    assert paths == [job.out / FOLDER / f"{scenario.name}.jsonl" for scenario in SCENARIOS]
    assert set(contents(job.out)) == {str(path.relative_to(job.out)) for path in paths}
    header = read_transcript(paths[2]).header
    assert (header.system, header.model, header.language) == (FAKE, "none", "zh")
    assert header.scenario_sha256 == SCENARIOS[2].sha256
    assert header.settings == {"max_seconds": 180.0}
    kinds = {event.kind for path in paths for event in read_transcript(path).events}
    assert {"utterance", "word", "fork", "respond", "ignore", "cut", "speech", "cycle"} <= kinds


def test_the_day_that_a_chat_template_shows_is_written_down(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(name: str, **how: Any) -> Any:
        backbone = tiny_backbone(template=name)
        return replace(backbone, chat=chat_format(backbone.tokenizer, **how))

    monkeypatch.setattr("duo.backbone.load", load)
    job = replace(job, systems=["turn-based"], scenarios=SCENARIOS[:1], max_seconds=2.0)

    def recorded(template: str, **how: Any) -> dict[str, str]:
        models = {"turn-based": template}
        (path,) = record_all(replace(job, models=models, load_settings=how, force=True))
        return read_transcript(path).header.versions

    assert recorded("dated")["chat_template_date"] == DATE
    assert recorded("dated", date="2025-12-24")["chat_template_date"] == "2025-12-24"
    assert "chat_template_date" not in recorded("chatml")


def test_the_same_job_writes_the_same_bytes(job: Job, tmp_path: Path) -> None:
    record_all(job)
    record_all(replace(job, out=tmp_path / "again"))
    assert contents(job.out) == contents(tmp_path / "again")
    record_all(replace(job, out=tmp_path / "other", seed=1))
    assert contents(job.out) != contents(tmp_path / "other")


def test_the_order_of_scenarios_changes_no_transcript(job: Job, tmp_path: Path) -> None:
    record_all(job)
    record_all(replace(job, out=tmp_path / "again", scenarios=SCENARIOS[::-1]))
    assert contents(job.out) == contents(tmp_path / "again")


def test_what_is_there_is_kept(job: Job) -> None:
    first, *others = record_all(job)
    before = manifest(job)
    for path in others:
        path.unlink()
    kept = first.stat().st_mtime_ns
    whole = contents(job.out)
    record_all(job)
    assert first.stat().st_mtime_ns == kept
    assert contents(job.out).keys() > whole.keys()
    # What each transcript took is known of those kept as well.
    after = manifest(job)["transcripts"]
    key = str(first.relative_to(job.out))
    assert after[key] == before["transcripts"][key]
    assert len(after) == 3
    assert after[key]["machine_seconds"] >= 0
    assert after[key]["forward_passes"] > 0


def test_a_finished_job_changes_nothing(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    record_all(job)
    files = {path: path.stat().st_mtime_ns for path in job.out.rglob("*") if path.is_file()}
    monkeypatch.setattr(fakes, "Answerer", None)  # nothing is built either
    record_all(job)
    assert files == {p: p.stat().st_mtime_ns for p in job.out.rglob("*") if p.is_file()}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"seed": 7}, "seed"),
        ({"max_seconds": 60.0}, "settings.max_seconds"),
        ({"settings": {FAKE: {"words": 3}}}, "settings.words"),
        ({"models": {FAKE: "other"}}, "model"),
        ({"load_settings": {"dtype": "float16"}}, "settings.backbone"),
    ],
)
def test_another_recording_is_not_mixed_in(job: Job, change: dict[str, Any], field: str) -> None:
    paths = record_all(job)
    paths[0].unlink()
    before = contents(job.out)
    with pytest.raises(BadInput, match="record it again with --force") as caught:
        record_all(replace(job, **change))
    assert (caught.value.file, caught.value.field) == (paths[1], field)
    assert contents(job.out) == before


def test_a_recording_with_another_sort_of_user_is_not_mixed_in(job: Job) -> None:
    path = record_all(job)[0]
    path.write_text(
        path.read_text("utf-8").replace('"schema_version": 2', '"schema_version": 1', 1)
    )
    assert read_transcript(path).header.schema_version == 1
    with pytest.raises(BadInput, match="record it again with --force") as caught:
        record_all(job)
    assert caught.value.field == "schema_version"


def test_a_changed_scenario_is_another_recording(job: Job) -> None:
    record_all(job)
    changed = SCENARIOS[0].model_copy(update={"description": "Another."})
    with pytest.raises(BadInput) as caught:
        record_all(replace(job, scenarios=[changed]))
    assert caught.value.field == "scenario_sha256"


def test_force_records_again_only_what_does_not_match(job: Job) -> None:
    first, second, third = record_all(job)
    kept = second.stat().st_mtime_ns
    record_all(replace(job, scenarios=SCENARIOS[:1], seed=7, force=True))
    assert read_transcript(first).header.seed == 7
    third.write_text("damaged")
    record_all(replace(job, force=True))
    assert [read_transcript(path).header.seed for path in (first, second, third)] == [0, 0, 0]
    assert second.stat().st_mtime_ns == kept


def test_a_damaged_transcript_is_named(job: Job) -> None:
    path = record_all(job)[1]
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(BadInput, match="cut off: record it again with --force"):
        record_all(job)


def test_a_broken_manifest_is_replaced(job: Job) -> None:
    paths = record_all(job)
    for broken in ("{", "[]", '{"transcripts": 3}', '{"transcripts": {"gone.jsonl": {}}}'):
        paths[0].unlink()
        (job.out / "manifest.json").write_text(broken)
        record_all(job)
        assert list(manifest(job)["transcripts"]) == [f"{FOLDER}/pasta-dinner.jsonl"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"systems": []}, "no system"),
        ({"max_seconds": float("nan")}, "max_seconds: must be positive"),
        ({"systems": ["dua"]}, "unknown system 'dua'"),
        ({"systems": ["no.such.module:f"]}, "cannot be loaded"),
        ({"systems": [f"{FAKE}s"]}, "cannot be loaded"),
        ({"systems": ["duo"]}, "needs a model"),
        ({"systems": ["tests.sessions.fakes:no_conversant"]}, "made no conversant"),
        ({"settings": {FAKE: {"cycle_seconds": 0.0}}}, "cycle_seconds"),
    ],
)
def test_what_cannot_be_recorded_is_refused(job: Job, change: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        record_all(replace(job, **change))
    assert contents(job.out) == {}


def test_an_unwritable_folder_is_named_before_a_model_is_loaded(job: Job, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(BadInput, match="cannot write") as caught:
        record_all(replace(job, systems=["duo"], models={"duo": "m"}, out=file / "out"))
    assert caught.value.file == file / "out"


def test_a_model_is_loaded_only_for_a_pair_that_is_missing(job: Job) -> None:
    record_all(replace(job, systems=[FAKE]))
    with pytest.raises(AssertionError, match="a model was loaded"):
        record_all(replace(job, systems=[FAKE, "duo"], models={"duo": "m"}, force=True))


def test_systems_of_one_folder_are_refused(job: Job) -> None:
    (fakes.__dict__).setdefault("Factory", fakes.factory)
    with pytest.raises(BadInput, match="would share a folder"):
        record_all(replace(job, systems=[FAKE, "tests.sessions.fakes:Factory"]))


def test_the_real_clock_is_named(job: Job) -> None:
    settings = {FAKE: {"cycle_seconds": 0.05}}
    path, *_ = record_all(
        replace(job, scenarios=SCENARIOS[:1], settings=settings, real_time=True, max_seconds=1.0)
    )
    transcript = read_transcript(path)
    assert transcript.header.clock == "real-time"
    assert any(event.text.startswith("cut after 1 s") for event in transcript.of("note"))
    assert manifest(replace(job))["clock"] == "real-time"


def test_progress_is_told_in_lines_where_there_is_no_terminal(job: Job) -> None:
    console = Console(record=True, width=300, force_terminal=False, file=io.StringIO())
    record_all(job, console=console)
    told = console.export_text().splitlines()
    assert [line.partition(":")[0] for line in told] == [
        str(job.out / FOLDER / f"{scenario.name}.jsonl") for scenario in SCENARIOS
    ]


def test_a_run_that_is_killed_goes_on_where_it_was(job: Job, tmp_path: Path) -> None:
    code = (
        "from pathlib import Path\n"
        "from sessions.catalogue import find_scenarios\n"
        "from sessions.recorder import Job\n"
        "from sessions.recorder import record_all\n"
        f"names = {[scenario.name for scenario in SCENARIOS]!r}\n"
        f"record_all(Job([{FAKE!r}], find_scenarios(names), Path({str(job.out)!r})))\n"
    )
    killed = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=os.environ | {"DUO_TEST_DIE_IN": "3"},
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    names = [scenario.name for scenario in SCENARIOS]
    assert set(contents(job.out)) == {f"{FOLDER}/{name}.jsonl" for name in names[:2]}
    assert len(manifest(job)["transcripts"]) == 2
    kept = contents(job.out)
    record_all(job)
    assert len(manifest(job)["transcripts"]) == 3
    assert contents(job.out).items() > kept.items()
    record_all(replace(job, out=tmp_path / "undisturbed"))
    assert contents(job.out) == contents(tmp_path / "undisturbed")


def test_an_interrupted_run_leaves_whole_transcripts(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    cycle = fakes.Answerer.cycle
    count = iter(range(10**6))

    def interrupted(self: fakes.Answerer, heard: Any) -> Any:
        if next(count) == 150:
            raise KeyboardInterrupt
        return cycle(self, heard)

    with monkeypatch.context() as patched:
        patched.setattr(fakes.Answerer, "cycle", interrupted)
        with pytest.raises(KeyboardInterrupt):
            record_all(job)
    there = contents(job.out)
    assert 0 < len(there) < len(SCENARIOS)
    for name in there:
        read_transcript(job.out / name)
    record_all(job)
    assert len(contents(job.out)) == len(SCENARIOS)
