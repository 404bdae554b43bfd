"""All benchmark results in folders, whoever wrote them, and no two for the same cell."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from duo.errors import BadInput
from evaluation.comparison.lmeval import read_harness
from evaluation.comparison.results import Result, read_result

_OURS = re.compile(r".+-seed-?\d+\.[0-9a-f]{12}\.json")
_HARNESS = re.compile(r"results_.+\.json")


@dataclass(frozen=True)
class Found:
    """What folders hold.

    Attributes:
        results: by column, benchmark, profile and seed at most one; columns in the order of the
            folders, then of their names.
        notes: what a reader should know of what was left out.
    """

    results: tuple[Result, ...]
    notes: tuple[str, ...]


def read_runs(runs: Sequence[str]) -> Found:
    """Read every result in some folders, those below them included.

    Args:
        runs: folders or single result files, each as it is or as `NAME=PATH`: then NAME is what
            the model of lm-eval's own results there is called in the table.

    Raises:
        BadInput: a folder does not exist, a file in it cannot be read or is not of its form, two
            files give the same cell but not the same result, or there are no results at all.
    """
    results: list[Result] = []
    notes: list[str] = []
    for run in runs:
        column, root = _named(run)
        for path in _files(root):
            if _OURS.fullmatch(path.name):
                results.append(read_result(path))
            else:
                read = read_harness(path, column)
                results += read.results
                if read.others:
                    names = ", ".join(read.others)
                    notes.append(f"{path.name}: left out, none of the nine: {names}")
    if not results:
        raise BadInput("no benchmark results", file=" ".join(runs))
    return Found(tuple(_without_copies(results)), tuple(dict.fromkeys(notes)))


def _named(run: str) -> tuple[str | None, Path]:
    path = Path(run)
    if not path.exists() and "=" in run:
        column, _, rest = run.partition("=")
        if column and Path(rest).exists():
            return column, Path(rest)
    if not path.exists():
        raise BadInput("no such folder or file", file=run)
    return None, path


def _files(root: Path) -> list[Path]:
    """Result files by name; what a broken run may have left half-written is hidden."""
    if root.is_file():
        if not (_OURS.fullmatch(root.name) or _HARNESS.fullmatch(root.name)):
            raise BadInput("is not named like a result of duo or of lm-eval", file=root)
        return [root]
    return sorted(
        path
        for path in root.rglob("*.json")
        if (_OURS.fullmatch(path.name) or _HARNESS.fullmatch(path.name)) and path.is_file()
    )


def _without_copies(results: Iterable[Result]) -> list[Result]:
    cells: dict[tuple[str, str, str, int], Result] = {}
    for result in results:
        cell = (result.column, result.benchmark, result.profile, result.seed)
        kept = cells.setdefault(cell, result)
        if kept is not result and not _same(kept, result):
            raise BadInput(
                f"{result.benchmark} of {result.column} ({result.profile}, seed {result.seed}) is "
                f"also in {result.file}, with other numbers or settings: keep one of them",
                file=kept.file,
            )
    return list(cells.values())


def _same(one: Result, other: Result) -> bool:
    """Whether two files say the same, so that either will do."""

    def content(result: Result) -> Result:
        return replace(result, file=Path(), items=())

    if content(one) != content(other):
        return False
    if bool(one.items) != bool(other.items):
        return False
    return not one.items or one.read_items().scores == other.read_items().scores
