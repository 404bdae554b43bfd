"""The table on a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from duo.terminal import printable
from reports.table1.grid import MISSING, Grid

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_PADDING = 3  # blanks between columns


def show(grids: Sequence[Grid], console: Console | None = None) -> None:
    """Print the grids, in parts that fit the terminal; in a pipe lines are as long as they must."""
    from rich.console import Console
    from rich.text import Text

    console = console or Console()
    for grid in grids:
        if not console.is_terminal:
            console.width = max(80, sum(_widths(grid)) + _PADDING)
        for part in split(grid, console.width):
            console.print(_table(part))
        for mark, text in grid.notes:
            console.print(Text(printable(f"{mark} {text}".strip()), style="dim"))
        console.print()


def split(grid: Grid, width: int) -> Iterator[Grid]:
    """Parts of a grid, side by side in a wide window, no wider than `width` characters.

    Each begins with the columns of words, which say what a row is about; a part of one column may
    be wider.
    """
    widths = _widths(grid)
    said = sorted(grid.texts)
    room = width - _PADDING - sum(widths[n] for n in said)
    taken: list[int] = []
    for column in range(len(grid.heads)):
        if column in grid.texts:
            continue
        if taken and sum(widths[n] for n in taken) + widths[column] > room:
            yield _part(grid, [*said, *taken])
            taken = []
        taken.append(column)
    yield _part(grid, [*said, *taken])


def _widths(grid: Grid) -> list[int]:
    from rich.cells import cell_len

    return [
        _PADDING
        + max(
            [cell_len(printable(line)) for line in head]
            + [cell_len(printable(row[n].text + row[n].marks)) for row in grid.rows]
        )
        for n, head in enumerate(grid.heads)
    ]


def _part(grid: Grid, columns: Sequence[int]) -> Grid:
    return replace(
        grid,
        heads=[grid.heads[n] for n in columns],
        rows=[[row[n] for n in columns] for row in grid.rows],
    )


def _table(grid: Grid) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(
        title=Text(printable(grid.title)), title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1)
    )
    for number, head in enumerate(grid.heads):
        table.add_column(
            Text("\n".join(map(printable, head))),
            justify="left" if number in grid.texts else "right",
            no_wrap=True,
        )
    for number, row in enumerate(grid.rows):
        table.add_row(
            *(
                Text(printable(entry.text + entry.marks), style="red" * (entry.text == MISSING))
                for entry in row
            ),
            end_section=number + 1 in grid.starts and len(grid.starts) < len(grid.rows),
        )
    return table
