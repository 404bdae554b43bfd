"""The design file and the answers that it asks for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duo.errors import BadInput
from sessions.study.design import PAPER, read_design
from sessions.study.views import CHOICES, Answer

CRITERION = "{name: a, question: q, definition: d, better: b, worse: w}"
LEAST = f"title: t\nconsent: c\ninstructions: i\ncriteria:\n  - {CRITERION}\n"


def design(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "design.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_papers_criteria_are_the_default() -> None:
    chosen = read_design()
    assert chosen.criterion_names == (
        "responsiveness", "human-likeness", "faithfulness", "factuality", "overall",
    )  # fmt: skip
    assert chosen.example is not None
    assert chosen.comprehension.questions


def test_the_papers_texts_do_not_say_which_behaviour_is_better() -> None:
    """They teach how to read and to answer: what systems differ in is for the rater to judge."""
    text = PAPER.read_text(encoding="utf-8").partition("hypotheses:")[0].casefold()
    for word in ("mm-hm", "interrupt", "stops", "talks on", "prompt", "late or", "chopped"):
        assert word not in text, word
    example = read_design().example
    assert example is not None
    turns = {tuple((one.who, one.start, one.end) for one in lines) for lines in example.dialogues}
    assert len(turns) == 1  # both behave alike


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    for chosen in (read_design(), read_design(design(tmp_path, LEAST), seed=5, raters_per_item=7)):
        again = read_design(design(tmp_path, chosen.as_yaml()))
        assert again == chosen
    assert (again.seed, again.raters_per_item) == (5, 7)


@pytest.mark.parametrize(
    ("text", "where"),
    [
        (LEAST + "colour: red\n", "design.yaml:6: colour: is not a field of this schema"),
        (LEAST.replace("consent: c\n", ""), "design.yaml:1: consent: is missing"),
        (LEAST + "seed: -1\n", "design.yaml:6: seed: "),
        (LEAST + "seed: one\n", "design.yaml:6: seed: "),
        (LEAST + f"  - {CRITERION}\n", "design.yaml:6: criteria[1].name: is taken"),
        (LEAST + "checks: {repeats: 1.5}\n", "design.yaml:6: checks.repeats: "),
        (LEAST + "completion: {code: study}\n", "design.yaml:6: completion.text: goes with"),
        (
            LEAST + "completion:\n  return_url: javascript:alert(1)\n",
            "design.yaml:7: completion.return_url: ",
        ),
        (
            LEAST + "comprehension:\n  questions:\n"
            "    - {ask: a, options: [x, y], answer: z, because: b}\n",
            "design.yaml:8: comprehension.questions[0].answer: is none of the options",
        ),
        (
            LEAST + "example:\n  explanation: e\n  dialogues:\n"
            "    - [{who: user, start: 1, end: 2, say: a}]\n"
            "    - [{who: user, start: 3, end: 2, say: a}]\n",
            "design.yaml:10: example.dialogues[1][0].end: 2 is before",
        ),
        (LEAST + "panel:\n  session: t\n", "design.yaml:7: panel.session: is a parameter of our"),
        (LEAST + "panel: {study: a, session: a}\n", "design.yaml:6: panel: two parameters"),
        (LEAST + "completion:\n  full: {text: a b}\n", "design.yaml:7: completion.full.text: "),
        ("- a\n", "design.yaml:1: must be a mapping"),
        ("", "design.yaml: is empty"),
        ("a: [", "design.yaml:1: not YAML"),
    ],
)
def test_a_mistake_is_named_by_file_line_and_field(tmp_path: Path, text: str, where: str) -> None:
    with pytest.raises(BadInput) as caught:
        read_design(design(tmp_path, text))
    assert str(caught.value).removeprefix(f"{tmp_path}/").startswith(where)


def test_what_the_command_line_changes_is_not_blamed_on_the_file() -> None:
    with pytest.raises(BadInput) as caught:
        read_design(PAPER, raters_per_item=0)
    assert (caught.value.file, caught.value.field) == (None, "raters_per_item")


@pytest.mark.parametrize(
    ("panel", "suffix"),
    [
        ("{}", "&STUDY_ID={{%STUDY_ID%}}&SESSION_ID={{%SESSION_ID%}}"
               "&PROLIFIC_PID={{%PROLIFIC_PID%}}"),
        ("{participant: id, study: null, session: null, link: 'id=%SURVEY_CODE%'}",
         "&id=%SURVEY_CODE%"),
        ("{participant: participantId, study: projectId, session: assignmentId, link: ''}", ""),
    ],
)  # fmt: skip
def test_a_panels_link_has_the_panels_parameters(tmp_path: Path, panel: str, suffix: str) -> None:
    assert read_design(design(tmp_path, LEAST + f"panel: {panel}\n")).panel.suffix == suffix


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot be read"):
        read_design(tmp_path / "none.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"title: \xe9")
    with pytest.raises(BadInput, match="not UTF-8"):
        read_design(tmp_path / "latin.yaml")


@given(st.lists(st.integers(-3, 3), min_size=2, max_size=6), st.booleans())
def test_rankings_say_of_pairs_what_the_numbers_say(order: list[int], bad: bool) -> None:
    if len(order) == 2 and bad and order[0] != order[1]:
        return
    answer = Answer.ranked(order, both_bad=bad)
    assert Answer.from_data(answer.as_data()) == answer
    for left, right, choice in answer.pairs():
        if order[left] == order[right]:
            assert choice == ("both_bad" if bad else "tie")
        else:
            assert choice == ("left" if order[left] < order[right] else "right")


@pytest.mark.parametrize("choice", CHOICES)
def test_choices_of_a_pair(choice: str) -> None:
    assert Answer.of(choice).choice == choice


@pytest.mark.parametrize("ranks", [(), (1,), (1, 3), (0, 1), (2, 2)])
def test_ranks_that_are_none(ranks: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="are not ranks"):
        Answer(ranks)
    with pytest.raises(ValueError, match="choose one of the two"):
        Answer((1, 2), both_bad=True)


@pytest.mark.parametrize("text", ["{}", "[]", "3", "x", '{"ranks": null, "both_bad": 1}'])
def test_stored_answers_that_are_none(text: Any) -> None:
    with pytest.raises(ValueError, match=r"."):
        Answer.from_data(json.loads(text))
