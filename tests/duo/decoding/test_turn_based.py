"""Turn by turn: silence ends a turn, and nothing is heard while an answer is given."""

from __future__ import annotations

from functools import lru_cache

import pytest
import torch

from duo.backbone import Backbone
from duo.decoding.channels import read_together
from duo.decoding.conversant import CycleLog, CycleResult, Kind, Revision
from duo.decoding.settings import Sampling
from duo.decoding.turn_based import TurnBased, TurnBasedSettings
from tests.tiny import tiny_backbone


@lru_cache
def backbone() -> Backbone:
    return tiny_backbone()


def kinds(result: CycleResult) -> list[Kind]:
    return [event.kind for event in result.events if event.kind is not Kind.SPEECH]


def test_silence_ends_the_turn_whatever_was_said() -> None:
    system = TurnBased(backbone(), TurnBasedSettings(patience=2))
    results = [system.cycle(heard) for heard in ("mhm", "", "")]
    assert [kinds(result) for result in results] == [[], [], [Kind.RESPOND]]
    assert results[0].forward_passes == results[1].forward_passes == 0
    assert results[2].forward_passes == 4


def test_answers_are_those_of_plain_greedy_generation() -> None:
    model = backbone()
    system = TurnBased(model, TurnBasedSettings(max_answer_seconds=6.0))
    system.cycle("What is the capital of France?")
    for _ in range(8):
        system.cycle("")
    said = system.context.ids
    turn = model.chat.user_turn("What is the capital of France?")
    prompt = [*model.chat.preamble, *turn, *model.chat.assistant_open]
    assert said[: len(prompt)] == prompt
    states = [model.states.respond, model.states.ignore, model.states.idle]
    generated = model.model.generate(
        input_ids=torch.tensor([prompt]),
        attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
        max_new_tokens=24,
        do_sample=False,
        suppress_tokens=states,
        eos_token_id=sorted(model.chat.stop),
        pad_token_id=0,
    )[0].tolist()
    answer = generated[len(prompt) :]
    assert said[len(prompt) :] == [token for token in answer if token not in model.chat.stop]


@pytest.mark.parametrize(
    ("template", "end"),
    [("marks", "<|user|>"), ("return", "<|end|>"), ("return", "<|return|>")],
)
def test_each_token_that_ends_an_answer_ends_it(template: str, end: str) -> None:
    model = tiny_backbone(template=template)
    system = TurnBased(model, TurnBasedSettings(patience=1))
    for heard in ("Why?", ""):
        system.cycle(heard)
    scores = torch.zeros(len(model.tokenizer))
    scores[model.tokenizer.convert_tokens_to_ids(end)] = 1.0
    log = CycleLog(system.channels, 4)
    [[[token]]] = read_together([[system._speaker.choose(scores)]])
    system._speaker.speak(int(token), log)
    assert [event.kind for event in log.result(busy=False).events] == [Kind.ANSWER_END]
    answer = system.channels.output.ids or []
    said = model.tokenizer.decode(system.context.ids)
    system.cycle("Oh?")
    system.cycle("")
    opened = model.tokenizer.decode([*model.chat.assistant_close, *model.chat.user_open])
    assert model.tokenizer.decode(system.channels.prefix.ids).startswith(f"{said}{opened}Oh?")
    assert model.chat.stop.isdisjoint(answer)


def test_words_during_an_answer_wait_until_it_ends() -> None:
    settings = TurnBasedSettings(max_answer_seconds=2.0)
    disturbed, undisturbed = TurnBased(backbone(), settings), TurnBased(backbone(), settings)
    for heard in ("Why?", ""):
        disturbed.cycle(heard)
        undisturbed.cycle(heard)
    assert disturbed.cycle("And how?").spoken == undisturbed.cycle("").spoken
    answered = disturbed.cycle("")
    assert kinds(answered) == [Kind.RESPOND]
    assert "And how?" in backbone().tokenizer.decode(disturbed.channels.prefix.ids)
    assert undisturbed.cycle("") == CycleResult()


def test_with_barge_in_any_word_stops_the_answer() -> None:
    system = TurnBased(backbone(), TurnBasedSettings(barge_in=True))
    for heard in ("Why?", ""):
        system.cycle(heard)
    stopped = system.cycle("mhm")
    assert kinds(stopped) == [Kind.CUT]
    assert stopped.spoken == ""
    assert not stopped.busy


def test_a_revision_replaces_what_was_heard_of_the_turn() -> None:
    system = TurnBased(backbone())
    for heard in ("What is the capitol", Revision("What is the capital of France?"), ""):
        system.cycle(heard)
    text = backbone().tokenizer.decode(system.channels.prefix.ids)
    assert "What is the capital of France?" in text
    assert "capitol" not in text


def test_a_full_context_drops_the_oldest_turns() -> None:
    settings = TurnBasedSettings(max_tokens=120, max_answer_seconds=2.0)
    system = TurnBased(backbone(), settings)
    texts = []
    for number in range(10):
        for heard in (f"Question {number}?", "", "", ""):
            texts += [event.text for event in system.cycle(heard).events if event.kind is Kind.NOTE]
            assert system.channels.length <= 120
    assert any("oldest user turns were dropped" in text for text in texts)


def test_a_reset_conversation_is_the_same_again() -> None:
    system = TurnBased(backbone(), TurnBasedSettings(sampling=Sampling(temperature=1.0, seed=7)))
    script = ["Why?", "", "", "mhm"]
    first = [system.cycle(heard) for heard in script]
    system.reset()
    assert [system.cycle(heard) for heard in script] == first
