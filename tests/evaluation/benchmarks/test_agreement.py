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
from evaluation.benchmarks.catalogue import BENCHMARKS, harness_tasks
from evaluation.benchmarks.choose import leaves
from evaluation.benchmarks.journal import Journal
from evaluation.benchmarks.matrix import Settings, evaluate
from tests.evaluation.benchmarks.small import (
    answer,
    copy_data,
    open_answering,
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
    sizes = {task: len(samples) for task, samples in found["samples"].items()}
    if len(sizes) == 1:
        (task,) = sizes
        assert ours["value"] == found["results"][task][key]
        assert ours["stderr"] == found["results"][task][f"{metric}_stderr,{reading}"]
        for other, value in ours["metrics"].items():
            assert value == found["results"][task][other]
    else:
        total = sum(found["results"][task][key] * n for task, n in sizes.items())
        assert ours["value"] == total / sum(sizes.values())
        for task in sizes:
            assert ours["subsets"][task.split("_", 1)[1]]["value"] == found["results"][task][key]
    scores = [
        sample[metric]
        for task in sorted(found["samples"])
        for sample in found["samples"][task]
        if sample["filter"] == reading
    ]
    assert [item["score"] for item in items] == scores
    assert len(items) >= 8


def test_answers_are_told_by_letter(tmp_path: Path) -> None:
    """An item is right exactly where the letter that is told is that of the right option."""
    model = save_model(tmp_path / "model")
    data = copy_data(tmp_path / "data", "hellaswag")
    _, items = answer("hellaswag", model, data, tmp_path / "out", Settings(batch_size="4"))
    for item in items:
        assert item["score"] == float(item["answer"] == item["target"])
        assert {item["answer"], item["target"]} <= set("ABCD")
    rows = (data / "hellaswag/default/validation.jsonl").read_text("utf-8").splitlines()
    assert [item["target"] for item in items] == ["ABCD"[int(json.loads(r)["label"])] for r in rows]


@pytest.mark.parametrize("name", ["arc_easy", "gsm8k"])
def test_it_costs_the_same_forward_passes(name: str, tmp_path: Path) -> None:
    """As many, over as many tokens, in the same order: what we add is next to nothing beside it."""
    model = save_model(tmp_path / "model")
    data = copy_data(tmp_path / "data", name)
    settings = Settings(batch_size="3", max_new_tokens=8)
    (work,) = works_for(name, model, data, settings)
    asked = leaves(work.task, work.found.data, seed=0)
    ours = open_answering(model, settings)
    ours.begin(Journal(tmp_path / "journal"), 0)
    with silence():
        plain = HFLM(pretrained=str(model), dtype="float32", device="cpu", batch_size=3)
    plain.logit_bias = None
    passes = []
    for lm in (ours, plain):
        shapes: list[torch.Size] = []
        lm.model.register_forward_pre_hook(
            lambda _, ids, how, shapes=shapes: shapes.append(
                (ids[0] if ids else how["input_ids"]).shape
            ),
            with_kwargs=True,
        )
        evaluate(work, asked, lm, settings)
        passes.append(shapes)
    assert passes[0] == passes[1]
    assert passes[0]
