"""What a model scored on each item of a benchmark, read from JSON Lines and paired by item."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from duo.errors import BadInput

#: An item's subset ("" where the benchmark has none) and its id in it.
Key = tuple[str, str]


@dataclass(frozen=True)
class ItemFile:
    """A JSON Lines file with one item a line, and where in a line to look.

    Attributes:
        path: the file.
        id, score: names of the fields with the item's id and its score.
        subset: the subset of all its items; None if each line says its own in `subset`.
        filter: take only the lines with this `filter`, where a file holds several answers'
            readings of each item; None to take all.
    """

    path: Path
    id: str = "id"
    score: str = "score"
    subset: str | None = None
    filter: str | None = None


@dataclass(frozen=True)
class Items:
    """Scores between 0 and 1 by item, and the file to name when something is wrong with them."""

    file: Path
    scores: Mapping[Key, float]


def read_items(files: Sequence[ItemFile]) -> Items:
    """Read the items of one result.

    Raises:
        BadInput: a file cannot be read, a line is no item or repeats one, or there are none. The
            error names file, line and field.
    """
    scores: dict[Key, float] = {}
    for file in files:
        for number, line in _lines(file.path):
            if file.filter is not None and line.get("filter") != file.filter:
                continue
            key, score = _item(file, number, line)
            if key in scores:
                raise BadInput(f"item {key[1]} again", file=file.path, line=number, field=file.id)
            scores[key] = score
    if not scores:
        raise BadInput("no items", file=files[0].path if files else None)
    return Items(files[0].path, scores)


def check_same_items(one: Items, other: Items) -> None:
    """Make sure that two results are about the same items.

    Raises:
        BadInput: they are not; the error names both files and an item that only one has.
    """
    if one.scores.keys() == other.scores.keys():
        return
    here, there = (
        [key for key in a.scores if key not in b.scores] for a, b in ((one, other), (other, one))
    )
    example = "/".join(part for part in (here or there)[0] if part)
    raise BadInput(
        f"not the same items as in {other.file}: {len(here)} only in the first, "
        f"{len(there)} only in the second, such as {example!r}",
        file=one.file,
    )


def mean_of(seeds: Sequence[Items]) -> Items:
    """Each item's mean score over several runs of the same items.

    Raises:
        BadInput: the runs are not about the same items.
    """
    first, *others = seeds
    for other in others:
        check_same_items(first, other)
    if not others:
        return first
    return Items(
        first.file,
        {key: sum(run.scores[key] for run in seeds) / len(seeds) for key in first.scores},
    )


def _lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        with path.open(encoding="utf-8") as lines:
            for number, text in enumerate(lines, start=1):
                try:
                    line = json.loads(text)
                except (json.JSONDecodeError, RecursionError) as error:
                    reason = getattr(error, "msg", "nested too deeply")
                    raise BadInput(f"is not JSON: {reason}", file=path, line=number) from None
                if not isinstance(line, dict):
                    raise BadInput("is not an object", file=path, line=number)
                yield number, line
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "is not UTF-8"
        raise BadInput(f"cannot read: {reason}", file=path) from error


def _item(file: ItemFile, number: int, line: Mapping[str, Any]) -> tuple[Key, float]:
    place: dict[str, Any] = {"file": file.path, "line": number}
    name, score = line.get(file.id), line.get(file.score)
    subset = line.get("subset") if file.subset is None else file.subset
    if not isinstance(name, str | int):
        raise BadInput("an item needs a text or a whole number", **place, field=file.id)
    if not isinstance(score, int | float) or not 0 <= score <= 1:
        raise BadInput("must be a number from 0 to 1", **place, field=file.score)
    if not isinstance(subset, str | None):
        raise BadInput("must be a text or null", **place, field="subset")
    return (subset or "", str(name)), float(score)
