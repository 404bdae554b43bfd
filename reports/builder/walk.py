"""The files of run folders, in an order that depends on names alone."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from duo.errors import BadInput

#: Results come in these forms; nothing else is opened.
FORMS = (".json", ".jsonl", ".csv", ".parquet")
#: A run has some thousand files. Somebody who names a home folder should not wait for ever.
LIMIT = 50_000
#: What a report writes beside its page; `MARK` tells it from a run's own files of these names.
MARK, MADE_BY = "report.json", "duo report build"
_OUTPUTS = frozenset({MARK, "index.html", "figures", "tables"})


@dataclass(frozen=True, order=True)
class File:
    """A file of a run.

    Attributes:
        name: its path inside the run, with `/`; where there are several runs, the run's name first.
        path: where it is.
    """

    name: str
    path: Path


@dataclass(frozen=True)
class Walked:
    """What was found.

    Attributes:
        files: that may hold results, by name; each once, however many links lead to it.
        problems: folders that could not be read, and what was left out because there is too much.
    """

    files: tuple[File, ...]
    problems: tuple[BadInput, ...]


def walk(runs: Sequence[Path], *, limit: int = LIMIT) -> Walked:
    """Look through runs: folders with all that is in them, or single files.

    What is hidden (`.git`, half-written files) is left out, and what an earlier report wrote. Links
    are followed; a folder that was seen is not entered again.

    Args:
        runs: folders or files.
        limit: entries looked at, at most.

    Raises:
        BadInput: there is no such folder or file.
    """
    problems: list[BadInput] = []
    seen: set[str] = set()
    files: list[File] = []
    left = limit
    for run, prefix in zip(runs, _prefixes(runs), strict=True):
        if not run.exists():
            raise BadInput("no such folder or file", file=run)
        for name, path in _entries(run, prefix, seen, problems):
            if left == 0:
                too_many = f"holds more than {limit:,} files: the others were not looked at"
                problems.append(BadInput(too_many, file=prefix or "the run"))
                break
            left -= 1
            if path.suffix.lower() in FORMS and path.is_file():
                files.append(File(name, path))
    return Walked(tuple(sorted(files)), tuple(problems))


def _prefixes(runs: Sequence[Path]) -> list[str]:
    """A name for each run, unlike the others'; "" if there is only one."""
    if len(runs) == 1:
        return [""]
    names: list[str] = []
    for run in runs:
        name = run.resolve().name or "run"
        number = 1 + sum(other.partition(" ")[0] == name for other in names)
        names.append(name if number == 1 else f"{name} ({number})")
    return names


def _entries(
    run: Path, prefix: str, seen: set[str], problems: list[BadInput]
) -> Iterator[tuple[str, Path]]:
    """All that is below a run, whatever it is, each folder's entries by name."""
    waiting = [(prefix or ("" if run.is_dir() else run.name), run)]
    while waiting:
        name, path = waiting.pop()
        real = os.path.realpath(path)
        if real in seen:
            continue
        seen.add(real)
        if not path.is_dir():
            yield name, path
            continue
        try:
            inside = sorted(entry.name for entry in os.scandir(path))
        except OSError as error:
            problem = f"cannot be read: {error.strerror or error}"
            problems.append(BadInput(problem, file=name or "the run"))
            continue
        skipped = _OUTPUTS if _is_report(path) else frozenset()
        for entry in reversed(inside):
            if not entry.startswith(".") and entry not in skipped:
                waiting.append((f"{name}/{entry}" if name else entry, path / entry))


def _is_report(folder: Path) -> bool:
    """Whether an earlier report was written into a folder."""
    try:
        content = json.loads((folder / MARK).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(content, dict) and content.get("made_by") == MADE_BY
