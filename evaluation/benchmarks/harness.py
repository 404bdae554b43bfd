"""Read results files that lm-eval itself wrote, which have no manifest of ours beside them."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from duo.errors import BadInput
from duo.files import read_json, read_text
from evaluation.benchmarks.catalogue import BENCHMARKS, Average
from evaluation.benchmarks.results import BenchmarkResult, Data, Run, Samples


def read_harness(path: Path, column: str | None = None) -> tuple[list[Run], list[str]]:
    """Read a results file that lm-eval itself wrote: `lm_eval --output_path DIR --log_samples`.

    Args:
        column: the model's name in tables; None for the name that lm-eval gave it.

    Returns:
        Results of those of the nine benchmarks that are in it, of the profile `lm-eval`; and the
        names of other tasks in it, their subtasks left out.

    Raises:
        BadInput: it cannot be read, is not JSON, or has not lm-eval's form.
    """
    try:
        content = json.loads(read_text(path))  # lm-eval writes NaN for numbers of some other tasks
    except (ValueError, RecursionError):
        content = read_json(path)  # says what is wrong, and on which line
    try:
        tasks, groups = content["results"], content.get("group_subtasks") or {}
        inner = {name for children in groups.values() for name in children}
        runs = [_harness_run(path, content, name, column) for name in BENCHMARKS if name in tasks]
        return runs, sorted(set(tasks) - set(BENCHMARKS) - inner)
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        missing = str(error.args[0]) if isinstance(error, KeyError) and error.args else None
        raise BadInput("is not a results file of lm-eval", file=path, field=missing) from None


def _harness_run(path: Path, content: dict[str, Any], task: str, column: str | None) -> Run:
    entry = content["results"][task]
    metrics = BENCHMARKS[task].metrics
    metric, reading = next(((m, f) for m, f in metrics if f"{m},{f}" in entry), (None, None))
    if metric is None or reading is None:
        wanted = " or ".join(f"{metric},{reading}" for metric, reading in metrics)
        raise BadInput(f"has no {wanted}", file=path, field=f"results.{task}")
    leaves = _leaves(content.get("group_subtasks") or {}, task)
    counts = [content["n-samples"][leaf] for leaf in leaves]
    n, n_full = (sum(int(count[kind]) for count in counts) for kind in ("effective", "original"))
    shots = {content.get("n-shot", {}).get(leaf) for leaf in leaves}
    config = content.get("config") or {}
    value, stderr = float(entry[f"{metric},{reading}"]), entry.get(f"{metric}_stderr,{reading}")
    if not 0 <= value <= 1:
        raise BadInput("must be from 0 to 1", file=path, field=f"results.{task}.{metric},{reading}")
    date = path.stem.removeprefix("results")
    samples = tuple(
        Samples(file=f"samples_{leaf}{date}.jsonl", subset="" if leaf == task else leaf)
        for leaf in leaves
    )
    if not all(path.with_name(of.file).is_file() for of in samples):
        samples = ()
    facts = BenchmarkResult(
        key=hashlib.sha256(path.read_bytes()).hexdigest(),
        column=column or str(content.get("model_name") or path.parent.name),
        model=content.get("model_name"),
        benchmark=task,
        profile="lm-eval",
        seed=int(config.get("random_seed") or 0),
        metric=metric,
        filter=reading,
        value=value,
        # lm-eval writes "N/A" where it has no standard error.
        stderr=stderr if isinstance(stderr, float) and math.isfinite(stderr) else None,
        average=_average(content["results"], leaves, f"{metric},{reading}", counts, value),
        n=n,
        n_full=n_full,
        shots=shots.pop() if len(shots) == 1 else None,
        coverage="full" if n == n_full else "limited",
        data=Data(source="lm-eval"),
        settings={
            "model_args": config.get("model_args"),
            "gen_kwargs": config.get("gen_kwargs"),
            "chat_template_sha": content.get("chat_template_sha"),
            "task_version": (content.get("versions") or {}).get(task),
        },
        versions={
            "lm_eval": content.get("lm_eval_version"),
            "transformers": content.get("transformers_version"),
        },
        results=path.name,
        samples=samples,
    )
    return Run(path, facts)


def _leaves(groups: Mapping[str, list[str]], task: str) -> list[str]:
    """List the tasks that a group is made of, however deep, once; the task itself if it is none."""
    found: list[str] = []
    waiting, passed = [task], set[str]()
    while waiting:
        name = waiting.pop()
        if name not in passed:
            passed.add(name)
            waiting += reversed(groups.get(name) or ())
            found += [] if groups.get(name) else [name]
    return found


def _average(
    tasks: Mapping[str, Any],
    leaves: list[str],
    metric: str,
    counts: list[dict[str, int]],
    value: float,
) -> Average | None:
    """Find out how a group's value was averaged: its parts show it."""
    if len(leaves) == 1:
        return None
    values = [float(tasks[leaf][metric]) for leaf in leaves]
    weights = [count["effective"] for count in counts]
    micro = math.fsum(v * w for v, w in zip(values, weights, strict=True)) / sum(weights)
    return "micro" if math.isclose(value, micro, abs_tol=1e-9) else "macro"
