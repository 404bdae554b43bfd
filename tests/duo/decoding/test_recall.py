"""Going on from a dialogue held before: the same ids as if it were rendered at once."""

from __future__ import annotations

from functools import lru_cache
from itertools import chain

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from duo.backbone import Backbone
from duo.decoding.conversant import Conversant, Recalling, Turn
from duo.decoding.duo import Duo
from duo.decoding.duplex import Duplex
from duo.decoding.sequential import SequentialChannels
from duo.decoding.systems import SYSTEM_NAMES, build
from duo.decoding.turn_based import TurnBased
from tests.tiny import tiny_backbone, with_control

WORDS = ("the", "rain", "a", "cat", "is", "Well,", "no?", "3", "zebra's", ".")
TEXT = st.lists(st.sampled_from(WORDS), min_size=1).map(" ".join)
TURNS = st.lists(st.builds(Turn, st.sampled_from(["user", "assistant"]), TEXT), max_size=5)


@lru_cache
def backbone(template: str = "chatml") -> Backbone:
    return tiny_backbone(template=template)


def rendered(turns: list[Turn], query: str, model: Backbone, *, states: bool) -> list[int]:
    """The whole dialogue and then a query, by the chat format itself."""
    messages = []
    for place, turn in enumerate(turns):
        message: dict[str, object] = {"role": turn.role, "content": turn.text}
        if turn.role == "user" and states:
            answered = [turn.role for turn in turns[place + 1 : place + 2]] == ["assistant"]
            message["state"] = model.states.respond if answered else model.states.ignore
        messages.append(message)
    return model.chat.render([*messages, {"role": "user", "content": query}])


@settings(max_examples=40)
@given(TURNS, TEXT, st.sampled_from(["chatml", "words", "role", "marks", "return"]))
def test_the_words_that_follow_stand_where_they_would(
    turns: list[Turn], query: str, template: str
) -> None:
    model = backbone(template)
    for system in (Duo(model), Duo(model, channels=SequentialChannels), TurnBased(model)):
        system.recall(turns)
        if isinstance(system, TurnBased):
            system.context.hear(query)
        else:
            system.cycle(query)
        strand = system.channels.input
        assert strand is not None
        ours = [*system.channels.prefix.ids, *strand.ids[: system.context.heard]]
        whole = rendered(turns, query, model, states=isinstance(system, Duo))
        assert ours == whole[: len(ours)]
        assert len(whole) - len(ours) <= len(model.chat.user_end)


@settings(max_examples=40)
@given(TURNS, TEXT)
def test_time_slices_hold_all_that_was_said(turns: list[Turn], query: str) -> None:
    system, model = Duplex(backbone()), backbone()
    system.recall(turns)
    idle = [model.states.idle]
    pairs = list(system._history)
    heard = " ".join(pair.user for pair in pairs if pair.user is not None)
    assert heard.split() == " ".join(turn.text for turn in turns if turn.role == "user").split()
    spoken = [pair.answer for pair in pairs if pair.answer != idle]
    said = [model.chat.text(turn.text, "assistant") for turn in turns if turn.role == "assistant"]
    assert list(chain(*spoken)) == list(chain(*said))
    assert all(len((pair.user or "").split()) <= 5 for pair in pairs)
    assert all(1 <= len(pair.answer) <= system.settings.slice_tokens for pair in pairs)
    system.cycle(query)
    assert system._history[: len(pairs)] == pairs


def test_an_answer_stands_in_the_slice_of_the_last_words_it_answers() -> None:
    system = Duplex(backbone())
    system.recall([Turn("user", "one two three four five six"), Turn("assistant", "Yes.")])
    first, second = system._history
    assert (first.user, second.user) == ("one two three four five", "six")
    assert first.answer == [backbone().states.idle]
    assert second.answer == backbone().chat.text("Yes.", "assistant")


@pytest.mark.parametrize("name", SYSTEM_NAMES)
def test_every_system_of_ours_can_and_forgets_it_again(name: str) -> None:
    def answer(turns: list[Turn]) -> list[str]:
        system.reset()
        assert isinstance(system, Recalling)
        if turns:
            system.recall(turns)
        heard = ["the rain is", "", "", "", ""]
        return [system.cycle(words).spoken for words in heard]

    system: Conversant = build(name, with_control(tiny_backbone(), name), seed=1)
    before = [Turn("user", "a cat"), Turn("assistant", "the zebra is a cat of the rain")]
    fresh, informed = answer([]), answer(before)
    assert informed != fresh
    assert answer([]) == fresh
    assert answer(before) == informed


def test_nothing_is_encoded_before_somebody_speaks() -> None:
    system = Duo(backbone())
    system.recall([Turn("user", "a cat"), Turn("assistant", "the zebra")])
    result = system.cycle("")
    assert (result.forward_passes, result.events, result.busy) == (0, (), False)


def test_a_dialogue_that_is_too_long_gives_way_and_says_so() -> None:
    system = Duo(tiny_backbone(max_tokens=160))
    system.recall([Turn("user", "a cat " * 8), Turn("assistant", "the rain " * 8)] * 4)
    notes = [event.text for _ in range(3) for event in system.cycle("the cat").events]
    assert any("were dropped" in note for note in notes)
    assert system.channels.length <= 160
