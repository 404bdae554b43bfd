"""Compare models on the same items: averages over seeds, paired differences, exact tests.

Results of one model that differ in their seed alone are a `Cell`. Two cells are compared item by
item, for both models answered the same questions (lm-eval's own comparison is an unpaired z-test).
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

from duo.errors import BadInput
from evaluation.benchmarks.averages import interval, mean, standard_error, stratify
from evaluation.benchmarks.catalogue import BENCHMARKS
from evaluation.benchmarks.results import BenchmarkResult, Items, Run

#: What runs that differ in their seed alone have in common.
_COMMON = ("metric", "average", "n", "n_full", "shots", "coverage")


@dataclass(frozen=True)
class Cell:
    """A model on a benchmark under a profile; `runs` differ in their seed alone, at least one."""

    runs: tuple[Run, ...]

    @property
    def facts(self) -> BenchmarkResult:
        """What holds for all runs can be read from the first."""
        return self.runs[0].facts

    @property
    def macro(self) -> bool:
        """Whether subsets count alike."""
        return self.facts.average == "macro"

    @property
    def value(self) -> float:
        """Mean over seeds of the share right, from 0 to 1."""
        return statistics.fmean(run.facts.value for run in self.runs)

    @property
    def spread(self) -> float | None:
        """Sample standard deviation over seeds; None for a single one."""
        if len(self.runs) == 1:
            return None
        return statistics.stdev(run.facts.value for run in self.runs)

    @cached_property
    def stderr(self) -> float | None:
        """Standard error of `value`, for the drawing of items from all that could be asked.

        Of one run as its file says, else from its items. Of several runs from the items' mean
        scores, so that an item asked thrice does not count as three.

        Raises:
            BadInput: see `items`.
        """
        if len(self.runs) == 1 and (self.facts.stderr is not None or not self.facts.samples):
            return self.facts.stderr
        return standard_error(stratify(self.items.scores, macro=self.macro))

    @cached_property
    def items(self) -> Items:
        """Each item's score, averaged over seeds; errors as in `Run.read_items` and `mean_of`.

        Raises:
            BadInput: the items of a run were not kept or are broken, or the runs' items differ.
        """
        return mean_of([run.read_items() for run in self.runs])


def cells(runs: Iterable[Run]) -> list[Cell]:
    """Put together results that differ in their seed alone; refuse those that differ in more.

    Raises:
        BadInput: runs of one cell differ in more than their seed; the error names two files.
    """
    groups: dict[tuple[str, str, str], list[Run]] = {}
    for run in runs:
        groups.setdefault(run.cell[:3], []).append(run)
    return [_cell(sorted(group, key=lambda run: run.facts.seed)) for group in groups.values()]


def _cell(runs: Sequence[Run]) -> Cell:
    first, *others = runs
    for other in others:
        ours, theirs = _facts(first.facts), _facts(other.facts)
        for field in ours | theirs:
            if ours.get(field) != theirs.get(field):
                raise BadInput(
                    f"{ours.get(field)!r}, but {theirs.get(field)!r} with another seed, in "
                    f"{other.file}",
                    file=first.file,
                    field=field,
                )
        if first.facts.model_sha256 != other.facts.model_sha256:
            raise BadInput(
                f"not the same model as with another seed, in {other.file}",
                file=first.file,
                field="model_sha256",
            )
    return Cell(tuple(runs))


def _facts(facts: BenchmarkResult) -> dict[str, object]:
    settings = {f"settings.{name}": value for name, value in sorted(facts.settings.items())}
    data = {"data.source": facts.data.source, "data.sha256": facts.data.sha256}
    return {field: getattr(facts, field) for field in _COMMON} | data | settings


def mean_of(seeds: Sequence[Items]) -> Items:
    """Average each item's score over several runs, which must be of the same items.

    Raises:
        BadInput: the runs are not about the same items.
    """
    first, *others = seeds
    for other in others:
        check_same_items(first, other)
    if not others:
        return first
    means = {key: sum(run.scores[key] for run in seeds) / len(seeds) for key in first.scores}
    return replace(first, scores=means)


def check_same_items(one: Items, other: Items) -> None:
    """Refuse results of other items, naming both files and an item that only one of them has.

    Raises:
        BadInput: they are not; the error names both files and an item that only one has.
    """
    here = [key for key in one.scores if key not in other.scores]
    there = [key for key in other.scores if key not in one.scores]
    if here or there:
        example = "/".join(part for part in (here or there)[0] if part)
        raise BadInput(
            f"not the same items as in {other.file}: {len(here)} only in the first, "
            f"{len(there)} only in the second, such as {example!r}",
            file=one.file,
        )


def exact_mcnemar(gained: int, lost: int) -> float:
    """Compute the two-sided p of McNemar's exact test; 1 where no item tells the models apart.

    Of two models that answered the same items, only the items that one has right and the other
    wrong tell them apart. If neither is better, each such item is a fair coin:
    `p = min(1, 2 * sum_{k <= min(b, c)} C(b + c, k) / 2^(b + c))` (McNemar 1947, Psychometrika
    12:153; the exact form is the sign test on the `b + c` discordant items).
    """
    from scipy.stats import binomtest

    if gained + lost == 0:
        return 1.0
    return float(binomtest(min(gained, lost), gained + lost, 0.5).pvalue)


def holm(ps: Sequence[float | None]) -> list[float | None]:
    """Adjust a family of p values so that the chance of any false finding stays at their level.

    Holm 1979, Scandinavian Journal of Statistics 6:65; whatever the tests' dependence. Where there
    is no p (nothing to test) there is none after, and it does not count.
    """
    from statsmodels.stats.multitest import multipletests  # type: ignore[import-untyped]

    there = [p for p in ps if p is not None]
    adjusted = iter(multipletests(there, method="holm")[1].tolist() if there else ())
    return [None if p is None else next(adjusted) for p in ps]


@dataclass(frozen=True)
class Comparison:
    """What sets a model apart from the base model. Scores are shares, from 0 to 1.

    Attributes:
        n: items that both answered.
        difference: the model's average minus the base's.
        stderr: of the difference, from the items' own differences; None for a single item.
        low, high: 95 % bootstrap interval of the difference.
        gained, lost: items on which the model scores higher, and lower, than the base.
        p: two-sided, exact.
        test: "mcnemar" where every score is right or wrong; "sign" where scores lie between, as
            means over seeds do: the same test on the signs of the differences.
    """

    n: int
    difference: float
    stderr: float | None
    low: float
    high: float
    gained: int
    lost: int
    p: float
    test: Literal["mcnemar", "sign"]


def compare(base: Items, other: Items, *, macro: bool) -> Comparison:
    """Compare a model with the base model item by item; both must have the same.

    The difference and its interval are of the benchmark's own average, macro or micro. The test
    counts items, whichever subset they are in.

    Raises:
        BadInput: the two are not about the same items.
    """
    check_same_items(other, base)
    differences = {key: other.scores[key] - score for key, score in base.scores.items()}
    strata = stratify(differences, macro=macro)
    gained = sum(difference > 0 for difference in differences.values())
    lost = sum(difference < 0 for difference in differences.values())
    binary = all(score in (0, 1) for side in (base, other) for score in side.scores.values())
    low, high = interval(strata)
    return Comparison(
        n=len(differences),
        difference=mean(strata),
        stderr=standard_error(strata),
        low=low,
        high=high,
        gained=gained,
        lost=lost,
        p=exact_mcnemar(gained, lost),
        test="mcnemar" if binary else "sign",
    )


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

    Returns:
        By column, profile and benchmark; a line for each benchmark that either of the two has.

    Raises:
        BadInput: two columns were measured differently or on other items; the error names files.
    """
    at = {cell.runs[0].cell[:3]: cell for cell in cells}
    found: list[Versus] = []
    for column in dict.fromkeys(cell.facts.column for cell in cells):
        if column == base:
            continue
        for profile in dict.fromkeys(c.facts.profile for c in cells if c.facts.column == column):
            found += _adjusted(
                [
                    _versus(
                        at.get((base, benchmark, profile)),
                        at.get((column, benchmark, profile)),
                        Versus(column, base, benchmark, profile),
                    )
                    for benchmark in BENCHMARKS
                    if (column, benchmark, profile) in at or (base, benchmark, profile) in at
                ]
            )
    return found


def _versus(base: Cell | None, other: Cell | None, pair: Versus) -> Versus:
    if base is None or other is None:
        missing = pair.base if base is None else pair.column
        return replace(pair, reason=f"no result of {missing}")
    if "smoke" in (base.facts.coverage, other.facts.coverage):
        return replace(pair, reason="smoke items")
    if len({base.facts.data.sha256, other.facts.data.sha256} - {None}) > 1:
        return replace(pair, reason="not the same data")
    for cell, name in ((base, pair.base), (other, pair.column)):
        if not all(run.facts.samples for run in cell.runs):
            return replace(pair, reason=f"no per-item results of {name}")
    for field in ("metric", "average", "shots"):
        ours, theirs = getattr(other.facts, field), getattr(base.facts, field)
        if ours != theirs:
            raise BadInput(
                f"{ours!r}, but {theirs!r} in {base.runs[0].file}: cannot be compared",
                file=other.runs[0].file,
                field=field,
            )
    known = base.items.hashes
    if any(known.get(key, content) != content for key, content in other.items.hashes.items()):
        return replace(pair, reason="not the same data")
    return replace(pair, comparison=compare(base.items, other.items, macro=base.macro))


def _adjusted(family: Sequence[Versus]) -> list[Versus]:
    """Add Holm's adjusted p values to a family of comparisons."""
    adjusted = holm([one.comparison.p if one.comparison else None for one in family])
    return [replace(one, p_holm=p) for one, p in zip(family, adjusted, strict=True)]
