"""The commands of `duo study` for before the first rater, and `duo bench study`.

Light: what they need is imported inside.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from duo.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Sequence

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


def power(
    preference: Annotated[
        float, typer.Option(help="Share of the votes without ties for the better system.")
    ] = 0.65,
    ties: Annotated[float, typer.Option(help="Share of ties.")] = 0.2,
    raters: Annotated[str, typer.Option(help="Raters for each dialogue.")] = "1,3,5",
    dialogues: Annotated[str, typer.Option(help="Numbers of dialogues.")] = "20,40,60,80,120",
    dialogue_sd: Annotated[float, typer.Option(help="Spread between dialogues.")] = 0.5,
    rater_sd: Annotated[float, typer.Option(help="Spread between raters.")] = 0.3,
    criteria: Annotated[int, typer.Option(min=1, help="Criteria tested at once.")] = 5,
    level: Annotated[float, typer.Option(min=0.0001, max=0.5, help="Of the test.")] = 0.05,
    simulations: Annotated[int, typer.Option(min=100, help="Simulated studies.")] = 2_000,
    seed: Annotated[int, typer.Option(min=0, help="Of the simulation.")] = 0,
) -> None:
    """How many raters and dialogues does an effect need? By simulation, with clustered votes.

    Example: duo study power --preference 0.7 --raters 1,3 --dialogues 20,40,80
    """
    from sessions.study import power as simulated
    from sessions.study.reporting import power_report

    effect = simulated.Effect(preference, ties, dialogue_sd, rater_sd)
    found = simulated.table(
        effect,
        dialogues=_numbers(dialogues, "--dialogues"),
        raters=_numbers(raters, "--raters"),
        level=level,
        comparisons=criteria,
        simulations=simulations,
        seed=seed,
    )
    typer.echo(power_report(effect, found, level=level, criteria=criteria))


def simulate(
    study: Folder,
    raters: Annotated[int, typer.Option(min=1, max=1000, help="Synthetic raters.")] = 6,
    prefer: Annotated[
        list[str] | None,
        typer.Option(metavar="SYSTEM=STRENGTH", help="Strength in log odds; repeat for more."),
    ] = None,
    left_bias: Annotated[float, typer.Option(help="Added to the left side.")] = 0.0,
    careless: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Share of raters who answer at random.")
    ] = 0.0,
    seed: Annotated[int, typer.Option(help="Of the raters.")] = 0,
) -> None:
    """Let synthetic raters rate, to try a design out. Every row of theirs is marked.

    Example: duo study simulate runs/st --raters 6 --prefer duo=0.8
    """
    from sessions.study.simulation import Taste
    from sessions.study.simulation import simulate as run
    from sessions.study.study import open_study

    taste = Taste(_strengths(prefer or ()), left_bias=left_bias, careless=careless)
    pages = run(open_study(study), raters, taste, seed=seed)
    typer.echo(f"{pages} pages by {raters} synthetic raters")


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


def _numbers(text: str, field: str) -> list[int]:
    """Positive numbers, separated by commas."""
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if not numbers or not all(0 < number <= 100_000 for number in numbers):
        raise BadInput(f"{text!r} is not a list of numbers from 1 on", field=field)
    return numbers


def _strengths(assignments: Sequence[str]) -> dict[str, float]:
    strengths: dict[str, float] = {}
    for assignment in assignments:
        system, equals, value = assignment.rpartition("=")
        try:
            strengths[system] = float(value)
        except ValueError:
            equals = ""
        if not equals or not abs(strengths[system]) < 50:
            raise BadInput(f"{assignment!r} is not SYSTEM=STRENGTH", field="--prefer")
    return strengths
