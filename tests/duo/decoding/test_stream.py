"""The systems in one stream, against plain loops that compute every token from nothing."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from duo.backbone import Backbone
from duo.decoding.conversant import CycleResult, Heard, Kind, Revision, Turn
from duo.decoding.fsm import Fsm
from duo.decoding.micro_turn import MicroTurn
from duo.decoding.stream import Streamed, StreamSettings
from duo.tokens import CONTROL_TOKENS
from tests.tiny import tiny_backbone, with_control

SYSTEMS: dict[str, type[Any]] = {"fsm": Fsm, "micro-turn": MicroTurn}

scripts = st.lists(
    st.sampled_from(["", "", "", "What is it?", "so the rain", "mhm", "And?", "Stop."]),
    max_size=10,
)


@lru_cache
def backbone(name: str, architecture: str = "llama", seed: int = 0) -> Backbone:
    """A model whose control tokens have rows of their own, so that it chooses among them."""
    return with_control(tiny_backbone(architecture, seed=seed), name, seed)


class Plain:
    """One list of ids, and a forward pass over all of it for every token."""

    def __init__(self, model: Backbone, longest: int) -> None:
        self.model, self.longest = model, longest
        self.ids = list(model.chat.preamble)
        self.passes = 0

    def scores(self) -> torch.Tensor:
        self.passes += 1
        with torch.no_grad():
            return self.model.model(torch.tensor([self.ids])).logits[0, -1]

    def choose(self, allowed: list[int]) -> int:
        scores = self.scores()
        token = max(allowed, key=lambda token: float(scores[token]))
        self.ids.append(token)
        return token

    def word(self, ends: tuple[int, ...] = ()) -> int:
        scores = self.scores()
        scores[[token for token in self.model.states.all if token not in ends]] = -torch.inf
        return int(scores.argmax())


def plain_fsm(plain: Plain, script: list[str], patience: int) -> Iterator[list[str]]:
    model, chat = plain.model, plain.model.chat
    listen_on, begin, speak_on, stop = model.control(CONTROL_TOKENS["fsm"])
    speaking, in_turn, complete, answered = False, False, False, False
    undecided, silent, said = False, 0, 0
    for heard in script:
        events = []
        silent = 0 if heard else silent + 1
        if heard and not undecided:
            events.append("fork")
            undecided = True
        if undecided:
            if not in_turn:
                if answered:
                    plain.ids += chat.assistant_close if complete else chat.assistant_cut
                plain.ids += chat.user_open
                in_turn = True
            plain.ids += chat.text(heard) if heard else [model.states.idle]
            token = plain.choose([speak_on, stop] if speaking else [listen_on, begin])
            if token == begin:
                events.append("respond")
                speaking, undecided, said = True, False, 0
            elif token == stop:
                events.append("cut")
                speaking, answered = False, False
            elif (token == speak_on and not heard) or silent >= patience:
                events.append("ignore")
                undecided = False
            if speaking:
                plain.ids += [*chat.user_close, *chat.assistant_open]
                in_turn, complete, answered = False, False, True
        for _ in range(4):
            if not speaking:
                break
            token = plain.word((stop,))
            if token in chat.stop or token == stop:
                complete = True
            else:
                plain.ids.append(token)
                said += 1
            if complete or said == plain.longest:
                events.append("answer_end")
                plain.ids.append(stop)
                speaking = False
        yield events


def plain_micro_turn(plain: Plain, script: list[str], patience: int) -> Iterator[list[str]]:
    model, chat = plain.model, plain.model.chat
    silence, listen, speak, stop, pass_over = model.control(CONTROL_TOKENS["micro-turn"])
    answering, undecided, silent, said = False, False, 0, 0
    for number, heard in enumerate(script):
        events = []
        silent = 0 if heard else silent + 1
        if heard and not undecided:
            events.append("fork")
            undecided = True
        plain.ids += chat.assistant_close if number else ()
        plain.ids += [*chat.user_open, *(chat.text(heard) if heard else [silence])]
        plain.ids += [*chat.user_close, *chat.assistant_open]
        allowed = [speak, stop, pass_over, listen] if answering else [listen, speak, pass_over]
        token = plain.choose(allowed)
        if token == speak and not answering:
            events.append("respond")
            answering, undecided, said = True, False, 0
        elif token == stop:
            events.append("cut")
            answering = False
        elif token == listen and answering:
            events.append("answer_end")
            answering = False
        elif token == pass_over and undecided:
            events.append("ignore")
            undecided = False
        if undecided and silent >= patience:
            events.append("ignore")
            undecided = False
        for _ in range(4):
            if not answering:
                break
            token = plain.word()
            if token not in chat.stop:
                plain.ids.append(token)
                said += 1
            if token in chat.stop or said == plain.longest:
                events.append("answer_end")
                answering = False
        yield events


PLAIN = {"fsm": plain_fsm, "micro-turn": plain_micro_turn}


def kinds(result: CycleResult) -> list[str]:
    return [str(event.kind) for event in result.events if event.kind is not Kind.SPEECH]


@pytest.mark.parametrize("architecture", ["llama", "gemma3"])
@pytest.mark.parametrize("name", SYSTEMS)
@settings(max_examples=8, deadline=None, derandomize=True)
@given(script=scripts, patience=st.integers(1, 3), seed=st.integers(0, 2))
def test_it_does_what_a_plain_loop_does(
    name: str, architecture: str, script: list[str], patience: int, seed: int
) -> None:
    """The same events, the same stream, as many passes; each token is encoded once."""
    model = backbone(name, architecture, seed)
    given_settings = StreamSettings(patience=float(patience), max_answer_seconds=2.5)
    system = SYSTEMS[name](model, given_settings)
    plain = Plain(model, 10)
    expected = list(PLAIN[name](plain, script, patience))
    results = [system.cycle(heard) for heard in script]
    assert [kinds(result) for result in results] == expected
    assert system.context.ids == plain.ids
    assert sum(result.forward_passes for result in results) == plain.passes
    pending = len(system.channels.prefix.pending) + len(system.channels.output.pending)
    taken = sum(result.tokens_processed for result in results)
    assert taken == len(plain.ids) - pending


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_full_context_gives_way(name: str) -> None:
    model = backbone(name)
    system: Streamed = SYSTEMS[name](model, StreamSettings(max_tokens=120))
    script: list[Heard] = ["so the rain " * 60, "", "What is it?", *[""] * 9, "And?", "", ""] * 4
    notes = []
    for heard in script:
        result = system.cycle(heard)
        notes += [event.text for event in result.events if event.kind is Kind.NOTE]
        assert system.channels.length <= 120
    assert notes


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_revision_is_heard_as_what_is_new_in_it(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = backbone(name)

    def on(system: Any) -> None:
        """Listen on, whatever the model says."""
        system.context.keep(system.control_token(None))
        if name == "micro-turn":
            system.context.answer()
            system.channels.speaking = False

    found = []
    for script in (
        ["so the", Revision("so the"), Revision("so the rain"), Revision("the cat")],
        ["so the", "" if name == "fsm" else Revision(""), " rain", "the cat"],
    ):
        system = SYSTEMS[name](model)
        monkeypatch.setattr(system, "_decide", lambda control, log, system=system: on(system))
        for heard in script:
            system.cycle(heard)
        found.append([id for id in system.context.ids if id != model.states.idle])
    listened = model.control(CONTROL_TOKENS["fsm"])[0] if name == "fsm" else None
    one, other = ([id for id in ids if id != listened] for ids in found)
    assert one == other


@pytest.mark.parametrize("name", SYSTEMS)
def test_it_goes_on_from_a_dialogue_held_before(name: str) -> None:
    model = backbone(name)
    turns = [Turn("user", "so the rain"), Turn("user", "Why?"), Turn("assistant", "It is so.")]
    system = SYSTEMS[name](model)
    system.recall(turns)
    system.cycle("And?")
    text = model.tokenizer.decode(system.context.ids).replace("<|im_start|>", "")
    text = text.replace("<|im_end|>\n", "|")
    start = text.index("user")
    expected = {
        "fsm": "user\nso the rain<idle><c.listen>Why?<idle><s.speak>|assistant\n"
        "It is so.<s.listen>|user\nAnd?",
        "micro-turn": "user\nso the rain|assistant\n<backchannel>|user\nWhy?|assistant\n<listen>|"
        "user\n<silence>|assistant\n<speak>It is",
    }
    assert text[start:].startswith(expected[name])


@pytest.mark.parametrize("name", SYSTEMS)
def test_its_control_tokens_cannot_be_spelled(name: str) -> None:
    """Added after the chat format was made, they are ordinary characters in what is heard."""
    model = tiny_backbone()
    before = model.chat.text("x")
    ids = model.control(CONTROL_TOKENS[name])
    text = "".join(CONTROL_TOKENS[name])
    assert not set(ids) & set(model.chat.text(text))
    assert model.tokenizer.decode(model.chat.text(text)) == text
    assert model.chat.text("x") == before
    assert model.control(CONTROL_TOKENS[name]) == ids
