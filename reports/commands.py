"""Define the commands `demo`, `report build`, `report table1`, `report statistics` and
`report figure`.

Light on purpose: what a command needs is imported inside it, so that help texts appear at once.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from duo.options import Chat
from reports.plots.make import figure
from reports.statistics.commands import ChoiceWords, ColumnNames, RulesFile, statistics

report_app = typer.Typer(
    help="Make tables and figures from the outputs of runs.", no_args_is_help=True
)
report_app.command()(statistics)
report_app.command()(figure)


def demo(
    out: Annotated[Path, typer.Option(help="Folder for the outputs.")] = Path("runs/demo"),
    model: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[SYSTEM=]MODEL",
            help="A hub id, a model or adapter folder, or smollm2, the embedded model, for all "
            "systems or one; repeat for more [default: the embedded model with the adapter trained "
            "for the system; or qwen, if it has been fetched, for all but duplex].",
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
    chat: Chat = None,
    force: Annotated[
        bool, typer.Option("--force", help="Record again transcripts that do not match.")
    ] = False,
) -> None:
    """Hold the same conversations with three systems and make a page of the results.

    Writes transcripts, a timeline picture of each, a table of forward passes, a small Table 1 and
    index.html to OUT.
    On the simulated clock the same command gives the same pictures. A run that was stopped goes on
    where it was when the command is given again.

    Example: duo demo --out runs/demo --no-open
    """
    from reports.demo import run_demo

    run_demo(
        out,
        model or (),
        scenario or (),
        open_page=open_page,
        benchmarks=benchmarks,
        force=force,
        chat=chat,
    )


@report_app.command()
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
    rules: RulesFile = None,
    column: ColumnNames = None,
    choice: ChoiceWords = None,
) -> None:
    """Make one HTML page of the results in runs, with its figures and tables beside it.

    Files are recognised by their content: transcripts, interaction figures, decisions, benchmark
    results (ours and lm-eval's), ratings and study folders, sweeps, training curves, decoding
    costs, manifests. index.html needs no server and nothing from outside. Whatever is broken is
    named on it and on standard error, and left out; the exit status is 2 only if nothing can be
    read.

    Example: duo report build runs/demo --out runs/report
    """
    from reports.page.build import build as make
    from reports.page.collect import RatingSettings
    from reports.statistics.commands import mapping
    from reports.statistics.raters import read_rules

    ratings = RatingSettings(
        columns=mapping("--column", column),
        choices=mapping("--choice", choice),
        rules=None if rules is None else read_rules(rules),
    )
    print(make(runs, out, ratings=ratings, scenarios=scenarios))


@report_app.command()
def table1(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="[NAME=]RUN...",
            help="Folders (or single files) with benchmark results, of duo eval benchmarks or of "
            "lm-eval itself; NAME names a model of lm-eval's in the table.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the outputs.")] = Path("runs/table1"),
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
    from reports.table1_files import make

    make(runs, out, base=base, comparisons=comparisons)
