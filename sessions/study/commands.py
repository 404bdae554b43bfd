"""Parse the commands `duo study ...` and `duo bench study`.

Light: what they need is imported inside.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from duo.errors import BadInput, check_choice
from duo.terminal import printable

if TYPE_CHECKING:
    from sessions.study.design import Design
    from sessions.study.people import Invitation

study_app = typer.Typer(help="Have people compare recorded dialogues, blind.", no_args_is_help=True)

_Study = Annotated[Path, typer.Argument(help="Folder of the study.", show_default=False)]


def _ask_for_facts(design: Design) -> None:
    """Say what the consent page does not say."""
    if missing := design.about.missing:
        typer.echo(
            f"the consent page does not say: {', '.join(missing)} (`about` in the design)", err=True
        )


@study_app.command()
def create(
    transcripts: Annotated[
        Path, typer.Option(help="Folder of transcripts, such as `duo record` makes.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for the study.", show_default=False)],
    systems: Annotated[
        str | None,
        typer.Option(help="Systems to compare, separated by commas [default: all there are]."),
    ] = None,
    design: Annotated[
        Path | None,
        typer.Option(help="YAML file of the design [default: the paper's five criteria]."),
    ] = None,
    raters: Annotated[
        int | None, typer.Option(min=1, help="Raters for each item [default: the design's].")
    ] = None,
    pages: Annotated[
        int | None,
        typer.Option(min=1, help="Items for each rater [default: the design's, or all]."),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Of sides, orders, checks [default: the design's].")
    ] = None,
) -> None:
    """Make a study: the same scenario and seed by different systems, side by side.

    Example: duo study create --transcripts runs/demo --systems duo,duplex --raters 3 --out runs/st
    """
    from sessions.study.design import read_design
    from sessions.study.materials import create_study, find_materials

    names = [name.strip() for name in (systems or "").split(",") if name.strip()]
    chosen = read_design(design, raters_per_item=raters, pages_per_rater=pages, seed=seed)
    materials = find_materials(transcripts, names)
    study = create_study(out, chosen, materials, transcripts=transcripts)
    for line in materials.left_out:
        typer.echo(f"left out: {line}", err=True)
    typer.echo(
        f"{study.items} item{'s' * (study.items != 1)} of {', '.join(study.systems)} in {out}; "
        f"{chosen.raters_per_item} raters each"
    )
    _ask_for_facts(chosen)
    typer.echo(f"next: duo study check {out}; duo study invite {out}; duo study serve {out}")


@study_app.command()
def check(study: _Study) -> None:
    """Check whether the dialogues give the systems away; exit status 1 if they do.

    Looks for control tokens and names in the words, and tests whether the machinery's marks
    (slices, beats, pace) separate the systems. Says too how long the scripted user waited for each
    system, which should not differ.

    Example: duo study check runs/st
    """
    from sessions.study.leaks import find_leaks, leaks_tables, leaks_verdict
    from sessions.study.study import open_study

    opened = open_study(study)
    leaks = find_leaks(opened)
    for table in leaks_tables(leaks):
        table.show()
    for sentence in leaks_verdict(leaks):
        typer.echo(sentence)
    _ask_for_facts(opened.design)
    if not leaks.clean:
        raise typer.Exit(1)


@study_app.command()
def invite(
    study: _Study,
    raters: Annotated[int, typer.Option(min=0, max=10_000, help="Personal links to make.")] = 0,
    panel: Annotated[
        str | None,
        typer.Option(help="Make a link for a panel such as Prolific; give it a label."),
    ] = None,
    admin: Annotated[
        str | None, typer.Option(help="Make a link to the administrator's page; give it a label.")
    ] = None,
    days: Annotated[
        float | None, typer.Option(min=0, help="Days until the links expire [default: never].")
    ] = None,
    url: Annotated[
        str | None,
        typer.Option(help="Address of the server [default: the design's, or this machine's]."),
    ] = None,
    port: Annotated[
        int, typer.Option(min=1, max=65535, help="As `serve` has it, if it is this machine.")
    ] = 8501,
    out: Annotated[
        Path | None,
        typer.Option(help="CSV file for the links instead of the terminal.", show_default=False),
    ] = None,
) -> None:
    """Make links. They are shown once: only hashes of their tokens are kept.

    Example: duo study invite runs/st --raters 6 --admin me --days 30
    """
    from duo.files import write_text
    from duo.table import Table
    from sessions.study import people
    from sessions.study.study import open_study

    if not (raters or panel or admin):
        raise BadInput("say how many --raters, or give a label to --panel or --admin")
    opened = open_study(study)
    valid = None if days is None else days * 86_400
    made: list[Invitation] = people.invite_raters(opened, raters, valid_seconds=valid)
    if panel:
        made.append(people.invite(opened, "panel", label=panel, valid_seconds=valid))
    if admin:
        made.append(people.invite(opened, "admin", label=admin, valid_seconds=valid))
    base = url or opened.design.address or f"http://localhost:{port}"
    lines = [(one.kind, one.name, one.link(base)) for one in made]
    if out is None:
        for line in lines:
            typer.echo("\t".join(line))
    else:
        write_text(out, Table("", ("kind", "name", "link"), lines).csv())
        out.chmod(0o600)  # who has the file can rate
        typer.echo(f"{len(lines)} links in {out}")


@study_app.command()
def revoke(
    study: _Study,
    names: Annotated[
        list[str], typer.Argument(help="Raters, or labels of links.", show_default=False)
    ],
) -> None:
    """Shut raters or links out. What they rated is kept, marked, and given to others again.

    Example: duo study revoke runs/st r003
    """
    from sessions.study import people
    from sessions.study.study import open_study

    typer.echo(f"{people.revoke(open_study(study), names)} revoked")


@study_app.command()
def status(
    study: _Study,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, with everything.")] = False,
) -> None:
    """Show progress of raters and items, agreement so far, and what looks odd.

    Example: duo study status runs/st
    """
    from sessions.study.status import status_json, status_tables, study_status
    from sessions.study.study import open_study

    found = study_status(open_study(study))
    if as_json:
        typer.echo(status_json(found))
        return
    typer.echo(
        f"{printable(found.study)}: {found.state}, {found.done:.0%} of the wanted ratings, "
        f"{found.votes} votes, {found.comments} comments"
        + (" (all SYNTHETIC)\n" if found.synthetic else "\n")
    )
    for table in status_tables(found):
        if table.rows:
            table.show()


@study_app.command()
def state(
    study: _Study,
    to: Annotated[str, typer.Argument(help="open, paused or closed.", show_default=False)],
) -> None:
    """Pause, close or open a study.

    While it is paused nobody gets a new page; a closed one takes no answers.

    Example: duo study state runs/st paused
    """
    from sessions.study.study import STATES, open_study, set_state

    check_choice("state", to, STATES)
    set_state(open_study(study), to)
    typer.echo(f"{study} is {to}")


@study_app.command()
def export(
    study: _Study,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder; or a CSV file for the ratings alone [default: export in the study]."
        ),
    ] = None,
    withdrawn: Annotated[
        bool,
        typer.Option("--withdrawn", help="Also of raters who withdrew and left their answers."),
    ] = False,
    preferences: Annotated[
        str | None,
        typer.Option(
            metavar="CRITERION",
            help="Write what people preferred on this criterion for DPO instead, as JSON Lines.",
        ),
    ] = None,
    by: Annotated[
        str,
        typer.Option(help="A preference for each pair by majority, or for each vote: see docs."),
    ] = "majority",
    synthetic: Annotated[
        bool, typer.Option("--synthetic", help="Preferences of programs, too, to try it out.")
    ] = False,
) -> None:
    """Write all that raters gave: ratings (CSV, Parquet, a dictionary), comments, questionnaires.

    With --preferences: prompt, chosen and rejected in TRL's conversational form, ties left out.

    Example: duo study export runs/st --out runs/ratings
    Example: duo study export runs/st --preferences overall --out runs/dpo.jsonl
    """
    from sessions.study.exports import export_all
    from sessions.study.preferences import export_preferences
    from sessions.study.study import open_study
    from sessions.study.votes import export as write

    opened, path = open_study(study), out or study / "export"
    if preferences is not None:
        if path.suffix.lower() != ".jsonl":
            path = path / f"preferences-{preferences}.jsonl"
        made = export_preferences(opened, path, preferences, by=by, synthetic=synthetic)
        typer.echo(
            f"{len(made.rows)} preferences in {path}; left out: {made.ties} ties, "
            f"{made.unusable} of dialogues that cannot be used"
        )
    elif path.suffix.lower() == ".csv":
        typer.echo(f"{write(opened, path, withdrawn=withdrawn)} ratings in {path}")
    else:
        for name, rows in export_all(opened, path, withdrawn=withdrawn).items():
            typer.echo(f"{rows} {name.partition('.')[0]} in {path / name}")


@study_app.command(name="import")
def import_(
    study: _Study,
    file: Annotated[Path, typer.Argument(help="CSV file of an export.", show_default=False)],
) -> None:
    """Bring exported ratings of the same items in: all of the file, or nothing.

    Example: duo study import runs/st runs/ratings.csv
    """
    from sessions.study.importing import import_ratings
    from sessions.study.study import open_study

    typer.echo(f"{import_ratings(open_study(study), file)} new ratings")


@study_app.command()
def preregister(
    study: _Study,
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


@study_app.command()
def serve(
    study: _Study,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Where raters connect to.")] = 8501,
    host: Annotated[
        str, typer.Option(help="Address to listen at; 0.0.0.0 for all of this machine's.")
    ] = "127.0.0.1",
) -> None:
    """Serve the pages of a study until Ctrl-C. Nothing is lost by stopping and starting again.

    Example: duo study serve runs/st --port 8501
    """
    from sessions.study.app import serve as run
    from sessions.study.study import open_study

    opened = open_study(study)
    _ask_for_facts(opened.design)
    address = f"http://{'localhost' if host == '127.0.0.1' else host}:{port}"
    status = run(
        opened, host=host, port=port, ready=lambda: typer.echo(f"{address} (Ctrl-C stops)")
    )
    raise typer.Exit(status)


def bench(
    raters: Annotated[int, typer.Option(min=1, help="Raters at once.")] = 100,
    pages: Annotated[int, typer.Option(min=1, help="Pages for each.")] = 5,
    processes: Annotated[int, typer.Option(min=1, help="Server processes.")] = 2,
    think: Annotated[
        float, typer.Option(min=0, help="Mean seconds between two operations of a rater.")
    ] = 0.5,
    through_pages: Annotated[
        bool, typer.Option("--through-pages", hidden=True, help="Left the package.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="JSON file for the figures.", show_default=False)
    ] = None,
) -> None:
    """Test the database under load: is each rating stored once, and how long does it take?

    Uses a database in a temporary folder, or the one in DUO_DATABASE_URL (its rows stay there).

    Example: duo bench study --raters 100 --out runs/bench-study.json
    """
    import tempfile

    from duo.files import write_json
    from sessions.study.load import load_test

    if through_pages:
        raise BadInput(
            "left the package; in a checkout: python -m tests.sessions.study.app.load_pages",
            field="--through-pages",
        )
    with tempfile.TemporaryDirectory() as folder:
        found = load_test(
            Path(folder), raters=raters, pages=pages, processes=processes, think=think
        )
    if out is not None:
        write_json(out, vars(found))
    found.table().show()
    if found.lost or found.changed or found.sent != found.stored:
        raise typer.Exit(1)
