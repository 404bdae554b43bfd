"""Find the results in run folders, in an order that depends on names alone, and tell their kinds.

A JSON file of ours says its kind itself. Those of lm-eval and of other tools do not: these are told
by what they hold, never by their names.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from duo.errors import BadInput, check_utf8
from duo.files import kind_of, read_json, walk
from duo.terminal import printable
from duo.transcript import is_transcript
from sessions.study.study import MARKER

#: Results come in these forms; nothing else is opened.
FORMS = (".json", ".jsonl", ".csv", ".parquet")
#: A run has some thousand files. Somebody who names a home folder should not wait for ever.
LIMIT = 50_000
#: Larger JSON files than this (bytes) are none of ours.
LARGEST = 256 * 2**20
#: What a report writes beside its page; `MARK` tells it from a run's own files of these names.
MARK, MADE_BY = "report.json", "duo report build"
_OUTPUTS = frozenset({MARK, "index.html", "figures", "tables"})

#: Keys of lm-eval's results, by which they are told.
_HARNESS = frozenset({"results", "configs", "versions", "n-shot"})
#: A table with all columns of one of these sets is meant to hold ratings; comments and replies have
#: raters, too.
_OF_RATINGS = ({"system_left"}, {"system_right"}, {"rater", "criterion"})


@dataclass(frozen=True, order=True)
class File:
    """A file of a run.

    Attributes:
        name: its path inside the run, with `/`; where there are several runs, the run's name first.
        path: where it is.
    """

    name: str
    path: Path


def find(runs: Sequence[Path], *, limit: int = LIMIT) -> tuple[list[File], list[BadInput]]:
    """Look through runs: folders with all that is in them, or single files.

    Left out is what `duo.files.walk` leaves out, and what an earlier report wrote.

    Returns:
        Files that may hold results, by name, each once, however many links lead to it; and
        what could not be read or was left out because there is too much.

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
        closed: list[BadInput] = []
        for path in walk(run, leave_out=_written_by_a_report, on_bad=closed.append):
            real = os.path.realpath(path)
            if real in seen:
                continue
            seen.add(real)
            if left == 0:
                too_many = f"holds more than {limit:,} files: the others were not looked at"
                problems.append(BadInput(too_many, file=prefix or "the run"))
                break
            left -= 1
            if path.suffix.lower() in FORMS and path.is_file():
                try:
                    check_utf8(str(path))
                    files.append(File(_name(path, run, prefix), path))
                except BadInput as error:
                    closed.append(error)
        for problem in closed:
            name = printable(_name(Path(str(problem.file)), run, prefix)) or "the run"
            problems.append(BadInput(problem.message, file=name))
    return sorted(files), problems


def recognise(path: Path, columns: Mapping[str, str] | None = None) -> tuple[str, Any] | None:
    """Tell the kind of a file.

    Args:
        path: `.json`, `.jsonl`, `.csv` or `.parquet`.

    Returns:
        The kind and, of JSON, the content; None for something that reports are not made of.

    Raises:
        BadInput: the file is broken, so that nobody can say what it was; names the line.
    """
    match path.suffix.lower():
        case ".json":
            return _json(path)
        case ".jsonl":
            return ("transcript", None) if is_transcript(path) else None
        case ".csv":
            header = _csv_header(path)
        case _:
            header = _parquet_header(path)
    theirs = columns or {}
    meant = any({theirs.get(name, name) for name in names} <= header for names in _OF_RATINGS)
    return ("ratings", None) if meant else None


def _prefixes(runs: Sequence[Path]) -> list[str]:
    """Name each run, unlike the others; "" if there is only one."""
    if len(runs) == 1:
        return [""]
    names: list[str] = []
    for run in runs:
        name = run.resolve().name or "run"
        number = 1 + sum(other.partition(" ")[0] == name for other in names)
        names.append(name if number == 1 else f"{name} ({number})")
    return names


def _name(path: Path, run: Path, prefix: str) -> str:
    """Name what is below a run: by its path inside, after the run's prefix."""
    inside = path.relative_to(run).parts or (() if prefix or run.is_dir() else (run.name,))
    return "/".join((prefix, *inside) if prefix else inside)


def _written_by_a_report(folder: Path) -> frozenset[str]:
    """Name what an earlier report wrote into a folder, if one did."""
    try:
        content = read_json(folder / MARK)
    except BadInput:
        return frozenset()
    made = isinstance(content, dict) and content.get("made_by") == MADE_BY
    return _OUTPUTS if made else frozenset()


def _json(path: Path) -> tuple[str, Any] | None:
    if path.stat().st_size > LARGEST:
        return None
    content = read_json(path)
    if not isinstance(content, dict):
        return None
    if path.name == MARKER and content.keys() >= {"schema", "study"}:
        return "study", content  # the database beside it is the study
    kind = kind_of(content) or ("harness" if content.keys() >= _HARNESS else None)
    return None if kind is None else (kind, content)


def _csv_header(path: Path) -> set[str]:
    """Read the names of the columns."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            return set(next(csv.reader([stream.readline(LARGEST)]), []))
    except UnicodeDecodeError:
        raise BadInput("not UTF-8 text", file=path, line=1) from None
    except csv.Error as error:
        raise BadInput(printable(f"not CSV: {error}"), file=path, line=1) from None
    except OSError as error:
        raise BadInput(f"cannot be read: {error.strerror or error}", file=path) from error


def _parquet_header(path: Path) -> set[str]:
    import pyarrow  # type: ignore[import-untyped]
    from pyarrow import parquet

    try:
        return set(parquet.read_schema(path).names)
    except OSError as error:
        raise BadInput(f"cannot be read: {error.strerror or 'no Parquet'}", file=path) from error
    except pyarrow.ArrowException:
        raise BadInput("not Parquet, or cut off", file=path) from None
