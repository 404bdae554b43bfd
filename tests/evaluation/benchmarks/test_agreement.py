"""The profile `lm-eval` gives the numbers of a plain lm-eval run, to the last bit.

The plain run loads the model by itself, reads the same files by `datasets` and is started by
`simple_evaluate`; nothing of ours is in it but the paths.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from lm_eval.models.huggingface import HFLM

from duo.terminal import silence
from evaluation.benchmarks.catalogue import BENCHMARKS
from evaluation.benchmarks.experiment import Settings
from evaluation.benchmarks.items import leaves
from evaluation.benchmarks.model import KeptAnswers
from evaluation.benchmarks.run import evaluate
from evaluation.benchmarks.tasks import harness_tasks
from tests.evaluation.benchmarks.small import (
    answer,
    copy_data,
    open_answering,
    read_rows,
    save_model,
    works_for,
)

#: By benchmark: the built-in task files, the split files, and the key of the value.
_TASKS = {
    "arc_easy": (["arc/arc_easy.yaml"], {"test": "test"}, "acc_norm,none"),
    "hellaswag": (["hellaswag/hellaswag.yaml"], {"validation": "validation"}, "acc_norm,none"),
    "mmlu": (
        ["mmlu/default/mmlu_astronomy.yaml", "mmlu/default/mmlu_nutrition.yaml"],
        {"test": "test", "dev": "dev"},
        "acc,none",
    ),
    "gsm8k": (
        ["gsm8k/gsm8k.yaml"], {"test": "test", "train": "train"}, "exact_match,strict-match",
    ),
}  # fmt: skip


def plain_run(name: str, model: Path, data: Path, folder: Path, batch_size: int) -> dict[str, Any]:
    """What lm-eval says on its own."""
    import lm_eval.evaluator
    from lm_eval.tasks import TaskManager

    files, splits, _ = _TASKS[name]
    names = []
    for file in files:
        built_in = harness_tasks() / file
        content = yaml.load(built_in.read_text(), Loader=yaml.BaseLoader)
        subset = {"arc_easy": "ARC-Easy", "hellaswag": "default", "gsm8k": "main"}.get(
            name, str(content.get("dataset_name"))
        )
        rows = data / BENCHMARKS[name].folder / subset
        task = {
            "include": str(built_in),
            "task": content["task"],
            "dataset_path": "json",
            "dataset_name": None,
            "dataset_kwargs": {
                "data_files": {
                    split: str(rows / f"{file}.jsonl") for split, file in splits.items()
                },
                "cache_dir": str(folder / "cache"),
            },
            "training_split": "train" if "train" in splits else None,
            "num_fewshot": {"mmlu": 5, "gsm8k": 5}.get(name, 0),
        }
        if name == "arc_easy":
            task["validation_split"] = None
        folder.mkdir(exist_ok=True)
        (folder / f"{content['task']}.yaml").write_text(yaml.safe_dump(task))
        names.append(content["task"])
    with silence():
        lm = HFLM(pretrained=str(model), dtype="float32", device="cpu", batch_size=batch_size)
        lm.get_model_info = dict  # asks the hub
        found = lm_eval.evaluator.simple_evaluate(
            model=lm,
            tasks=names,
            task_manager=TaskManager(include_defaults=False, include_path=[folder]),
            bootstrap_iters=1000,
        )
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("name", "batch_size"),
    [("arc_easy", 1), ("arc_easy", 3), ("hellaswag", 8), ("mmlu", 4), ("gsm8k", 3)],
)
def test_the_same_numbers_as_lm_eval_alone(
    name: str, batch_size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lm_eval.evaluator.add_env_info", lambda found: None)
    model = save_model(tmp_path / "model")
    data = copy_data(tmp_path / "data", name)
    key = _TASKS[name][2]
    settings = Settings(batch_size=str(batch_size))
    ours, items = answer(name, model, data, tmp_path / "out", settings)
    found = plain_run(name, model, data, tmp_path / "tasks", batch_size)

    metric, _, reading = key.partition(",")
    assert (ours.metric, ours.filter) == (metric, reading)
    written = json.loads(next((tmp_path / "out").rglob("results_*.json")).read_text("utf-8"))
    for task, values in found["results"].items():
        assert written["results"][task] == json.loads(json.dumps(values))
    sizes = {task: len(samples) for task, samples in found["samples"].items()}
    total = sum(found["results"][task][key] * n for task, n in sizes.items())
    assert ours.value == total / sum(sizes.values())
    if len(sizes) == 1:
        (task,) = sizes
        error = found["results"][task][f"{metric}_stderr,{reading}"]
        assert ours.stderr == pytest.approx(error, rel=1e-12)
    theirs = [
        sample
        for task in sorted(found["samples"])
        for sample in found["samples"][task]
        if sample["filter"] == reading
    ]
    for item, sample in zip(items, theirs, strict=True):
        assert item[metric] == sample[metric]
        assert item["resps"] == [[[str(v) for v in r] if isinstance(r, tuple) else str(r)
                                  for r in of] for of in sample["resps"]]  # fmt: skip
        for field in ("doc_id", "prompt_hash", "target_hash"):
            assert item[field] == sample[field]
    assert len(items) >= 8


def test_files_are_those_that_lm_eval_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own tracker, given what a plain run found, writes the same names, keys and items."""
    from lm_eval.loggers import EvaluationTracker

    monkeypatch.setattr("lm_eval.evaluator.add_env_info", lambda found: None)
    model = save_model(tmp_path / "model")
    data = copy_data(tmp_path / "data", "gsm8k")
    _, _ = answer("gsm8k", model, data, tmp_path / "out", Settings(batch_size="4"))
    found = plain_run("gsm8k", model, data, tmp_path / "tasks", 4)
    tracker = EvaluationTracker(output_path=str(tmp_path / "theirs"))
    tracker.general_config_tracker.log_experiment_args("hf", "pretrained=x", None, None, False)
    samples = found.pop("samples")
    tracker.save_results_aggregated(results=found, samples=samples)
    tracker.save_results_samples("gsm8k", samples["gsm8k"])
    ours, theirs = (
        {path.name.rpartition("_")[0]: path for path in (tmp_path / name).rglob("*_*.json*")}
        for name in ("out", "theirs")
    )
    assert ours.keys() == theirs.keys() | {"benchmark"}
    one, other = (json.loads(files["results"].read_text("utf-8")) for files in (ours, theirs))
    assert other.keys() - one.keys() <= {"git_hash", "pretty_env_info", "upper_git_hash"}
    assert one["results"] == other["results"]
    assert one["n-samples"] == other["n-samples"]
    lines, theirs_lines = (read_rows(files["samples_gsm8k"]) for files in (ours, theirs))
    theirs_lines.sort(key=lambda line: line["doc_id"])
    for line, of in zip(lines, theirs_lines, strict=True):
        assert line.keys() == of.keys()
        kept = line.keys() - {"doc_hash"}  # the rows come by another way: with null for no value
        assert {key: line[key] for key in kept} == {key: of[key] for key in kept}


@pytest.mark.parametrize("name", ["arc_easy", "gsm8k"])
def test_it_costs_the_same_forward_passes(name: str, tmp_path: Path) -> None:
    """As many, over as many tokens, in the same order: what we add is next to nothing beside it."""
    model = save_model(tmp_path / "model")
    data = copy_data(tmp_path / "data", name)
    settings = Settings(batch_size="3", max_new_tokens=8)
    (work,) = works_for(name, model, data, settings)
    asked = leaves(work.task, work.found.data, seed=0)
    ours = open_answering(model, settings)
    ours.begin(KeptAnswers(tmp_path / "kept.jsonl"), 0)
    with silence():
        plain = HFLM(pretrained=str(model), dtype="float32", device="cpu", batch_size=3)
    plain.logit_bias, plain.batch_sizes = None, {}
    passes = []
    for lm in (ours, plain):
        shapes: list[torch.Size] = []
        lm.model.register_forward_pre_hook(
            lambda _, ids, how, shapes=shapes: shapes.append(
                (ids[0] if ids else how["input_ids"]).shape
            ),
            with_kwargs=True,
        )
        evaluate(work, asked, lm)
        passes.append(shapes)
    assert passes[0] == passes[1]
    assert passes[0]
