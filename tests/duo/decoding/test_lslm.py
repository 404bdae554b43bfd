"""Channel fusion, against a plain loop that computes every token from nothing."""

from __future__ import annotations

from functools import lru_cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from duo.backbone import Backbone
from duo.decoding.conversant import CycleResult, Kind, Revision
from duo.decoding.lslm import Lslm, LslmSettings
from duo.fusion import KINDS, add_fusion, paired
from tests.tiny import tiny_backbone, with_control

scripts = st.lists(
    st.sampled_from(["", "", "What is it?", " so the rain", " mhm", " And?", " Stop."]),
    max_size=10,
)


@lru_cache
def backbone(kind: str) -> Backbone:
    model = with_control(tiny_backbone(), f"lslm-{kind}", seed=3)
    add_fusion(model.model, kind)  # type: ignore[arg-type]
    with torch.no_grad():
        torch.manual_seed(0)
        model.model.fusion.up.copy_(0.5 * torch.randn_like(model.model.fusion.up))
    return model


def plain(
    model: Backbone, kind: str, script: list[str], longest: int
) -> tuple[list, list[int], list[int], int]:
    """Events and passes of each cycle, the ids at the end and how many were encoded.

    Each pass sees all ids at once, of which those since the pass before are new.
    """
    chat = model.chat
    [irq] = model.control(["<irq>"])
    ids, answered, complete = list(chat.preamble), False, False
    speaking, waiting, over, silent, said = False, "", "", 0, 0
    pieces: list[int] = []
    found, passes, encoded = [], [], 0
    for words in script:
        events = []
        silent = silent + 1 if not words else 0
        if speaking:
            if words and not over:
                events.append("fork")
            over += words
            pieces += chat.text(words)
            if over and not pieces and silent >= 2:
                events.append("ignore")
                over = ""
        else:
            waiting += words
            if silent and waiting:
                end = chat.assistant_close if complete else chat.assistant_cut
                ids += [*(end if answered else ()), *chat.user_open, *chat.text(waiting)]
                ids += [*chat.user_close, *chat.assistant_open]
                speaking, answered, complete, waiting, said = True, True, False, "", 0
                events.append("respond")
        passes.append(0)
        for _ in range(4):
            if not speaking:
                break
            passes[-1] += 1
            encoded = len(ids)
            with torch.no_grad():
                scores = model.model(torch.tensor([ids]), use_cache=False).logits[0, -1]
            if over and int(scores.argmax()) == irq:
                events.append("cut")
                speaking, waiting, over, pieces = False, over, "", []
                break
            scores[list(model.states.all)] = -torch.inf
            token = int(scores.argmax())
            complete = token in chat.stop
            if not complete:
                said += 1
                ids.append(token)
            if complete or said == longest:
                events.append("answer_end")
                speaking = False
                if over:
                    waiting, over, pieces = over, "", []
            else:
                ids[-1] = paired(token, pieces.pop(0) if pieces else None)
        found.append(events)
    return found, passes, ids, encoded


def kinds(result: CycleResult) -> list[str]:
    return [str(event.kind) for event in result.events if event.kind is not Kind.SPEECH]


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=12, deadline=None, derandomize=True)
@given(script=scripts)
def test_it_does_what_a_plain_loop_does(kind: str, script: list[str]) -> None:
    model = backbone(kind)
    expected, passes, ids, encoded = plain(model, kind, script, 10)
    system = Lslm(model, LslmSettings(max_answer_seconds=2.5), name=f"lslm-{kind}")
    results = [system.cycle(words) for words in script]
    assert [kinds(result) for result in results] == expected
    assert system.context.ids == ids
    assert [result.forward_passes for result in results] == passes
    assert sum(result.tokens_processed for result in results) == encoded


@pytest.mark.parametrize("kind", KINDS)
def test_while_nobody_speaks_the_answer_is_the_models_own(kind: str) -> None:
    found = []
    for model in (backbone(kind), with_control(tiny_backbone(), f"lslm-{kind}", seed=3)):
        system = Lslm(model, name=f"lslm-{kind}")
        found.append([system.cycle(words).spoken for words in ["Why?", "", "", ""]])
    assert found[0] == found[1]


def test_what_is_said_over_an_answer_and_revised_is_heard_bit_by_bit() -> None:
    model = backbone("early")
    system = Lslm(model)
    for heard in ["Why?", "", Revision(" so"), Revision(" so the rain")]:
        system.cycle(heard)
    assert system._over in ("", " so the rain")


def test_what_is_said_over_an_answer_that_a_full_context_ends_is_answered() -> None:
    model = backbone("early")
    least = len(model.chat.preamble) + Lslm(model).context._reserve + 32
    system = Lslm(model, LslmSettings(max_tokens=least))
    script = iter(["Why?", "", *[" so"] * 20])
    found: list[str] = []
    while "note" not in found:
        found = kinds(system.cycle(next(script)))
        assert "cut" not in found
    assert "answer_end" in found
    assert "respond" in kinds(system.cycle(""))
    assert system._over == ""
