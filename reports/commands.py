"""The commands of this room: `demo`.

Light on purpose: what a command needs is imported inside it, so that help texts appear at once.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def demo(
    out: Annotated[Path, typer.Option(help="Folder for all that is written.")] = Path("runs/demo"),
    model: Annotated[
        str,
        typer.Option(
            help="A hub id, a model or adapter folder, or the embedded model's alias, smollm2."
        ),
    ] = "smollm2",
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
    force: Annotated[
        bool, typer.Option("--force", help="Record again transcripts that do not match.")
    ] = False,
) -> None:
    """Hold the same conversations with three systems and make a page of what happened.

    Writes transcripts, a timeline picture of each, a table of forward passes and index.html to OUT.
    On the simulated clock the same command gives the same pictures. A run that was stopped goes on
    where it was when the command is given again.

    Example: duo demo --out runs/demo --no-open
    """
    from reports.demo import run_demo

    run_demo(out, model, scenario or (), open_page=open_page, force=force)
