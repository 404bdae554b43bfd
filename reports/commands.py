"""The commands of this room: `demo`, `report build`, `report table1`, `report statistics`,
`report figure`.

Light on purpose: what a command needs is imported inside it, so that help texts appear at once.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from reports.builder.command import build
from reports.plots.make import figure
from reports.statistics.commands import statistics

report_app = typer.Typer(
    help="Make tables and figures of what runs have written.", no_args_is_help=True
)
report_app.command()(build)
report_app.command()(statistics)
report_app.command()(figure)


def demo(
    out: Annotated[Path, typer.Option(help="Folder for all that is written.")] = Path("runs/demo"),
    model: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[SYSTEM=]MODEL",
            help="A hub id, a model or adapter folder, or smollm2, the embedded model, for all "
            "systems or one; repeat for more [default: the embedded model with the adapter trained "
            "for the system].",
        ),
    ] = None,
    scenario: Annotated[
        list[str] | None,
        typer.Option(
            help="A scenario of the library or a YAML file; repeat for more (default: four of the "
            "library)."
        ),
    ] = None,
    open_page: Annotated[
        bool, typer.Option("--open/--no-open", help="Open the page in a browser at the end.")
    ] = True,
    benchmarks: Annotated[
        bool,
        typer.Option(
            "--benchmarks/--no-benchmarks", help="Ask the models a few items of benchmarks too."
        ),
    ] = True,
    force: Annotated[
        bool, typer.Option("--force", help="Record again transcripts that do not match.")
    ] = False,
) -> None:
    """Hold the same conversations with three systems and make a page of what happened.

    Writes transcripts, a timeline picture of each, a table of forward passes, a small Table 1 and
    index.html to OUT.
    On the simulated clock the same command gives the same pictures. A run that was stopped goes on
    where it was when the command is given again.

    Example: duo demo --out runs/demo --no-open
    """
    from reports.demo import run_demo

    run_demo(
        out, model or (), scenario or (), open_page=open_page, benchmarks=benchmarks, force=force
    )


@report_app.command()
def table1(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="[NAME=]RUN...",
            help="Folders (or single files) with benchmark results, of duo eval benchmarks or of "
            "lm-eval itself; NAME is what a model of lm-eval's is called in the table.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for all that is written.")] = Path(
        "runs/table1"
    ),
    base: Annotated[
        str | None,
        typer.Option(
            help="The column that others are compared with [default: the one called base].",
            show_default=False,
        ),
    ] = None,
    comparisons: Annotated[
        bool,
        typer.Option(
            "--comparisons/--no-comparisons",
            help="Compare columns item by item; they must be about the same items.",
        ),
    ] = True,
) -> None:
    """Print the paper's Table 1 with ours beside it, and write it for papers and programs.

    OUT gets table1.md, .tex, .csv, .json and a figure as PDF, SVG and PNG, for one and for two
    columns. Columns called base, duplex and duo stand beside the paper's; others follow.

    Example: duo report table1 runs/benchmarks --out runs/table1
    """
    from reports.table1.make import make

    make(runs, out, base=base, comparisons=comparisons)
