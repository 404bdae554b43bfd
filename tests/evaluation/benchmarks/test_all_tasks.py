"""Both profiles of all nine benchmarks, asked for real: a model that knows the answers gets all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evaluation.benchmarks.catalogue import BENCHMARKS
from evaluation.benchmarks.columns import Column
from evaluation.benchmarks.matrix import Settings, plan, run
from evaluation.benchmarks.profiles import PROFILES, read_profile
from evaluation.benchmarks.sources import Finder
from tests.evaluation.benchmarks.oracle import Oracle

pytest.importorskip("lm_eval")


def answered(profile: str, name: str, out: Path, right: bool) -> tuple[dict, list[dict], Oracle]:
    task = read_profile(profile)[name]
    found = {name: Finder(sources=["smoke"]).find(task)}
    settings = Settings(profile=profile)
    works = plan([Column("oracle", "none")], [task], found, settings, {"oracle": "hash"})
    oracle = Oracle(profile, right)
    (result,) = run(works, settings, out, open_lm=lambda column: oracle)
    items = out / "oracle" / name / result["items"]
    return result, [json.loads(line) for line in items.read_text("utf-8").splitlines()], oracle


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("name", BENCHMARKS)
def test_knowing_every_answer_scores_all(profile: str, name: str, tmp_path: Path) -> None:
    result, items, oracle = answered(profile, name, tmp_path, right=True)
    assert result["value"] == 1.0
    assert result["coverage"] == "smoke"
    assert result["n"] == result["n_full"] == len(items) >= 8
    assert {item["score"] for item in items} == {1.0}
    assert len({(item["subset"], item["id"]) for item in items}) == len(items)
    assert all(item["target"] for item in items)
    task = read_profile(profile)[name]
    assert bool(result["subsets"]) == (len(task.files) > 1)
    assert sum(part["n"] for part in result["subsets"].values()) in (0, len(items))
    assert oracle.prompts


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("name", ["mmlu", "bbh", "gsm8k", "humaneval", "mbpp", "hellaswag"])
def test_knowing_no_answer_scores_nothing(profile: str, name: str, tmp_path: Path) -> None:
    result, items, _ = answered(profile, name, tmp_path, right=False)
    assert result["value"] == 0.0
    assert {item["score"] for item in items} == {0.0}


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize(("name", "mark"), [("gsm8k", "Answer:"), ("mmlu", "Answer:")])
def test_questions_come_after_as_many_examples_as_the_profile_says(
    profile: str, name: str, mark: str, tmp_path: Path
) -> None:
    result, _, oracle = answered(profile, name, tmp_path, right=True)
    assert {prompt.count(mark) for prompt in oracle.prompts} == {result["shots"] + 1}


@pytest.mark.parametrize("name", ["gsm8k", "mmlu", "mbpp", "cmmlu", "bbh"])
def test_no_item_is_its_own_example(name: str, tmp_path: Path) -> None:
    """The text of a question stands in its prompt once, even where items serve as examples."""
    _, _, oracle = answered("ultraeval", name, tmp_path, right=True)
    for prompt in oracle.prompts:
        last = [line for line in prompt.split("\n\n")[-1].splitlines() if len(line) > 30]
        assert all(prompt.count(line) == 1 for line in last if "letter" not in line)
