"""The time-slice baseline, step by step as the published decoder is described."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from duo.backbone import Backbone
from duo.decoding.channels import Scores
from duo.decoding.conversant import LIMIT, CycleResult, Event, Heard, Kind, Revision
from duo.decoding.duplex import Duplex, DuplexSettings
from duo.decoding.fused import FusedChannels
from duo.decoding.settings import Sampling
from tests.duo.decoding.steering import raised
from tests.tiny import tiny_backbone

LONG = " and the rain" * 10  # more than a slice of ten tokens


@lru_cache
def backbone() -> Backbone:
    return tiny_backbone()


def spelled(text: str) -> list[int]:
    """Ids of a text in which `<idle>` and `</s>` (the end of the turn) count."""
    model = backbone()
    ids: list[int] = []
    for piece in text.replace("</s>", "\0</s>\0").replace("<idle>", "\0<idle>\0").split("\0"):
        if piece == "</s>":
            ids.append(min(model.chat.stop))
        elif piece == "<idle>":
            ids.append(model.states.idle)
        elif piece:
            ids += model.tokenizer(piece, add_special_tokens=False)["input_ids"]
    return ids


def duplex(monkeypatch: pytest.MonkeyPatch, slices: list[str], **more: Any) -> Duplex:
    """A baseline whose model answers these slices, one after the other, and then `<idle>`."""
    system = Duplex(backbone(), DuplexSettings(**more))
    plan = [spelled(text) for text in slices]
    encode: Callable[[FusedChannels], Scores] = FusedChannels.encode
    told: list[int] = []

    def scripted(channels: FusedChannels) -> Scores:
        scores = encode(channels)
        assert scores.output is not None
        if not channels.output.ids:  # the first token of a slice
            told[:] = plan.pop(0) if plan else [backbone().states.idle]
        token = told.pop(0) if told else backbone().states.idle
        return Scores(raised(scores.output, token, by=100.0), None)

    monkeypatch.setattr(FusedChannels, "encode", scripted)
    return system


def prompt(system: Duplex) -> str:
    """The last prompt, with the preamble taken off and the model's markers as the paper's."""
    model = backbone()
    text: str = model.tokenizer.decode(system.channels.prefix.ids[len(model.chat.preamble) :])
    text = text.replace("<|im_start|>user\n", "U:").replace("<|im_start|>assistant\n", "A:")
    return text.replace("<|im_end|>\n", "|")


def expecting(patch: pytest.MonkeyPatch, chances: torch.Tensor) -> None:
    """Make the model give these probabilities whatever it has read."""
    encode: Callable[[FusedChannels], Scores] = FusedChannels.encode

    def even(channels: FusedChannels) -> Scores:
        encode(channels)
        return Scores(chances.log(), None)

    patch.setattr(FusedChannels, "encode", even)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    silence=st.floats(0.02, 0.98), words=st.integers(1, 40), by=st.sampled_from(["odds", "token"])
)
def test_a_slice_is_silent_by_odds_or_by_its_likeliest_token(
    silence: float, words: int, by: Any
) -> None:
    """`<idle>` has the probability `silence`, and as many first words share the rest."""
    model = backbone()
    idle, word = model.states.idle, (1 - silence) / words
    assume(abs(silence - 0.5) > 0.01 and abs(silence - word) > 0.01)
    chances = torch.zeros(len(model.tokenizer))
    chances[[id for id in range(60) if id != idle and id not in model.chat.stop][:words]] = word
    chances[idle] = silence
    with pytest.MonkeyPatch.context() as patch:
        expecting(patch, chances)
        system = Duplex(model, DuplexSettings(silence=by, slice_tokens=2))
        system.cycle("what is the")
    silent = system._history[-1].answer == [idle]
    assert silent == (silence > (0.5 if by == "odds" else word))


def test_drawn_slices_are_as_silent_as_the_model_says(monkeypatch: pytest.MonkeyPatch) -> None:
    model = backbone()
    chances = torch.full((len(model.tokenizer),), 0.6 / (len(model.tokenizer) - 1))
    chances[model.states.idle] = 0.4
    expecting(monkeypatch, chances)
    system = Duplex(model, DuplexSettings(sampling=Sampling(temperature=1.0), slice_tokens=1))
    silent = 0
    for _ in range(200):
        system.cycle("what")
        silent += system._history[-1].answer == [model.states.idle]
        system._history, system._active = [], False  # the draws go on
    assert 52 <= silent <= 108  # 80 expected, with a standard deviation of 6.9


def test_silence_at_the_beginning_calls_no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    system = duplex(monkeypatch, [])
    assert [system.cycle("") for _ in range(3)] == [CycleResult()] * 3  # step 2


def test_words_are_answered_in_slices_of_ten_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    system = duplex(monkeypatch, [LONG])
    result = system.cycle("what is the")
    assert result.forward_passes == 10  # step 7
    assert len(system._history[-1].answer) == 10
    assert result.spoken == backbone().tokenizer.decode(system._history[-1].answer)
    assert result.busy  # ten tokens without an end: there is more to come


def test_each_prompt_is_the_whole_history_encoded_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    system = duplex(monkeypatch, ["<idle>", " Paris</s>"])
    system.cycle("what is the")
    assert prompt(system) == "U:what is the|A:"
    result = system.cycle("capital?")
    assert prompt(system) == "U:what is the|A:<idle>|U:capital?|A:"  # step 5, with </s> of step 3
    sent = len(system.channels.prefix.ids)
    assert result.tokens_processed == sent + len(spelled(" Paris"))


def test_a_short_slice_completes_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    system = duplex(monkeypatch, [" Paris</s>"])
    result = system.cycle("capital?")
    assert result.spoken == " Paris"
    assert [event.kind for event in result.events][-1] is Kind.ANSWER_END
    assert not result.busy  # step 8
    assert system.cycle("") == CycleResult()  # step 2 again


def test_a_slice_that_ends_late_is_not_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    long = " and the rain"
    count = len(spelled(long))
    system = duplex(monkeypatch, [long + "</s>", "</s>"], short_slice=count)
    assert system.cycle("so?").busy  # the end came as token `count + 1`
    assert not system.cycle("").busy


def test_an_answer_that_lasts_too_long_is_ended_and_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    system = duplex(monkeypatch, [LONG, LONG], max_answer_seconds=2.6)  # thirteen tokens
    assert system.cycle("tell me").busy
    ended = system.cycle("")
    assert ended.events[-1] == Event(Kind.ANSWER_END, step=3, steps=10, by=LIMIT)
    assert not ended.busy
    assert system.cycle("") == CycleResult()


def test_a_revision_to_what_was_heard_already_is_a_slice_without_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def told(*heard: Heard) -> str:
        system = duplex(monkeypatch, [" so", " the", " rain"])
        for one in heard:
            system.cycle(one)
        return prompt(system)

    silent = told("so the", " rain", "")
    assert told("so the", " rain", Revision("so the rain")) == silent
    assert told("so the", " rain", Revision("so the train")) != silent


def test_idle_slices_are_tidied_away(monkeypatch: pytest.MonkeyPatch) -> None:
    system = duplex(monkeypatch, [LONG, "<idle>", " x</s>"])
    system.cycle("tell me")
    assert system.cycle("").forward_passes == 1  # `<idle>` heard, `<idle>` answered
    assert len(system._history) == 2
    quiet = system.cycle("")  # step 3: the idle pair goes, nothing is under way, no model call
    assert quiet.forward_passes == 0
    assert not quiet.busy
    assert [event.kind for event in quiet.events] == [Kind.ANSWER_END]
    assert len(system._history) == 1
    system.cycle("and?")
    assert "<idle>" not in prompt(system)


def test_an_idle_answer_to_words_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    system = duplex(monkeypatch, ["<idle>", "<idle>"])
    system.cycle("what is")
    system.cycle("the")
    assert prompt(system) == "U:what is|A:<idle>|U:the|A:"


@pytest.mark.parametrize("said", ["<idle>", "</s>", " .</s>", "idle", "idle</s>"])
def test_ways_of_saying_nothing(monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    system = duplex(
        monkeypatch, [LONG, said], slice_tokens=len(spelled(said)),
        short_slice=1,
    )  # fmt: skip
    system.cycle("tell me")
    system.cycle("")
    system._active = True  # as after a slice without an end
    assert not system._tidy()
    assert len(system._history) == 1


def test_a_full_context_ends_the_session(monkeypatch: pytest.MonkeyPatch) -> None:
    system = duplex(monkeypatch, [" Paris</s>"] * 20, max_tokens=80)
    results = [system.cycle(f"what is number {number}?") for number in range(12)]
    notes = [event.text for result in results for event in result.events if event.kind is Kind.NOTE]
    assert notes == ["the context of 80 tokens is full: the conversation ends"]  # step 6
    assert results[-1] == CycleResult()


def test_a_full_context_may_drop_the_oldest_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    system = duplex(monkeypatch, [" Paris</s>"] * 20, max_tokens=80, when_full="drop")
    results = [system.cycle(f"what is number {number}?") for number in range(12)]
    assert all(result.spoken == " Paris" for result in results)
    assert len(system.channels.prefix.ids) <= 80


def test_a_reset_conversation_is_the_same_again() -> None:
    system = Duplex(backbone())
    script = ["what is the", "capital of France?", "", ""]
    first = [system.cycle(heard) for heard in script]
    system.reset()
    assert [system.cycle(heard) for heard in script] == first
