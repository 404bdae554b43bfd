"""The commands `scenario list` and `scenario write`. Light: what they need is imported inside."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

scenario_app = typer.Typer(help="Look at scenarios and write them out.", no_args_is_help=True)

_NAMES_HELP = (
    "Names of the library, suite:dev, suite:report or the beginning of a name after suite:, YAML "
    "files, folders of such, or labelled utterances (.jsonl, .jsonl.gz)."
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
    from sessions.scenario_file import write_scenarios

    paths = write_scenarios(find_scenarios(names), out, force=force)
    typer.echo(f"{len(paths)} scenario{'s' * (len(paths) != 1)} in {out}")
