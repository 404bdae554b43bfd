"""Parse the command `eval interaction`; what it needs is imported inside it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def interaction(
    transcripts: Annotated[
        list[Path],
        typer.Argument(
            help="Transcripts, or folders with transcripts, of any number of systems.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="JSON file for all figures and every single event.", show_default=False),
    ] = None,
) -> None:
    """Score how systems converse: decisions, timing and waste, side by side.

    From transcripts alone: takeover rate for each kind of event, what follows an overlap (RESPOND,
    RESUME, UNCERTAIN, UNKNOWN), false interruptions, missed queries, premature answers, response
    and stop latency, overlap, waste and Full-Duplex-Bench's averaged score, each with its interval.
    What cannot be counted is a dash.

    A transcript that cannot be scored is named on standard error with its line and left out. The
    exit status is 2 only if none is left.

    Example: duo eval interaction runs/pasta --out runs/interaction.json
    """
    from duo.files import write_result
    from evaluation.interaction.results import score, table

    found = score(transcripts)
    if out is not None:
        write_result(out, found)
    table(found).show()
    for problem in found.left_out:
        typer.echo(f"duo: left out: {problem.problem}", err=True)
