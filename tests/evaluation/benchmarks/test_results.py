"""Results of benchmarks: read, checked, averaged over seeds, compared; ours and lm-eval's own."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import textwrap
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from duo.errors import BadInput
from evaluation.benchmarks.collect import read_runs
from evaluation.benchmarks.compare import cells, compare_columns
from evaluation.benchmarks.results import Run
from evaluation.benchmarks.tasks import read_profile
from tests.evaluation.benchmarks.files import write_result


def change(path: Path, **fields: Any) -> Path:
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | fields))
    return path


def read_result(path: Path) -> Run:
    (run,) = read_runs([str(path)]).runs
    return run


def one_line(error: pytest.ExceptionInfo[BadInput]) -> str:
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_result_is_read_with_its_items(tmp_path: Path) -> None:
    path = write_result(tmp_path, "base", "arc_easy", [1, 0, 0, 1], shots=5, seed=3)
    result = read_result(path)
    told = result.facts
    assert (told.column, told.benchmark, told.profile) == ("base", "arc_easy", "lm-eval")
    assert (told.value, told.n, told.shots, told.seed) == (0.5, 4, 5, 3)
    assert list(result.read_items().scores.values()) == [1, 0, 0, 1]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kind": "table1"}, "kind: is 'table1', not 'benchmark'"),
        ({"benchmark": "arc"}, "benchmark: "),
        ({"value": 41.0}, "value: "),
        ({"n": 0}, "n: "),
        ({"n": 5}, "n: 5 items of 4"),
        ({"coverage": "most"}, "coverage: "),
        ({"seed": "one"}, "seed: "),
        ({"stderr": -1}, "stderr: "),
        ({"data": {}}, "data.source: "),
        ({"samples": [{"file": "../x.jsonl"}]}, "must be the name of a file beside this one"),
    ],
)
def test_a_wrong_field_is_named(tmp_path: Path, fields: dict[str, Any], message: str) -> None:
    path = change(write_result(tmp_path, "base", "arc_easy", [1, 0, 0, 1]), **fields)
    with pytest.raises(BadInput) as error:
        read_result(path)
    assert one_line(error).startswith(str(path))
    assert message in str(error.value)


def test_corrupt_json_names_file_and_line(tmp_path: Path) -> None:
    path = write_result(tmp_path, "base", "arc_easy", [1])
    for text, place in (('{\n"a": 1,\n oops', ":3: not JSON"), ("[" * 100_000, "not JSON")):
        path.write_text(text)
        with pytest.raises(BadInput) as error:
            read_runs([str(tmp_path)])
        assert f"{path}" in one_line(error)
        assert place in str(error.value)


def test_items_that_do_not_give_the_value_are_refused(tmp_path: Path) -> None:
    path = write_result(tmp_path, "base", "arc_easy", [1, 0, 0, 1])
    with pytest.raises(BadInput, match=r"items average 0\.5000, but .* says 0\.7500"):
        read_result(change(path, value=0.75)).read_items()
    with pytest.raises(BadInput, match=r"4 items, but .* says n = 3"):
        read_result(change(path, value=0.5, n=3)).read_items()
    next(path.parent.glob("samples_*")).unlink()
    with pytest.raises(BadInput, match="cannot be read"):
        read_result(path).read_items()


def test_other_files_and_half_written_ones_are_passed_over(tmp_path: Path) -> None:
    kept = write_result(tmp_path, "base", "arc_easy", [1, 0])
    for name in ("manifest.json", f".{kept.name}.x7", "notes.txt"):
        (kept.parent / name).write_text("{")
    assert [run.file for run in read_runs([str(tmp_path)]).runs] == [kept]


def test_no_results_and_no_folder(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no benchmark results"):
        read_runs([str(tmp_path)])
    with pytest.raises(BadInput, match="no such folder"):
        read_runs([str(tmp_path / "none")])
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(BadInput, match="not named like a result"):
        read_runs([str(tmp_path / "a.json")])


def test_a_copy_is_taken_once_but_another_result_for_the_cell_is_refused(tmp_path: Path) -> None:
    path = write_result(tmp_path / "a", "base", "arc_easy", [1, 0])
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    copy = tmp_path / "b" / path.relative_to(tmp_path / "a")
    change(copy, wall_seconds=99.0)
    both = [str(tmp_path / "a"), str(tmp_path / "b")]
    assert len(read_runs(both).runs) == 1
    change(copy, key="0" * 12, shots=5)
    with pytest.raises(BadInput) as error:
        read_runs(both)
    assert str(path) in one_line(error)
    assert str(copy) in str(error.value)


def test_a_folder_in_which_the_limit_grew_is_read(tmp_path: Path) -> None:
    """The largest size that all columns and seeds have counts; what is left out is said."""

    def write(column: str, n: int, **changes: Any) -> Path:
        size = {"coverage": "limited", "n_full": 100, "settings": {"limit": n}}
        return write_result(tmp_path / str(n), column, "arc_easy", [1, 0] * n, **size, **changes)

    for column in ("base", "duo"):
        write(column, 2)
        write(column, 4)
    write("base", 8)
    found = read_runs([str(tmp_path)])
    assert [(run.facts.column, run.facts.n) for run in found.runs] == [("base", 8), ("duo", 8)]
    assert found.notes == (
        "Left out: ARC-e (lm-eval) of base, seed 0, on 4 items; the result on 8 counts.",
        "Left out: ARC-e (lm-eval) of base, seed 0, on 16 items; the result on 8 counts.",
        "Left out: ARC-e (lm-eval) of duo, seed 0, on 4 items; the result on 8 counts.",
    )
    write("duo", 8, model_sha256="f" * 64)
    with pytest.raises(BadInput, match="with other numbers or settings: keep one of them"):
        read_runs([str(tmp_path)])


def test_a_result_of_an_earlier_definition_of_its_task_gives_way_to_todays(tmp_path: Path) -> None:
    """A task that is scored otherwise since is measured again into the same folder."""
    today = read_profile("ultraeval")["gsm8k"].version
    write = partial(write_result, column="base", benchmark="gsm8k", profile="ultraeval")
    old = write(
        tmp_path / "old", scores=[1, 1], metric="exact_match", settings={"task_version": "0" * 64}
    )
    assert [run.file for run in read_runs([str(tmp_path)]).runs] == [old]
    new = write(tmp_path / "new", scores=[1, 0], settings={"task_version": today})
    found = read_runs([str(tmp_path)])
    assert [run.file for run in found.runs] == [new]
    assert found.notes == (f"Left out: {old.name}, of an earlier version, measured again since.",)
    write(tmp_path / "older", scores=[0, 0], settings={"task_version": "1" * 64})
    assert [run.file for run in read_runs([str(tmp_path)]).runs] == [new]
    with pytest.raises(BadInput, match="with other numbers or settings: keep one of them"):
        read_runs([str(tmp_path / "old"), str(tmp_path / "older")])


def test_seeds_are_averaged_and_their_spread_is_kept(tmp_path: Path) -> None:
    for seed, scores in enumerate(([1, 0, 0, 1], [1, 1, 0, 1], [1, 1, 1, 1])):
        write_result(tmp_path, "base", "arc_easy", scores, seed=seed)
    (cell,) = cells(read_runs([str(tmp_path)]).runs)
    assert cell.value == pytest.approx(0.75)
    assert cell.spread == pytest.approx(0.25)
    # Items' means 1, 2/3, 1/3, 1: variance 0.1019 over 4 items.
    assert cell.stderr == pytest.approx((((1 / 16) * 2 + (1 / 144) + (25 / 144)) / 3 / 4) ** 0.5)


def test_seeds_must_agree_in_all_else(tmp_path: Path) -> None:
    write_result(tmp_path, "base", "arc_easy", [1, 0])
    write_result(tmp_path, "base", "arc_easy", [1, 0], seed=1, shots=5)
    with pytest.raises(BadInput, match=r"shots: 0, but 5 with another seed, in .*benchmark_"):
        cells(read_runs([str(tmp_path)]).runs)
    capped = {"max_new_tokens": 128}
    write_result(tmp_path, "base", "arc_easy", [1, 0], seed=1, settings=capped)
    with pytest.raises(BadInput, match=r"settings.max_new_tokens: None, but 128 with another seed"):
        cells(read_runs([str(tmp_path)]).runs)
    other = {"source": "data-dir", "sha256": "1" * 64, "rows": 2}
    write_result(tmp_path, "base", "arc_easy", [1, 0], seed=1, data=other)
    with pytest.raises(BadInput, match=r"data.sha256: '0+', but '1+' with another seed"):
        cells(read_runs([str(tmp_path)]).runs)
    write_result(tmp_path, "base", "arc_easy", [1, 0], seed=1, model_sha256="f" * 64)
    with pytest.raises(BadInput, match="not the same model"):
        cells(read_runs([str(tmp_path)]).runs)


def test_columns_are_compared_with_the_base_and_holm_counts_what_was_compared(
    tmp_path: Path,
) -> None:
    for benchmark, base, duo in (
        ("arc_easy", [0] * 8 + [1] * 2, [1] * 8 + [1] * 2),
        ("gsm8k", [0] * 6 + [1] * 4, [1] * 6 + [1] * 4),
        ("mbpp", [0] * 4, [1] * 4),
    ):
        coverage = {"coverage": "smoke"} if benchmark == "mbpp" else {}
        write_result(tmp_path, "base", benchmark, base, **coverage)
        write_result(tmp_path, "duo", benchmark, duo, **coverage)
    write_result(tmp_path, "duo", "hellaswag", [1, 0])
    found = compare_columns(cells(read_runs([str(tmp_path)]).runs), "base")
    by_name = {one.benchmark: one for one in found}
    assert list(by_name) == ["mbpp", "gsm8k", "arc_easy", "hellaswag"]
    assert by_name["mbpp"].reason == "smoke items"
    assert by_name["hellaswag"].reason == "no result of base"
    arc, gsm = by_name["arc_easy"], by_name["gsm8k"]
    assert arc.comparison
    assert gsm.comparison
    assert (arc.comparison.p, gsm.comparison.p) == pytest.approx((2 / 2**8, 2 / 2**6))
    assert (arc.p_holm, gsm.p_holm) == pytest.approx((2 * 2 / 2**8, 2 / 2**6))


def test_items_of_other_data_are_not_paired_though_their_ids_are_the_same(tmp_path: Path) -> None:
    other = {"source": "wheel", "sha256": "1" * 64, "rows": 2}
    write_result(tmp_path, "base", "arc_easy", [1, 0])
    write_result(tmp_path, "duo", "arc_easy", [1, 0], data=other)
    (found,) = compare_columns(cells(read_runs([str(tmp_path)]).runs), "base")
    assert (found.comparison, found.reason) == (None, "not the same data")


def test_items_with_other_contents_are_not_paired(tmp_path: Path) -> None:
    """What lm-eval itself wrote does not say which data it was; its items do."""
    for column in ("base", "duo"):
        path = write_result(tmp_path, column, "arc_easy", [1, 0])
        change(path, data={"source": "lm-eval"})
    (samples,) = path.parent.glob("samples_*")
    samples.write_text(samples.read_text().replace('"doc_hash": "1"', '"doc_hash": "other"'))
    (found,) = compare_columns(cells(read_runs([str(tmp_path)]).runs), "base")
    assert (found.comparison, found.reason) == (None, "not the same data")


def test_columns_measured_otherwise_cannot_be_compared(tmp_path: Path) -> None:
    write_result(tmp_path, "base", "arc_easy", [1, 0])
    write_result(tmp_path, "duo", "arc_easy", [1, 0], metric="acc_norm")
    with pytest.raises(BadInput, match=r"metric: 'acc_norm', but 'acc' in .*base.*cannot be"):
        compare_columns(cells(read_runs([str(tmp_path)]).runs), "base")


RUN = """
    import sys
    import lm_eval
    from lm_eval.loggers import EvaluationTracker
    from lm_eval.tasks import TaskManager

    tracker = EvaluationTracker(output_path="out")
    tasks = TaskManager(include_defaults=False, include_path="tasks")
    found = lm_eval.simple_evaluate(
        model="dummy", model_args="pretrained=some/model", task_manager=tasks, log_samples=True,
        tasks=["arc_easy", "gsm8k", "mmlu", "riddles"], evaluation_tracker=tracker, limit=7,
    )
    samples = found.pop("samples")
    tracker.save_results_aggregated(results=found, samples=samples)
    for task in found["configs"]:
        tracker.save_results_samples(task_name=task, samples=samples[task])
"""
CHOICE = """
    task: NAME
    dataset_path: json
    dataset_kwargs: {data_files: {test: FOLDER/choice.jsonl}}
    output_type: multiple_choice
    test_split: test
    doc_to_text: "{{question}}"
    doc_to_target: answer
    doc_to_choice: choices
    num_fewshot: 0
    metric_list: [{metric: acc}, {metric: acc_norm}]
"""
NUMBER = """
    task: gsm8k
    dataset_path: json
    dataset_kwargs: {data_files: {test: FOLDER/choice.jsonl}}
    output_type: generate_until
    test_split: test
    doc_to_text: "{{question}}"
    doc_to_target: "{{ 'lol' if answer else 'no' }}"
    num_fewshot: 0
    generation_kwargs: {until: ["."]}
    metric_list: [{metric: exact_match}]
    filter_list:
      - {name: strict-match, filter: [{function: take_first}]}
      - {name: flexible-extract, filter: [{function: regex, regex_pattern: "(z)"},
         {function: take_first}]}
"""
GROUP = """
    group: mmlu
    task:
      - group: stem
        task: [mmlu_astronomy]
        aggregate_metric_list: [{metric: acc, weight_by_size: true}]
      - group: other
        task: [mmlu_law]
        aggregate_metric_list: [{metric: acc, weight_by_size: true}]
    aggregate_metric_list: [{metric: acc, weight_by_size: true}]
"""


@pytest.fixture(scope="module")
def harness(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a plain run of lm-eval writes: a model that guesses, on tasks of a few lines."""
    folder = tmp_path_factory.mktemp("harness")
    (folder / "tasks").mkdir()
    questions = [
        {"question": f"{n}?", "choices": ["a", "bb", "ccc"], "answer": n % 2} for n in range(9)
    ]
    lines = "".join(json.dumps(question) + "\n" for question in questions)
    (folder / "choice.jsonl").write_text(lines)
    names = ("arc_easy", "mmlu_astronomy", "mmlu_law", "riddles")
    tasks = {name: CHOICE.replace("NAME", name) for name in names}
    tasks |= {"gsm8k": NUMBER, "_mmlu": GROUP}
    for name, task in tasks.items():
        text = textwrap.dedent(task).replace("FOLDER", str(folder))
        (folder / "tasks" / f"{name}.yaml").write_text(text)
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(RUN)], cwd=folder, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return folder / "out"


def test_lm_evals_own_results_are_read(harness: Path) -> None:
    found = read_runs([f"base={harness}"])
    by_name = {run.facts.benchmark: run.facts for run in found.runs}
    assert set(by_name) == {"mmlu", "gsm8k", "arc_easy"}
    assert any("riddles" in note and "mmlu" not in note for note in found.notes)
    written = json.loads(next(harness.rglob("results_*.json")).read_text())["results"]
    assert by_name["arc_easy"].value == written["arc_easy"]["acc_norm,none"]
    assert by_name["arc_easy"].stderr == written["arc_easy"]["acc_norm_stderr,none"]
    assert by_name["mmlu"].value == written["mmlu"]["acc,none"]
    assert by_name["gsm8k"].value == written["gsm8k"]["exact_match,strict-match"] > 0
    for told in by_name.values():
        assert (told.column, told.profile, told.shots) == ("base", "lm-eval", 0)
        assert told.coverage == "limited"
    assert (by_name["mmlu"].n, by_name["mmlu"].n_full) == (14, 18)
    assert by_name["mmlu"].average == "micro"


def test_the_items_of_lm_eval_give_its_own_numbers(harness: Path) -> None:
    for run in read_runs([str(harness)]).runs:
        assert run.facts.column == "some/model"
        scores = run.read_items().scores  # raises if they do not average to the value
        assert len(scores) == run.facts.n
        assert {key[0] for key in scores} == (
            {"mmlu_astronomy", "mmlu_law"} if run.facts.benchmark == "mmlu" else {""}
        )


def test_a_run_of_lm_eval_without_samples_has_no_items(harness: Path, tmp_path: Path) -> None:
    shutil.copytree(harness, tmp_path / "out")
    for path in tmp_path.rglob("samples_*"):
        path.unlink()
    for run in read_runs([str(tmp_path)]).runs:
        with pytest.raises(BadInput, match="no per-item results"):
            run.read_items()


def test_numbers_of_other_tasks_may_be_none(harness: Path, tmp_path: Path) -> None:
    shutil.copytree(harness, tmp_path / "out")
    path = next(tmp_path.rglob("results_*.json"))
    content = json.loads(path.read_text())
    content["results"]["riddles"]["acc,none"] = float("nan")
    path.write_text(json.dumps(content))
    assert len(read_runs([str(tmp_path)]).runs) == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "is not a results file of lm-eval"),
        ("{}", "results: is not a results file"),
        ('{"results": {"arc_easy": {"f1,none": 1}}}', "has no acc_norm,none or acc,none"),
        ('{"results": {"arc_easy": {"acc,none": 1}}}', "n-samples: is not a results file"),
        ('{"results": {"mmlu": {"acc,none": 1}}, "group_subtasks": {"mmlu": ["mmlu"]}}', "is not"),
        ('{\n"results": ', ":2: not JSON"),
    ],
)
def test_broken_results_of_lm_eval(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "results_2026.json"
    path.write_text(text)
    with pytest.raises(BadInput) as error:
        read_runs([str(tmp_path)])
    assert one_line(error).startswith(str(path))
    assert message in str(error.value)
