"""How far a matrix is, and how much time is left, on standard error."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from duo.terminal import printable
from evaluation.benchmarks.catalogue import BENCHMARKS
from evaluation.benchmarks.matrix import Work


class MatrixProgress:
    """A bar over all units, weighted by what they cost, and a line for each result.

    The time left comes from the time that what is done has taken, not from the rough costs alone.

    Args:
        works: all units.
        console: where to; standard error by default. It is bound when this is made, so that it
            still shows something while the libraries are kept silent.
    """

    def __init__(self, works: Sequence[Work], console: Console | None = None) -> None:
        import sys

        self._console = console or Console(file=sys.stderr)
        self._works = list(works)
        self._total = sum(work.cost for work in works) or 1.0
        self._saved = self._spent = 0.0
        self._now: Work | None = None
        self._part = 0.0
        self._start = time.monotonic()
        self._count = 0
        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[left]}"),
            console=self._console, transient=True, disable=not self._console.is_terminal,
        )  # fmt: skip
        self._task = self._bar.add_task("", total=self._total, left="")

    def __enter__(self) -> MatrixProgress:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def begin(self, work: Work) -> None:
        """A unit is begun."""
        self._now, self._part = work, 0.0
        self._show()

    def answered(self, done: int, total: int) -> None:
        """`done` more of a unit's `total` requests are answered."""
        self._part = min(1.0, self._part + done / max(1, total))
        self._show()

    def result(self, work: Work, result: dict[str, Any], fresh: bool) -> None:
        """A unit is finished, or was before."""
        self._count += 1
        if fresh:
            self._spent += work.cost
        else:
            self._saved += work.cost
        self._now, self._part = None, 0.0
        self._show()
        self._console.print(self._line(work, result, fresh), markup=False, highlight=False)

    def _line(self, work: Work, result: dict[str, Any], fresh: bool) -> str:
        error = result["stderr"]
        spread = "" if error is None else f" ± {100 * error:.1f}"
        label = {"full": "", "limited": ", limited", "smoke": ", smoke items"}
        told = label[result["coverage"]] + _caveats(result) + ("" if fresh else ", was there")
        return (
            f"{self._count}/{len(self._works)} {printable(work.column.name)} "
            f"{BENCHMARKS[work.unit.benchmark].title} {work.unit.profile} seed {work.unit.seed}: "
            f"{100 * result['value']:.1f}{spread} (n {result['n']:,}{told}){self._tail()}"
        )

    def _tail(self) -> str:
        left = self._left()
        return f", {left} left" if left and self._count < len(self._works) else ""

    def _left(self) -> str:
        done = self._spent + (self._now.cost * self._part if self._now else 0.0)
        if done <= 0:
            return ""
        rest = max(0.0, self._total - self._saved - done)
        return _duration((time.monotonic() - self._start) / done * rest)

    def _show(self) -> None:
        done = self._saved + self._spent + (self._now.cost * self._part if self._now else 0.0)
        name = "" if self._now is None else (
            f"{printable(self._now.column.name)} {BENCHMARKS[self._now.unit.benchmark].title}"
        )  # fmt: skip
        left = self._left()
        self._bar.update(
            self._task, completed=done, description=name, left=f"{left} left" if left else ""
        )


def _caveats(result: dict[str, Any]) -> str:
    """What else a reader of the number should know."""
    told = ""
    if not result["banned_state_tokens"] and result["leak_rate"] is not None:
        told += f", state tokens in {100 * result['leak_rate']:.1f} % of the answers"
    if result.get("truncated"):
        told += f", {result['truncated']:,} questions cut to the model's context"
    return told


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {seconds:02} s" if minutes else f"{seconds} s"
