"""Probes: what they read from a model, and what they can and cannot tell apart."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from duo.errors import BadInput
from duo.files import read_result
from evaluation.cases import Case
from evaluation.commands import probe
from evaluation.probe import (
    Features,
    Probe,
    _folds,
    evaluate_probe,
    group,
    learning_curve,
    read_features,
)
from evaluation.states import encoder_for, utterance_ids
from tests.gguf_twin import needs_llama, twin
from tests.tiny import ARCHITECTURES, tiny_backbone


def cases(count: int, per_dialogue: int = 2) -> list[Case]:
    """Every other one wants an answer."""
    return [
        Case(
            f"talk{number // per_dialogue}-{number}",
            *(("query", ()) if number % 2 else ("hum", ())),
            " ".join(["what"] * (number % 7 + 1)),
            "respond" if number % 2 else "ignore",
        )
        for number in range(count)
    ]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_what_is_held_does_not_depend_on_the_others(architecture: str) -> None:
    backbone = tiny_backbone(architecture)
    some = cases(9)
    together = read_features(backbone, some)
    states = [backbone.states.respond, backbone.states.ignore]
    encoder = encoder_for(backbone)
    for number, case in enumerate(some):
        alone = read_features(backbone, [case])
        assert np.allclose(together.layers[number], alone.layers[0], atol=1e-6)
        ids = torch.tensor([utterance_ids(encoder, case, case.text)])
        with torch.no_grad():
            found = backbone.model(ids, output_hidden_states=True)
        last = found.hidden_states[-1][0, -1].numpy()
        assert np.allclose(together.layers[number][-last.size :], last, atol=1e-6)
        respond, ignore = found.logits[0, -1].softmax(-1)[states].tolist()
        assert together.own[number] == pytest.approx(respond / (respond + ignore))


@needs_llama
@pytest.mark.parametrize("architecture", ["llama", "qwen2"])
def test_what_is_held_in_llama_is_what_is_held_in_torch(architecture: str) -> None:
    backbone = tiny_backbone(architecture, dtype=torch.float32)
    other = replace(backbone, model=twin(backbone.model), engine="llama")
    here, there = read_features(backbone, cases(5)), read_features(other, cases(5))
    assert np.allclose(here.layers, there.layers, rtol=2e-2, atol=2e-2)
    assert np.allclose(here.own, there.own, atol=1e-2)


@pytest.mark.parametrize(
    ("name", "dialogue"),
    [
        ("mrda-Bmr002-34", "mrda-Bmr002"),
        ("gr-48#1:6", "gr-48"),
        ("dialog_57", "dialog_57"),
        ("7", "7"),
    ],
)
def test_the_dialogue_of_an_utterance(name: str, dialogue: str) -> None:
    assert group(Case(name, "x", (), "x", "ignore")) == dialogue


def test_no_dialogue_is_trained_on_and_tested() -> None:
    some = cases(120, per_dialogue=3)
    groups = np.array([group(case) for case in some])
    wants = np.array([case.wanted == "respond" for case in some])
    for part in (0.25, 1.0):
        tested: list[int] = []
        for train, test in _folds(groups, wants, part, seed=1):
            assert not {group(some[n]) for n in train} & {group(some[n]) for n in test}
            assert len(train) == pytest.approx(part * (len(some) - len(test)), abs=3)
            tested += test.tolist()
        assert sorted(tested) == list(range(len(some)))


def test_probes_find_what_is_there_and_nothing_else() -> None:
    some = cases(200)
    random = np.random.default_rng(0)
    wants = np.array([case.wanted == "respond" for case in some])
    noise = random.normal(size=(len(some), 6)).astype(np.float32)
    there = noise.copy()
    there[:, 2] += 8 * wants
    own = random.uniform(size=len(some))
    seen = learning_curve(some, Features(there, own))
    assert [point.labelled for point in seen] == [0, 20, 40, 80, 160]
    assert seen[0].labels["hum"].right < 0.3
    for point in seen:
        assert point.labels["query"].right == pytest.approx(0.95)
    assert seen[-1].labels["hum"].right == 1.0
    assert seen[-1].labels["hum"].area == pytest.approx(1.0, abs=0.01)
    blind = learning_curve(some, Features(noise, own))
    assert blind[0] == seen[0]
    assert blind[-1].labels["hum"].right < 0.3
    assert blind[-1].labels["hum"].area == pytest.approx(0.5, abs=0.15)


def written(path: Path, count: int) -> Path:
    lines = [
        {"id": f"d{n}-1", "context": [], "text": case.text, "label": case.label,
         "needs_response": case.wanted == "respond"}
        for n, case in enumerate(cases(count))
    ]  # fmt: skip
    unfinished = {**lines[0], "id": "x-1", "label": "incomplete", "needs_response": False}
    path.write_text("".join(json.dumps(line) + "\n" for line in [*lines, unfinished]))
    return path


def test_figures_are_written_and_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    backbone = tiny_backbone(dtype=torch.float32)
    monkeypatch.setattr("duo.backbone.load", lambda *args, **kwargs: backbone)
    data, out = written(tmp_path / "u.jsonl", 60), tmp_path / "probe.json"
    probe("tiny", data, spelling="lower", out=out)
    found = read_result(out, Probe)
    assert json.loads(out.read_text())["n"] == found.n == 60
    assert found.data.spelling == "lower"
    assert "its own" in capsys.readouterr().out


def test_too_few_utterances_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="utterances to answer in 15 dialogues"):
        evaluate_probe("tiny", data=written(tmp_path / "u.jsonl", 30))
