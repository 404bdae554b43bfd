"""What the state tokens decide, on random models that are steered to predict them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from duo.backbone import Backbone
from duo.decoding.channels import Channels
from duo.decoding.conversant import LIMIT, CycleResult, Event, Heard, Kind, Revision
from duo.decoding.duo import Duo, DuoSettings
from duo.decoding.fused import FusedChannels
from duo.decoding.sequential import SequentialChannels
from duo.decoding.settings import Sampling
from duo.decoding.systems import build
from duo.errors import BadInput
from tests.duo.decoding.duos import (
    ARCHITECTURES,
    CASES,
    KINDS,
    QUERY,
    backbone,
    duo,
    kinds,
    phrases,
    play,
)
from tests.duo.decoding.steering import by_ending, ending_after, steered
from tests.gguf_twin import TwinChannels
from tests.tiny import tiny_backbone


def test_a_query_is_answered_in_the_first_silent_cycle() -> None:
    system = duo(backbone())
    listening, answering = play(system, ["What is the capital of France?", ""])
    assert kinds(listening) == [Kind.FORK, Kind.PREDICTED]
    assert listening.spoken == ""
    assert listening.events[-1].text == "<1>"
    assert answering.events[0].kind is Kind.RESPOND
    assert answering.events[0].by == "state"
    assert answering.busy
    assert answering.spoken


def test_the_decision_costs_no_forward_pass() -> None:
    """The first pass after the decision yields the first token of the answer."""
    system = duo(backbone(), lookahead=4)
    listening, answering = play(system, [QUERY, ""])
    assert listening.forward_passes == 1  # `<1>` came first: nothing more to look ahead to
    assert answering.forward_passes == 4
    assert len(system.channels.output.ids) == 4


def test_nothing_is_decided_while_the_user_speaks() -> None:
    system = duo(backbone())
    results = play(system, ["Is it?", " Or is it not?", " Say mhm"])
    assert all(Kind.RESPOND not in kinds(result) for result in results)
    assert all(Kind.IGNORE not in kinds(result) for result in results)
    assert kinds(system.cycle("")) == [Kind.IGNORE]


def test_words_looked_ahead_to_complete_the_query() -> None:
    model = backbone()
    please = model.chat.text("the, please")[-1]

    def rule(text: str) -> int | None:
        ends = text.endswith(model.tokenizer.decode([please]))
        return model.states.respond if ends else please

    system = Duo(model, DuoSettings(decide_at=None), channels=steered(model, rule))
    play(system, ["Pass me the salt,", ""])
    expected = [
        *model.chat.preamble,
        *model.chat.user_open, *model.chat.text("Pass me the salt,"), please, model.states.respond,
        *model.chat.user_close, *model.chat.assistant_open,
    ]  # fmt: skip
    assert system.channels.prefix.ids == expected


@pytest.mark.parametrize(("kind", "architecture"), CASES)
@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    lookahead=st.integers(1, 6),
    before=st.integers(0, 3),
    remarks=st.lists(st.tuples(phrases, st.integers(0, 2)), min_size=1, max_size=3),
    slices=st.integers(1, 4),
)
def test_an_ignored_remark_leaves_the_answer_as_it_was(
    kind: type[Channels],
    architecture: str,
    lookahead: int,
    before: int,
    remarks: list[tuple[str, int]],
    slices: int,
) -> None:
    """Property 2: token for token, whenever and however often something is ignored."""
    model = backbone(architecture)
    script: list[Heard] = [QUERY, ""] + [""] * before
    for remark, pause in remarks:
        text = remark + " mhm"
        size = -(-len(text) // slices)
        script += [text[start : start + size] for start in range(0, len(text), size)]
        script += [""] * (pause + 1)
    disturbed = duo(model, answer=40, lookahead=lookahead, kind=kind)
    undisturbed = duo(model, answer=40, lookahead=lookahead, kind=kind)
    heard = play(disturbed, script)
    alone = play(undisturbed, script[:2] + [""] * (len(script) - 2))
    assert [result.spoken for result in heard] == [result.spoken for result in alone]
    assert disturbed.context.ids == undisturbed.context.ids
    assert sum(Kind.IGNORE in kinds(result) for result in heard) == len(remarks)


def _signs(text: str) -> int:
    return len("".join(text.split()))


def _text(model: Backbone, ids: list[int]) -> str:
    decode = model.tokenizer.decode
    return str(decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))


@pytest.mark.parametrize(("kind", "architecture"), CASES)
@settings(max_examples=20, deadline=None, derandomize=True)
@given(
    lookahead=st.integers(1, 6),
    into=st.integers(0, 4),
    cut=st.integers(1, 30),
    policy=st.sampled_from(["drop", "merge"]),
    finished=st.booleans(),
    unheard=st.integers(0, 6),
)
def test_after_a_response_the_state_is_that_of_a_fresh_prefill(
    kind: type[Channels],
    architecture: str,
    lookahead: int,
    into: int,
    cut: int,
    policy: Any,
    finished: bool,
    unheard: int,
) -> None:
    """Property 3: prefix, query and opening are what one would render, and so are the logits.

    What a voice had not said of the last tokens by then is not in the prefix.
    """
    model = backbone(architecture)
    chat, states = model.chat, model.states
    answer = 5 if finished else 10_000
    system = duo(model, answer=answer, kind=kind, lookahead=lookahead, after_interruption=policy)
    second = "Could you tell me how the weather will be tomorrow?"
    play(system, [QUERY, "", *[""] * into])
    said = list(system.channels.output.ids)
    play(system, [second[:cut], second[cut:]])
    spoken = system.channels.prefix.ids[-len(said) :] + system.channels.output.ids if said else []
    kept = spoken if policy == "merge" else said
    text = _text(model, spoken)
    lost = text[len(text) - unheard :] if unheard < len(text) else ""
    system.unheard(lost)
    while lost and kept and _signs(_text(model, kept)) > _signs(text) - _signs(lost):
        kept = kept[:-1]
    system.cycle("")
    expected = [
        *chat.preamble, *chat.user_turn(QUERY, states.respond), *chat.assistant_open, *kept,
        *chat.assistant_close, *chat.user_turn(second, states.respond), *chat.assistant_open,
    ]  # fmt: skip
    assert system.channels.prefix.ids == expected
    with torch.inference_mode():
        ids = torch.tensor([expected + system.channels.output.ids[:-1]])
        logits = model.model(input_ids=ids, use_cache=False).logits[0, len(expected) - 1 :]
    never = torch.tensor([states.respond, states.ignore, states.idle, *chat.stop])
    logits = logits.index_fill(1, never, -torch.inf)
    assert (
        logits.argmax(-1).tolist()[: len(system.channels.output.ids)] == system.channels.output.ids
    )


@settings(max_examples=60, deadline=None, derandomize=True)
@given(data=st.data())
def test_any_slicing_and_any_revision_ends_with_the_ids_of_the_whole(data: st.DataObject) -> None:
    """Property 5."""
    model = backbone(kind=data.draw(st.sampled_from(["bytes", "metaspace"])))
    whole = data.draw(phrases)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=4)))
    script: list[Heard] = []
    for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True):
        if data.draw(st.booleans()):
            script.append(Revision(data.draw(phrases)))
            script.append(Revision(whole[:end]))
        else:
            script.append(whole[start:end])
    system = Duo(model, DuoSettings(patience=100, lookahead=data.draw(st.integers(1, 5))))
    play(system, script)
    ids = [*model.chat.user_open, *model.chat.text(whole)]
    assert system.channels.input is not None
    assert system.channels.input.ids[: system.context.heard] == ids


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    lookahead=st.integers(1, 8),
    script=st.lists(st.sampled_from(["", "", "so the rain", " mhm", " and?", "."]), max_size=14),
)
def test_listening_costs_no_forward_pass(
    kind: type[Channels], lookahead: int, script: list[str]
) -> None:
    """Property 6: while an answer is given, passes are the tokens spoken, listening or not."""
    model = backbone()
    system = duo(model, lookahead=lookahead, kind=kind)
    published = duo(model, lookahead=lookahead, kind=SequentialChannels)
    play(system, [QUERY, ""])
    play(published, [QUERY, ""])
    for heard in script:
        result, twice = system.cycle(heard), published.cycle(heard)
        assert result.events == twice.events
        assert result.forward_passes == lookahead
        looked = len(system._expected) if heard.strip() else 0
        assert twice.forward_passes == lookahead + looked


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    architecture=st.sampled_from(ARCHITECTURES),
    answer=st.integers(1, 12),
    script=st.lists(
        st.sampled_from(["", "", "", "so the rain", " mhm", " and?", "."]) | phrases.map(Revision),
        max_size=20,
    ),
    options=st.fixed_dictionaries(
        {
            "lookahead": st.integers(1, 5),
            "decide_at": st.sampled_from([None, 0.003, 0.01]),
            "answer_at": st.sampled_from([0.5, 0.9]),
            "patience": st.integers(1, 3),
            "on_silence": st.sampled_from(["respond", "likelier"]),
            "forget_after": st.sampled_from([2.0, 10.0]),
            "ignored_utterances": st.sampled_from(["forget", "remember"]),
            "after_interruption": st.sampled_from(["drop", "merge"]),
            "yielding": st.sampled_from(["decide", "pause"]),
            "hold_words": st.integers(1, 2),
            "hold_at": st.sampled_from([None, 0.5]),
            "hold_after": st.sampled_from([None, 2.0]),
            "max_tokens": st.sampled_from([None, 120, 200]),
        }
    ),
)
def test_one_pass_or_two_the_conversation_is_the_same(
    kind: type[Channels],
    architecture: str,
    answer: int,
    script: list[Heard],
    options: dict[str, Any],
) -> None:
    """`duo` and `duo-sequential` differ in cost alone, whatever happens and with any settings."""
    model = backbone("qwen2" if kind is TwinChannels else architecture)
    fused = duo(model, answer=answer, kind=kind, **options)
    sequential = duo(model, answer=answer, kind=SequentialChannels, **options)
    for heard in script:
        one, other = fused.cycle(heard), sequential.cycle(heard)
        assert one.events == other.events
        assert one.busy == other.busy
        assert one.forward_passes <= other.forward_passes
        assert fused.context.ids == sequential.context.ids


@pytest.mark.parametrize("name", ["turn-based", "duplex"])
@settings(max_examples=12, deadline=None, derandomize=True)
@given(
    architecture=st.sampled_from(ARCHITECTURES),
    answer=st.integers(1, 12),
    script=st.lists(
        st.sampled_from(["", "", "so the rain", " mhm", " and?"]) | phrases.map(Revision),
        max_size=12,
    ),
)
def test_systems_with_one_channel_say_the_same_over_either_kind(
    name: str, architecture: str, answer: int, script: list[Heard]
) -> None:
    model = backbone(architecture)
    bent = [
        steered(model, speaking=ending_after(model, answer), kind=kind)
        for kind in (FusedChannels, SequentialChannels)
    ]
    one, other = (build(name, model, channels=kind) for kind in bent)
    assert play(one, script) == play(other, script)


def test_words_after_a_pause_belong_to_the_same_utterance() -> None:
    system = duo(backbone(), patience=3)
    results = play(system, ["What is", "", "", " the capital?", ""])
    forks = sum(Kind.FORK in kinds(result) for result in results)
    assert forks == 1
    assert kinds(results[-1]) == [Kind.RESPOND]
    assert "capital" in backbone().tokenizer.decode(system.channels.prefix.ids)


def test_an_interruption_cuts_the_answer_and_says_what_is_forgotten() -> None:
    system = duo(backbone(), lookahead=3)
    play(system, [QUERY, ""])
    during = system.cycle("And of Spain?")
    after = system.cycle("")
    cut = next(event for event in after.events if event.kind is Kind.CUT)
    assert cut.text == during.spoken  # spoken since the fork, and not in the context any more
    assert after.spoken


@pytest.mark.parametrize("ignored", [True, False])
def test_an_answer_that_ends_while_the_user_speaks(ignored: bool) -> None:
    """Kept if the words turn out to be no query, dropped after the fork if they are one."""
    model = backbone()
    system = duo(model, answer=6, lookahead=4)
    play(system, [QUERY, ""])
    ends = system.cycle("one two")
    assert Kind.ANSWER_END in kinds(ends)
    assert not ends.busy
    said = list(system.context.ids)
    decided = play(system, [" mhm" if ignored else " or?", ""])[-1]
    if ignored:
        assert kinds(decided) == [Kind.IGNORE]
        assert system.context.ids == said
    else:
        assert kinds(decided)[:2] == [Kind.RESPOND, Kind.NOTE]
        assert Kind.CUT not in kinds(decided)
        kept = said[: len(said) - 2]  # the answer's last two tokens came after the fork
        assert system.channels.prefix.ids[: len(kept)] == kept
        closing = [*model.chat.assistant_close, *model.chat.user_open]
        assert system.channels.prefix.ids[len(kept) :][: len(closing)] == closing


def test_a_stop_request_is_a_query_with_an_empty_answer() -> None:
    model = backbone()
    system = duo(model, answer=0)
    result = play(system, ["Be quiet, will you?", ""])[-1]
    assert kinds(result) == [Kind.RESPOND, Kind.ANSWER_END]
    assert result.spoken == ""
    assert not result.busy


def test_remarks_can_be_remembered() -> None:
    """The answer, then the remark with `<2>`, then the next query: as the training samples."""
    model = backbone()
    chat, states = model.chat, model.states
    system = duo(model, answer=6, lookahead=4, ignored_utterances="remember")
    play(system, [QUERY, "", "oh mhm", "", "", "And Spain?", ""])
    text = model.tokenizer.decode(system.channels.prefix.ids)
    assert "oh mhm<2>" in text
    turn = [*chat.user_turn("oh mhm", states.ignore), *chat.user_turn("And Spain?", states.respond)]
    ids = system.channels.prefix.ids
    assert ids[-len(turn) - len(chat.assistant_open) : len(ids) - len(chat.assistant_open)] == turn


def test_a_revision_to_nothing_closes_the_channel() -> None:
    system = duo(backbone())
    results = play(system, ["hm", Revision("")])
    assert [(event.kind, event.by) for event in results[-1].events] == [(Kind.IGNORE, "revision")]
    assert not system.context.listening


def test_silence_and_blanks_cost_nothing() -> None:
    system = duo(backbone())
    for heard in ("", "  ", Revision(" "), ""):
        assert system.cycle(heard) == CycleResult()


def test_typed_control_tokens_are_words() -> None:
    """A user who says `<1>` or closes the turn himself has said just that."""
    model = backbone()
    system = Duo(model, DuoSettings(patience=9))
    system.cycle("say <1> and <|im_end|> now")
    assert system.channels.input is not None
    heard = system.channels.input.ids[len(model.chat.user_open) : system.context.heard]
    assert model.states.respond not in heard
    assert not model.chat.stop & set(heard)


def test_state_tokens_are_never_spoken() -> None:
    model = backbone()
    channels = steered(model, by_ending(model), lambda count: model.states.ignore)
    system = Duo(model, channels=channels)
    results = play(system, [QUERY, "", ""])
    assert "<2>" not in "".join(result.spoken for result in results)
    assert model.states.ignore not in system.context.ids


def test_a_reset_conversation_is_the_same_again() -> None:
    system = duo(backbone(), answer=30, sampling=Sampling(temperature=0.9, top_p=0.9, seed=3))
    script: list[Heard] = [QUERY, "", "so mhm", "", "And?", "", ""]
    first = play(system, script)
    system.reset()
    assert play(system, script) == first


def test_sampling_is_seeded() -> None:
    def said(seed: int) -> str:
        system = duo(backbone(), sampling=Sampling(temperature=1.5, seed=seed))
        return "".join(result.spoken for result in play(system, [QUERY, "", "", ""]))

    assert said(1) == said(1)
    assert said(1) != said(2)


def test_an_endless_answer_is_ended_and_says_so() -> None:
    system = duo(backbone(), max_answer_seconds=1.5)  # six tokens
    results = play(system, [QUERY, "", "", ""])
    assert results[2].events[-1] == Event(Kind.ANSWER_END, step=2, steps=4, by=LIMIT)
    assert not results[2].busy
    assert results[3] == CycleResult()


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("lookahead", 0),
        ("lookahead", 2.5),
        ("lookahead", "two"),
        ("patience", -1),
        ("cycle_seconds", 0.0),
        ("cycle_seconds", float("nan")),
        ("cycle_seconds", 10**400),
        ("decide_at", 1.5),
        ("decide_at", -0.1),
        ("answer_at", 50),
        ("hold_at", 1.01),
        ("on_silence", "shout"),
        ("max_tokens", 20),
        ("max_tokens", 10**6),
    ],
)
def test_impossible_settings_are_refused(setting: str, value: Any) -> None:
    with pytest.raises(BadInput, match=rf"^{setting}: "):
        Duo(backbone(), DuoSettings(**{setting: value}))


@pytest.mark.parametrize(("answer", "whole"), [(3, True), (10_000, False)])
def test_in_the_papers_plain_form_only_whole_answers_are_closed(answer: int, whole: bool) -> None:
    """`<user>: question<1> <assistant>: answer</s> <user>: ...`; no `</s>` where it was cut."""
    model = tiny_backbone(template=None)
    assert model.chat.name == "plain"
    system = duo(model, answer=answer, lookahead=4)
    play(system, [QUERY, "", "Why?", ""])
    text = model.tokenizer.decode(system.channels.prefix.ids)
    end = model.tokenizer.eos_token
    assert text.count(end) == whole
    assert (end if whole else "") + " <user>: Why?<1>" in text


@pytest.mark.parametrize(("words", "seen"), [(0, True), (1, True), (2, False)])
def test_by_the_published_rules_a_state_needs_room_for_its_three_pieces(
    words: int, seen: bool
) -> None:
    model = backbone()
    please = model.chat.text("the, please")[-1]

    last = "salt" + model.tokenizer.decode([please]) * words

    def rule(text: str) -> int | None:
        return model.states.ignore if text.endswith(last) else please

    channels = steered(model, rule, ending_after(model, 10_000), SequentialChannels)
    system = Duo(model, DuoSettings(published=True), channels=channels)
    # Nothing is being said: whatever is heard is answered after two silent cycles.
    heard = play(system, ["Pass me the salt", "", ""])
    assert [Kind.RESPOND in kinds(result) for result in heard] == [False, False, True]
    assert [event.by for event in heard[-1].events if event.kind is Kind.RESPOND] == ["patience"]
    # An answer is being given: a state is read if all its pieces fit, else silence decides.
    heard = play(system, ["And the salt", "", "", ""])
    found = [kinds(result) for result in heard]
    assert (Kind.IGNORE in found[1]) == seen
    assert (Kind.RESPOND in found[3]) != seen
    assert Kind.RESPOND not in [*found[0], *found[1], *found[2]]


@pytest.mark.parametrize("published", [True, False])
def test_the_published_client_stops_the_voice_at_any_word_and_the_server_goes_on(
    published: bool,
) -> None:
    model = backbone()
    script: list[Heard] = [QUERY, "", "", "", "mhm", " mhm", "", "", ""]
    options = {"published": published, "lookahead": 6}
    system = duo(model, kind=SequentialChannels, **options)
    quiet = duo(model, kind=SequentialChannels, **options)
    heard = play(system, script)
    undisturbed = play(quiet, [*script[:4], *[""] * 5])
    spoken = [result.spoken for result in heard]
    if published:
        assert [bool(text) for text in spoken[3:]] == [True, False, False, True, True, True]
        notes = [event.text for event in heard[4].events if event.kind is Kind.NOTE]
        assert notes == [
            f"the voice was stopped by the user's words before: {undisturbed[4].spoken}"
        ]
        spoken[4:6] = [result.spoken for result in undisturbed[4:6]]
    # What is not heard stays in the context: the answer goes on after it.
    assert spoken == [result.spoken for result in undisturbed]
    assert Kind.IGNORE in kinds(heard[6])
    assert system.context.ids == quiet.context.ids
