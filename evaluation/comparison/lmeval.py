"""Results that lm-eval itself wrote: `lm_eval --output_path DIR --log_samples`.

A results file holds several tasks of one model; each of the nine benchmarks among them becomes a
`Result` of the profile `lm-eval`. The items of a task are in `samples_TASK_DATE.jsonl` beside it.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from duo.errors import BadInput
from evaluation.comparison.items import ItemFile
from evaluation.comparison.results import BENCHMARKS, Average, Result, read_json

PROFILE = "lm-eval"

#: A task's main metric and the filter that it is read through, in the stock tasks. Where a task
#: offers several, the first that the file has is taken.
METRICS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "cmmlu": (("acc", "none"),),
    "mmlu": (("acc", "none"),),
    "bbh": (("exact_match", "get-answer"), ("exact_match", "none")),
    "humaneval": (("pass@1", "create_test"),),
    "mbpp": (("pass_at_1", "none"),),
    "gsm8k": (("exact_match", "strict-match"),),
    "arc_easy": (("acc_norm", "none"), ("acc", "none")),
    "arc_challenge": (("acc_norm", "none"), ("acc", "none")),
    "hellaswag": (("acc_norm", "none"), ("acc", "none")),
}


@dataclass(frozen=True)
class HarnessFile:
    """A results file of lm-eval.

    Attributes:
        results: of the nine benchmarks.
        others: names of tasks in it that are none of the nine, their subtasks left out.
    """

    results: tuple[Result, ...]
    others: tuple[str, ...]


def read_harness(path: Path, column: str | None = None) -> HarnessFile:
    """Read a results file of lm-eval.

    Args:
        path: `results_DATE.json`.
        column: the model's name in the table; None for the name that lm-eval gave it.

    Raises:
        BadInput: it cannot be read, is not JSON, or has not lm-eval's form.
    """
    content = read_json(path)
    try:
        return _read(path, content, column)
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        missing = str(error.args[0]) if isinstance(error, KeyError) and error.args else None
        raise BadInput("is not a results file of lm-eval", file=path, field=missing) from None


def _read(path: Path, content: dict[str, Any], column: str | None) -> HarnessFile:
    tasks, groups = content["results"], content.get("group_subtasks") or {}
    inner = {name for children in groups.values() for name in children}
    found = tuple(_result(path, content, name, column) for name in BENCHMARKS if name in tasks)
    others = sorted(set(tasks) - set(BENCHMARKS) - inner)
    return HarnessFile(found, tuple(others))


def _result(path: Path, content: dict[str, Any], task: str, column: str | None) -> Result:
    entry = content["results"][task]
    metric, reading = _main_metric(path, task, entry)
    leaves = _leaves(content.get("group_subtasks") or {}, task)
    counts = [content["n-samples"][leaf] for leaf in leaves]
    n, n_full = (sum(int(count[kind]) for count in counts) for kind in ("effective", "original"))
    shots = {content.get("n-shot", {}).get(leaf) for leaf in leaves}
    config = content.get("config") or {}
    value = float(entry[f"{metric},{reading}"])
    if not 0 <= value <= 1:
        raise BadInput("must be from 0 to 1", file=path, field=f"results.{task}.{metric},{reading}")
    date = path.stem.removeprefix("results")
    samples = [path.with_name(f"samples_{leaf}{date}.jsonl") for leaf in leaves]
    return Result(
        file=path,
        key=hashlib.sha256(path.read_bytes()).hexdigest()[:12],
        column=column or str(content.get("model_name") or path.parent.name),
        benchmark=task,
        profile=PROFILE,
        seed=int(config.get("random_seed") or 0),
        metric=metric,
        value=value,
        stderr=_number(entry.get(f"{metric}_stderr,{reading}")),
        average=_average(content["results"], leaves, f"{metric},{reading}", counts, value),
        n=n,
        n_full=n_full,
        shots=shots.pop() if len(shots) == 1 else None,
        coverage="full" if n == n_full else "limited",
        data="lm-eval",
        items=tuple(
            ItemFile(sample, "doc_id", metric, "" if leaf == task else leaf, reading)
            for leaf, sample in zip(leaves, samples, strict=True)
        )
        if all(sample.is_file() for sample in samples)
        else (),
        facts={
            "model": content.get("model_name"),
            "settings": {
                "model_args": config.get("model_args"),
                "gen_kwargs": config.get("gen_kwargs"),
                "chat_template_sha": content.get("chat_template_sha"),
                "task_version": (content.get("versions") or {}).get(task),
            },
            "versions": {
                "lm_eval": content.get("lm_eval_version"),
                "transformers": content.get("transformers_version"),
            },
        },
    )


def _main_metric(path: Path, task: str, entry: Mapping[str, Any]) -> tuple[str, str]:
    for metric, reading in METRICS[task]:
        if f"{metric},{reading}" in entry:
            return metric, reading
    wanted = " or ".join(f"{metric},{reading}" for metric, reading in METRICS[task])
    raise BadInput(f"has no {wanted}", file=path, field=f"results.{task}")


def _leaves(groups: Mapping[str, list[str]], task: str) -> list[str]:
    """The tasks that a group is made of, however deep; the task itself if it is none."""
    if not groups.get(task):
        return [task]
    return [leaf for child in groups[task] for leaf in _leaves(groups, child)]


def _average(
    tasks: Mapping[str, Any],
    leaves: list[str],
    metric: str,
    counts: list[dict[str, int]],
    value: float,
) -> Average | None:
    """How a group's value was averaged: the file does not say it, but its parts show it."""
    if len(leaves) == 1:
        return None
    values = [float(tasks[leaf][metric]) for leaf in leaves]
    weights = [count["effective"] for count in counts]
    micro = math.fsum(v * w for v, w in zip(values, weights, strict=True)) / sum(weights)
    return "micro" if math.isclose(value, micro, abs_tol=1e-9) else "macro"


def _number(value: Any) -> float | None:
    """lm-eval writes "N/A" where it has no standard error."""
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
