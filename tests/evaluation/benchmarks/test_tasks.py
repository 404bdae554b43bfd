"""Tasks: options with letters, files of profiles."""

from __future__ import annotations

from pathlib import Path

import pytest

from duo.errors import BadInput
from evaluation.benchmarks.experiment import PROFILES
from evaluation.benchmarks.tasks import (
    FOLDER,
    FREE,
    PAIRS,
    letters,
    read_profile,
    read_task_file,
    task_files,
)


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
        assert row["question"] == text
        assert f"({letter}) {word}" in row["options"].splitlines()
        assert row["target"] == f"({letter})"


def test_lettered_options_stay() -> None:
    text = "Which one?\nOptions:\n(A) the cat\n(B) the dog"
    row = letters("snarks", {"input": text, "target": "(B)"})
    assert row == {
        "question": text,
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


@pytest.mark.parametrize("profile", PROFILES)
def test_a_profile_has_all_nine_and_says_where_its_settings_come_from(profile: str) -> None:
    tasks = read_profile(profile)
    shots = {name: task.shots for name, task in tasks.items()}
    assert list(shots) == [
        "cmmlu", "mmlu", "bbh", "humaneval", "mbpp", "gsm8k", "arc_easy", "arc_challenge",
        "hellaswag",
    ]  # fmt: skip
    assert all(
        ("lm-eval" if profile == "lm-eval" else "UltraEval") in task.source
        for task in tasks.values()
    )
    wanted = (5, 5, 3, 0, 3, 5 if profile == "lm-eval" else 8, 0, 0, 0)
    assert tuple(shots.values()) == wanted
    assert len({task.version for task in tasks.values()}) == 9
    assert {task.sampled for task in tasks.values()} == {profile == "ultraeval"}


def test_answers_are_sampled_as_with_ultraeval() -> None:
    """GSM8K and programs by settings of their tasks, all others by those of its README."""
    for name, task in read_profile("ultraeval").items():
        cold = name in ("gsm8k", "mbpp", "humaneval")
        how = task.task["generation_kwargs"]
        wanted = (0.1, 0.95, 300) if cold else (0.3, 0.8, 300)
        assert (how["temperature"], how["top_p"], how["max_gen_toks"]) == wanted, name
        assert "Apache-2.0" in task.source


def test_the_code_that_reads_answers_is_part_of_a_tasks_version(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else a result that was read with other code would be taken for a finished one."""
    from evaluation.benchmarks import tasks

    names = ("mbpp", "bbh", "mmlu")
    before = {name: read_profile("ultraeval")[name].version for name in names}
    read: list[str] = []

    def source(module: str) -> Path:
        read.append(module)
        return Path(__file__)

    monkeypatch.setattr(tasks, "_source", source)
    after = {name: read_task_file(FOLDER / f"ultraeval/{name}.yaml").version for name in names}
    assert not [name for name in names if after[name] == before[name]]
    assert set(read) == {
        f"evaluation.benchmarks.{name}" for name in ("programs", "tasks", "ultraeval")
    }


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("shots: 5", "shots: -1"), "shots: "),
        (("metric: acc", "metrics: acc"), "metrics: is not a field"),
        (("benchmark: mmlu", "benchmark: imdb"), "benchmark: unknown 'imdb'"),
        (("tasks: mmlu/default/mmlu_*.yaml", "tasks: no/such.yaml"), "tasks: no no/such.yaml in"),
        (("average: micro", "average: ["), "is not YAML"),
    ],
)
def test_bad_task_files(change: tuple[str, str], told: str, tmp_path: Path) -> None:
    text = (FOLDER / "lm-eval/mmlu.yaml").read_text("utf-8")
    assert change[0] in text
    path = tmp_path / "mmlu.yaml"
    path.write_text(text.replace(*change), "utf-8")
    with pytest.raises(BadInput, match=told):
        read_task_file(path)
