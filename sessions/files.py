"""Parse the commands `transcript` and `scenario`: show, check and write files of conversations.

What a command needs is imported inside it, so that help texts appear at once.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from duo.errors import BadInput

transcript_app = typer.Typer(
    help="Show, check and exchange transcripts of recorded conversations.", no_args_is_help=True
)
scenario_app = typer.Typer(help="List scenarios and write them as files.", no_args_is_help=True)

Transcripts = Annotated[
    list[Path], typer.Argument(help="Transcripts, or folders with some.", show_default=False)
]


@transcript_app.command()
def show(
    files: Transcripts,
    width: Annotated[
        int | None, typer.Option(min=40, help="Columns to use [default: the terminal's].")
    ] = None,
) -> None:
    """Draw conversations over time: what the person said, and what the system did meanwhile.

    Example: duo transcript show runs/pasta/duo/pasta-dinner.jsonl
    """
    from duo.transcript import read_transcript, transcript_files
    from sessions.show import print_transcript

    for transcript in [read_transcript(file) for file in transcript_files(files)]:
        print_transcript(transcript, width=width)


@transcript_app.command()
def validate(files: Transcripts) -> None:
    """Check transcripts: one line for each, exit status 2 if one is bad.

    Example: duo transcript validate runs/pasta
    """
    from duo.transcript import read_transcript, transcript_files

    bad = 0
    for named in files:
        try:
            inside = transcript_files([named])
        except BadInput as error:
            inside, bad = [], bad + 1
            typer.echo(f"duo: {error}", err=True)
        for file in inside:
            try:
                transcript = read_transcript(file)
            except BadInput as error:
                bad += 1
                typer.echo(f"duo: {error}", err=True)
            else:
                typer.echo(f"{file}: {len(transcript.events)} events, {transcript.seconds:g} s")
    if bad:
        raise typer.Exit(2)


_NAMES_HELP = (
    "Names of the library, suite:dev, suite:report, suite:more-dev, suite:more-report or the "
    "beginning of a name after suite:, YAML files, folders of such, or labelled utterances "
    "(.jsonl, .jsonl.gz)."
)


@scenario_app.command(name="list")
def list_(
    names: Annotated[
        list[str] | None, typer.Argument(help=f"{_NAMES_HELP} [default: the library]")
    ] = None,
) -> None:
    """Show the names of scenarios and what they are.

    Example: duo scenario list suite:dev-interruption
    """
    from duo.terminal import printable
    from sessions.catalogue import find_scenarios

    found = find_scenarios(names or ())
    width = max(len(scenario.name) for scenario in found)
    for scenario in found:
        typer.echo(f"{scenario.name:{width}}  {printable(scenario.description)}")


@scenario_app.command()
def write(
    names: Annotated[list[str], typer.Argument(help=_NAMES_HELP, show_default=False)],
    out: Annotated[Path, typer.Option(help="Folder for the files.", show_default=False)],
    force: Annotated[
        bool, typer.Option("--force", help="Write over files that hold something else.")
    ] = False,
) -> None:
    """Write scenarios as YAML files, one each, that can be changed and recorded.

    Example: duo scenario write suite:dev --out runs/suite-dev
    """
    from sessions.catalogue import find_scenarios
    from sessions.scenario import write_scenarios

    paths = write_scenarios(find_scenarios(names), out, force=force)
    typer.echo(f"{len(paths)} scenario{'s' * (len(paths) != 1)} in {out}")
