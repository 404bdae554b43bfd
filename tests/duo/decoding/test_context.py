"""A full context: the oldest turns give way and it is said; never an exception, never silence."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from duo.backbone import Backbone
from duo.decoding.conversant import CycleResult, Heard, Kind, Revision
from duo.decoding.duo import Duo, DuoSettings
from duo.decoding.fused import FusedChannels
from tests.duo.decoding.steering import by_ending, ending_after, steered
from tests.tiny import tiny_backbone


@lru_cache
def backbone() -> Backbone:
    return tiny_backbone(max_tokens=400)


def duo(answer: int, **more: Any) -> Duo:
    model = backbone()
    channels = steered(model, by_ending(model), ending_after(model, answer))
    return Duo(model, DuoSettings(**more), channels=channels)


def notes(results: list[CycleResult]) -> list[str]:
    return [event.text for result in results for event in result.events if event.kind is Kind.NOTE]


def positions(system: Duo) -> int:
    return system.channels.length


def test_the_oldest_turns_are_dropped_and_the_rest_is_as_if_they_had_never_been() -> None:
    system = duo(answer=8, max_tokens=200)
    model = backbone()
    results = []
    for number in range(12):
        results += [system.cycle(f"Question {number}?"), *(system.cycle("") for _ in range(3))]
        assert positions(system) <= 200
    assert any("oldest user turns were dropped" in note for note in notes(results))
    text = model.tokenizer.decode(system.channels.prefix.ids)
    preamble = model.tokenizer.decode(list(model.chat.preamble))
    assert text.startswith(preamble + "<|im_start|>user\nQuestion ")
    assert "Question 11?" in text
    assert "Question 0?" not in text


def test_an_answer_that_fills_the_context_is_ended() -> None:
    system = duo(answer=10_000, max_tokens=120)
    results = [system.cycle("Why?"), *(system.cycle("") for _ in range(60))]
    assert notes(results) == ["the context is full: the answer was ended"]
    assert [event.kind for result in results for event in result.events].count(Kind.ANSWER_END) == 1
    assert positions(system) <= 120
    # The conversation goes on: the exchange gives way to the next one.
    more = [system.cycle("And now?"), system.cycle("")]
    assert "all turns before this utterance were dropped" in notes(more)[0]
    assert more[-1].spoken


def test_an_utterance_longer_than_the_context_loses_its_beginning() -> None:
    system = duo(answer=4, max_tokens=120)
    words = " ".join(f"word{number}" for number in range(400)) + " what?"
    first, second = system.cycle(words), system.cycle("")
    assert "its first half was forgotten" in notes([first])[0]
    assert Kind.RESPOND in [event.kind for event in second.events]
    assert "what?" in backbone().tokenizer.decode(system.channels.prefix.ids)
    assert positions(system) <= 120


def test_a_conversation_may_refuse_to_forget() -> None:
    system = duo(answer=10_000, max_tokens=120, when_full="refuse")
    results = [system.cycle("Why?"), *(system.cycle("") for _ in range(60))]
    assert notes(results) == ["the context of 120 tokens is full: the conversation ends here"]
    assert not results[-1].busy
    assert system.cycle("Hello?") == CycleResult()
    system.reset()
    assert system.cycle("Hello?").forward_passes == 1


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    answer=st.integers(0, 60),
    max_tokens=st.integers(100, 180),
    options=st.fixed_dictionaries(
        {
            "lookahead": st.integers(1, 6),
            "ignored_utterances": st.sampled_from(["forget", "remember"]),
            "after_interruption": st.sampled_from(["drop", "merge"]),
            "when_full": st.sampled_from(["drop", "refuse"]),
        }
    ),
    script=st.lists(
        st.sampled_from(["", "", "", " and?", " mhm", "a long remark about nothing at all " * 6])
        | st.just(Revision("no, something else " * 20)),
        min_size=10,
        max_size=40,
    ),
)
def test_no_conversation_ever_outgrows_its_context(
    answer: int, max_tokens: int, options: dict[str, Any], script: list[Heard]
) -> None:
    system = duo(answer=answer, max_tokens=max_tokens, **options)
    channels = system.channels
    assert isinstance(channels, FusedChannels)
    for heard in script:
        system.cycle(heard)
        assert positions(system) <= max_tokens
        assert channels.slots_in_use <= 2 * max_tokens
