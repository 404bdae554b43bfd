"""`duo report build`. Light: what it needs is imported inside."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def build(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN...",
            help="Folders, with all that is in them, or single files.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for the page, its figures and tables [default: RUN itself; of several "
            "runs, runs/report].",
            show_default=False,
        ),
    ] = None,
    scenarios: Annotated[
        int,
        typer.Option(min=0, help="Scenarios that are drawn and can be played; numbers are of all."),
    ] = 12,
    rules: Annotated[
        Path | None,
        typer.Option(help="YAML file: whom to leave out (default: the paper study's rules)."),
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(help="OURS=THEIRS: what another tool calls a column of ratings; repeat."),
    ] = None,
    choice: Annotated[
        list[str] | None,
        typer.Option(help="THEIRS=OURS: another tool's word for left, right, tie or both_bad."),
    ] = None,
) -> None:
    """Make one HTML page of whatever runs hold, with its figures and tables beside it.

    Files are told by their content: transcripts, interaction figures, decisions, benchmark results
    (ours and lm-eval's), ratings and study folders, sweeps, training curves, decoding costs,
    manifests. index.html needs no server and nothing from outside. Whatever is broken is named on
    it and on standard error, and left out; the exit status is 2 only if nothing can be read.

    Example: duo report build runs/demo --out runs/report
    """
    from reports.builder.make import build as make
    from reports.builder.ratings import How
    from reports.statistics.commands import mapping
    from reports.statistics.raters import read_rules

    how = How(
        columns=mapping("--column", column),
        choices=mapping("--choice", choice),
        rules=None if rules is None else read_rules(rules),
    )
    print(make(runs, out, how=how, scenarios=scenarios))
