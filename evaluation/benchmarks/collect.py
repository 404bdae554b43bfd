"""Read every benchmark result in some folders, and choose one of those that say the same thing.

Results are ours, which have a manifest, or lm-eval's own; of a model on a benchmark, in a profile,
with a seed, one counts.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from duo.errors import BadInput
from duo.files import files_below, read_json, sha256
from evaluation.benchmarks.catalogue import BENCHMARKS, Average
from evaluation.benchmarks.results import BenchmarkResult, CellKey, Data, Run, Samples, read_ours

_OURS = re.compile(r"benchmark_(.+)\.json")
_HARNESS = re.compile(r"results_(.+)\.json")


@dataclass(frozen=True)
class Found:
    """What folders hold.

    Attributes:
        runs: by column, benchmark, profile and seed at most one; columns in the order of the
            folders, then of their names.
        notes: what a reader should know of what was left out.
    """

    runs: tuple[Run, ...]
    notes: tuple[str, ...]


def read_runs(paths: Sequence[str]) -> Found:
    """Read every result in some folders, those below them included.

    Args:
        paths: folders or single result files, each as it is or as `NAME=PATH`: then NAME is what
            the model of lm-eval's own results there is called in tables.

    Raises:
        BadInput: a folder does not exist, a file in it cannot be read or is not of its form, two
            files give the same cell but not the same result, or there are no results at all.
    """
    runs: list[Run] = []
    notes: list[str] = []
    for text in paths:
        column, root = _named(text)
        for path in _files(root):
            if _HARNESS.fullmatch(path.name):
                read, others = read_harness(path, column)
                runs += read
                if others:
                    notes.append(f"{path.name}: left out, none of the nine: {', '.join(others)}")
            elif (run := read_ours(path)) is not None:
                runs.append(run)
    if not runs:
        raise BadInput("no benchmark results", file=" ".join(paths))
    kept, left_out = _one_for_each_cell(runs)
    return Found(tuple(kept), tuple(dict.fromkeys([*notes, *left_out])))


def _named(text: str) -> tuple[str | None, Path]:
    path = Path(text)
    if not path.exists() and "=" in text:
        column, _, rest = text.partition("=")
        if column and Path(rest).exists():
            return column, Path(rest)
    if not path.exists():
        raise BadInput("no such folder or file", file=text)
    return None, path


def is_result(path: Path) -> bool:
    """Tell whether a file is named like a result that `read_runs` reads by itself."""
    if match := _HARNESS.fullmatch(path.name):  # with a manifest, that stands for it
        return not path.with_name(f"benchmark_{match[1]}.json").is_file()
    return _OURS.fullmatch(path.name) is not None


def _files(root: Path) -> list[Path]:
    """List result files by name; what a broken run left half-written is hidden."""
    if root.is_file():
        match = _HARNESS.fullmatch(root.name)
        ours = root.with_name(f"benchmark_{match[1]}.json") if match else root
        root = ours if ours.is_file() else root
        if not is_result(root):
            raise BadInput("is not named like a result of duo or of lm-eval", file=root)
        return [root]
    return [path for path in files_below(root, ".json") if is_result(path)]


def _one_for_each_cell(runs: Sequence[Run]) -> tuple[list[Run], list[str]]:
    """Choose one result for each cell, and note those left out.

    One of an earlier definition of its task gives way, where it was measured again. A folder in
    which `--limit` grew has several that differ in it: of each benchmark the largest size counts
    that all its cells have, so that columns are about the same items; if there is none, each cell's
    largest.
    """
    found: list[Run] = []
    notes: list[str] = []
    current = _current_versions(runs)
    cells: dict[CellKey, dict[int, Run]] = {}
    for run in runs:
        version = _version(run)
        if version and current.get(run.cell, version) != version:
            notes.append(f"Left out: {run.file.name}, of an earlier version, measured again since.")
            continue
        facts, sizes = run.facts, cells.setdefault(run.cell, {})
        for kept in sizes.values():
            if _facts(kept, run.facts.n) != _facts(run, kept.facts.n):
                raise BadInput(
                    f"{facts.benchmark} of {facts.column} ({facts.profile}, seed {facts.seed}) is "
                    f"also in {run.file}, with other numbers or settings: keep one of them",
                    file=kept.file,
                )
        sizes[facts.n] = run  # of two that say the same the later
    for (column, benchmark, profile, seed), sizes in cells.items():
        alike = [set(of) for cell, of in cells.items() if cell[1:3] == (benchmark, profile)]
        n = max(set.intersection(*alike) or sizes)
        found.append(sizes[n])
        title = BENCHMARKS[benchmark].title
        notes += [
            f"Left out: {title} ({profile}) of {column}, seed {seed}, on {other:,} items; the "
            f"result on {n:,} counts."
            for other in sorted(sizes)
            if other != n
        ]
    return found, notes


def _version(run: Run) -> str | None:
    """Give the version of the task that a result of ours is of; None for lm-eval's own results."""
    ours = run.facts.data.source != "lm-eval"
    return run.facts.settings.get("task_version") if ours else None


def _current_versions(runs: Sequence[Run]) -> dict[CellKey, str]:
    """Find today's definition of a task where there are results of several, today's among them."""
    found: dict[CellKey, set[str]] = {}
    for run in runs:
        if version := _version(run):
            found.setdefault(run.cell, set()).add(version)
    several = {cell: versions for cell, versions in found.items() if len(versions) > 1}
    if not several:
        return {}
    from evaluation.benchmarks.tasks import read_profile

    current = {cell: read_profile(cell[2])[cell[1]].version for cell in several}
    return {cell: version for cell, version in current.items() if version in several[cell]}


def _facts(run: Run, other_n: int) -> dict[str, Any]:
    """Collect what two results of a cell must have in common.

    Args:
        other_n: how many items the other has; if it is not as many, less need be the same.
    """
    facts = run.facts
    if facts.n == other_n:
        circumstances = {"results", "samples", "wall_seconds", "versions", "batch_sizes"}
        return facts.model_dump(exclude=circumstances)
    settings = {name: value for name, value in facts.settings.items() if name != "limit"}
    fields = {"model_sha256", "data", "metric", "average", "shots"}
    return {**facts.model_dump(include=fields), "settings": settings}


# Results files that lm-eval itself wrote, which have no manifest of ours beside them.


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
    content = read_json(path, finite=False)  # NaN for numbers of some other tasks
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
        key=sha256(path),
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
