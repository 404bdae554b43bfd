"""Two instances that swap roles, against a plain loop that computes every token from nothing."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from itertools import takewhile

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from duo.backbone import Backbone
from duo.decoding.channels import read_together
from duo.decoding.conversant import CycleResult, Kind, Turn
from duo.decoding.sequential import SequentialChannels
from duo.decoding.vita import Vita, VitaSettings
from tests.duo.decoding.steering import raised
from tests.tiny import tiny_backbone

scripts = st.lists(
    st.sampled_from(["", "", "", "What is it?", " so the rain", " mhm", " And?", " Stop."]),
    max_size=10,
)


@lru_cache
def backbone(architecture: str = "llama", seed: int = 0) -> Backbone:
    return tiny_backbone(architecture, seed=seed)


def plain(
    model: Backbone, script: list[str], patience: int, longest: int
) -> tuple[list[list[str]], list[int], int, int]:
    """Events of each cycle, the ids at the end, and the numbers of passes and of tokens in them.

    Each instance encodes what it lacks of the conversation as it has to read it.
    """
    chat, states = model.chat, model.states
    ids = list(chat.preamble)
    fork: list[int] | None = None  # the conversation when the words began
    speaking, complete, in_answer = False, False, False
    start, heard, silent, said, passes, tokens, found = 0, "", 0, 0, 0, 0, []
    mine: list[int] = []  # what the speaker has encoded
    its: list[int] = []  # and the monitor
    followed: list[int] = []  # the conversation as the monitor has to have it

    def scores(ids: list[int]) -> torch.Tensor:
        with torch.no_grad():
            return model.model(torch.tensor([ids])).logits[0, -1]

    for words in script:
        events = []
        silent = silent + 1 if not words else 0
        if words:
            if fork is None:
                events.append("fork")
                end = chat.assistant_close if complete else chat.assistant_cut
                fork, start = [*ids, *(end if in_answer else ())], len(ids)
            heard += words
        new, decides = bool(words), fork is not None and silent >= patience
        for step in range(4):
            if not (speaking or (step == 0 and (new or decides))):
                break
            passes += 1
            if step == 0 and fork is not None and (new or decides):
                end = [*chat.user_close, *chat.assistant_open] if decides else []
                asked = [*fork, *chat.user_open, *chat.text(heard), *end]
                tokens += lacking(its, asked)
                its = asked
            tokens += lacking(mine, ids) + lacking(its, followed)
            mine = list(ids)
            its = its if its[: len(followed)] == followed else followed
            if speaking:
                logits = scores(ids)
                logits[list(states.all)] = -torch.inf
                token = int(logits.argmax())
                complete = token in chat.stop
                if not complete:
                    ids = [*ids, token]
                    said += 1
                if complete or said == longest:
                    events.append("answer_end")
                    speaking = False
            if step == 0 and decides and fork is not None:
                query = [*fork, *chat.user_open, *chat.text(heard)]
                query += [*chat.user_close, *chat.assistant_open]
                logits = scores(query)
                if logits[states.respond] >= logits[states.ignore]:
                    events += ["respond", *(["cut"] if speaking else [])]
                    ids, speaking, complete, in_answer = [*query, states.respond], True, False, True
                    said = 0
                    mine, its, followed = its, mine, ids
                else:
                    events.append("ignore")
                    its = its[:start]
                fork, heard = None, ""
        found.append(events)
    return found, ids, passes, tokens


def lacking(known: list[int], ids: list[int]) -> int:
    """Count the tokens that are new after those known."""
    same = takewhile(lambda pair: pair[0] == pair[1], zip(known, ids, strict=False))
    return len(ids) - len(list(same))


def kinds(result: CycleResult) -> list[str]:
    left_out = (Kind.SPEECH, Kind.NOTE)
    return [str(event.kind) for event in result.events if event.kind not in left_out]


@pytest.mark.parametrize("architecture", ["llama", "gemma3"])
@settings(max_examples=12, deadline=None, derandomize=True)
@given(script=scripts, patience=st.integers(1, 2), seed=st.integers(0, 2))
def test_it_does_what_a_plain_loop_does(
    architecture: str, script: list[str], patience: int, seed: int
) -> None:
    """The same events and ids, as many passes; in plain passes the same conversation."""
    model = backbone(architecture, seed)
    chosen = VitaSettings(patience=float(patience), max_answer_seconds=2.5)
    expected, ids, passes, tokens = plain(model, script, patience, 10)
    for channels in (None, SequentialChannels):
        system = Vita(model, chosen, channels=channels)
        results = [system.cycle(words) for words in script]
        assert [kinds(result) for result in results] == expected
        assert system.context.ids == ids
        if channels is None:
            assert sum(result.forward_passes for result in results) == passes
            assert sum(result.tokens_processed for result in results) == tokens


def test_both_hold_the_same_conversation_and_encode_what_they_lack() -> None:
    """At a swap the old speaker catches up with the query; an ignored remark leaves nothing."""
    model = backbone()
    system = Vita(model)
    decided = iter([model.states.respond, model.states.ignore, model.states.respond])
    results = []
    for words in ["What is it?", "", "", " mhm", "", " And?", "", ""]:
        steps = system.steps(words)
        waiting = next(steps)
        try:
            while True:
                if isinstance(waiting, list):
                    waiting = steps.send(read_together([waiting])[0])
                    continue
                scores = waiting.encode()
                if scores.input is not None and system.monitor.heard < len(waiting.input.ids):
                    bent = raised(scores.input, next(decided))
                    scores = replace(scores, input=bent)
                waiting = steps.send(scores)
        except StopIteration as done:
            results.append(done.value)
    assert [kinds(result) for result in results if kinds(result)] == [
        ["fork"], ["respond"], ["fork"], ["ignore"], ["fork"], ["respond", "cut"],
    ]  # fmt: skip
    said, follows = system.context.ids, system.monitor.ids
    assert said[: len(follows)] == follows
    text = model.tokenizer.decode(said)
    assert "mhm" not in text
    assert "And?" in text
    assert [result.forward_passes for result in results] == [1, 4, 4, 4, 4, 4, 4, 4]


def test_a_full_context_gives_way() -> None:
    system = Vita(backbone(), VitaSettings(max_tokens=120))
    notes = []
    for words in ["so the rain " * 60, "", "What is it?", *[""] * 5, " And?", "", ""] * 4:
        result = system.cycle(words)
        notes += [event.text for event in result.events if event.kind is Kind.NOTE]
        assert max(one.length for one in system.channels.members) <= 120
    assert any(note.startswith("(monitor) ") for note in notes)


def test_it_goes_on_from_a_dialogue_held_before() -> None:
    model = backbone()
    system = Vita(model)
    system.recall([Turn("user", "Why?"), Turn("assistant", "It is so.")])
    system.cycle("And?")
    assert "assistant\n<1>It is so.<|im_end|>" in model.tokenizer.decode(
        [*system.monitor.ids, *system.channels.input.ids]
    )
