"""Items from the Hugging Face hub, kept in the cache in our layout.

lm-eval's tasks name the data sets; one revision of each is fetched as a whole, so that a later run
without the hub has the same items.
"""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from duo.backbone import first_line
from duo.errors import BadInput
from duo.wheels import cache_folder, cache_writes, exclusive, workspace
from evaluation.benchmarks.catalogue import Benchmark, subset_names
from evaluation.benchmarks.folders import Unreachable

#: Seconds that the hub has for its first answer.
_PATIENCE = 10

#: Where the hub keeps converted copies of data sets that come as programs.
_CONVERTED = "refs/convert/parquet"


def hub_folder(benchmark: Benchmark, splits: Sequence[str]) -> Path:
    """A folder with these splits of a benchmark in our layout.

    Without the hub, what an earlier run has fetched will do.

    Raises:
        Unreachable: the hub cannot be reached.
        BadInput: it does not give the data set.
    """
    try:
        revision = _revision(benchmark)
    except Exception as error:  # no network, a proxy's refusal, offline mode: each is another one
        kept = _kept(benchmark, splits)
        if kept is not None:
            return kept
        raise Unreachable(f"cannot be reached ({first_line(error)})", field="hub") from error
    home = _home(benchmark, revision)
    if not _complete(home / "data", benchmark, splits):
        with cache_writes(), exclusive(home):
            if not _complete(home / "data", benchmark, splits):
                _fetch(benchmark, splits, revision, home)
    return home / "data"


def _home(benchmark: Benchmark, revision: str) -> Path:
    """One folder a benchmark and revision."""
    return cache_folder() / "benchmarks" / f"hub-{benchmark.name}-{revision[:12]}"


def _revision(benchmark: Benchmark) -> str:
    from huggingface_hub import HfApi

    return str(HfApi().dataset_info(benchmark.hub, timeout=_PATIENCE).sha)


def _kept(benchmark: Benchmark, splits: Sequence[str]) -> Path | None:
    """The latest copy that has these splits."""
    homes = cache_folder().glob(f"benchmarks/hub-{benchmark.name}-*/data")
    whole = [home for home in homes if _complete(home, benchmark, splits)]
    return max(whole, key=lambda home: home.stat().st_mtime, default=None)


def _path(folder: Path, benchmark: Benchmark, subset: str, split: str) -> Path:
    return folder / benchmark.folder / subset / f"{split}.jsonl.gz"


def _complete(folder: Path, benchmark: Benchmark, splits: Sequence[str]) -> bool:
    return all(
        _path(folder, benchmark, subset, split).is_file()
        for subset in subset_names(benchmark)
        for split in splits
    )


def _fetch(benchmark: Benchmark, splits: Sequence[str], revision: str, home: Path) -> None:
    """Write the splits that are not there yet."""
    with workspace(home) as space:
        for subset in subset_names(benchmark):
            for split in splits:
                target = _path(home / "data", benchmark, subset, split)
                if target.is_file():
                    continue
                lines = "".join(
                    json.dumps(row, ensure_ascii=False) + "\n"
                    for row in _rows(benchmark, subset, split, revision)
                )
                ready = space / "ready"
                ready.write_bytes(gzip.compress(lines.encode("utf-8"), mtime=0))
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.move(ready, target)


def _rows(benchmark: Benchmark, subset: str, split: str, revision: str) -> Any:
    from datasets import load_dataset  # type: ignore[import-untyped]

    from duo.terminal import silence

    config = None if subset == "default" else subset
    problem: Exception | None = None
    for version in (revision, _CONVERTED):
        try:
            with silence():
                return load_dataset(benchmark.hub, config, split=split, revision=version)
        except Exception as error:
            problem = problem or error
    reason = first_line(problem) if problem else "no reason given"
    raise BadInput(f"does not give {benchmark.hub} {subset} {split} ({reason})", field="hub")
