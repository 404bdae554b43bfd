"""What a reader should know of our numbers before setting them side by side."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from evaluation.comparison.cells import Cell

if TYPE_CHECKING:
    from reports.table1.table import Row

#: Settings whose values say little to a reader: that they differ is enough.
_OPAQUE = frozenset({"task_version", "generation"})

#: Differences that a table shows by itself, or that other settings say more plainly.
_SHOWN = frozenset({"limit", "shots", "source"})


def caveats(rows: Sequence[Row]) -> Iterator[str]:
    """Notes under the table: one for each kind of caution, with the benchmarks that it is about."""
    yield from _unlike(rows)
    for text, concerns in (
        ("Examples before the questions are smoke items of ours", _own_examples),
        ("State tokens were not banned; share of answers with one", _leaks),
        ("Questions longer than the model's context, whose beginning was cut", _cut),
    ):
        told = [
            f"{row.benchmark.name} ({row.profile}) {cell.first.column}{value}"
            for row in rows
            for cell in row.present
            if (value := concerns(cell)) is not None
        ]
        if told:
            yield f"{text}: {', '.join(told)}."


def _own_examples(cell: Cell) -> str | None:
    own = cell.first.settings.get("shots_from") == "smoke" and cell.first.coverage != "smoke"
    return "" if own else None


def _leaks(cell: Cell) -> str | None:
    rates = [rate for run in cell.runs if (rate := run.facts.get("leak_rate")) is not None]
    if cell.first.facts.get("banned_state_tokens") is not False or not rates:
        return None
    return f" {100 * sum(rates) / len(rates):.1f} %"


def _cut(cell: Cell) -> str | None:
    most = max(run.facts.get("truncated") or 0 for run in cell.runs)
    return f" {most:,}" if most else None


def _unlike(rows: Sequence[Row]) -> Iterator[str]:
    """Settings in which the columns of a row differ, by what differs."""
    found: dict[str, list[str]] = {}
    for row in rows:
        # What lm-eval itself wrote has other settings than our files; nothing can be compared.
        ours = [cell for cell in row.present if cell.first.facts.get("data")]
        facts = {cell.first.column: _facts(cell) for cell in ours}
        for name in sorted({name for of in facts.values() for name in of}):
            values = {column: _text(of.get(name)) for column, of in facts.items()}
            if len(set(values.values())) > 1:
                each = ", ".join(f"{column} {value}" for column, value in values.items())
                told = name if name in _OPAQUE else f"{name} ({each})"
                found.setdefault(told, []).append(f"{row.benchmark.name} ({row.profile})")
    for told, where in found.items():
        yield f"Columns differ in {told}: {', '.join(where)}."


def _facts(cell: Cell) -> dict[str, Any]:
    """How the model was asked, and with which data."""
    first = cell.first
    told = {name: value for name, value in first.settings.items() if name not in _SHOWN}
    return {**told, "data": f"{first.data} {(first.data_sha256 or '')[:8]}".strip()}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)
