"""`duo report statistics` and `duo bench statistics`. Light: what they need is imported inside."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from duo.errors import BadInput


def statistics(
    ratings: Annotated[
        Path, typer.Argument(help="Ratings, CSV or Parquet, one row each.", show_default=False)
    ],
    out: Annotated[
        Path, typer.Option(help="Folder for statistics.json and statistics.csv.")
    ] = Path("runs/statistics"),
    rules: Annotated[
        Path | None,
        typer.Option(help="YAML file: whom to leave out (default: the paper study's rules)."),
    ] = None,
    systems: Annotated[
        str | None,
        typer.Option(help="Order of the systems, separated by commas (default: by name)."),
    ] = None,
    cluster: Annotated[
        str, typer.Option(help="What is one dialogue: item, or scenario where items share one.")
    ] = "item",
    column: Annotated[
        list[str] | None,
        typer.Option(help="OURS=THEIRS: what another tool calls a column; repeat for more."),
    ] = None,
    choice: Annotated[
        list[str] | None,
        typer.Option(
            help="THEIRS=OURS: another tool's word for left, right, tie or both_bad; repeat for "
            "more."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the bootstraps.")] = 0,
) -> None:
    """Shares with intervals, tests, scores, agreement and rater quality of a study.

    Votes of one rater, and votes on one dialogue, hang together; intervals and tests know that.
    Results are shown with and without the raters whom the rules leave out.

    Example: duo report statistics ratings.csv --out runs/statistics
    """
    from reports.statistics.report import report_statistics

    report_statistics(
        ratings,
        out,
        rules=rules,
        systems=None if systems is None else [name.strip() for name in systems.split(",")],
        cluster=cluster,
        columns=mapping("--column", column),
        choices=mapping("--choice", choice),
        seed=seed,
    )


def bench(
    studies: Annotated[int, typer.Option(min=1, help="Synthetic studies of each design.")] = 1000,
    out: Annotated[
        Path | None,
        typer.Option(help="JSON file; the table goes beside it as .md.", show_default=False),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of all draws.")] = 0,
    resamples: Annotated[
        int, typer.Option(min=0, help="Of the bootstraps shown for comparison; 0: none.")
    ] = 299,
    processes: Annotated[int, typer.Option(min=1, help="How many work at once.")] = 1,
) -> None:
    """Do the statistics keep their word? Studies of known truth, analysed like real ones.

    Draws studies with clustered raters and dialogues, ties, side bias and missing votes, and counts
    how often 95 % intervals hold the truth and tests find what is not there; beside them the naive
    analysis, which takes all votes as independent.

    Example: duo bench statistics --studies 1000 --processes 2 --out runs/bench/statistics.json
    """
    from reports.statistics.bench import bench_statistics

    bench_statistics(studies=studies, seed=seed, resamples=resamples, processes=processes, out=out)


def mapping(option: str, pairs: list[str] | None) -> dict[str, str]:
    """What `NAME=VALUE` texts of an option say.

    Raises:
        BadInput: one is not of this form.
    """
    found = {}
    for pair in pairs or ():
        name, equals, value = pair.partition("=")
        if not (name and equals and value):
            raise BadInput(f"{pair!r} is not NAME=VALUE", field=option)
        found[name] = value
    return found
