"""Describe raters: whom to leave out, consistency, agreement with each other and with a judge.

A judge is a language model; its verdicts never join the votes of people.
"""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import krippendorff
import numpy as np
from pydantic import Field

from duo.csv_file import csv_rows, csv_text
from duo.errors import BadInput
from duo.files import Result
from duo.yaml_file import read_yaml
from reports.statistics.clustered import LEVEL, Estimate, estimate, finite
from reports.statistics.ratings import Ratings, cells, votes_on
from sessions.study.signs import Conduct, Rules, signs

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Excluded:
    """A rater who is left out, and why."""

    rater: str
    reasons: tuple[str, ...]


def read_rules(path: Path) -> Rules:
    """Read rules from a YAML file: a mapping of the attributes of `Rules`.

    Raises:
        BadInput: the file cannot be read, or a name or value does not fit.
    """
    return read_yaml(path).validated(Rules)


def excluded(rows: pd.DataFrame, rules: Rules) -> tuple[Excluded, ...]:
    """Apply rules of exclusion: who is left out, by name, with all reasons.

    A page is one rater's visit of one item; its time is the longest that any of its rows states. An
    attention check is failed if any of its rows says so.

    Args:
        rows: all ratings, attention checks among them.
    """
    found = []
    for rater, own in rows.groupby("rater", sort=True):
        if reasons := signs(_conduct(own), rules):
            found.append(Excluded(str(rater), reasons))
    return tuple(found)


def _conduct(own: pd.DataFrame) -> Conduct:
    checks, data = own[own["attention"] & own["passed"].notna()], own[~own["attention"]]
    seconds = data.groupby(["study", "item", "repeat"])["seconds"].max().dropna()
    passed = checks["passed"].astype(bool).groupby([checks["item"], checks["repeat"]]).all()
    return Conduct(
        seconds.tolist(), data["choice"].tolist(), passed.tolist(), bool(own["revoked"].any())
    )


@dataclass(frozen=True)
class Consistency:
    """Agreement of raters with themselves, on the same pair shown again.

    Attributes:
        same: share of repeated votes with the first vote's outcome.
        reversed: share of repeated votes for the other system than at first.
        kappa: the sameness beyond chance, Cohen's kappa; None where nothing varies.
    """

    same: Estimate
    reversed: Estimate
    kappa: float | None


def consistency(rows: pd.DataFrame, *, cluster: str = "item") -> Consistency:
    """Compare each repeated vote with the same rater's first on the same pair and criterion.

    kappa = (p_o - p_e) / (1 - p_e) of first against repeated outcomes (Cohen 1960, Educational and
    Psychological Measurement 20: 37-46).

    Args:
        rows: ratings of one criterion and pair with `outcome` (see `ratings.votes_on`).
    """
    key = ["study", "rater", "item"]
    first = rows[rows["repeat"] == 0].drop_duplicates(key)
    both = rows[rows["repeat"] > 0].merge(first[[*key, "outcome"]], on=key, suffixes=("", "_first"))
    again, before = both["outcome"].to_numpy(dtype=str), both["outcome_first"].to_numpy(dtype=str)
    sides = np.isin(again, ["win", "loss"]) & np.isin(before, ["win", "loss"])
    kinds = np.stack([again == before, sides & (again != before), np.ones(len(both))], axis=-1)
    same, reversed, counts = np.moveaxis(cells(both, kinds.astype(float), cluster), -1, 0)
    nothing = "no repeated items"
    return Consistency(
        estimate(same, counts, nothing=nothing),
        estimate(reversed, counts, nothing=nothing),
        cohens_kappa(before, again),
    )


def cohens_kappa(one: np.ndarray, other: np.ndarray) -> float | None:
    """Calculate Cohen's kappa of two lists of categories; None where both hold only one."""
    from sklearn.metrics import cohen_kappa_score

    if len({*one.tolist(), *other.tolist()}) < 2:
        return None
    return float(cohen_kappa_score(one, other))


@dataclass(frozen=True)
class Agreement:
    """Agreement of raters on one comparison.

    The intervals are about further dialogues rated by these raters: resampling raters would set a
    rater beside himself.

    Attributes:
        alpha_nominal: of the four outcomes as mere categories.
        alpha_ordinal: of win, tie and loss in this order; "both bad" is a tie.
        kappa: of the four outcomes.
    """

    alpha_nominal: Estimate
    alpha_ordinal: Estimate
    kappa: Estimate


def agreement(values: np.ndarray, rng: np.random.Generator, resamples: int = 999) -> Agreement:
    """Measure agreement, with percentile bootstrap intervals over dialogues.

    Resampling the units is what Zapf et al. 2016 (BMC Medical Research Methodology 16:93) found to
    cover best for both coefficients.

    Args:
        values: how many raters gave each outcome, shape (dialogues, 4), as `ratings.OUTCOMES`.
    """
    values = values[values.sum(1) > 1]
    ordered = np.stack([values[:, 3], values[:, 1] + values[:, 2], values[:, 0]], axis=1)
    draws = rng.integers(0, max(len(values), 1), (resamples, len(values)))
    return Agreement(
        over_dialogues(lambda units: alpha(units, "nominal"), values, draws),
        over_dialogues(lambda units: alpha(units, "ordinal"), ordered, draws),
        over_dialogues(fleiss_kappa, values, draws),
    )


def alpha(values: np.ndarray, level: Literal["nominal", "ordinal"]) -> float | None:
    """Calculate Krippendorff's alpha, 1 - observed / expected disagreement.

    Krippendorff 2011, Computing Krippendorff's Alpha-Reliability; any number of raters a unit;
    units with fewer than two values are left out. None where nothing varies.

    Args:
        values: how many raters gave each value, shape (units, values); in order for "ordinal".
    """
    values = values[values.sum(1) > 1].astype(int)
    if (values.sum(0) > 0).sum() < 2:
        return None
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return finite(krippendorff.alpha(value_counts=values, level_of_measurement=level))


def fleiss_kappa(values: np.ndarray) -> float | None:
    """Calculate Fleiss' kappa, (P - P_e) / (1 - P_e), P the share of agreeing pairs of raters.

    Fleiss 1971, Psychological Bulletin 76: 378-382. Units may have different numbers of raters, as
    in Gwet 2014, Handbook of Inter-Rater Reliability, section 2.4: P is the mean over units with
    two or more, P_e = sum_j p_j^2 with p_j the mean share of value j. None where nothing varies.

    Args:
        values: how many raters gave each value, shape (units, values).
    """
    raters = values.sum(1)
    values, raters = values[raters > 1], raters[raters > 1]
    if not len(values):
        return None
    observed = ((values * (values - 1)).sum(1) / (raters * (raters - 1))).mean()
    expected = ((values / raters[:, None]).mean(0) ** 2).sum()
    return None if expected > 1 - 1e-12 else float((observed - expected) / (1 - expected))


def over_dialogues(
    measure: Callable[[np.ndarray], float | None], values: np.ndarray, draws: np.ndarray
) -> Estimate:
    """Estimate a coefficient of agreement, with its percentile interval over dialogues.

    Args:
        measure: gives the coefficient, None where it is not defined.
        values: of each dialogue, shape (dialogues, values).
        draws: numbers of dialogues, shape (resamples, dialogues).
    """
    n = len(values)
    if n == 0:
        return Estimate(None, None, None, 0, "no dialogue was rated by two raters")
    value = measure(values)
    if value is None:
        return Estimate(None, None, None, n, "all votes are alike: agreement is not defined")
    again = [found for draw in draws if (found := measure(values[draw])) is not None]
    if n < 2 or not again:
        return Estimate(value, None, None, n, "one dialogue: no interval")
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(again, [tail, 1 - tail])
    note = "few dialogues: the interval is rough" if n < 10 else ""
    return Estimate(value, float(low), float(high), n, note)


# ---- a judge beside people

#: What verdicts and votes are compared as; "both bad" is a tie.
_OUTCOMES = {"win": 0, "tie": 1, "both_bad": 1, "loss": 2}
#: Alpha of fewer dialogues than these says nothing.
FEWEST = 5
_NEEDED = ("judge", "item", "criterion", "first", "second", "winner")


@dataclass(frozen=True)
class Against:
    """A judge and people on two systems and one criterion; "both bad" counts as a tie.

    Attributes:
        dialogues: that the judge and people judged.
        same: share of people's first votes that say what the judge says; clustered by dialogue and
            rater.
        alpha: Krippendorff's (nominal), of the judge and people's majority on each dialogue; its
            interval is over dialogues. No value where it is not defined: with fewer than `FEWEST`
            dialogues, or where all say the same.
    """

    criterion: str
    first: str
    second: str
    dialogues: int
    same: Estimate
    alpha: Estimate


class JudgeAgreement(Result):
    """How far a judge agrees with people.

    Attributes:
        judge: the model.
        people: raters whose votes it is compared with.
        synthetic: these raters are programs: no people have voted.
    """

    kind: Literal["judge-agreement"] = "judge-agreement"
    schema_version: Literal[1] = Field(default=1, alias="schema")
    judge: str
    people: int
    synthetic: bool
    comparisons: tuple[Against, ...]


#: A judge's winner by item, criterion and the two systems (by name).
Verdicts = Mapping[tuple[str, str, frozenset[str]], str]


def read_verdicts(path: Path) -> tuple[str, dict[tuple[str, str, frozenset[str]], str]]:
    """Read the verdicts that `duo study judge` wrote; return the judge and the winners.

    Raises:
        BadInput: cannot be read, lacks a column, has two judges, or judges a pair twice.
    """
    rows = csv_rows(Path(path))
    header = next(rows)[1]
    if missing := [name for name in _NEEDED if name not in header]:
        raise BadInput(f"columns missing: {', '.join(missing)}", file=path, line=1)
    judge, found = "", dict[tuple[str, str, frozenset[str]], str]()
    for line, cells_ in rows:
        row = {name: csv_text(text) for name, text in zip(header, cells_, strict=True)}
        if judge not in ("", row["judge"]):
            raise BadInput("the file has another judge, too", file=path, line=line, field="judge")
        judge = row["judge"]
        systems = frozenset((row["first"], row["second"]))
        if row["winner"] not in {*systems, "tie", "both_bad"}:
            raise BadInput(f"unknown {row['winner']!r}", file=path, line=line, field="winner")
        key = row["item"], row["criterion"], systems
        if key in found:
            raise BadInput("this pair was judged above", file=path, line=line, field="item")
        found[key] = row["winner"]
    return judge, found


def agreement_with_people(
    judge: str, verdicts: Verdicts, ratings: Ratings, *, seed: int = 0, resamples: int = 999
) -> JudgeAgreement:
    """Compare verdicts with the first votes of people; of programs, if no people have voted.

    Args:
        seed: of the bootstraps; `resamples` of each.
    """
    rows = ratings.compared
    rows = rows[(rows["repeat"] == 0) & ~rows["revoked"]]
    synthetic = bool(len(rows)) and bool(rows["synthetic"].all())
    rows = rows[rows["synthetic"] == synthetic]
    of = {criterion: rows[rows["criterion"] == criterion] for criterion in ratings.criteria}
    return JudgeAgreement(
        judge=judge,
        people=rows["rater"].nunique(),
        synthetic=synthetic,
        comparisons=tuple(
            _against(own, verdicts, criterion, pair, seed, resamples)
            for criterion, own in of.items()
            for pair in combinations(ratings.systems, 2)
        ),
    )


def _against(
    rows: pd.DataFrame,
    verdicts: Verdicts,
    criterion: str,
    pair: tuple[str, str],
    seed: int,
    resamples: int,
) -> Against:
    chosen = votes_on(rows, *pair)
    keys = [(item, criterion, frozenset(pair)) for item in chosen["item"]]
    chosen = chosen[np.array([key in verdicts for key in keys], dtype=bool)]
    sides = dict(zip(pair, ("win", "loss"), strict=True))
    said = [verdicts[item, criterion, frozenset(pair)] for item in chosen["item"]]
    judged = _codes(sides.get(winner, winner) for winner in said)
    voted = _codes(chosen["outcome"])
    kinds = np.column_stack([judged == voted, np.ones(len(voted)), np.eye(3)[voted]])
    sums = cells(chosen, kinds.astype(float), "item")
    same = estimate(sums[..., 0], sums[..., 1], nothing="nothing that both judged")
    units = _units(chosen, judged, sums[..., 2:])
    rng = np.random.default_rng([seed, zlib.crc32(b"judge")])
    draws = rng.integers(0, max(len(units), 1), (resamples, len(units)))
    found = over_dialogues(lambda some: alpha(some, "nominal"), units, draws)
    if len(units) < FEWEST:
        note = f"fewer than {FEWEST} dialogues" if len(units) else same.note
        found = Estimate(None, None, None, len(units), note)
    return Against(criterion, *pair, len(units), same, found)


def _codes(outcomes: Iterable[str]) -> np.ndarray:
    return np.array([_OUTCOMES[outcome] for outcome in outcomes], dtype=int)


def _units(rows: pd.DataFrame, judged: np.ndarray, votes: np.ndarray) -> np.ndarray:
    """Count, for each dialogue, the judge's and the majority's outcome.

    Args:
        rows: the votes; `judged`: the judge's outcome on the dialogue of each.
        votes: people's, shape (dialogues, raters, 3).
    """
    import pandas as pd

    place, items = pd.factorize(rows["item"], sort=True)
    judge = np.ones(len(items), dtype=int)
    judge[place] = judged
    lead = np.sign((votes[..., 0] - votes[..., 2]).sum(-1)).astype(int)
    return np.eye(3)[judge] + np.eye(3)[1 - lead]
