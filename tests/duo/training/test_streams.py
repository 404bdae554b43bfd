"""Samples in cycles are encoded as the very streams that the systems hold."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from duo.backbone import Backbone, load
from duo.data.cycles import ANSWER_TOKENS, PAUSES, Cycle, cycle_form, cycles
from duo.data.sample import AssistantTurn, Sample, UserTurn
from duo.decoding.channels import Scores, read_together
from duo.decoding.fsm import Fsm
from duo.decoding.lslm import Lslm
from duo.decoding.micro_turn import MicroTurn
from duo.decoding.systems import build
from duo.decoding.vita import Vita
from duo.fusion import PAIR, token_of
from duo.tokens import CONTROL_TOKENS
from duo.training import streams
from duo.training.encode import NOT_LEARNED, Encoded, Encoder, without_ignored_turns
from duo.training.train import train
from tests.duo.training.material import data_folder, model_folder, sample
from tests.duo.training.material import settings as chosen
from tests.tiny import tiny_backbone

SYSTEMS: dict[str, Any] = {
    "fsm": (Fsm, streams.fsm),
    "micro-turn": (MicroTurn, streams.micro_turn),
    "lslm-early": (Lslm, streams.lslm),
}


@lru_cache
def backbone(name: str) -> Backbone:
    model = tiny_backbone(dtype=torch.float32)
    if name in CONTROL_TOKENS:
        model.control(CONTROL_TOKENS[name])
    return model


def laid(whole: Sample, seed: int) -> list[Cycle]:
    return cycles(whole, backbone("vita").tokenizer, Random(seed))


def held(system: Any, heard: list[str], encoded: Encoded) -> list[int]:
    """The ids that a system has encoded or said when it chooses what was learned."""
    known = zip(encoded.ids, encoded.labels, strict=True)
    ids = [token_of(id) if label == NOT_LEARNED else label for id, label in known]
    told = torch.full((600,), -torch.inf)
    for words in heard:
        steps = system.steps(f" {words}" if words else "")
        try:
            waiting = next(steps)
            while True:
                if isinstance(waiting, list):
                    waiting = steps.send(read_together([waiting])[0])
                    continue
                ours = system.context.ids
                opened = [] if system.channels.input is None else system.channels.input.ids
                scores = told.clone()
                place = len(ours) + len(opened)
                if place < len(ids):
                    scores[ids[place]] = 1.0
                speaks = system.channels.speaking
                waiting = steps.send(Scores(scores, None) if speaks else Scores(None, scores))
        except StopIteration:
            pass
    return list(system.context.ids)


def interrupted(query: str, answer: str) -> Sample:
    """An answer that goes on after a remark, until a query ends it."""
    return Sample(
        id="x",
        messages=(
            UserTurn(content="what is rain", state="<1>"),
            AssistantTurn(content="what is the capital of France tell me", complete=False),
            UserTurn(content="so", state="<2>"),
            AssistantTurn(content="how rain falls on Paris and why it costs so", complete=False),
            UserTurn(content=query, state="<1>"),
            AssistantTurn(content=answer, complete=True),
        ),
    )


def test_word_pieces_stand_beside_the_answer_and_the_last_of_a_query_stops_it() -> None:
    whole = interrupted("why so", "of Paris")
    model = backbone("lslm-early")
    encoder = Encoder(model.tokenizer, max_tokens=5000, recipe="lslm-early")
    encoded = streams.lslm(encoder, laid(whole, 1))
    beside = [id // PAIR - 1 for id in encoded.ids if id >= PAIR]
    heard = [*model.chat.text("so"), *model.chat.text("why so")]
    assert beside == heard[: len(beside)]  # the last cycle of the answer may be too short for all
    [irq] = encoder.control(CONTROL_TOKENS["lslm-early"])
    assert encoded.labels.count(irq) == 1
    text = model.tokenizer.decode([token_of(id) for id in encoded.ids])
    assert text.endswith("user\nwhy so<|im_end|>\n<|im_start|>assistant\nof Paris<|im_end|>\n")
    assert "user\nso" not in text


def test_silence_comes_before_turns_and_is_listened_to() -> None:
    whole = [laid(sample(seed, turns=2), seed) for seed in range(30)]
    before = {next(n for n, cycle in enumerate(one) if cycle.heard) for one in whole}
    assert before == set(PAUSES)
    encoder = Encoder(backbone("micro-turn").tokenizer, max_tokens=9000, recipe="micro-turn")
    _, listen, *_ = encoder.control(CONTROL_TOKENS["micro-turn"])
    for one in whole:
        labels = streams.micro_turn(encoder, one).labels
        controls = [label for label in labels if label in encoder.states.others]
        for cycle, control in zip(one, controls, strict=True):
            if not (cycle.heard or cycle.said or cycle.state):
                assert control == listen


def test_a_sample_without_an_answer_teaches_channel_fusion_nothing() -> None:
    encoder = Encoder(backbone("lslm-early").tokenizer, max_tokens=50, recipe="lslm-early")
    encoded = streams.lslm(encoder, [Cycle(heard="mm hm"), Cycle(state="<2>")])
    assert set(encoded.labels) <= {NOT_LEARNED}


def runs_out(clock: list[Cycle]) -> bool:
    """Whether an answer that is cut off has too few words to be spoken until then."""
    ends = streams._given_up(clock)
    return any(
        cycle.said and not cycle.ended and place not in ends and not after.said
        for place, (cycle, after) in enumerate(zip(clock, [*clock[1:], Cycle()], strict=True))
    )


def has_room(model: Backbone, cycle: Cycle) -> bool:
    """Whether all that is heard has a token beside it, and what may stop the answer then, too.

    Else the decoder stops a cycle later than a sample, which has no more words to say.
    """
    return len(model.chat.text(cycle.heard)) < len(model.chat.text(cycle.said, "assistant"))


@pytest.mark.parametrize("name", SYSTEMS)
@settings(max_examples=60, deadline=None, derandomize=True)
@given(seed=st.integers(0, 9999), turns=st.integers(1, 4))
def test_the_decoder_holds_what_was_trained(name: str, seed: int, turns: int) -> None:
    dialogue = sample(seed, turns=turns)
    if name == "lslm-early":  # nothing decides about what is said while no answer is given
        answered = [m for m in dialogue.messages if getattr(m, "state", "<1>") == "<1>"]
        dialogue = dialogue.model_copy(update={"messages": tuple(answered)})
    model, whole = backbone(name), laid(dialogue, seed)
    assume(not runs_out(whole))
    assume(name != "lslm-early" or all(has_room(model, cycle) for cycle in whole if cycle.said))
    kind, encode = SYSTEMS[name]
    encoder = Encoder(model.tokenizer, max_tokens=100_000, recipe=name)
    encoded: Encoded = encode(encoder, whole)
    found = held(kind(model), [cycle.heard for cycle in whole], encoded)
    assert tuple(found) == encoded.ids[: len(found)]
    assert encoded.ids[len(found) :] in ((), model.chat.assistant_close)
    controls = [label for label in encoded.labels if label in encoder.states.others]
    chunks = sum(bool(cycle.heard) for cycle in whole) if name == "fsm" else len(whole)
    assert len(controls) >= chunks or name == "lslm-early"


@settings(max_examples=60, deadline=None, derandomize=True)
@given(seed=st.integers(0, 9999), turns=st.integers(1, 4))
def test_cycles_hold_the_whole_dialogue_in_order(seed: int, turns: int) -> None:
    whole = sample(seed, turns=turns)
    clock = laid(whole, seed)
    heard = " ".join(cycle.heard for cycle in clock if cycle.heard)
    users = [turn for turn in whole.messages if isinstance(turn, UserTurn)]
    answers = [turn for turn in whole.messages if isinstance(turn, AssistantTurn)]
    assert heard == " ".join(turn.content for turn in users)
    said = "".join(cycle.said for cycle in clock)
    assert "".join(said.split()) == "".join("".join(turn.content.split()) for turn in answers)
    states = [cycle.state for cycle in clock if cycle.state is not None]
    assert states == [turn.state for turn in users if turn.state is not None]
    assert sum(cycle.ended for cycle in clock) == sum(turn.complete for turn in answers)
    assert not any(cycle.heard and cycle.state for cycle in clock)


def test_an_interruption_is_heard_over_the_end_of_the_answer_and_a_remark_over_its_rest() -> None:
    clock = laid(interrupted("tell me the capital of France", ""), 1)
    remark = next(place for place, cycle in enumerate(clock) if cycle.heard == "so")
    assert clock[remark - 1].said
    assert clock[remark].said
    assert clock[remark + 1].state == "<2>"
    assert clock[remark + 1].said
    last = max(n for n, cycle in enumerate(clock) if cycle.said)
    assert clock[last].heard.endswith("France")
    assert (clock[last + 1].state, clock[last + 1].ended, last + 2) == ("<1>", True, len(clock))
    encoder = Encoder(backbone("fsm").tokenizer, max_tokens=5000, recipe="fsm")
    controls = encoder.control(CONTROL_TOKENS["fsm"])
    listen_on, begin, speak_on, stop = controls
    found = [id for id in streams.fsm(encoder, clock).ids if id in controls]
    count = sum(bool(cycle.heard) for cycle in clock[remark + 2 :])
    asked = sum(bool(cycle.heard) for cycle in clock[:remark])
    remark_heard = [speak_on, speak_on]
    cut = [*[speak_on] * (count - 1), stop, listen_on]
    assert found == [*[listen_on] * asked, begin, *remark_heard, *cut]


@settings(max_examples=30, deadline=None, derandomize=True)
@given(seed=st.integers(0, 9999))
def test_vita_learns_the_state_as_the_first_token_of_the_answer(seed: int) -> None:
    """The monitor that decides so holds the ids of the sample, up to each decision."""
    model = backbone("vita")
    encoder = Encoder(model.tokenizer, max_tokens=5000, recipe="vita")
    for part, context in without_ignored_turns(sample(seed, turns=2)):
        encoded = encoder.sample(part, context)
        opened = (*model.chat.user_close, *model.chat.assistant_open)
        for place, label in enumerate(encoded.labels):
            if label in (model.states.respond, model.states.ignore):
                assert encoded.ids[place - len(opened) : place] == opened
        queries = sum(isinstance(m, UserTurn) and m.state is not None for m in part.messages)
        states = [id for id in encoded.ids if id in (model.states.respond, model.states.ignore)]
        assert len(states) == queries
        asked = [m for m in part.messages if isinstance(m, UserTurn)]
        if len(part.messages) > 1 and asked[0].state == "<1>":
            system = Vita(model)
            system.cycle(asked[0].content)
            steps = system.steps("")
            next(steps)
            scores = torch.zeros(len(model.tokenizer))
            scores[model.states.respond] = 1.0
            wanted = steps.send(Scores(None, scores))
            steps.send(read_together([wanted])[0])
            assert tuple(system.context.ids) == encoded.ids[: len(system.context.ids)]


def test_four_tokens_are_said_a_cycle() -> None:
    whole = laid(sample(3, turns=4), 3)
    tokenizer = backbone("vita").tokenizer
    counts = [len(tokenizer(cycle.said)["input_ids"]) for cycle in whole if cycle.said]
    assert max(counts) <= ANSWER_TOKENS + 1


@pytest.mark.parametrize("recipe", ["vita", "fsm", "micro-turn", "lslm-middle", "lslm-late"])
def test_what_was_trained_is_loaded_and_talks(recipe: str, tmp_path: Path) -> None:
    """The adapter brings its control tokens, each with the row that was trained."""
    model, data = model_folder(tmp_path / "model"), data_folder(tmp_path / "data")
    if recipe != "vita":
        line = cycle_form(str(model), 0)
        for name, numbers in (("train", range(12)), ("validation", range(100, 105))):
            lines = [line(sample(number)) for number in numbers]
            (data / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    out = train(
        settings=chosen(recipe=recipe, steps=6, learning_rate=0.05),
        model=str(model), data=data, out=tmp_path / "out",
    )  # fmt: skip
    losses = [one["loss_state"] for one in _curve(out) if "loss_state" in one]
    assert losses[-1] < losses[0]
    backbone = load(str(out), device="cpu")
    before = len(backbone.tokenizer)
    system: Any = build(recipe, backbone)
    assert len(backbone.tokenizer) == before
    if recipe.startswith("lslm"):
        assert backbone.model.fusion.up.any()
        assert backbone.model.fusion.kind == recipe.removeprefix("lslm-")
    results = [system.cycle(heard) for heard in ("what is rain", "", " so", "", "")]
    assert sum(result.forward_passes for result in results)
    if names := CONTROL_TOKENS.get(recipe):
        rows = backbone.model.get_output_embeddings().weight[list(backbone.control(names))]
        assert len(rows.unique(dim=0)) == len(names)


def _curve(out: Path) -> list[dict[str, Any]]:
    return list(json.loads((out / "training.json").read_text())["curve"])
