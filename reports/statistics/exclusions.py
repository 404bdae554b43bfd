"""Raters who are left out, by rules that were fixed before the votes were seen."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from duo.errors import BadInput

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Rules:
    """Pre-registered rules; None switches one off.

    Attributes:
        failed_checks: leave out who failed more than this share of the attention checks seen.
        least_seconds: leave out whose median page took less.
        one_sided: leave out who chose the same side in at least this share of untied votes ...
        one_sided_votes: ... among at least so many.
        revoked: whether to leave out whom the researchers shut out of the study.
    """

    failed_checks: float | None = 0.5
    least_seconds: float | None = 6.0
    one_sided: float | None = 0.95
    one_sided_votes: int = 20
    revoked: bool = True


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
    from duo.files import read_yaml

    content = read_yaml(Path(path)).data
    if not isinstance(content, dict):
        raise BadInput("must be a mapping of rules", file=path)
    for name, value in content.items():
        _check(path, name, value)
    return Rules(**content)


def _check(path: Path, name: Any, value: Any) -> None:
    known = [field.name for field in fields(Rules)]
    if name not in known:
        raise BadInput(f"no such rule: use {', '.join(known)}", file=path, field=str(name))
    if name == "revoked":
        if not isinstance(value, bool):
            raise BadInput(f"{value!r} is neither true nor false", file=path, field=name)
        return
    if value is None and name != "one_sided_votes":
        return
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
        raise BadInput(f"{value!r} is no number from 0 on", file=path, field=name)
    if name in ("failed_checks", "one_sided") and value > 1:
        raise BadInput(f"{value!r} is a share: from 0 to 1", file=path, field=name)
    if name == "one_sided_votes" and not isinstance(value, int):
        raise BadInput(f"{value!r} is no whole number", file=path, field=name)


def excluded(rows: pd.DataFrame, rules: Rules) -> tuple[Excluded, ...]:
    """Who is left out, by name, with all reasons.

    A page is one rater's visit of one item; its time is the longest that any of its rows states. An
    attention check is failed if any of its rows says so.

    Args:
        rows: all ratings, attention checks among them.
        rules: which rules hold.
    """
    found = []
    for rater, own in rows.groupby("rater", sort=True):
        reasons = [*_failed(own, rules), *_fast(own, rules), *_one_sided(own, rules)]
        if rules.revoked and own["revoked"].any():
            reasons.append("was shut out of the study")
        if reasons:
            found.append(Excluded(str(rater), tuple(reasons)))
    return tuple(found)


def _failed(own: pd.DataFrame, rules: Rules) -> list[str]:
    checks = own[own["attention"] & own["passed"].notna()]
    if rules.failed_checks is None or checks.empty:
        return []
    passed = checks["passed"].astype(bool).groupby([checks["item"], checks["repeat"]]).all()
    failed = int((~passed).sum())
    if failed <= rules.failed_checks * len(passed):
        return []
    return [f"failed {failed} of {len(passed)} attention checks"]


def _fast(own: pd.DataFrame, rules: Rules) -> list[str]:
    pages = own[~own["attention"]].groupby(["study", "item", "repeat"])["seconds"].max().dropna()
    if rules.least_seconds is None or pages.empty or pages.median() >= rules.least_seconds:
        return []
    return [f"median page took {pages.median():.1f} s, less than {rules.least_seconds:g} s"]


def _one_sided(own: pd.DataFrame, rules: Rules) -> list[str]:
    chosen = own[~own["attention"] & own["choice"].isin(["left", "right"])]["choice"]
    if rules.one_sided is None or len(chosen) < max(rules.one_sided_votes, 1):
        return []
    side, most = chosen.value_counts().index[0], int(chosen.value_counts().iloc[0])
    if most < rules.one_sided * len(chosen):
        return []
    return [f"chose the {side} side in {most} of {len(chosen)} untied votes"]
