"""What decides where no state token is the likeliest: patience, and what the model knows."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from duo.decoding.conversant import Heard, Kind
from duo.decoding.duo import Duo, DuoSettings
from tests.duo.decoding.duos import QUERY, backbone, in_doubt, kinds, phrases, play
from tests.duo.decoding.steering import steered


def test_without_a_state_token_patience_decides() -> None:
    system = Duo(backbone(), DuoSettings(patience=3, on_silence="respond"))
    *waiting, decided = play(system, ["so the rain", "", "", ""])
    assert all(Kind.RESPOND not in kinds(result) for result in waiting)
    assert [one.by for one in decided.events if one.kind is Kind.RESPOND] == ["patience"]
    assert decided.busy


@settings(max_examples=20, deadline=None, derandomize=True)
@given(st.lists(phrases, min_size=1, max_size=3), st.integers(1, 3))
def test_in_doubt_the_likelier_state_may_decide(heard: list[str], patience: int) -> None:
    """The rule against the logits of the whole context, computed anew."""
    model = backbone("qwen2")
    script = [*(f" {words}" for words in heard), *[""] * patience]
    likelier = Duo(model, DuoSettings(patience=patience, on_silence="likelier"))
    *_, last = play(likelier, script)
    twin = Duo(model, DuoSettings(patience=9))
    play(twin, script[: len(heard)])
    assert twin.channels.input is not None
    whole = [*twin.channels.prefix.ids, *twin.channels.input.ids]
    ahead = max(0, len(twin._expected) - 1)
    with torch.no_grad():
        logits = model.model(torch.tensor([whole[: len(whole) - ahead]])).logits[0, -1]
    answers = bool(logits[model.states.respond] >= logits[model.states.ignore])
    if answers:
        assert [kinds(last)[0], last.events[0].by] == [Kind.RESPOND, "patience"]
    else:  # nothing is being said, so that nothing is lost by waiting
        assert Kind.RESPOND not in kinds(last)
        assert Kind.IGNORE not in kinds(last)
        assert likelier.context.listening


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    heard=st.lists(phrases, min_size=1, max_size=3),
    share=st.sampled_from([0.5, 0.99, 1.01, 2.0]),
    speaking=st.booleans(),
    cycle_seconds=st.sampled_from([0.25, 1.0]),
)
def test_what_the_model_knows_decides(
    heard: list[str], share: float, speaking: bool, cycle_seconds: float
) -> None:
    """The rule against the logits of the whole context, computed anew."""
    model = backbone("qwen2")
    before: list[Heard] = [QUERY, ""] if speaking else []
    words = [f" {text}" for text in heard]

    def made(decide_at: float) -> Duo:
        listening = steered(
            model, lambda text: model.states.respond if text.endswith("France?") else None
        )
        more = {"silence": 0.6, "patience": 100.0, "cycle_seconds": cycle_seconds}
        return Duo(model, DuoSettings(decide_at=decide_at, **more), channels=listening)

    twin = made(1.0)
    play(twin, [*before, *[""] * 2, *words])
    assert twin.channels.input is not None
    with torch.no_grad():
        whole = [*twin.channels.prefix.ids, *twin.channels.input.ids]
        logits = model.model(torch.tensor([whole])).logits[0, -1]
    chances = logits.softmax(-1)[[model.states.respond, model.states.ignore]]
    system = made(min(1.0, share * float(chances.sum())))
    needed = 1 if cycle_seconds == 1 else 3  # cycles that are 0.6 s long
    *waiting, last = play(system, [*before, *[""] * 2, *words, *[""] * needed])[-needed:]
    decided = {Kind.RESPOND, Kind.IGNORE} & set(kinds(last))
    assert not {Kind.RESPOND, Kind.IGNORE} & {kind for one in waiting for kind in kinds(one)}
    likelier = Kind.RESPOND if chances[0] >= chances[1] else Kind.IGNORE
    # While nothing is said, what may be half a question is held.
    acts = share < 1 and (speaking or likelier is Kind.RESPOND)
    assert decided == ({likelier} if acts else set())
    assert last.forward_passes == (4 if last.busy else 0)  # a decision costs none


@pytest.mark.parametrize("ignore", [True, False])
def test_in_doubt_half_a_question_waits_and_a_hum_into_an_answer_does_not(ignore: bool) -> None:
    model = backbone()
    more, less = model.states.ignore, model.states.respond
    if not ignore:
        more, less = less, more
    leaning = in_doubt(model, more, less)
    system = Duo(model, DuoSettings(patience=4), channels=leaning)
    idle = play(system, ["What is the", *[""] * 4, " capital?", ""])
    everything = [kind for result in idle for kind in kinds(result)]
    assert everything.count(Kind.RESPOND) == (1 if ignore else 2)
    assert Kind.IGNORE not in everything
    if ignore:
        assert "What is the capital?" in model.tokenizer.decode(system.channels.prefix.ids)
    *waiting, last = play(system, ["so the", "", ""])  # over an answer, sooner
    assert not {Kind.IGNORE, Kind.RESPOND} & {kind for one in waiting for kind in kinds(one)}
    decided = [event for event in last.events if event.by == "patience"]
    assert [event.kind for event in decided] == [Kind.IGNORE if ignore else Kind.RESPOND]


@pytest.mark.parametrize(("answer_at", "decision"), [(0.7, Kind.RESPOND), (0.8, Kind.IGNORE)])
def test_over_an_answer_more_may_be_asked_for(answer_at: float, decision: Kind) -> None:
    """`<1>` has e / (e + 1) of both, 0.73."""
    model = backbone()
    channels = in_doubt(model, model.states.respond, model.states.ignore)
    system = Duo(model, DuoSettings(answer_at=answer_at, decide_at=1e-12), channels=channels)
    for heard, decided in (("so the", Kind.RESPOND), (" of Spain", decision)):
        found = [event for one in play(system, [heard, ""]) for event in one.events if event.by]
        assert [(event.kind, event.by) for event in found] == [(decided, "state")]


@pytest.mark.parametrize(("cycle_seconds", "silent"), [(1.0, 7), (2.0, 4), (0.5, 14)])
def test_what_is_waited_on_is_forgotten_after_a_silence(cycle_seconds: float, silent: int) -> None:
    model = backbone()
    channels = in_doubt(model, model.states.ignore, model.states.respond)
    system = Duo(
        model, DuoSettings(forget_after=7.0, cycle_seconds=cycle_seconds), channels=channels
    )
    *waiting, last = play(system, ["What is the", *[""] * silent])
    assert not {Kind.IGNORE, Kind.RESPOND} & {kind for one in waiting for kind in kinds(one)}
    assert [(event.kind, event.by) for event in last.events] == [(Kind.IGNORE, "patience")]
    assert not system.context.listening
    later = play(system, ["What is the capital?", *[""] * math.ceil(0.6 / cycle_seconds)])
    assert [kinds(one)[:1] for one in later][-1] == [Kind.RESPOND]
    assert model.tokenizer.decode(system.channels.prefix.ids).count("What is") == 1
    # Words put the end off.
    system.reset()
    results = play(system, ["What is the", *[""] * (silent - 1), " tall", *[""] * (silent - 1)])
    assert all(Kind.IGNORE not in kinds(one) for one in results)


def test_a_decision_by_patience_leaves_no_expected_words_and_no_state_token() -> None:
    model = backbone()
    system = Duo(model, DuoSettings(patience=1))
    play(system, ["so the rain", ""])
    chat = model.chat
    assert system.channels.prefix.ids == [
        *chat.preamble, *chat.user_turn("so the rain"), *chat.assistant_open,
    ]  # fmt: skip
