"""What the study's commands print: plain tables. Names come from files, so they are escaped."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from duo.terminal import printable

if TYPE_CHECKING:
    from sessions.study.leaks import Leaks
    from sessions.study.load import Load
    from sessions.study.status import Status


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as they need; the first to the left, the others to the right."""
    lines = [[printable(cell) for cell in row] for row in (header, *rows)]
    widths = [max(len(line[place]) for line in lines) for place in range(len(header))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if place == 0 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def status_report(status: Status) -> str:
    """For `duo study status`."""
    parts = [
        f"{printable(status.study)}: {status.state}, {status.done:.0%} of the wanted ratings, "
        f"{status.votes} votes, {status.comments} comments"
        + (" (all SYNTHETIC)" if status.synthetic else "")
    ]
    if status.raters:
        header = ("rater", "state", "pages", "median s", "checks", "consistent", "left", "code")
        rows = [
            (
                one.name + (" (synthetic)" if one.synthetic else ""),
                one.state,
                f"{one.submitted}/{one.total}",
                _number(one.seconds, ".0f"),
                f"{one.checks - one.failed}/{one.checks}",
                _number(one.consistency, ".0%"),
                _number(one.left, ".0%"),
                one.code or "-",
            )
            for one in status.raters
        ]
        parts.append(table(header, rows))
        flags = [f"{one.name}: {'; '.join(one.flags)}" for one in status.raters if one.flags]
        parts += [printable(flag) for flag in flags]
    parts.append(
        table(
            ("item", "rated", "wanted", "open now"),
            [
                (one.name, str(one.submitted), str(one.wanted), str(one.open))
                for one in status.items
            ],
        )
    )
    parts.append(
        table(
            ("criterion", "Krippendorff's alpha"),
            [(name, _number(value, ".2f")) for name, value in status.agreement.items()],
        )
    )
    return "\n\n".join(parts)


def status_json(status: Status) -> str:
    """Everything, with times as ISO 8601."""
    content = asdict(status) | {"done": status.done}
    for rater in content["raters"]:
        seen = rater["last_seen"]
        rater["last_seen"] = None if seen is None else datetime.fromtimestamp(seen, UTC).isoformat()
    return json.dumps(content, indent=2, ensure_ascii=True)


def leaks_report(leaks: Leaks) -> str:
    """For `duo study check`."""
    parts = []
    if leaks.traces:
        parts.append(
            table(
                ("item", "system", "gives away", "by"),
                [(one.item, one.system, one.what, one.text) for one in leaks.traces],
            )
        )
    else:
        parts.append("no control tokens and no systems' names in the words")
    parts.append(
        table(
            ("signal", *leaks.systems, "guessed", "p", "Holm", "sort"),
            [
                (
                    f"{one.name}: {one.meaning}",
                    *(f"{mean:.2f}" for mean in one.means or [float("nan")] * len(leaks.systems)),
                    f"{one.guessed:.0%}",
                    f"{one.p:.3f}",
                    f"{one.adjusted:.3f}" + ("*" if one.separates else ""),
                    one.kind,
                )
                for one in leaks.signals
            ],
        )
    )
    enough = leaks.floor <= 0.05 / max(len(leaks.signals), 1)
    if not enough:
        parts.append(
            f"so few items cannot show a difference (no p can be less than {leaks.floor:.2g}): "
            "look at the numbers"
        )
    if not leaks.clean:
        parts.append("LEAKS: the words or the machinery give the systems away")
    elif enough:
        parts.append("nothing of the machinery separates the systems")
    return "\n\n".join(parts)


def load_report(load: Load) -> str:
    """For `duo bench study`."""
    verdict = (
        f"{load.stored} of {load.sent} ratings stored, {load.lost} lost, {load.changed} changed"
    )
    rows = [
        (
            one.operation,
            str(one.count),
            f"{1000 * one.median:.0f}",
            f"{1000 * one.p95:.0f}",
            f"{1000 * one.longest:.0f}",
        )
        for one in load.timings
    ]
    return "\n\n".join(
        (
            f"{load.raters} raters at once on {load.database}, "
            + (
                "through the pages of one server, "
                if load.way == "pages"
                else f"{load.processes} processes, "
            )
            + f"{load.think:g} s between operations, {load.seconds:.1f} s in all",
            table(("operation", "count", "median ms", "p95 ms", "longest ms"), rows),
            verdict,
        )
    )


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
