"""Tell which raters show signs of not looking: one rule for the administrator and the analysis.

Nothing here leaves a vote out. The administrator's page shows the signs while a study runs; the
statistics leave out who shows them in the end, by rules that were fixed before.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0, le=1)]


class Rules(BaseModel):
    """Rules of exclusion that were fixed before the votes were seen; None switches one off.

    Attributes:
        failed_checks: leave out who failed more than this share of the attention checks seen.
        least_seconds: leave out whose median page took less.
        one_sided: leave out who chose the same side in at least this share of untied votes ...
        one_sided_votes: ... among at least this many.
        revoked: whether to leave out whom the researchers shut out of the study.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)

    failed_checks: Share | None = 0.5
    least_seconds: Annotated[float, Field(ge=0)] | None = 6.0
    one_sided: Share | None = 0.95
    one_sided_votes: Annotated[int, Field(ge=0)] = 20
    revoked: bool = True


@dataclass(frozen=True)
class Conduct:
    """What a rater did; attention checks are apart from the pages that are data.

    Attributes:
        choices: "left", "right", "tie" or "both_bad" of each vote.
        checks: whether each attention check was passed.
    """

    seconds: Sequence[float]
    choices: Sequence[str]
    checks: Sequence[bool]
    revoked: bool = False


def signs(of: Conduct, rules: Rules) -> tuple[str, ...]:
    """Say in words what a rater shows that the rules name."""
    return tuple(_signs(of, rules))


def _signs(of: Conduct, rules: Rules) -> Iterator[str]:
    failed = len(of.checks) - sum(of.checks)
    if rules.failed_checks is not None and failed > rules.failed_checks * len(of.checks):
        yield f"failed {failed} of {len(of.checks)} attention checks"
    if rules.least_seconds is not None and of.seconds:
        median = statistics.median(of.seconds)
        if median < rules.least_seconds:
            yield f"median page took {median:.1f} s, less than {rules.least_seconds:g} s"
    sides = Counter(choice for choice in of.choices if choice in ("left", "right"))
    untied = sides.total()
    if rules.one_sided is not None and untied >= max(rules.one_sided_votes, 1):
        (side, most), *_ = sides.most_common()
        if most >= rules.one_sided * untied:
            yield f"chose the {side} side in {most} of {untied} untied votes"
    if rules.revoked and of.revoked:
        yield "was shut out of the study"
