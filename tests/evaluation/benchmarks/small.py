"""A small model in a folder, and small data in ours: real text, few rows, all files in place."""

from __future__ import annotations

import gzip
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from duo.terminal import silence
from evaluation.benchmarks.catalogue import BENCHMARKS
from evaluation.benchmarks.experiment import Column, Settings
from evaluation.benchmarks.items import SMOKE, Finder
from evaluation.benchmarks.model import Answering, model_hash, open_lm, open_model
from evaluation.benchmarks.results import BenchmarkResult, Run
from evaluation.benchmarks.run import Work, plan, run
from evaluation.benchmarks.tasks import read_profile
from tests.tiny import tiny_model, tiny_tokenizer


def save_model(folder: Path, *, seed: int = 0, states: bool = False, **config: Any) -> Path:
    """Save a tiny random model; float32, as models are published."""
    tokenizer = tiny_tokenizer(states=states)
    model = tiny_model(
        vocabulary=len(tokenizer), dtype=torch.float32, seed=seed, max_tokens=4096, **config
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def copy_data(folder: Path, *names: str) -> Path:
    """Our smoke items of some benchmarks, as somebody's local data."""
    for name in names:
        part = BENCHMARKS[name].folder
        if not (folder / part).exists():
            shutil.copytree(SMOKE / part, folder / part)
    return folder


def write_rows(path: Path, rows: list[dict[str, Any]]) -> Path:
    """Write rows as JSON Lines, compressed if the name says so."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Read JSON Lines."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def works_for(name: str, model: Path, data: Path, settings: Settings) -> list[Work]:
    """The plan of one benchmark for one model with local data."""
    task = read_profile(settings.profile)[name]
    finder = Finder(data_dir=data, sources=["data-dir"], partial=True)
    column = Column("tiny", str(model))
    settings = replace(settings, columns=(column,))
    hashes = {"tiny": model_hash(str(model), column.backend(settings))}
    return plan(settings, [task], {name: finder.find(task)}, hashes)


def open_answering(model: Path, settings: Settings, **how: Any) -> Any:
    """The model as a run has it."""
    if model.suffix == ".gguf":
        on_done = how.get("on_done", lambda done, total: None)
        return open_lm(Column("tiny", str(model)), settings, on_done)
    loaded = open_model(str(model), device="cpu", dtype="float32")
    with silence():
        return Answering(loaded, settings, **how)


def answer(
    name: str, model: Path, data: Path, out: Path, settings: Settings, **how: Any
) -> tuple[BenchmarkResult, list[dict[str, Any]]]:
    """Run one benchmark; its result and its items."""
    works = works_for(name, model, data, settings)
    (result,) = run(works, out, open_lm=lambda column: open_answering(model, settings, **how))
    return result.facts, samples_of(result)


def samples_of(result: Run) -> list[dict[str, Any]]:
    """The items of a result as they were scored, in lm-eval's form."""
    facts = result.facts
    lines = [line for file in facts.samples for line in read_rows(result.file.with_name(file.file))]
    return [line for line in lines if line["filter"] == facts.filter]
