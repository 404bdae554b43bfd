"""BIG-Bench Hard by letter: nothing is lost, and the letter is that of the right answer."""

from __future__ import annotations

import pytest

from evaluation.benchmarks.catalogue import task_files
from evaluation.benchmarks.rewrite import FREE, PAIRS, letters


def test_four_tasks_are_free_and_twenty_three_by_letter() -> None:
    names = set(task_files("bbh/fewshot/[a-z]*.yaml"))
    assert len(names) == 27
    assert names >= FREE
    assert set(PAIRS) <= names
    assert not FREE & set(PAIRS)


@pytest.mark.parametrize(("subset", "pair"), PAIRS.items())
def test_two_words_get_two_letters(subset: str, pair: tuple[str, str]) -> None:
    text = f"Is it so?\nOptions:\n- {pair[0]}\n- {pair[1]}"
    for letter, word in zip("AB", pair, strict=True):
        row = letters(subset, {"input": text, "target": word})
        assert row["question"] == "Is it so?"
        assert f"({letter}) {word}" in row["options"].splitlines()
        assert row["target"] == f"({letter})"


def test_lettered_options_stay() -> None:
    text = "Which one?\nOptions:\n(A) the cat\n(B) the dog"
    row = letters("snarks", {"input": text, "target": "(B)"})
    assert row == {
        "question": "Which one?",
        "options": "(A) the cat\n(B) the dog",
        "target": "(B)",
    }


def test_a_target_that_is_an_option_gets_its_letter() -> None:
    text = "Which one?\nOptions:\n(A) the cat, alone\n(B) the dog"
    row = letters("ruin_names", {"input": text, "target": "the cat, alone"})
    assert row["target"] == "(A)"


def test_free_answers_stay_as_they_are() -> None:
    row = letters("object_counting", {"input": "How many?", "target": "7"})
    assert row == {"question": "How many?", "options": "", "target": "7"}
