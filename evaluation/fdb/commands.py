"""Parse the commands `transcript export` and `transcript import`; imports stand inside."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

_FORMATS = ("fdb",)
_FORMAT_HELP = "The other form: fdb, the folders of Full-Duplex-Bench v1."


def export(
    transcripts: Annotated[
        list[Path],
        typer.Argument(help="Transcripts, or folders with transcripts.", show_default=False),
    ],
    out: Annotated[Path, typer.Option(help="An empty or new folder.", show_default=False)],
    format_: Annotated[str, typer.Option("--format", help=_FORMAT_HELP)] = "fdb",
) -> None:
    """Write transcripts in another benchmark's form, for its own scripts.

    Full-Duplex-Bench v1: a folder for each pause inside a query, each query after silence and each
    interruption, in OUT/SYSTEM/TASK/SAMPLE. Its task on backchannels by the system is judged on
    audio, so that transcripts cannot serve it.

    A transcript that cannot be scored is named on standard error and left out; the exit status is
    2 only if none is left.

    Example: duo transcript export --format fdb --out runs/fdb runs/pasta
    """
    from duo.errors import check_choice
    from duo.terminal import printable
    from evaluation.fdb.export import export as write
    from evaluation.interaction.results import nothing_left, read_all

    check_choice("--format", format_, _FORMATS)
    conversations, left_out = read_all(transcripts)
    if not conversations:
        raise nothing_left(left_out)
    for (system, task), count in write(conversations, out).items():
        typer.echo(f"{printable(system)}: {task}: {count} sample{'s' * (count != 1)}")
    for problem in left_out:
        typer.echo(f"duo: left out: {problem}", err=True)


def import_(
    folder: Annotated[
        Path, typer.Argument(help="Folder with samples of one system.", show_default=False)
    ],
    out: Annotated[Path, typer.Option(help="Folder for the transcripts.", show_default=False)],
    format_: Annotated[str, typer.Option("--format", help=_FORMAT_HELP)] = "fdb",
    system: Annotated[
        str | None,
        typer.Option(help="What the system is called [default: the folder's name]."),
    ] = None,
) -> None:
    """Make transcripts of what another system did in another benchmark.

    Full-Duplex-Bench v1: every folder with an output.json and pause.json, turn_taking.json or
    interrupt.json becomes a transcript in OUT/SYSTEM that `duo eval interaction` scores.

    A sample that cannot be read is named on standard error and left out; the exit status is 2 only
    if none is left.

    Example: duo transcript import --format fdb runs/moshi --system moshi --out runs/speech
    """
    from duo.errors import check_choice
    from evaluation.fdb.imports import import_all

    check_choice("--format", format_, _FORMATS)
    counts, left_out = import_all(folder, out, system or folder.resolve().name or "imported")
    for task, count in counts.items():
        typer.echo(f"{task}: {count} transcript{'s' * (count != 1)} in {out}")
    for problem in left_out:
        typer.echo(f"duo: left out: {problem}", err=True)
