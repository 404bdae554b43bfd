"""Write and read benchmark results: lm-eval's own files, and a manifest of ours beside them.

A result of one model on one benchmark with one seed is, in the folder `<column>/<benchmark>`,

    results_<date>.json               what lm-eval found, in its own format
    samples_<task>_<date>.jsonl       each item of a task: prompt, answers, scores; also lm-eval's
    benchmark_<date>.json             which model and data, with which settings (`BenchmarkResult`)

lm-eval's own writer is not used: when a disk is full it goes on with a warning, and its files can
be half-written. Results that lm-eval itself wrote, without a manifest, are read by `harness`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from duo.errors import BadInput
from duo.files import (
    Result,
    as_result,
    files_below,
    read_json,
    read_json_lines,
    whole_file,
    write_result,
)
from evaluation.benchmarks.catalogue import BENCHMARKS, Average

Coverage = Literal["full", "limited", "smoke"]

#: An item's subset ("" where the benchmark has none) and its id in it.
Key = tuple[str, str]

#: What there can be one result of: column, benchmark, profile, seed.
_Cell = tuple[str, str, str, int]

_OURS = re.compile(r"benchmark_(.+)\.json")
_HARNESS = re.compile(r"results_(.+)\.json")

#: Values in files may be rounded to four digits.
_ROUNDED = 1e-4


class Data(BaseModel):
    """Where items came from: "data-dir", "hub", "wheel", "smoke", or "lm-eval" for its own runs."""

    model_config = ConfigDict(frozen=True)

    source: str
    sha256: str | None = None
    rows: int | None = None


class Samples(BaseModel):
    """A file of lm-eval's with the items of a task, and the subset that they belong to."""

    model_config = ConfigDict(frozen=True)

    file: str
    subset: str = ""

    @model_validator(mode="after")
    def _beside(self) -> Samples:
        if not self.file or Path(self.file).name != self.file:
            raise ValueError("must be the name of a file beside this one")
        return self


class BenchmarkResult(Result):
    """How a model did on a benchmark with one seed, and how that came to be.

    Attributes:
        key: hash of everything that the result depends on; same key, same result.
        column: name of the model in tables.
        model, adapter, model_sha256: the model, as it was named, and a hash of its files.
        profile: the settings it was run with, as a name.
        seed: of sampling and of the choice of examples.
        metric, filter: which of lm-eval's numbers counts.
        value, stderr: share right, from 0 to 1, and its standard error.
        average: how subsets are averaged; None where the benchmark has none.
        n, n_full: items answered, and items that the benchmark has in these data.
        shots: examples before each question; None where it differs between subsets.
        coverage: "full", "limited" (some of the items), "smoke" (not the benchmark's own items).
        settings: how the model was asked.
        leak_rate: share of generated answers with a state token in them.
        truncated: questions that were cut to the model's context.
        results, samples: names of lm-eval's files.
    """

    kind: Literal["benchmark"] = "benchmark"
    key: str
    column: str = Field(min_length=1)
    model: str | None = None
    adapter: str | None = None
    model_sha256: str | None = None
    benchmark: Literal[tuple(BENCHMARKS)]  # type: ignore[valid-type]
    profile: str = Field(min_length=1)
    seed: int
    metric: str
    filter: str
    value: float = Field(ge=0, le=1)
    stderr: float | None = Field(default=None, ge=0)
    average: Average | None = None
    n: int = Field(ge=1)
    n_full: int = Field(ge=1)
    shots: int | None = Field(default=None, ge=0)
    coverage: Coverage
    data: Data
    settings: dict[str, Any] = Field(default_factory=dict)
    banned_state_tokens: bool | None = None
    leak_rate: float | None = None
    truncated: int | None = None
    batch_sizes: dict[str, int] = Field(default_factory=dict)
    versions: dict[str, str | None] = Field(default_factory=dict)
    wall_seconds: float | None = None
    results: str | None = None
    samples: tuple[Samples, ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> BenchmarkResult:
        if self.n > self.n_full:
            raise ValueError(f"n: {self.n} items of {self.n_full}")
        return self


@dataclass(frozen=True)
class Items:
    """Scores between 0 and 1 by item.

    Attributes:
        file: the file to name when something is wrong with them.
        scores: by item.
        hashes: of the items' contents, where the file tells.
    """

    file: Path
    scores: Mapping[Key, float]
    hashes: Mapping[Key, str]


@dataclass(frozen=True)
class Run:
    """A result, and the file that it was read from, to be named when something is wrong with it."""

    file: Path
    facts: BenchmarkResult

    @property
    def cell(self) -> _Cell:
        """What there can be one result of: column, benchmark, profile, seed."""
        return self.facts.column, self.facts.benchmark, self.facts.profile, self.facts.seed

    def read_items(self) -> Items:
        """Read the score of each item.

        Raises:
            BadInput: the items were not kept or cannot be read, or they do not give the value; the
                error names file, line and field.
        """
        from evaluation.benchmarks.compare import mean, stratify

        if not self.facts.samples:
            raise BadInput("has no per-item results beside it", file=self.file)
        scores: dict[Key, float] = {}
        hashes: dict[Key, str] = {}
        for samples in self.facts.samples:
            path = self.file.with_name(samples.file)
            for number, line in read_json_lines(path):
                if line.get("filter", self.facts.filter) != self.facts.filter:
                    continue
                key, score = self._item(samples, path, number, line)
                if key in scores:
                    raise BadInput(f"item {key[1]} is there twice", file=path, line=number)
                scores[key] = score
                if isinstance(line.get("doc_hash"), str):
                    hashes[key] = line["doc_hash"]
        first = self.file.with_name(self.facts.samples[0].file)
        if len(scores) != self.facts.n:
            raise BadInput(
                f"{len(scores)} items, but {self.file.name} says n = {self.facts.n}", file=first
            )
        average = mean(stratify(scores, macro=self.facts.average == "macro"))
        if abs(average - self.facts.value) > _ROUNDED:
            raise BadInput(
                f"the items average {average:.4f}, but {self.file.name} says "
                f"{self.facts.value:.4f}",
                file=first,
            )
        return Items(first, scores, hashes)

    def _item(
        self, samples: Samples, path: Path, number: int, line: Mapping[str, Any]
    ) -> tuple[Key, float]:
        """Read an item's key and score."""
        name, metric = line.get("doc_id"), self.facts.metric
        score = line.get(metric)
        if not isinstance(name, str | int):
            raise BadInput(
                "an item needs a text or a whole number", file=path, line=number, field="doc_id"
            )
        if not isinstance(score, int | float) or not 0 <= score <= 1:
            raise BadInput("must be a number from 0 to 1", file=path, line=number, field=metric)
        return (samples.subset, str(name)), float(score)


def write_run(
    folder: Path, found: dict[str, Any], facts: BenchmarkResult, subsets: Mapping[str, str]
) -> Run:
    """Write what lm-eval found: the items, the manifest, and last its results.

    Where there is a results file, all the others are there.

    Args:
        found: what `lm_eval.evaluator.evaluate` returned, with lm-eval's further facts.
        facts: the manifest, but for the names of the files.
        subsets: by task, the subset that its items belong to.

    Raises:
        BadInput: the folder cannot be written, or the disk is full.
    """
    from lm_eval.utils import handle_non_serializable, hash_string

    date = datetime.now().isoformat().replace(":", "-")
    samples = found["samples"]
    hashes = {
        task: hash_string("".join(s["doc_hash"] + s["prompt_hash"] + s["target_hash"] for s in of))
        for task, of in samples.items()
    }
    named = tuple(
        Samples(file=f"samples_{task}_{date}.jsonl", subset=subsets[task]) for task in samples
    )
    for file, of in zip(named, samples.values(), strict=True):
        with whole_file(folder / file.file) as stream:
            for sample in sorted(of, key=lambda sample: sample["doc_id"]):
                line = json.dumps(
                    _sample(sample), default=handle_non_serializable, ensure_ascii=False
                )
                stream.write(line + "\n")
    run = Run(
        folder / f"benchmark_{date}.json",
        facts.model_copy(update={"samples": named, "results": f"results_{date}.json"}),
    )
    write_result(run.file, run.facts)
    content = {key: value for key, value in found.items() if key != "samples"}
    content |= {"date": datetime.now().timestamp(), "task_hashes": hashes}
    text = json.dumps(content, indent=2, default=handle_non_serializable, ensure_ascii=False)
    with whole_file(folder / f"results_{date}.json") as stream:
        stream.write(text)
    return run


def _sample(sample: Mapping[str, Any]) -> dict[str, Any]:
    """Put an item in the form of lm-eval's files of samples."""
    from lm_eval.utils import sanitize_list

    arguments = {
        f"gen_args_{n}": {f"arg_{place}": value for place, value in enumerate(request)}
        for n, request in enumerate(sample["arguments"])
    }
    texts = {name: sanitize_list(sample[name]) for name in ("resps", "filtered_resps")}
    return {**sample, **texts, "arguments": arguments, "target": str(sample["target"])}


def finished(folder: Path, key: str) -> Run | None:
    """Find a finished result with this key in a folder, its files beside it."""
    for path in sorted(folder.glob("benchmark_*.json")):
        try:
            run = _read_ours(path)
        except BadInput:
            continue  # damaged: it is made again, under another name
        files = [samples.file for samples in run.facts.samples] if run else []
        if run and run.facts.key == key and all((folder / name).is_file() for name in files):
            return run
    return None


def _read_ours(path: Path) -> Run | None:
    """Read a result by its manifest; None if its run was killed before the last file."""
    facts = as_result(read_json(path), BenchmarkResult, file=path)
    return Run(path, facts) if (path.parent / str(facts.results)).is_file() else None


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
    from evaluation.benchmarks.harness import read_harness

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
            elif (run := _read_ours(path)) is not None:
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
    cells: dict[_Cell, dict[int, Run]] = {}
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


def _current_versions(runs: Sequence[Run]) -> dict[_Cell, str]:
    """Find today's definition of a task where there are results of several, today's among them."""
    found: dict[_Cell, set[str]] = {}
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
