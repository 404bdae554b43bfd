"""The table as Markdown (tables as GitHub reads them)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from reports.escape import markdown as escaped
from reports.table1.grid import Entry, Grid


def markdown(grids: Sequence[Grid]) -> str:
    """Each grid as a heading, a table and its notes."""
    return "\n".join(line for grid in grids for line in _lines(grid))


def _lines(grid: Grid) -> Iterator[str]:
    yield f"### {escaped(grid.title)}\n"
    heads = [f"{head[0]} ({head[1]})" if len(head) > 1 else head[0] for head in grid.heads]
    yield _line([Entry(head) for head in heads])
    yield "|" + "|".join("---" if n in grid.texts else "---:" for n in range(len(heads))) + "|"
    for row in grid.rows:
        yield _line(row)
    yield ""
    for mark, text in grid.notes:
        yield escaped(f"{mark} {text}".strip()) + "\n"


def _line(row: Sequence[Entry]) -> str:
    return f"| {' | '.join(escaped(entry.text + entry.marks) for entry in row)} |"
