"""From ratings to a `StudyResult`."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from duo.errors import BadInput, check_choice
from reports.statistics import estimate, resampling, twoway
from reports.statistics.agreement import agreement
from reports.statistics.bradley_terry import Scores, bradley_terry, pairs
from reports.statistics.effects import effects
from reports.statistics.exclusions import Rules, excluded
from reports.statistics.mixed import mixed_check
from reports.statistics.panel import ESTIMANDS, OUTCOMES, Panel, panel, scored, votes_on
from reports.statistics.raters import consistency, side_bias
from reports.statistics.ratings import PAPER_CRITERIA, Ratings
from reports.statistics.results import (
    Comparison,
    CriterionResult,
    Findings,
    StudyResult,
    Test,
)
from reports.statistics.significance import holm, majorities, preference_tests

if TYPE_CHECKING:
    import pandas as pd

CLUSTERS = ("item", "scenario")


def analyse(
    ratings: Ratings,
    *,
    seed: int = 0,
    rules: Rules | None = None,
    systems: Sequence[str] | None = None,
    cluster: str = "item",
    resamples: int = 999,
) -> StudyResult:
    """Everything that the ratings say, with and without the raters whom the rules leave out.

    Args:
        ratings: any, none included: what cannot be computed says why.
        seed: of the bootstraps; same ratings and seed, same result, whatever the rows' order.
        rules: of exclusion; the defaults of `Rules` if none are given.
        systems: their order, which decides who is the first of a pair; by name if not given.
        cluster: what is one dialogue: an `item`, or a `scenario` of several items.
        resamples: of each bootstrap.

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
        level=twoway.LEVEL,
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
    """The criteria rated; with one of the paper's, all of the paper's are expected. `overall` is
    asked by everybody and tells nothing."""
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


class _Study:
    """What is the same for both sets of raters."""

    def __init__(
        self,
        systems: tuple[str, ...],
        criteria: tuple[str, ...],
        cluster: str,
        seed: int,
        resamples: int,
    ) -> None:
        self.systems, self.criteria, self.cluster = systems, criteria, cluster
        self._seed, self._resamples = seed, resamples

    def findings(self, rows: pd.DataFrame) -> Findings:
        """All criteria, with Holm over all comparisons."""
        rows = rows[~rows["attention"]]
        results = tuple(self._criterion(name, rows) for name in self.criteria)
        every = [one for result in results for one in result.comparisons]
        adjusted = iter(_adjusted(every))
        return Findings(
            ratings=len(rows),
            raters=rows["rater"].nunique(),
            dialogues=rows[self.cluster].nunique(),
            criteria=tuple(
                replace(result, comparisons=tuple(next(adjusted) for _ in result.comparisons))
                for result in results
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
            sides=side_bias(own, cluster=self.cluster),
            scores=self._scores(name, own) if len(self.systems) > 2 else None,
            note="" if len(own) else "no ratings",
        )

    def _comparison(self, name: str, rows: pd.DataFrame, first: str, second: str) -> Comparison:
        chosen = votes_on(rows, first, second)
        firsts = chosen[chosen["repeat"] == 0]
        of = panel(rows, first, second, cluster=self.cluster)
        items = panel(rows, first, second, cluster="item")
        estimates = {
            what: (estimate.balance if what == "net" else estimate.share)(
                *scored(of.votes, what),
                nothing="no untied votes" if what == "untied" and of.votes.sum() else "no votes",
            )
            for what in ESTIMANDS
        }
        wins, losses, ties = (int(count) for count in majorities(of.votes))
        tests = {name: Test(estimate.finite(p)) for name, p in preference_tests(of.votes).items()}
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
            agreement=agreement(items.votes.sum(1), self._rng("agreement"), self._resamples),
            consistency=consistency(chosen, cluster=self.cluster),
            note=_note(of),
        )

    def _bootstrap(self, of: Panel, what: str) -> tuple[float, float] | None:
        sums, counts = scored(of.votes, what)
        mean = twoway.mean(sums, counts)
        if not (mean.dialogues > 1 and mean.raters > 1 and mean.variance > 0):
            return None
        rng = self._rng("pairs")
        drawn = resampling.resampled_means(sums, counts, rng, self._resamples)
        low, high = resampling.studentised_interval(mean, *drawn)
        least = -1.0 if what == "net" else 0.0
        return (max(low, least), min(high, 1.0)) if np.isfinite([low, high]).all() else None

    def _scores(self, name: str, rows: pd.DataFrame) -> Scores:
        """Bradley-Terry scores from the votes on all pairs, laid on common dialogues and raters."""
        firsts = rows[rows["repeat"] == 0]
        dialogues = {at: i for i, at in enumerate(sorted(set(firsts[self.cluster])))}
        raters = {at: i for i, at in enumerate(sorted(set(firsts["rater"])))}
        votes = np.zeros((len(dialogues), len(raters), len(pairs(len(self.systems))), 3))
        for pair, (i, j) in enumerate(pairs(len(self.systems))):
            of = panel(rows, self.systems[i], self.systems[j], cluster=self.cluster)
            win, tie, bad, loss = np.moveaxis(of.votes, -1, 0)
            at = np.ix_([dialogues[d] for d in of.dialogues], [raters[r] for r in of.raters])
            votes[:, :, pair][at] = np.stack([win, tie + bad, loss], -1)
        return bradley_terry(self.systems, votes, self._rng("scores"), self._resamples)

    def _rng(self, what: str) -> np.random.Generator:
        """Draws that do not depend on what else was analysed, nor on which system comes first."""
        return np.random.default_rng([self._seed, zlib.crc32(what.encode())])


def _adjusted(every: Sequence[Comparison]) -> list[Comparison]:
    tests = ("sign", "two_way", "preference")
    ps = {test: holm([getattr(one, test).p for one in every]) for test in tests}
    return [
        replace(one, **{test: replace(getattr(one, test), p_holm=ps[test][at]) for test in tests})
        for at, one in enumerate(every)
    ]


def _note(of: Panel) -> str:
    totals = of.totals
    if not any(totals.values()):
        return "no votes"
    if not totals["win"] + totals["loss"]:
        return "all votes are ties: nothing to test"
    alike = [name for name in OUTCOMES if totals[name]]
    if len(alike) == 1:
        return f"all votes are alike: {alike[0]}"
    return estimate.clusters_note(len(of.dialogues), len(of.raters))
