"""Ratings for tests: rows made by hand or drawn, as `Ratings` or as a file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from reports.statistics.ratings import OUTCOMES, Ratings, frame
from reports.statistics.simulate import Design, draw


def row(
    rater: str = "r1",
    item: str = "i1",
    choice: str = "left",
    *,
    left: str = "duo",
    right: str = "duplex",
    criterion: str = "overall",
    **more: Any,
) -> dict[str, Any]:
    winner = {"left": left, "right": right}.get(choice, choice)
    return {
        "rater": rater, "item": item, "scenario": item, "criterion": criterion,
        "system_left": left, "system_right": right, "choice": choice, "winner": winner,
    } | more  # fmt: skip


def ratings(rows: Iterable[dict[str, Any]]) -> Ratings:
    return Ratings(frame(list(rows)))


def drawn(
    design: Design | None = None,
    *,
    criteria: Sequence[str] = ("overall",),
    seed: int = 0,
    systems: tuple[str, str] = ("duo", "duplex"),
    **more: Any,
) -> list[dict[str, Any]]:
    """Rows of a synthetic study, sides by turns."""
    votes = draw(design or Design(), len(criteria), np.random.default_rng(seed))
    return rows_of(votes, criteria=criteria, systems=systems, **more)


def rows_of(
    votes: np.ndarray,
    *,
    criteria: Sequence[str] = ("overall",),
    systems: tuple[str, str] = ("duo", "duplex"),
    **more: Any,
) -> list[dict[str, Any]]:
    """Rows of votes as `draw` makes them, the studies as criteria, sides by turns."""
    first, second = systems
    rows = []
    for study, dialogue, rater, outcome in np.argwhere(votes):
        name, turned = OUTCOMES[outcome], (dialogue + rater) % 2 == 1
        winner = {"win": first, "loss": second}.get(name, name)
        left, right = (second, first) if turned else (first, second)
        choice = {left: "left", right: "right"}.get(winner, winner)
        rows.append(
            row(
                f"r{rater:02d}",
                f"i{dialogue:03d}",
                choice,
                left=left,
                right=right,
                criterion=criteria[study],
                **more,
            )
        )
    return rows


def write_csv(path: Path, rows: Sequence[dict[str, Any]], columns: Sequence[str] = ()) -> Path:
    names = list(columns or rows[0])
    lines = [",".join(names), *(",".join(str(r.get(n, "")) for n in names) for r in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
