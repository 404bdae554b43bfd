"""How far a recording is, for the person who waits: a bar, or lines where there is no terminal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from sessions.play import Recording


class Report:
    """Tells the person who waits how far it is.

    Attributes:
        part: what part of something larger is under way; shown before the rest.
    """

    part = ""

    def __init__(self, progress: Progress, console: Console, total: int, kept: int) -> None:
        self._progress, self._console = progress, console
        self._task = progress.add_task("", total=total, completed=kept)

    def doing(self, what: str) -> None:
        """Show what is under way."""
        self._progress.update(self._task, description=f"{self.part}{what}")

    def finished(self, path: Path, recording: Recording) -> None:
        """A transcript is written."""
        self._progress.advance(self._task)
        if not self._console.is_terminal:
            took = f"{recording.transcript.seconds:.0f} s in {recording.machine_seconds:.1f} s"
            self._console.print(f"{path}: {took}", markup=False, highlight=False, soft_wrap=True)


@contextmanager
def progress_shown(console: Console | None, total: int, kept: int) -> Iterator[Report]:
    """A progress bar over `total` recordings, of which `kept` were there already."""
    shown = console_or_stderr(console)
    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("left"),
        TextColumn("{task.description}", markup=False),
    )
    with Progress(*columns, console=shown, disable=not shown.is_terminal) as progress:
        yield Report(progress, shown, total, kept)


def console_or_stderr(console: Console | None) -> Console:
    """The console given, or one on standard error, which leaves standard output to results."""
    return console or Console(stderr=True)
