"""The figures of `duo eval frames`, of known cases and of a tiny model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from duo import backbone
from duo.errors import BadInput
from duo.files import read_result, write_result
from duo.frames import Projector, write_projector, write_utterances
from evaluation.frames import FramesResult, _area, _way, evaluate_frames
from evaluation.scores import Judged, Outcome, answers
from tests.duo.test_frames import SHAPE, utterances
from tests.tiny import tiny_backbone


def case(wanted: Outcome, respond: float, ignore: float) -> Judged:
    outcome: Outcome = "respond" if respond >= ignore else "ignore"
    return Judged(label="", wanted=wanted, outcome=outcome, p_respond=respond, p_ignore=ignore)


def test_a_way_counts_what_is_over_and_compares_with_the_words() -> None:
    true = [case("respond", 0.9, 0.1), case("ignore", 0.1, 0.9), case("wait", 0.0, 0.01)]
    heard = [case("respond", 0.5, 0.3), case("ignore", 0.6, 0.2), case("wait", 0.1, 0.1)]
    found = _way("frames", heard, true)
    assert (found.n, found.right.hits, found.respond.hits, found.ignore.hits) == (2, 1, 1, 0)
    assert found.as_words.hits == 1
    assert found.area.area == 0.0  # 0.625 to answer, 0.75 to ignore
    assert found.over is not None
    assert found.over.area == 1.0
    assert (found.sum_over, found.sum_broken) == pytest.approx((0.8, 0.2))
    assert _way("some", heard, true, [True, True, False]).over is None


def test_an_area_has_an_interval_that_holds_it() -> None:
    ones = [case("respond", n / 10, 0.5) for n in range(2, 10)]
    others = [case("ignore", n / 10, 0.5) for n in range(7)]
    found = _area(ones, others, answers)
    assert 0.4 < found.low < found.area < found.high <= 1.0


def test_a_projector_is_measured_beside_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backbone, "load", lambda name, **_: tiny_backbone(dtype=torch.float32))
    said = tmp_path / "said"
    write_utterances(said / "00000.safetensors", utterances())
    facts: dict[str, Any] = {"model": "tiny", "utterances": 3, "settings": {"precision": "float32"}}
    torch.manual_seed(0)
    write_projector(tmp_path, Projector(SHAPE), facts)
    found = evaluate_frames(tmp_path, said)
    words, recognised, frames, loud, others = found.ways  # all have the same noise
    assert words.as_words.hits == words.n == 10
    assert recognised.model_copy(update={"way": words.way}) == words  # it heard every word
    assert (frames.n, loud.n, others.n, found.broken) == (10, 10, 10, 4)
    write_result(tmp_path / "frames.json", found)
    assert read_result(tmp_path / "frames.json", FramesResult) == found
    assert found.tables()[0].rows
    write_utterances(said / "00000.safetensors", [replace(utterances()[0], state=None)])
    with pytest.raises(BadInput, match="to ignore"):
        evaluate_frames(tmp_path, said)
