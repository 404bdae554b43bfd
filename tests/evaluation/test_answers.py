"""The loss of plain answers: the sum over answer tokens, whatever remarks stand between."""

from __future__ import annotations

import pytest
import torch

from duo.data.sample import AssistantTurn, Sample, UserTurn
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
