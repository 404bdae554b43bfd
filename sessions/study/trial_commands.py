"""The commands of `duo study` for before the first rater, and `duo bench study`.

Light: what they need is imported inside.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Folder = Annotated[Path, typer.Argument(help="Folder of the study.", show_default=False)]


def preregister(
    study: Folder,
    out: Annotated[
        Path | None,
        typer.Option(help="Markdown file [default: preregistration-DATE.md in the study]."),
    ] = None,
) -> None:
    """Write down design, hypotheses, analysis plan, seed and hashes, before the first rating.

    Example: duo study preregister runs/st
    """
    from sessions.study.preregistration import preregister as write
    from sessions.study.study import open_study

    typer.echo(write(open_study(study), out))


def bench(
    raters: Annotated[int, typer.Option(min=1, help="Raters at once.")] = 100,
    pages: Annotated[int, typer.Option(min=1, help="Pages for each.")] = 5,
    processes: Annotated[int, typer.Option(min=1, help="Server processes.")] = 2,
    think: Annotated[
        float, typer.Option(min=0, help="Mean seconds between two operations of a rater.")
    ] = 0.5,
    through_pages: Annotated[
        bool,
        typer.Option(
            "--through-pages",
            help="Through a real server of the pages, by web sockets; it needs more --think.",
        ),
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="JSON file for the figures.", show_default=False)
    ] = None,
) -> None:
    """Load test: many raters at once; is each rating stored once, and how long does it take?

    Uses a database in a temporary folder, or the one in DUO_DATABASE_URL (its rows stay there).

    Example: duo bench study --raters 100 --out runs/bench-study.json
    """
    import tempfile

    from duo.files import write_text
    from sessions.study.load import load_test
    from sessions.study.reporting import load_report

    with tempfile.TemporaryDirectory() as folder:
        found = load_test(
            Path(folder),
            raters=raters,
            pages=pages,
            processes=processes,
            think=think,
            through_pages=through_pages,
        )
    if out is not None:
        write_text(out, found.as_json())
    typer.echo(load_report(found))
    if found.lost or found.changed or found.sent != found.stored:
        raise typer.Exit(1)
