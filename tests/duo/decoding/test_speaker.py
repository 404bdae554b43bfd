"""Text is spoken as soon as it is whole, and never twice."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from duo.decoding import speaker
from duo.decoding.settings import Sampler, Sampling
from duo.decoding.speaker import Speech
from duo.errors import BadInput
from tests.tiny import KINDS, tiny_tokenizer


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=100, deadline=None, derandomize=True)
@given(text=st.text(max_size=30), around=st.integers(1, 40))
def test_the_pieces_are_the_text(kind: str, text: str, around: int) -> None:
    tokenizer = tiny_tokenizer(kind=kind)
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    speech = Speech(tokenizer)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(speaker, "_AROUND", around)
        pieces = [speech.add(token) for token in ids] + [speech.rest()]
    assert "".join(pieces) == tokenizer.decode(ids, skip_special_tokens=True)


class Counting:
    """A tokenizer that counts the tokens it decodes."""

    def __init__(self) -> None:
        self.tokenizer, self.decoded = tiny_tokenizer(), 0

    def decode(self, ids: list[int], **how: bool) -> str:
        self.decoded += len(ids)
        return self.tokenizer.decode(ids, **how)


def test_a_long_answer_takes_no_longer_with_each_token() -> None:
    def decoded(length: int) -> int:
        speech = Speech(counting := Counting())
        for token in counting.tokenizer("word " * length, add_special_tokens=False)["input_ids"]:
            speech.add(token)
        return counting.decoded

    assert decoded(4000) < 2.2 * decoded(2000)


def test_a_character_waits_for_its_last_byte() -> None:
    tokenizer = tiny_tokenizer()
    ids = tokenizer("🙂!", add_special_tokens=False)["input_ids"]
    speech = Speech(tokenizer)
    pieces = [speech.add(token) for token in ids]
    assert len(ids) > 2
    assert [piece for piece in pieces if piece] == ["🙂", "!"]


def test_a_character_that_is_never_completed_is_said_at_the_end() -> None:
    tokenizer = tiny_tokenizer()
    first = tokenizer("🙂", add_special_tokens=False)["input_ids"][0]
    speech = Speech(tokenizer)
    assert speech.add(first) == ""
    assert speech.rest() == "\N{REPLACEMENT CHARACTER}"
    assert speech.rest() == ""


@given(st.lists(st.floats(-5, 5), min_size=3, max_size=9), st.integers(0, 2))
def test_greedy_takes_the_likeliest_that_is_not_banned(logits: list[float], banned: int) -> None:
    scores = torch.tensor(logits)
    token = int(Sampler(Sampling(), banned=[banned])(scores, []))
    allowed = [number for number in range(len(logits)) if number != banned]
    assert token in allowed
    assert scores[token] == scores[allowed].max()


def test_a_repetition_penalty_makes_what_was_said_less_likely() -> None:
    scores = torch.tensor([1.0, 0.9, 0.1])
    assert Sampler(Sampling(repetition_penalty=1.5))(scores, [0]) == 1
    assert Sampler(Sampling(repetition_penalty=1.5))(scores, [2]) == 0
    assert Sampler(Sampling(repetition_penalty=1.5), marks=[0])(scores, [0]) == 0


def test_top_p_and_top_k_leave_out_the_unlikely() -> None:
    scores = torch.tensor([3.0, 2.9, 0.0, 0.0, 0.0])
    for sampling in (Sampling(temperature=1.0, top_p=0.8), Sampling(temperature=1.0, top_k=2)):
        sampler = Sampler(sampling)
        assert {int(sampler(scores, [])) for _ in range(200)} == {0, 1}


@settings(max_examples=20, deadline=None, derandomize=True)
@given(st.lists(st.floats(-3, 3), min_size=2, max_size=6), st.integers(0, 99))
def test_tokens_are_drawn_as_often_as_they_are_likely(logits: list[float], seed: int) -> None:
    scores = torch.tensor([*logits, 9.0])
    sampler = Sampler(Sampling(temperature=0.8, seed=seed), banned=[len(logits)])
    drawn = [int(sampler(scores, [])) for _ in range(2000)]
    sampler.reset()
    assert drawn[:20] == [int(sampler(scores, [])) for _ in range(20)]
    found = torch.bincount(torch.tensor(drawn), minlength=len(scores)) / len(drawn)
    wanted = torch.tensor([*(torch.tensor(logits) / 0.8).softmax(-1), 0.0])
    assert found[-1] == 0
    assert (found - wanted).abs().max() < 0.06  # five standard deviations


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("temperature", -0.1),
        ("top_k", -1),
        ("top_p", 0.0),
        ("top_p", 1.1),
        ("repetition_penalty", 0.0),
    ],
)
def test_impossible_sampling_is_refused(field: str, value: float) -> None:
    with pytest.raises(BadInput, match=field):
        Sampling(**{field: value})  # type: ignore[arg-type]
