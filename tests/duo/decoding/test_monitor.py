"""One model decides and another one answers, on random models that are steered."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from duo.backbone import Backbone
from duo.decoding.conversant import CycleResult, Heard, Kind, Turn
from duo.decoding.duo import Duo, DuoSettings
from duo.decoding.fused import FusedChannels
from duo.decoding.settings import Sampling
from duo.decoding.systems import build
from tests.duo.decoding.steering import by_ending, ending_after, steered
from tests.gguf_twin import TwinChannels, needs_llama
from tests.tiny import tiny_backbone

QUERY = "What is the capital of France?"


@lru_cache
def models() -> tuple[Backbone, Backbone]:
    """The speaker and the monitor, with tokens of their own."""
    return tiny_backbone("qwen2", kind="metaspace"), tiny_backbone("llama")


def system(
    answer: int = 10_000, kind: type = FusedChannels, silent: bool = False, **more: Any
) -> Duo:
    """The monitor decides as in the tests of `Duo`; `silent`: it would give no answer."""
    speaker, monitor = models()
    says = ending_after(monitor, 0 if silent else 10_000)
    return Duo(
        speaker,
        DuoSettings(**more),
        channels=steered(speaker, speaking=ending_after(speaker, answer)),
        monitor=monitor,
        monitor_channels=steered(monitor, by_ending(monitor), says, kind),
    )


def play(duo: Duo, script: list[Heard]) -> list[CycleResult]:
    return [duo.cycle(heard) for heard in script]


def kinds(results: list[CycleResult]) -> list[Kind]:
    return [event.kind for one in results for event in one.events if event.kind is not Kind.SPEECH]


def texts(duo: Duo) -> tuple[str, str]:
    """The conversation as speaker and monitor have it."""
    speaker, monitor = models()
    context: Any = duo.context
    return speaker.tokenizer.decode(context.ids), monitor.tokenizer.decode(context._its.ids)


@pytest.mark.parametrize("kind", [FusedChannels, pytest.param(TwinChannels, marks=needs_llama)])
@settings(max_examples=15, deadline=None, derandomize=True)
@given(
    lookahead=st.integers(1, 5),
    remarks=st.lists(
        st.sampled_from(["so the rain", "the capital", "you"]), min_size=1, max_size=3
    ),
    yielding=st.sampled_from(["decide", "pause"]),
)
def test_an_ignored_remark_leaves_the_answer_as_it_was(
    kind: type, lookahead: int, remarks: list[str], yielding: Any
) -> None:
    script: list[Heard] = [QUERY, "", ""]
    for remark in remarks:
        script += [remark, " mhm", "", ""]
    script += [""] * 40
    options = {"answer": 40, "lookahead": lookahead, "kind": kind, "hold_at": None}
    disturbed, undisturbed = system(yielding=yielding, **options), system(**options)  # type: ignore[arg-type]
    heard = play(disturbed, script)
    alone = play(undisturbed, script[:3] + [""] * (len(script) - 3))
    if yielding == "decide":
        assert [one.spoken for one in heard] == [one.spoken for one in alone]
    assert "".join(one.spoken for one in heard) == "".join(one.spoken for one in alone)
    assert disturbed.context.ids == undisturbed.context.ids
    assert kinds(heard).count(Kind.IGNORE) == len(remarks)


@settings(max_examples=15, deadline=None, derandomize=True)
@given(
    into=st.integers(0, 4),
    finished=st.booleans(),
    policy=st.sampled_from(["drop", "merge"]),
    lookahead=st.integers(1, 4),
)
def test_both_models_have_the_conversation_in_their_own_tokens(
    into: int, finished: bool, policy: Any, lookahead: int
) -> None:
    speaker, monitor = models()
    duo = system(answer=5 if finished else 10_000, lookahead=lookahead, after_interruption=policy)
    before = play(duo, [QUERY, "", *[""] * into])
    during = play(duo, ["And of ", "Spain?"])
    play(duo, [""])
    answer = "".join(one.spoken for one in (before + during if policy == "merge" else before))
    chat = speaker.chat
    query = [*chat.preamble, *chat.user_turn(QUERY), *chat.assistant_open]
    second = [*chat.assistant_close, *chat.user_turn("And of Spain?"), *chat.assistant_open]
    ids = duo.channels.speaker.prefix.ids  # type: ignore[attr-defined]
    assert ids[: len(query)] == query
    assert ids[-len(second) :] == second
    said = speaker.tokenizer.decode(ids[len(query) : -len(second)], skip_special_tokens=True)
    assert said.startswith(answer) or answer.startswith(said)  # half a character waits
    turns = texts(duo)[1]
    assert f"{QUERY}<1>" in turns
    assert "And of Spain?<1>" in turns
    its = duo.channels.monitor.prefix.ids  # type: ignore[attr-defined]
    followed = turns.split("assistant\n")[1].split("<|im_end|>")[0]
    assert " ".join(answer.split()).startswith(" ".join(followed.split()))
    with torch.inference_mode():
        plain = monitor.model(torch.tensor([its]), use_cache=False).logits[0, -1]
    duo.channels.monitor.speaking = True
    scores = duo.channels.monitor.encode().output
    if scores is not None:
        torch.testing.assert_close(scores, plain, rtol=1e-4, atol=1e-4)


def test_an_answer_without_blanks_is_followed_as_one_with_blanks() -> None:
    speaker, monitor = models()
    said = "今天天气很好，我们去公园走走吧。然后我们一起吃饭。"
    ids = speaker.chat.text(said, "assistant")
    spoken = steered(speaker, speaking=lambda count: ids[count] if count < len(ids) else None)
    duo = Duo(
        speaker,
        DuoSettings(),
        channels=spoken,
        monitor=monitor,
        monitor_channels=steered(monitor, by_ending(monitor), ending_after(monitor, 10_000)),
    )
    before = "".join(one.spoken for one in play(duo, [QUERY, "", "", ""]))
    play(duo, ["mhm"])
    followed = texts(duo)[1].split("assistant\n")[1].split("<|im_end|>")[0]
    assert len(before) > 2
    assert before.startswith(followed)
    assert len(followed) >= len(before) - 2  # the last character, and a sign


@settings(max_examples=10, deadline=None, derandomize=True)
@given(words=st.integers(1, 12), into=st.integers(0, 3))
def test_the_answer_begins_one_pass_after_the_decision(words: int, into: int) -> None:
    chat = models()[0].chat
    duo = system(lookahead=1)
    play(duo, [QUERY, *[""] * into, *["And of "] * words, "Spain?"])
    speaker = duo.channels.speaker  # type: ignore[attr-defined]
    before = speaker.tokens_processed
    (answer,) = play(duo, [""])
    assert Kind.RESPOND in kinds([answer])
    passes = speaker.tokens_processed - before
    assert passes == len([*chat.user_close, *chat.assistant_open])


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_where_the_monitor_would_say_nothing_nothing_is_said(temperature: float) -> None:
    drawn = Sampling(temperature=temperature)
    results = play(system(silent=True, sampling=drawn), ["Be quiet, will you?", ""])
    assert kinds(results)[-2:] == [Kind.RESPOND, Kind.ANSWER_END]
    assert results[-1].spoken == ""
    assert results[-1].forward_passes == 1  # of the monitor


def test_a_full_context_of_either_gives_way() -> None:
    duo = system(answer=30, max_tokens=140)
    results = play(duo, [QUERY, *[""] * 9] * 8)
    assert Kind.NOTE in kinds(results)
    assert kinds(results).count(Kind.RESPOND) == 8
    assert all("refused" not in event.text for one in results for event in one.events)


def test_a_dialogue_held_before_is_recalled_by_both() -> None:
    duo = system()
    duo.reset()
    duo.recall([Turn("user", QUERY), Turn("assistant", "Paris."), Turn("user", "Oh.")])
    play(duo, ["And Spain?", ""])
    mine, its = texts(duo)
    assert "Paris." in mine
    assert "Paris." in its
    assert "Oh.<2>" in its
    assert "<1>" not in mine


def test_the_monitor_is_a_setting_of_duo(monkeypatch: pytest.MonkeyPatch) -> None:
    speaker, monitor = models()
    asked: list[tuple[str, str]] = []

    def load(name: str, engine: str) -> Backbone:
        asked.append((name, engine))
        return monitor

    monkeypatch.setattr("duo.decoding.systems.load_monitor", load)
    made: Any = build("duo", speaker, monitor="small", lookahead=2)
    made.cycle("What is")
    assert asked == [("small", "auto")]
    assert made.channels.monitor.forward_passes > 0
