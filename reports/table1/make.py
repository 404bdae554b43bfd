"""`duo report table1`: read runs, print the table, write it in every form."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from duo.files import check_writable, write_text
from reports.table1.export import as_json, long_csv
from reports.table1.grid import comparison_grids, main_grid
from reports.table1.latex import latex
from reports.table1.markdown import markdown
from reports.table1.table import table1
from reports.table1.terminal import show

NAME = "table1"


def make(
    runs: Sequence[str], out: Path, *, base: str | None = None, comparisons: bool = True
) -> list[Path]:
    """Print Table 1 and write it to a folder; the same runs give the same bytes.

    Args:
        runs: folders or files, see `evaluation.comparison.runs.read_runs`.
        out: folder for `table1.md`, `.tex`, `.csv`, `.json`, and the figure `table1-plot` and
            `table1-plot-narrow` (two columns and one column wide) as PDF, SVG and PNG, with
            `table1-plot.csv`.
        base: our column that the others are compared with; None for the one beside the paper's.
        comparisons: whether to compare columns.

    Returns:
        The files written.

    Raises:
        BadInput: the runs cannot be used, or the folder cannot be written.
    """
    table = table1(runs, base=base, comparisons=comparisons)
    grids = [main_grid(table), *comparison_grids(table)]
    texts = {".md": markdown(grids), ".tex": latex(grids)}
    texts |= {".csv": long_csv(table), ".json": as_json(table)}
    from reports.plots.style import COLUMN, TWO_COLUMNS, save
    from reports.table1.plot import draw, numbers

    show(grids)
    check_writable(out)
    texts["-plot.csv"] = numbers(table)
    written = [out / f"{NAME}{suffix}" for suffix in texts]
    for path, text in zip(written, texts.values(), strict=True):
        write_text(path, text)
    for name, width in ((f"{NAME}-plot", TWO_COLUMNS), (f"{NAME}-plot-narrow", COLUMN)):
        figure = draw(table, width=width)
        for suffix in (".pdf", ".svg", ".png"):
            written.append(out / f"{name}{suffix}")
            save(figure, written[-1])
    return written
