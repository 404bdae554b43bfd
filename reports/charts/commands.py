"""The command `report figure`. Light: what it needs is imported inside it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from reports.charts.kinds import KINDS


def figure(
    kind: Annotated[
        str,
        typer.Argument(metavar="KIND", help=f"{', '.join(KINDS)}.", show_default=False),
    ],
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE...", help="What to draw, see above.", show_default=False),
    ],
    out: Annotated[Path, typer.Option(help="Folder for all that is written.")] = Path(
        "runs/figures"
    ),
) -> None:
    """Draw a figure for a paper from what another command has written.

    preference and ranking take statistics.json of duo report statistics; confusion, decisions,
    premature, calibration and separation the JSON of duo eval states; probe that of duo eval probe;
    latency, takeover and trade-off that of duo eval interaction; sweep the folder of duo bench
    sweep; training one or more training.json (or folders with one); cost the JSON of duo bench
    decode; mask and timeline transcripts.

    OUT gets each figure as PDF, SVG and PNG, one column wide and (-wide) two, the numbers behind it
    as CSV, LaTeX and Markdown, and its caption as text. The same file gives the same bytes.

    Example: duo report figure preference runs/statistics/statistics.json --out runs/figures
    """
    from reports.charts.make import make

    written = make(kind, files, out)
    for path in written:
        if path.suffix == ".pdf":
            typer.echo(path)
