"""Cells of a table: a model's value on a benchmark, averaged over seeds where there are several."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from duo.errors import BadInput
from evaluation.comparison.items import Items, mean_of
from evaluation.comparison.results import Result
from evaluation.comparison.strata import standard_error, stratify

#: What runs that differ in their seed alone have in common.
_COMMON = ("metric", "average", "n", "n_full", "shots", "coverage", "data", "data_sha256")


@dataclass(frozen=True)
class Cell:
    """A model on a benchmark under a profile; `runs` differ in their seed alone, at least one."""

    runs: tuple[Result, ...]

    @property
    def first(self) -> Result:
        """What holds for all runs can be read from this one."""
        return self.runs[0]

    @property
    def macro(self) -> bool:
        """Whether subsets count alike."""
        return self.first.average == "macro"

    @property
    def value(self) -> float:
        """Mean over seeds of the share right, from 0 to 1."""
        return statistics.fmean(run.value for run in self.runs)

    @property
    def spread(self) -> float | None:
        """Sample standard deviation over seeds; None for a single one."""
        return statistics.stdev(run.value for run in self.runs) if len(self.runs) > 1 else None

    @cached_property
    def stderr(self) -> float | None:
        """Standard error of `value`, for the drawing of items from all that could be asked.

        Of one run as its file says, else from its items. Of several runs from the items' mean
        scores, so that an item asked thrice does not count as three.

        Raises:
            BadInput: see `items`.
        """
        if len(self.runs) == 1 and (self.first.stderr is not None or not self.first.items):
            return self.first.stderr
        return standard_error(stratify(self.items.scores, macro=self.macro))

    @cached_property
    def items(self) -> Items:
        """Each item's score, averaged over seeds.

        Raises:
            BadInput: the items of a run were not kept or are broken, or the runs' items differ.
        """
        return mean_of([run.read_items() for run in self.runs])


def cells(results: Iterable[Result]) -> list[Cell]:
    """Put together results that differ in their seed alone.

    Raises:
        BadInput: runs of one cell differ in more than their seed; the error names two files.
    """
    groups: dict[tuple[str, str, str], list[Result]] = {}
    for result in results:
        groups.setdefault((result.column, result.benchmark, result.profile), []).append(result)
    return [_cell(sorted(runs, key=lambda run: run.seed)) for runs in groups.values()]


def _cell(runs: Sequence[Result]) -> Cell:
    first, *others = runs
    for other in others:
        for field in _COMMON:
            here, there = getattr(first, field), getattr(other, field)
            if here != there:
                raise BadInput(
                    f"{here!r}, but {there!r} with another seed, in {other.file}",
                    file=first.file,
                    field=field,
                )
        for name in sorted(first.settings.keys() | other.settings.keys()):
            here, there = first.settings.get(name), other.settings.get(name)
            if here != there:
                raise BadInput(
                    f"{here!r}, but {there!r} with another seed, in {other.file}",
                    file=first.file,
                    field=f"settings.{name}",
                )
        ours, theirs = (run.facts.get("model_sha256") for run in (first, other))
        if ours != theirs:
            raise BadInput(
                f"not the same model as with another seed, in {other.file}",
                file=first.file,
                field="model_sha256",
            )
    return Cell(tuple(runs))
