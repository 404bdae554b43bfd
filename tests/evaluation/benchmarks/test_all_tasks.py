"""Both profiles of all nine benchmarks, asked for real: a model that knows the answers gets all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evaluation.benchmarks.catalogue import BENCHMARKS
from evaluation.benchmarks.experiment import PROFILES, Column, Settings
from evaluation.benchmarks.items import Finder
from evaluation.benchmarks.results import Run
from evaluation.benchmarks.run import plan, run
from evaluation.benchmarks.tasks import read_profile
from tests.evaluation.benchmarks.oracle import Oracle

pytest.importorskip("lm_eval")


def answered(profile: str, name: str, out: Path, right: bool) -> tuple[Run, Oracle]:
    task = read_profile(profile)[name]
    found = {name: Finder(sources=["smoke"]).find(task)}
    settings = Settings((Column("oracle", "none"),), profile=profile)
    oracle = Oracle(profile, right)
    works = plan(settings, [task], found, {"oracle": "hash"})
    (result,) = run(works, out, open_lm=lambda column: oracle)
    return result, oracle


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("name", BENCHMARKS)
def test_knowing_every_answer_scores_all(profile: str, name: str, tmp_path: Path) -> None:
    result, oracle = answered(profile, name, tmp_path, right=True)
    told, scores = result.facts, result.read_items().scores
    assert told.value == 1.0
    assert told.coverage == "smoke"
    assert told.n == told.n_full == len(scores) >= 8
    assert set(scores.values()) == {1.0}
    task = read_profile(profile)[name]
    assert all(bool(subset) == task.has_subsets for subset, _ in scores)
    written = json.loads(result.file.with_name(str(told.results)).read_text("utf-8"))
    assert written["results"][name][f"{told.metric},{told.filter}"] == 1.0
    assert oracle.prompts


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("name", ["mmlu", "bbh", "gsm8k", "humaneval", "mbpp", "hellaswag"])
def test_knowing_no_answer_scores_nothing(profile: str, name: str, tmp_path: Path) -> None:
    result, _ = answered(profile, name, tmp_path, right=False)
    assert result.facts.value == 0.0
    assert set(result.read_items().scores.values()) == {0.0}


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize(("name", "mark"), [("gsm8k", "Answer:"), ("mmlu", "Answer:")])
def test_questions_come_after_as_many_examples_as_the_profile_says(
    profile: str, name: str, mark: str, tmp_path: Path
) -> None:
    result, oracle = answered(profile, name, tmp_path, right=True)
    assert {prompt.count(mark) for prompt in oracle.prompts} == {(result.facts.shots or 0) + 1}


@pytest.mark.parametrize("name", ["gsm8k", "mmlu", "mbpp", "cmmlu", "bbh"])
def test_no_item_is_its_own_example(name: str, tmp_path: Path) -> None:
    """The text of a question stands in its prompt once, even where items serve as examples."""
    _, oracle = answered("ultraeval", name, tmp_path, right=True)
    for prompt in oracle.prompts:
        last = [line for line in prompt.split("\n\n")[-1].splitlines() if len(line) > 30]
        assert all(prompt.count(line) == 1 for line in last if "letter" not in line)


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        (
            "mmlu",
            {
                f"The following are multiple choice questions (with answers) about {subject}."
                for subject in ("astronomy", "nutrition")
            },
        ),
        (
            "cmmlu",
            {
                f"以下是关于{subject}的单项选择题，请直接给出正确答案的选项。"
                for subject in ("农学", "天文学")
            },
        ),
    ],
)
def test_prompts_begin_with_a_line_on_the_subject(
    name: str, lines: set[str], tmp_path: Path
) -> None:
    _, oracle = answered("ultraeval", name, tmp_path, right=True)
    assert {prompt.partition("\n\n")[0] for prompt in oracle.prompts} == lines


_REQUIREMENT = (
    "Requirement:\nChoose and respond with the letter of the correct answer, including the "
    "parentheses.\n"
)


@pytest.mark.parametrize(
    ("name", "last"),
    [
        ("arc_easy", f"Question:\n{{question}}\n{_REQUIREMENT}Options:\n(A) "),
        ("hellaswag", "Context:\n {activity_label}: {ctx}\nQuestion:\nWhich ending makes the most "
                      f"sense?\n{_REQUIREMENT}Options:\n(A) "),
        ("mmlu", f"Question:\n{{question}}\n{_REQUIREMENT}Options:\n(A) "),
        ("gsm8k", "Question: {question}\nAnswer: "),
        ("mbpp", '"""{text}\n{test_list[0]}\n'),
    ],
)  # fmt: skip
def test_questions_are_worded_as_ultraeval_words_them(name: str, last: str, tmp_path: Path) -> None:
    task = read_profile("ultraeval")[name]
    rows = Finder(sources=["smoke"]).find(task).data.rows
    _, oracle = answered("ultraeval", name, tmp_path, right=True)
    asked = [
        row
        for splits in rows.values()
        for split in task.item_splits
        for row in splits.get(split, ())
    ]
    for row in asked:
        ends = [prompt.rpartition("\n\n")[2] for prompt in oracle.prompts]
        assert any(end.startswith(last.format(**row)) for end in ends)
