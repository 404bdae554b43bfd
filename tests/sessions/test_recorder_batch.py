"""Recording many conversations at once writes what recording them one by one writes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from duo.decoding.systems import SYSTEM_NAMES
from duo.errors import BadInput
from duo.reading import seconds_per_pass
from duo.transcript import read_transcript
from sessions.catalogue import find_scenarios
from sessions.recorder import COMMON, Job, record_all
from tests.tiny import tiny_backbone

FAKE = "tests.sessions.fakes:factory"


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """The model is a tiny one; each system has its own, as some are given tokens and weights."""
    monkeypatch.setattr("duo.backbone.load", lambda name, **_: tiny_backbone())


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(
        systems=[*SYSTEM_NAMES, FAKE],
        scenarios=find_scenarios(["pasta-dinner", "fall-of-rome", "zh-tang-poem"]),
        out=tmp_path / "single",
        models={system: f"tiny-{system}" for system in SYSTEM_NAMES},
        settings={"duo": {"max_answer_seconds": 2.25}, "turn-based": {"max_answer_seconds": 2.25}},
        max_seconds=20.0,
    )


def test_the_transcripts_are_the_same_bytes(job: Job) -> None:
    together = replace(job, out=job.out.parent / "together", batch=2)
    single = record_all(job)
    for one, other in zip(single, record_all(together), strict=True):
        assert one.relative_to(job.out) == other.relative_to(together.out)
        assert one.read_bytes() == other.read_bytes()
    assert any(event.kind == "speech" for event in read_transcript(single[0]).events)


def test_all_systems_of_ours_speak_by_the_same_settings(job: Job) -> None:
    for path in record_all(replace(job, scenarios=job.scenarios[:1])):
        header, ours = read_transcript(path).header, path.parent.name in SYSTEM_NAMES
        chosen = {"max_answer_seconds": 2.25} if header.system in job.settings else {}
        expected = {**COMMON, **chosen} if ours else {}
        assert header.settings == {**expected, "max_seconds": 20.0}


@pytest.mark.parametrize("batch", [1, 2])
def test_time_shared_with_others_is_no_latency(job: Job, batch: int) -> None:
    """Only a conversation held by itself says how long a forward pass of its system takes."""
    two = replace(job, systems=["duo-sequential"], scenarios=job.scenarios[:2], batch=batch)
    for path in record_all(two):
        assert (seconds_per_pass(path) is None) == (batch > 1)
    manifest = json.loads((job.out / "manifest.json").read_text("utf-8"))
    name = "shared_machine_seconds" if batch > 1 else "machine_seconds"
    assert all(entry[name] > 0 for entry in manifest["transcripts"].values())


def test_graphs_need_a_gpu(job: Job) -> None:
    with pytest.raises(BadInput, match="graphs: CUDA graphs need a model on cuda"):
        record_all(replace(job, systems=["duo"], graphs=True))
    assert not list(job.out.rglob("*.jsonl"))


def test_a_batch_must_be_possible(job: Job) -> None:
    with pytest.raises(BadInput, match="batch: must be 1 or more"):
        record_all(replace(job, batch=0))
    with pytest.raises(BadInput, match="batch: only one conversation at a time"):
        record_all(replace(job, batch=2, real_time=True))
