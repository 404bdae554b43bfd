"""Loops and restatements: what is one, what is none, and what must not matter."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from duo.speech import Answer, Utterance
from duo.words import Word, cut
from evaluation.interaction import content
from tests.evaluation.interaction.test_interaction_metrics import values
from tests.evaluation.interaction.test_panel import said, talk


def words(text: str, start: float = 0.0) -> tuple[Word, ...]:
    return tuple(
        Word(start + 0.25 * number, start + 0.25 * (number + 1), word.strip())
        for number, word in enumerate(cut(text))
    )


texts = st.lists(st.sampled_from(["red", "blue", "one", "two", "so", "it", "is"]), max_size=30)


@given(texts, st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=6), st.integers(3, 6))
@settings(deadline=None, derandomize=True)
def test_a_phrase_again_and_again_at_the_end_is_a_loop(
    before: list[str], phrase: list[str], times: int
) -> None:
    times = max(times, -(-content.LOOP_WORDS // len(phrase)))
    text = " ".join([*before, *phrase * times])
    assert content.ends_in_loop(words(text))
    assert content.ends_in_loop(words(f"{text} {phrase[0]} and-"))  # begun again, and cut off
    assert not content.ends_in_loop(words(f"{text} . Well, that was that!"))
    odd = "".join(random.Random(times).choice([c.upper(), c]) for c in text)
    assert content.ends_in_loop(words(odd.replace(" ", ", ")))


@given(st.integers(0, 40))
def test_no_word_twice_is_no_loop(count: int) -> None:
    assert not content.ends_in_loop(words(" ".join(f"w{number}" for number in range(count))))


@pytest.mark.parametrize("text", ["a b c a b c a b c", "it is a b c a b c a b c a", "no! " * 9])
def test_nine_words_are_enough(text: str) -> None:
    assert content.ends_in_loop(words(text))


@pytest.mark.parametrize(
    "text", ["", "no! " * 8, "no, no, no", "very very very good", "one two one two"]
)
def test_a_little_repetition_is_no_loop(text: str) -> None:
    assert not content.ends_in_loop(words(text))


@given(texts, texts, texts)
@settings(deadline=None, derandomize=True)
def test_what_is_shared(new: list[str], old: list[str], more: list[str]) -> None:
    one, other, longer = (words(" ".join(t)) for t in (new, old, [*old, *more]))
    found = content.shared(one, other)
    assert 0 <= found <= content.shared(one, longer) <= 1
    assert content.shared(one, one) == (len(new) >= 3)
    assert content.shared(one, words(" ".join(f"{word}s" for word in old))) == 0
    assert content.shared(words(" ".join(new).upper().replace(" ", "! ")), other) == found


def interrupted(new: str, question: Utterance, *, seamless: bool = False) -> list[float]:
    old = "Bridges are built by engineers who test every part"
    answers = [
        Answer(words(text, at), (), "cut", at + 8) for text, at in ((old, 4), (new, 9)) if text
    ]
    answers[1:] = [replace(answer, seamless=seamless) for answer in answers[1:]]
    return values(content.restated([talk(said("question", 1, 3), question, *answers)]))


def test_an_answer_that_restates_the_interrupted_one() -> None:
    assert interrupted("Bridges are built by engineers", said("repetition_request", 5, 8)) == []
    asked = said("interruption", 5, 8)
    assert interrupted("So: bridges are built by engineers who know.", asked) == [1]
    assert interrupted("Tides follow the moon.", asked) == [0]
    assert interrupted("", asked) == []  # no answer
    assert interrupted("Tides follow the moon.", asked, seamless=True) == []  # whose is it?
    assert interrupted("Bridges are built by engineers", said("backchannel", 5, 8)) == []
    assert interrupted("Bridges are built by engineers", said("question", 7, 8)) == []  # in silence


def test_an_answer_given_again_because_that_was_asked() -> None:
    first = Answer(words("Bridges are built by engineers who", 4), (), "cut", 8)

    def again(text: str, category: str = "repetition_request", at: float = 5) -> list[float]:
        answers = [first, *([Answer(words(text, 11), (), "complete", 20)] if text else [])]
        asked = said(category, at, at + 1)
        return values(content.repeated([talk(said("question", 1, 3), asked, *answers)]))

    for at in (5, 9):  # into the answer, and after it
        assert again("Sure: bridges are built by engineers who test every part", at=at) == [1]
        assert again("Engineers build them.", at=at) == [0]
        assert again("", at=at) == []
        assert again("Bridges are built by engineers", "interruption", at=at) == []
