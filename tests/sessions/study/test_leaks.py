"""Whether dialogues give their systems away."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest

from sessions.study.blinding import Dialogue, Word
from sessions.study.leaks import (
    SIGNALS,
    find_leaks,
    leaks_of,
    leaks_tables,
    leaks_verdict,
    separation,
)
from tests.sessions.study.studies import StudyMaker

SYSTEMS = ("duo", "duplex")


def talk(*stretches: tuple[float, str]) -> Dialogue:
    """The assistant says these words, half a second each, from these times on."""
    words = [Word("user", 0.0, 0.5, "Hello?")]
    for part, (start, text) in enumerate(stretches):
        for number, word in enumerate(text.split()):
            at = start + number / 2
            words.append(Word("assistant", at, at + 0.5, f" {word}", part))
    return Dialogue(tuple(sorted(words, key=lambda word: word.start)))


def random_talk(draw: random.Random) -> Dialogue:
    at, stretches = 1.0, []
    for _ in range(draw.randint(2, 5)):
        at += draw.uniform(1.5, 3)
        text = " ".join("word" for _ in range(draw.randint(2, 9)))
        stretches.append((at, f"{text}."))
        at += len(text.split()) / 2
    return talk(*stretches)


def test_slices_are_noticed() -> None:
    """One system speaks in slices of four words on the beat; the other does not."""
    draw = random.Random(1)
    shown = {
        f"talk-{n}": {
            "duo": random_talk(draw),
            "duplex": talk(*((4.0 * k + 1, "and so it goes") for k in range(draw.randint(2, 5)))),
        }
        for n in range(12)
    }
    found = leaks_of(shown, SYSTEMS)
    assert not found.clean
    separating = {signal.name for signal in found.signals if signal.separates}
    assert {"on the beat", "same length", "unfinished"} <= separating
    beat = next(signal for signal in found.signals if signal.name == "on the beat")
    assert (beat.means[1], beat.guessed) == (1.0, 1.0)


def test_systems_of_the_same_kind_are_not_told_apart() -> None:
    """The share of false alarms over many studies without any leak stays below the level."""
    alarms = 0
    for seed in range(30):
        draw = random.Random(seed)
        shown = {f"talk-{n}": {system: random_talk(draw) for system in SYSTEMS} for n in range(10)}
        alarms += not leaks_of(shown, SYSTEMS).clean
    assert alarms <= 4  # of 30 at 5 %: more has a chance of 1.6 %


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("I am Duplex, hello", "name of a system"),
        ("so <3> it is", "control token"),
        ("well<|end|> yes", "control token"),
        ("[INST] do", "control token"),
        ("a duplex-like duet, 1 < 2", None),
    ],
)
def test_plain_traces(text: str, what: str | None) -> None:
    shown = {"a": {"duo": talk((1.0, text)), "duplex": talk((1.0, "fine"))}}
    found = leaks_of(shown, SYSTEMS)
    assert {trace.what for trace in found.traces} == ({what} if what else set())
    assert found.clean == (what is None)


def test_unequal_waits_of_the_user_are_said() -> None:
    """The user speaks a second after one system's words, and four after the other's."""

    def waiting(seconds: float) -> Dialogue:
        answered = talk((1.0, "it goes like this"))  # until 3.0
        user = Word("user", 3.0 + seconds, 4.0 + seconds, "Oh?", 1)
        return Dialogue((*answered.words, user))

    shown = {f"t{n}": {"duo": waiting(1.0), "duplex": waiting(4.0)} for n in range(3)}
    found = leaks_of(shown, SYSTEMS)
    assert found.clean
    assert found.waits["duplex"].seconds == (4.0, 4.0, 4.0)
    assert leaks_verdict(found)[-1] == (
        "the user waits 1.0 s after answers of duo and 4.0 s after those of duplex (median): "
        "raters could notice"
    )
    assert leaks_tables(found)[-1].rows[1] == ["duplex", 3, 4.0, 4.0, 0]


def test_a_study_of_its_own_dialogues(make_sqlite: StudyMaker) -> None:
    found = find_leaks(make_sqlite(items=6))
    assert found.clean
    assert found.floor == 2 / 2**6
    assert [signal.name for signal in found.signals] == [signal[0] for signal in SIGNALS]


def test_the_exact_test_counts_all_swaps() -> None:
    draw = np.random.default_rng(0)
    for shift in (0.0, 0.5, 2.0):
        values = draw.normal(loc=[0.0, shift], size=(9, 2))
        _, p = separation(values)
        half = (values[:, 0] - values[:, 1]) / 2
        signs = np.array(list(itertools.product((1, -1), repeat=9)))
        sums = abs(signs @ half)
        assert p == pytest.approx(np.mean(sums >= abs(half.sum()) - 1e-12))


def test_the_random_test_agrees_with_the_exact_one() -> None:
    values = np.random.default_rng(1).normal(loc=[0.0, 0.4, 0.8], size=(6, 3))
    rows = [list(itertools.permutations(row)) for row in values - values.mean(axis=1)[:, None]]
    draws = [np.mean(choice, axis=0).var() for choice in itertools.product(*rows)]
    exact = np.mean(np.array(draws) >= values.mean(axis=0).var() - 1e-12)
    assert separation(values, seed=3)[1] == pytest.approx(exact, abs=0.02)


def test_values_that_never_differ_separate_nothing() -> None:
    assert separation(np.ones((5, 2))) == (0.5, 1.0)
    assert separation(np.empty((0, 2))) == (0.5, 1.0)
