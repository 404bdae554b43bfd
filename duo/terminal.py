"""Write to terminals: escape untrusted text, show progress, silence libraries."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from io import StringIO
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress


def printable(text: str, *, lines: bool = False) -> str:
    """Escape whatever a terminal would act on in untrusted text.

    Args:
        lines: let line breaks through, and tabs as blanks.
    """
    if lines:
        text = text.replace("\t", "    ")
    return "".join(
        character
        if character.isprintable() or (lines and character == "\n")
        else character.encode("unicode_escape", "backslashreplace").decode("ascii")
        for character in text
    )


def say(message: str) -> None:
    """Tell the user something on standard error; a file in it may be named anything."""
    print(f"duo: {printable(message)}", file=sys.stderr, flush=True)


class Bar:
    """A progress bar; see `progress`.

    Attributes:
        on_terminal: whether the bar is shown.
    """

    def __init__(self, bar: Progress, what: str, total: float | None, done: float) -> None:
        self._bar = bar
        self._task = bar.add_task(printable(what), total=total, completed=done)  # type: ignore[arg-type]

    @property
    def on_terminal(self) -> bool:
        return not self._bar.disable

    def advance(self, steps: float = 1) -> None:
        """Count `steps` more as done."""
        self._bar.advance(self._task, steps)

    def update(
        self, *, done: float | None = None, total: float | None = None, what: str | None = None
    ) -> None:
        """Set how much is done, how much there is, or what is under way; None changes nothing."""
        description = None if what is None else printable(what)
        self._bar.update(self._task, completed=done, total=total, description=description)

    def print(self, line: str) -> None:
        """Write a line above the bar, or where there is no terminal, as an ordinary line."""
        shown = printable(line)
        self._bar.console.print(shown, markup=False, highlight=False, soft_wrap=True)


@contextmanager
def progress(
    what: str = "",
    total: float | None = None,
    *,
    done: float = 0,
    unit: Literal["steps", "bytes", "share"] = "steps",
    console: Console | None = None,
) -> Iterator[Bar]:
    """Show how far something is and how long it still takes; the bar disappears at the end.

    Without a terminal nothing is shown but the lines that are printed by the bar.

    Args:
        what: is under way; `Bar.update` can change it.
        total: how much there is to do, in steps, bytes or any weight; None if unknown.
        done: how much of it was done before.
        unit: how the amount is shown: as counted steps, as bytes, or as a percentage.
        console: where to; standard error if not given. It is bound on entering, so that a bar goes
            on showing inside `silence`.
    """
    from rich.console import Console as RichConsole
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    amounts: dict[str, ProgressColumn] = {
        "steps": MofNCompleteColumn(),
        "bytes": DownloadColumn(),
        "share": TaskProgressColumn(),
    }
    from rich.table import Column

    if console is None:
        console = RichConsole(file=sys.stderr)
    rest = Column(no_wrap=True, overflow="ellipsis", ratio=1)  # of the line
    columns = (
        BarColumn(bar_width=20), amounts[unit], TimeElapsedColumn(),
        TimeRemainingColumn(elapsed_when_finished=True), TextColumn("left"),
        TextColumn("{task.description}", markup=False, table_column=rest),
    )  # fmt: skip
    with Progress(
        *columns, console=console, transient=True, expand=True, disable=not console.is_terminal
    ) as bar:
        yield Bar(bar, what, total, done)


@contextmanager
def quiet() -> Iterator[None]:
    """Silence progress bars, log messages and warnings of `transformers` and `peft`."""
    from transformers.utils import logging as library

    level, bars = library.get_verbosity(), library.is_progress_bar_enabled()
    library.set_verbosity_error()
    library.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        library.set_verbosity(level)
        if bars:
            library.enable_progress_bar()


@contextmanager
def silence() -> Iterator[None]:
    """Silence all libraries: `quiet`, bars of `datasets`, logging, and all of standard error.

    Exceptions still come through.
    """
    from datasets import disable_progress_bars  # type: ignore[import-untyped]

    disable_progress_bars()
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with quiet(), redirect_stderr(StringIO()):
            yield
    finally:
        logging.disable(before)
