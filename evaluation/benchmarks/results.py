"""Result files: one a model, benchmark, profile and seed, named by what it depends on.

The key is a hash of the model, the task, the settings and the data. So a finished result is found
again, and one with other settings is never taken for it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from duo.files import whole_file, write_text

SCHEMA = 1


@dataclass(frozen=True)
class Unit:
    """One model on one benchmark with one seed.

    Attributes:
        column: of the model.
        benchmark, profile, seed: what is asked, and how.
        key: hash of everything that the result depends on.
    """

    column: str
    benchmark: str
    profile: str
    seed: int
    key: str

    def path(self, out: Path) -> Path:
        """The result file."""
        folder = out / self.column / self.benchmark
        return folder / f"{self.profile}-seed{self.seed}.{self.key[:12]}.json"

    def journal(self, out: Path, rank: int = 0, world: int = 1) -> Path:
        """Where its answers are kept while it runs."""
        return out / ".unfinished" / f"{self.key}.{rank}-of-{world}.jsonl"


def result_key(**depends: Any) -> str:
    """Hash of whatever a result depends on; same values, same hash."""
    content = json.dumps(depends, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(content.encode("utf-8")).hexdigest()


def read_finished(unit: Unit, out: Path) -> dict[str, Any] | None:
    """A finished result of exactly this unit, its items beside it; None if there is none."""
    path = unit.path(out)
    try:
        content = json.loads(path.read_text("utf-8"))
        found = content["key"] == unit.key and path.with_name(content["items"]).is_file()
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return content if found else None


def write_result(
    unit: Unit, out: Path, result: dict[str, Any], items: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """Write the items, then the result: where there is a result there are its items.

    Returns:
        What stands in the result file.

    Raises:
        BadInput: the folder cannot be written, or the disk is full.
    """
    path = unit.path(out)
    beside = path.with_suffix(".items.jsonl")
    with whole_file(beside) as stream:
        for item in items:
            stream.write(json.dumps(item, ensure_ascii=False) + "\n")
    content = {"schema": SCHEMA, "key": unit.key, "column": unit.column, **result}
    content["items"] = beside.name
    write_text(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    return content
