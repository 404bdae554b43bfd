"""Compare the verdicts of a language model with the votes of people, which they never join."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from duo.csv_file import csv_rows, csv_text
from duo.errors import BadInput
from duo.files import Result
from reports.statistics.clustered import Estimate, estimate
from reports.statistics.raters import alpha, over_dialogues
from reports.statistics.ratings import Ratings, cells, votes_on

if TYPE_CHECKING:
    import pandas as pd

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
