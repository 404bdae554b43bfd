"""The loss of plain answers: the sum over answer tokens, whatever remarks stand between."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from duo.cli import app
from duo.data.sample import AssistantTurn, Sample, UserTurn, sample_line
from duo.errors import BadInput
from evaluation.answers import answer_loss, plain_dialogue
from tests.tiny import tiny_backbone

QUERY, REMARK = UserTurn(content="Why?", state="<1>"), UserTurn(content="uh-huh", state="<2>")
ANSWER, CUT = AssistantTurn(content="It rains."), AssistantTurn(content="It", complete=False)


def test_the_loss_is_the_mean_over_answer_tokens() -> None:
    backbone = tiny_backbone()
    chat = backbone.chat
    found = answer_loss(backbone, [Sample(id="x", messages=(QUERY, ANSWER))])
    before = [*chat.preamble, *chat.user_turn("Why?"), *chat.assistant_open]
    end = next(id for id in chat.assistant_close if id in chat.stop)
    answer = [*chat.text("It rains.", "assistant"), end]
    with torch.no_grad():
        logits = backbone.model(torch.tensor([[*before, *answer]])).logits[0]
    scores = logits.log_softmax(-1)
    losses = [-float(scores[len(before) - 1 + n, id]) for n, id in enumerate(answer)]
    assert found.nats == pytest.approx(sum(losses) / len(losses), rel=1e-5)
    assert (found.tokens, found.dialogues) == (len(answer), 1)


def test_remarks_and_unfinished_turns_do_not_count() -> None:
    backbone = tiny_backbone()
    plain = Sample(id="x", messages=(QUERY, CUT, QUERY, ANSWER))
    talked = Sample(
        id="x",
        messages=(QUERY, CUT, REMARK, QUERY, ANSWER, UserTurn(content="And", state=None)),
    )
    assert answer_loss(backbone, [plain]) == answer_loss(backbone, [talked])
    assert plain_dialogue(Sample(id="x", messages=(QUERY,))) is None
    assert answer_loss(backbone, []).tokens == 0


def test_models_are_compared_on_the_same_dialogues(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backbones = {"one": tiny_backbone(), "other": tiny_backbone(seed=1)}
    monkeypatch.setattr("duo.backbone.load", lambda name, **_: backbones[name])
    samples = [Sample(id=str(n), messages=(QUERY, ANSWER)) for n in range(3)]
    data, out = tmp_path / "data.jsonl", tmp_path / "out.json"
    data.write_text("\n".join(map(sample_line, samples)) + "\n")
    command = ["eval", "answers", str(data), "one", "other", "--limit", "2", "--out", str(out)]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    figures = json.loads(out.read_text())
    assert figures["data"]["dialogues"] == 2
    for name, backbone in backbones.items():
        expected = answer_loss(backbone, samples[:2])
        assert figures["models"][name]["nats"] == pytest.approx(expected.nats)
        assert f"{expected.nats:.3f}" in result.output


def test_data_without_answers_is_refused(tmp_path: Path) -> None:
    data = tmp_path / "data.jsonl"
    data.write_text(sample_line(Sample(id="x", messages=(QUERY,))))
    result = CliRunner().invoke(app, ["eval", "answers", str(data), "smollm2"])
    assert isinstance(result.exception, BadInput)
    assert "no dialogue with an answer" in str(result.exception)
