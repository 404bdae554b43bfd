"""Every model of a table against the base model, benchmark by benchmark."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from duo.errors import BadInput
from evaluation.comparison.cells import Cell
from evaluation.comparison.paired import Comparison, compare
from evaluation.comparison.results import BENCHMARKS
from evaluation.comparison.significance import holm


@dataclass(frozen=True)
class Versus:
    """A model against the base model on a benchmark.

    Attributes:
        comparison: what was found; None if the two were not compared.
        p_holm: p, adjusted over the benchmarks on which the two models were compared under the
            profile.
        reason: why the two were not compared; "" if they were.
    """

    column: str
    base: str
    benchmark: str
    profile: str
    comparison: Comparison | None = None
    p_holm: float | None = None
    reason: str = ""


def compare_columns(cells: Sequence[Cell], base: str) -> list[Versus]:
    """Compare each column with the base column, under each profile on its own.

    Smoke items are not the benchmark, so nothing is compared on them; nor where the two were asked
    from other data, for then nothing says that items with the same id are the same. The family
    that Holm's correction is for are the benchmarks of one column under one profile.

    Args:
        cells: of all columns.
        base: name of the column that the others are compared with.

    Returns:
        By column, profile and benchmark; a line for each benchmark that either of the two has.

    Raises:
        BadInput: two columns were measured differently or on other items; the error names files.
    """
    at = {(cell.first.column, cell.first.profile, cell.first.benchmark): cell for cell in cells}
    found: list[Versus] = []
    for column in dict.fromkeys(cell.first.column for cell in cells):
        if column == base:
            continue
        for profile in dict.fromkeys(c.first.profile for c in cells if c.first.column == column):
            family = [
                _versus(at, Versus(column, base, benchmark, profile))
                for benchmark in BENCHMARKS
                if (column, profile, benchmark) in at or (base, profile, benchmark) in at
            ]
            found += _adjusted(family)
    return found


def _versus(at: dict[tuple[str, str, str], Cell], pair: Versus) -> Versus:
    base = at.get((pair.base, pair.profile, pair.benchmark))
    other = at.get((pair.column, pair.profile, pair.benchmark))
    if base is None or other is None:
        missing = pair.base if base is None else pair.column
        return replace(pair, reason=f"no result of {missing}")
    if "smoke" in (base.first.coverage, other.first.coverage):
        return replace(pair, reason="smoke items")
    hashes = {base.first.data_sha256, other.first.data_sha256} - {None}
    if len(hashes) > 1:  # items are told apart by their place, which other data may have changed
        return replace(pair, reason="not the same data")
    for cell, name in ((base, pair.base), (other, pair.column)):
        if not all(run.items for run in cell.runs):
            return replace(pair, reason=f"no per-item results of {name}")
    for field in ("metric", "average", "shots"):
        ours, theirs = getattr(other.first, field), getattr(base.first, field)
        if ours != theirs:
            raise BadInput(
                f"{ours!r}, but {theirs!r} in {base.first.file}: cannot be compared",
                file=other.first.file,
                field=field,
            )
    return replace(pair, comparison=compare(base.items, other.items, macro=base.macro))


def _adjusted(family: Sequence[Versus]) -> list[Versus]:
    tested = [one for one in family if one.comparison is not None]
    ps = holm([one.comparison.p for one in tested if one.comparison is not None])
    adjusted = dict(zip((one.benchmark for one in tested), ps, strict=True))
    return [replace(one, p_holm=adjusted.get(one.benchmark)) for one in family]
