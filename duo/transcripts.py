"""Which files are meant as transcripts: rooms that may not import each other both ask it."""

from __future__ import annotations

import json
from pathlib import Path


def transcripts_below(folder: Path) -> list[Path]:
    """The JSON Lines files below a folder that are meant as transcripts, in order of their paths.

    Other things may lie there too, such as the items of benchmarks: passed over is a file whose
    first line is an object that is neither a header nor an event. A broken file is not: whoever
    reads it says what is wrong with it.
    """
    return sorted(path for path in folder.rglob("*.jsonl") if path.is_file() and _is_meant(path))


def _is_meant(path: Path) -> bool:
    try:
        with path.open(encoding="utf-8") as lines:
            first = json.loads(next(lines, ""))
    except (OSError, ValueError, RecursionError):
        return True
    return (
        not isinstance(first, dict)
        or not first
        or bool({"type", "schema_version"} & first.keys() or {"start", "end"} <= first.keys())
    )
