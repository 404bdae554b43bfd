"""What a file is, told by its content: names can be anything."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NoReturn

from duo.errors import BadInput
from duo.terminal import printable
from reports.statistics.ratings import NEEDED
from sessions.study.study import MARKER

Kind = Literal[
    "manifest", "transcript", "interaction", "states", "probe", "decoding", "sweep", "training",
    "benchmark", "harness", "ratings", "study", "statistics",
]  # fmt: skip

#: Larger files than this (bytes) are none of ours.
LARGEST = 256 * 2**20

#: The keys of each kind of JSON file. A file that lacks a third of them, at most, is meant to be
#: one, and what is wrong with it can be said.
_SIGNS: Mapping[Kind, frozenset[str]] = {
    "manifest": frozenset({"command", "versions"}),
    "interaction": frozenset({"systems", "events", "intervals", "scored", "left_out"}),
    "states": frozenset({"states", "confusion", "labels", "premature", "calibration"}),
    "probe": frozenset({"curve", "answered", "folds", "model", "data"}),
    "decoding": frozenset({"systems", "generate", "limit", "together", "rounds"}),
    "sweep": frozenset({"points", "systems", "models", "scenarios", "max_seconds"}),
    "training": frozenset({"curve", "steps", "settings", "parameters", "data"}),
    "benchmark": frozenset({"key", "benchmark", "profile", "metric", "value", "items"}),
    "harness": frozenset({"results", "configs", "versions", "n-shot", "n-samples", "config"}),
    "statistics": frozenset({"kept", "everyone", "rules", "systems", "digest"}),
}
_STUDY = frozenset({"schema", "study"})
_EVENT = frozenset({"start", "end", "channel", "kind"})
#: A table with one of these columns is meant to hold ratings.
_OF_RATINGS = frozenset(NEEDED) - {"item", "criterion"}


@dataclass(frozen=True)
class Seen:
    """A file that was recognised.

    Attributes:
        kind: what it is.
        content: of JSON, what it holds; None of the others.
    """

    kind: Kind
    content: Any = None


def recognise(path: Path, columns: Mapping[str, str] | None = None) -> Seen | None:
    """What a file is; None for something that reports are not made of.

    Args:
        path: `.json`, `.jsonl`, `.csv` or `.parquet`.
        columns: what another tool calls our columns of ratings.

    Raises:
        BadInput: the file is broken, so that nobody can say what it was; names the line.
    """
    match path.suffix.lower():
        case ".json":
            return _json(path)
        case ".jsonl":
            return _lines(path)
        case ".csv":
            header = _csv_header(path)
        case _:
            header = _parquet_header(path)
    theirs = {(columns or {}).get(name, name) for name in _OF_RATINGS}
    return Seen("ratings") if theirs & header else None


def _json(path: Path) -> Seen | None:
    try:
        if path.stat().st_size > LARGEST:
            return None
        text = path.read_bytes().decode("utf-8-sig")
        content = json.loads(text, parse_constant=_no_number)
    except json.JSONDecodeError as error:
        message = printable(f"not JSON: {error.msg}")
        raise BadInput(message, file=path, line=error.lineno) from None
    except UnicodeDecodeError:
        raise BadInput("not UTF-8 text", file=path) from None
    except RecursionError:
        raise BadInput("not JSON: nested too deeply", file=path) from None
    except ValueError as error:
        raise BadInput(printable(f"not JSON: {error}"), file=path) from None
    except OSError as error:
        raise BadInput(f"cannot be read: {error.strerror or error}", file=path) from error
    if not isinstance(content, dict):
        return None
    if content.keys() >= _STUDY and path.name == MARKER:  # the database beside it is the study
        return Seen("study", content)
    for kind, signs in _SIGNS.items():
        if len(signs - content.keys()) <= len(signs) // 3:
            return Seen(kind, content)
    return None


def _lines(path: Path) -> Seen | None:
    """A transcript by its header, or by an event where the header should stand."""
    try:
        with path.open("rb") as stream:
            line = stream.readline(LARGEST)
    except OSError as error:
        raise BadInput(f"cannot be read: {error.strerror or error}", file=path) from error
    if not line.strip():
        raise BadInput("is empty", file=path)
    try:
        content = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError):
        whole = line.endswith(b"\n")
        raise BadInput("not JSON" if whole else "is cut off", file=path, line=1) from None
    if not isinstance(content, dict):
        return None
    return (
        Seen("transcript") if content.get("type") == "header" or content.keys() >= _EVENT else None
    )


def _csv_header(path: Path) -> set[str]:
    """The names of the columns."""
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


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")
