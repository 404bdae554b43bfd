"""Speech that is held while the user speaks: it goes on where it was, or falls."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from duo.decoding.channels import Channels
from duo.decoding.conversant import Heard, Kind
from duo.decoding.duo import Duo, DuoSettings
from duo.decoding.sequential import SequentialChannels
from duo.decoding.settings import Sampling
from tests.duo.decoding.duos import CASES, QUERY, backbone, duo, in_doubt, kinds, phrases, play


@pytest.mark.parametrize(("kind", "architecture"), [*CASES, (SequentialChannels, "llama")])
@settings(max_examples=15, deadline=None, derandomize=True)
@given(
    lookahead=st.integers(1, 5),
    before=st.integers(0, 3),
    remarks=st.lists(phrases, min_size=1, max_size=3),
    slices=st.integers(1, 4),
    options=st.fixed_dictionaries(
        {
            "hold_words": st.integers(1, 3),
            "hold_at": st.sampled_from([None, 1e-9]),
            "hold_after": st.sampled_from([None, 1e-9, 2.0]),
            "decide_at": st.sampled_from([None, 0.5]),
            "sampling": st.sampled_from([Sampling(), Sampling(temperature=0.9, seed=3)]),
        }
    ),
)
def test_held_speech_goes_on_where_it_was(
    kind: type[Channels],
    architecture: str,
    lookahead: int,
    before: int,
    remarks: list[str],
    slices: int,
    options: dict[str, Any],
) -> None:
    """Token for token, greedy or drawn."""
    model = backbone(architecture)
    begin: list[Heard] = [QUERY, ""] + [""] * before
    script = [*begin]
    for remark in remarks:
        text = remark + " mhm"
        size = -(-len(text) // slices)
        script += [text[start : start + size] for start in range(0, len(text), size)]
        script += [""] * 2
    script += [""] * 90
    options = {**options, "lookahead": lookahead, "kind": kind, "answer": 40}
    held, undisturbed = duo(model, yielding="pause", **options), duo(model, **options)
    results = play(held, script)
    alone = play(undisturbed, [*begin, *[""] * 90])
    assert "".join(one.spoken for one in results) == "".join(one.spoken for one in alone)
    assert held.context.ids == undisturbed.context.ids
    events = [event.kind for one in results for event in one.events]
    assert events.count(Kind.RESUME) == events.count(Kind.HOLD)
    assert events.count(Kind.IGNORE) == len(remarks)
    silent = False
    for event in events:
        silent = event is Kind.HOLD or (silent and event is not Kind.RESUME)
        assert not (silent and event is Kind.SPEECH)
    if options["hold_at"] is None and options["hold_words"] == 1 and not before:
        assert Kind.HOLD in events


@pytest.mark.parametrize("words", [1, 2])
def test_held_speech_falls_and_the_context_has_what_was_heard(words: int) -> None:
    model = backbone()
    system = duo(model, yielding="pause", hold_words=words, hold_at=None)
    heard = play(system, [QUERY, "", "", "And", " of", " Spain?"])
    assert [Kind.HOLD in kinds(one) for one in heard[3:5]] == [words == 1, words == 2]
    assert [bool(one.spoken) for one in heard[3:]] == [words == 2, False, False]
    assert all(one.busy for one in heard[1:])
    answered = system.cycle("")
    assert [event.text for event in answered.events if event.kind is Kind.CUT] == [""]
    assert answered.spoken
    assert Kind.RESUME not in kinds(answered)
    said = "".join(one.spoken for one in heard)
    text = model.tokenizer.decode(system.channels.prefix.ids, skip_special_tokens=True)
    assert said in text
    assert text.index(said) < text.index("And of Spain?")


def test_speech_is_held_where_an_answer_is_likelier() -> None:
    """By p(<1>) against p(<2>) after the words so far."""
    model = backbone()
    states = model.states
    for likelier, other in ((states.respond, states.ignore), (states.ignore, states.respond)):
        leaning = in_doubt(model, likelier, other)
        options = {"yielding": "pause", "hold_words": 1, "hold_at": 0.6, "decide_at": 0.9}
        system = Duo(model, DuoSettings(**options), channels=leaning)  # type: ignore[arg-type]
        during = play(system, [QUERY, "", "so the"])[-1]
        assert (Kind.HOLD in kinds(during)) == (likelier == states.respond)


@pytest.mark.parametrize(("seconds", "held"), [(1.0, 3), (3.0, 3), (4.0, 4), (None, 9)])
def test_speech_is_held_for_whoever_goes_on_talking(seconds: float | None, held: int) -> None:
    """Whatever the model knows, from the first word that ends so late: not in a pause."""
    model = backbone()
    leaning = in_doubt(model, model.states.ignore, model.states.respond)
    options = {"yielding": "pause", "hold_words": 1, "hold_after": seconds}
    options |= {"decide_at": 0.9, "patience_speaking": 9.0}
    system = Duo(model, DuoSettings(**options), channels=leaning)  # type: ignore[arg-type]
    cycles = play(system, [QUERY, "", "so", "", "", " the", " tea"])[2:]
    found = [number for number, cycle in enumerate(cycles) if Kind.HOLD in kinds(cycle)]
    assert found == [held] * (held < len(cycles))
