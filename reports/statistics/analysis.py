"""Analyse the ratings of a study: estimates, tests, scores, agreement, and who was left out."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field, SerializerFunctionWrapHandler, model_serializer
from scipy.stats import rankdata

from duo.errors import BadInput, check_choice
from duo.files import Result
from evaluation.benchmarks.compare import holm
from reports.statistics import clustered
from reports.statistics.bias import Biases, biases, with_holm
from reports.statistics.bradley_terry import Scores, bradley_terry, pairs
from reports.statistics.clustered import Estimate, MixedCheck, estimate, finite, mixed_check
from reports.statistics.raters import (
    Agreement,
    Consistency,
    Excluded,
    agreement,
    consistency,
    excluded,
)
from reports.statistics.ratings import (
    ESTIMANDS,
    OUTCOMES,
    PAPER_CRITERIA,
    Panel,
    Ratings,
    panel,
    scored,
    votes_on,
)
from sessions.study.signs import Rules

if TYPE_CHECKING:
    import pandas as pd

CLUSTERS = ("item", "scenario")
TESTS = ("sign", "two_way", "preference")


@dataclass(frozen=True)
class Effects:
    """Effect sizes of one comparison; None where there is nothing to measure.

    Attributes:
        cohens_h: of the untied win share against one half, 2 asin(sqrt(share)) - 2 asin(sqrt(.5));
            .2 is small, .5 medium, .8 large (Cohen 1988, Statistical Power Analysis, section 6.2).
        rank_biserial: of the dialogues' mean preferences, from -1 to 1.
        odds: untied wins for each loss, with the interval of the untied share taken over.
    """

    cohens_h: float | None
    rank_biserial: float | None
    odds: Estimate


@dataclass(frozen=True)
class Test:
    """A two-sided p value, and Holm's over all comparisons of the study; None: nothing to test."""

    __test__ = False  # not one of pytest's

    p: float | None
    p_holm: float | None = None


@dataclass(frozen=True)
class Comparison:
    """Two systems on one criterion, seen from the first.

    Attributes:
        criterion, first, second: what is compared.
        votes: counts of first votes by outcome (`ratings.OUTCOMES`).
        dialogues, raters: how many voted on, and how many voted.
        estimates: by `ratings.ESTIMANDS`: shares of all votes; `net`, win share minus loss share;
            `untied`, the win share among votes for either.
        bootstrap: the same intervals by two-way bootstrap-t, for comparison; None where it fails.
        majorities: dialogues won, lost and tied by majority.
        sign: the exact sign test of the majorities; about further dialogues, these raters.
        two_way: of `net` = 0; about further dialogues and further raters.
        preference: both must hold, so its p is the larger (an intersection-union test, Berger 1982,
            Technometrics 24: 295-300): the one to claim a preference by.
        effects, mixed, agreement, consistency: see there.
        note: what is wrong, or "".
    """

    criterion: str
    first: str
    second: str
    votes: dict[str, int]
    dialogues: int
    raters: int
    estimates: dict[str, Estimate]
    bootstrap: dict[str, tuple[float, float] | None]
    majorities: dict[str, int]
    sign: Test
    two_way: Test
    preference: Test
    effects: Effects
    mixed: MixedCheck
    agreement: Agreement
    consistency: Consistency
    note: str = ""


@dataclass(frozen=True)
class CriterionResult:
    """One criterion.

    Attributes:
        comparisons: of its pairs of systems.
        scores: from three systems on.
        strengths: untied first votes by the strength that was said; empty where nobody was asked.
    """

    criterion: str
    comparisons: tuple[Comparison, ...]
    scores: Scores | None
    note: str = ""
    biases: Biases = field(kw_only=True)
    strengths: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Findings:
    """All criteria, from one set of raters.

    Attributes:
        ratings: rows that were analysed: no attention checks.
        raters, dialogues: how many.
        criteria: in the paper's order, then by name.
    """

    ratings: int
    raters: int
    dialogues: int
    criteria: tuple[CriterionResult, ...]

    @property
    def comparisons(self) -> tuple[Comparison, ...]:
        """All comparisons, criterion by criterion."""
        return tuple(one for criterion in self.criteria for one in criterion.comparisons)


class StudyResult(Result):
    """A whole study.

    Attributes:
        source, digest: name and SHA-256 of the file of ratings.
        seed: of the bootstraps.
        level: of all intervals.
        cluster: the column that named the dialogues.
        systems: in the order in which they are compared.
        rules: of exclusion.
        excluded: who was left out by them.
        synthetic: ratings that no person gave.
        notices: what the reader should know, one line each.
        kept: findings without those left out.
        everyone: findings with all raters.
    """

    kind: Literal["statistics"] = "statistics"
    schema_version: Literal[1] = Field(default=1, alias="schema")
    source: str
    digest: str
    seed: int
    level: float
    cluster: str
    systems: tuple[str, ...]
    rules: Rules
    excluded: tuple[Excluded, ...]
    synthetic: int
    notices: tuple[str, ...]
    kept: Findings
    everyone: Findings

    @model_serializer(mode="wrap")
    def _rounded(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return ten_digits(handler(self))


def ten_digits(value: Any) -> Any:
    """Keep ten digits of each number, so that machines agree."""
    if isinstance(value, float):
        return float(f"{value:.10g}")
    if isinstance(value, dict):
        return {key: ten_digits(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [ten_digits(inner) for inner in value]
    return value


def analyse(
    ratings: Ratings,
    *,
    seed: int = 0,
    rules: Rules | None = None,
    systems: Sequence[str] | None = None,
    cluster: str = "item",
    resamples: int = 999,
) -> StudyResult:
    """Analyse ratings with and without the raters whom the rules leave out.

    Args:
        ratings: any, none included: what cannot be computed says why.
        seed: of the bootstraps; same ratings and seed, same result, whatever the rows' order.
        rules: of exclusion; the defaults of `Rules` if none are given.
        systems: their order, which decides who is the first of a pair; by name if not given.
        cluster: what is one dialogue: an `item`, or a `scenario` of several items.

    Raises:
        BadInput: `systems` are not those of the ratings; `cluster` is no such column.
    """
    check_choice("cluster", cluster, CLUSTERS)
    rules = rules or Rules()
    found = ratings.systems
    if systems is not None and sorted(systems) != sorted(found):
        raise BadInput(f"the ratings are of {', '.join(found) or 'none'}", field="systems")
    order = tuple(systems) if systems is not None else found
    rows = ratings.rows
    out = excluded(rows, rules)
    kept = rows[~rows["rater"].isin([one.rater for one in out])]
    study = _Study(order, _criteria(ratings), cluster, seed, resamples)
    everyone = study.findings(rows)
    synthetic = int(rows["synthetic"].sum())
    return StudyResult(
        source=ratings.source,
        digest=ratings.digest,
        seed=seed,
        level=clustered.LEVEL,
        cluster=cluster,
        systems=order,
        rules=rules,
        excluded=out,
        synthetic=synthetic,
        notices=(*ratings.notices, *_notices(ratings, study.criteria, synthetic)),
        kept=study.findings(kept) if out else everyone,
        everyone=everyone,
    )


def _criteria(ratings: Ratings) -> tuple[str, ...]:
    """List the criteria rated; with one of the paper's, all of the paper's are expected. `overall`
    does not count: everybody asks it."""
    found = ratings.criteria
    if not (set(found) & set(PAPER_CRITERIA)) - {"overall"}:
        return found
    return (*PAPER_CRITERIA, *(name for name in found if name not in PAPER_CRITERIA))


def _notices(ratings: Ratings, criteria: Sequence[str], synthetic: int) -> list[str]:
    found = []
    if ratings.rows.empty:
        found.append("there are no ratings yet")
    if synthetic:
        found.append(f"{synthetic} of {len(ratings.rows)} ratings are synthetic: nobody gave them")
    if missing := [name for name in criteria if name not in ratings.criteria]:
        found.append(f"no ratings of: {', '.join(missing)}")
    return found


@dataclass(frozen=True)
class _Study:
    """Facts that are the same for both sets of raters."""

    systems: tuple[str, ...]
    criteria: tuple[str, ...]
    cluster: str
    seed: int
    resamples: int

    def findings(self, rows: pd.DataFrame) -> Findings:
        """Analyse all criteria, with Holm over all comparisons."""
        rows = rows[~rows["attention"]]
        results = tuple(self._criterion(name, rows) for name in self.criteria)
        every = [one for result in results for one in result.comparisons]
        adjusted = iter(_adjusted(every))
        corrected = with_holm([one.biases for one in results])
        return Findings(
            ratings=len(rows),
            raters=rows["rater"].nunique(),
            dialogues=rows[self.cluster].nunique(),
            criteria=tuple(
                replace(
                    result,
                    comparisons=tuple(next(adjusted) for _ in result.comparisons),
                    biases=found,
                )
                for result, found in zip(results, corrected, strict=True)
            ),
        )

    def _criterion(self, name: str, rows: pd.DataFrame) -> CriterionResult:
        own = rows[rows["criterion"] == name]
        return CriterionResult(
            criterion=name,
            comparisons=tuple(
                self._comparison(name, own, first, second)
                for first, second in combinations(self.systems, 2)
            ),
            scores=self._scores(name, own) if len(self.systems) > 2 else None,
            note="" if len(own) else "no ratings",
            biases=biases(own, cluster=self.cluster),
            strengths=_strengths(own),
        )

    def _comparison(self, name: str, rows: pd.DataFrame, first: str, second: str) -> Comparison:
        chosen = votes_on(rows, first, second)
        firsts = chosen[chosen["repeat"] == 0]
        of = panel(rows, first, second, cluster=self.cluster)
        items = panel(rows, first, second, cluster="item")
        estimates = {
            what: estimate(
                *scored(of.votes, what),
                signed=what == "net",
                nothing="no untied votes" if what == "untied" and of.votes.sum() else "no votes",
            )
            for what in ESTIMANDS
        }
        wins, losses, ties = (int(count) for count in clustered.majorities(of.votes))
        tests = {name: Test(finite(p)) for name, p in clustered.preference_tests(of.votes).items()}
        return Comparison(
            criterion=name,
            first=first,
            second=second,
            votes=of.totals,
            dialogues=len(of.dialogues),
            raters=len(of.raters),
            estimates=estimates,
            bootstrap={what: self._bootstrap(of, what) for what in ESTIMANDS},
            majorities={"win": wins, "tie": ties, "loss": losses},
            **tests,
            effects=effects(of.votes, estimates["untied"]),
            mixed=mixed_check(firsts, first, cluster=self.cluster),
            agreement=agreement(items.votes.sum(1), self._rng("agreement"), self.resamples),
            consistency=consistency(chosen, cluster=self.cluster),
            note=_note(of),
        )

    def _bootstrap(self, of: Panel, what: str) -> tuple[float, float] | None:
        sums, counts = scored(of.votes, what)
        mean = clustered.mean(sums, counts)
        if not (mean.dialogues > 1 and mean.raters > 1 and mean.variance > 0):
            return None
        rng = self._rng("pairs")
        drawn = clustered.resampled_means(sums, counts, rng, self.resamples)
        low, high = clustered.studentised_interval(mean, *drawn)
        least = -1.0 if what == "net" else 0.0
        return (max(low, least), min(high, 1.0)) if np.isfinite([low, high]).all() else None

    def _scores(self, name: str, rows: pd.DataFrame) -> Scores:
        """Score from the votes on all pairs, laid on common dialogues and raters."""
        firsts = rows[rows["repeat"] == 0]
        dialogues, raters = (
            {name: at for at, name in enumerate(sorted(set(firsts[column])))}
            for column in (self.cluster, "rater")
        )
        votes = np.zeros((len(dialogues), len(raters), len(pairs(len(self.systems))), 3))
        for pair, (i, j) in enumerate(pairs(len(self.systems))):
            of = panel(rows, self.systems[i], self.systems[j], cluster=self.cluster)
            win, tie, bad, loss = np.moveaxis(of.votes, -1, 0)
            at = np.ix_([dialogues[d] for d in of.dialogues], [raters[r] for r in of.raters])
            votes[:, :, pair][at] = np.stack([win, tie + bad, loss], -1)
        return bradley_terry(self.systems, votes, self._rng("scores"), self.resamples)

    def _rng(self, what: str) -> np.random.Generator:
        """Make draws that depend neither on what else is analysed nor on which system is first."""
        return np.random.default_rng([self.seed, zlib.crc32(what.encode())])


def _adjusted(every: Sequence[Comparison]) -> list[Comparison]:
    ps = {test: holm([getattr(one, test).p for one in every]) for test in TESTS}
    return [
        replace(one, **{test: replace(getattr(one, test), p_holm=ps[test][at]) for test in TESTS})
        for at, one in enumerate(every)
    ]


def _strengths(rows: pd.DataFrame) -> dict[str, int]:
    """Count the strengths of untied first votes, by name; nothing where none was said."""
    firsts = rows[(rows["repeat"] == 0) & rows["choice"].isin(["left", "right"])]
    counts = firsts["strength"].value_counts().sort_index()
    return {str(name): int(count) for name, count in counts.items()} if any(counts.index) else {}


def _note(of: Panel) -> str:
    totals = of.totals
    if not any(totals.values()):
        return "no votes"
    if not totals["win"] + totals["loss"]:
        return "all votes are ties: nothing to test"
    alike = [name for name in OUTCOMES if totals[name]]
    if len(alike) == 1:
        return f"all votes are alike: {alike[0]}"
    return clustered.clusters_note(len(of.dialogues), len(of.raters))


def effects(votes: np.ndarray, untied: Estimate) -> Effects:
    """Measure effects in votes of shape (dialogues, raters, 4); `untied` is their estimate."""
    from statsmodels.stats.proportion import proportion_effectsize  # type: ignore[import-untyped]

    h = None if untied.value is None else float(proportion_effectsize(untied.value, 0.5))
    counts = votes.sum((1, 2))
    rated = counts > 0
    means = (votes[rated, :, 0] - votes[rated, :, 3]).sum(-1) / counts[rated]
    return Effects(h, rank_biserial(means), _odds(untied))


def rank_biserial(differences: np.ndarray) -> float | None:
    """Calculate the matched-pairs rank biserial correlation, (R+ - R-) / (R+ + R-).

    R+ and R- are the sums of the ranks of the absolute differences that are positive and negative,
    zeros left out (Kerby 2014, Comprehensive Psychology 3:11.IT.3.1). None if all are zero.
    """
    differences = np.asarray(differences, dtype=float)
    differences = differences[differences != 0]
    if not len(differences):
        return None
    # Rounded, since equal preferences reached by different sums must tie.
    ranks = rankdata(np.round(np.abs(differences), 12))
    return float((ranks * np.sign(differences)).sum() / ranks.sum())


def _odds(untied: Estimate) -> Estimate:
    def of(share: float | None) -> float | None:
        return None if share is None or share >= 1 else share / (1 - share)

    note = untied.note
    if untied.value == 1:
        note = "never lost: the odds have no upper end"
    return Estimate(of(untied.value), of(untied.low), of(untied.high), untied.n, note)
