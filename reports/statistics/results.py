"""What an analysis of a study finds: plain, frozen, and the same JSON for the same ratings."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any

from reports.statistics.agreement import Agreement
from reports.statistics.bradley_terry import Scores
from reports.statistics.effects import Effects
from reports.statistics.estimate import Estimate
from reports.statistics.exclusions import Excluded, Rules
from reports.statistics.mixed import MixedCheck
from reports.statistics.raters import Consistency, SideBias

SCHEMA = 1


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
        votes: counts of first votes by outcome (`panel.OUTCOMES`).
        dialogues, raters: how many voted on, and how many voted.
        estimates: by `panel.ESTIMANDS`: shares of all votes; `net`, win share minus loss share;
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
    """One criterion: its comparisons, the sides, and scores from three systems on."""

    criterion: str
    comparisons: tuple[Comparison, ...]
    sides: SideBias
    scores: Scores | None
    note: str = ""


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


@dataclass(frozen=True)
class StudyResult:
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


def to_json(result: Any) -> str:
    """A result as JSON; ten digits are kept, so that machines agree. No NaN can be in it."""
    content = {"schema": SCHEMA} | _rounded(dataclasses.asdict(result))
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.10g}")
    if isinstance(value, dict):
        return {key: _rounded(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(inner) for inner in value]
    return value
