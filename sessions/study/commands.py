"""Parse the commands `duo study ...` but those that make one (`making`), and `duo bench raters`.

Light: what they need is imported inside.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer

from duo.errors import BadInput
from duo.options import numbers
from duo.terminal import printable
from sessions.study.making import StudyFolder, missing_facts, opened, study_app


@study_app.command()
def invite(
    study: StudyFolder,
    raters: Annotated[int, typer.Option(min=0, max=10_000, help="Personal links to make.")] = 0,
    panel: Annotated[
        str | None, typer.Option(help="Make a link for a panel such as Prolific; give it a label.")
    ] = None,
    admin: Annotated[
        str | None, typer.Option(help="Make a link to the administrator's page; give it a label.")
    ] = None,
    days: Annotated[
        float | None, typer.Option(min=0, help="Days until the links expire [default: never].")
    ] = None,
    url: Annotated[
        str | None,
        typer.Option(help="Address of the server [default: the design's, or as last served]."),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            min=1, max=65535, help="Of the server on this machine [default: as last served]."
        ),
    ] = None,
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

    if not (raters or panel or admin):
        raise BadInput("say how many --raters, or give a label to --panel or --admin")
    asked = opened(study)
    valid = None if days is None else days * 86_400
    made = people.invite_raters(asked, raters, valid_seconds=valid)
    if panel:
        made.append(people.invite(asked, "panel", label=panel, valid_seconds=valid))
    if admin:
        made.append(people.invite(asked, "admin", label=admin, valid_seconds=valid))
    base = url or (f"http://localhost:{port}" if port else asked.address)
    lines = [(one.kind, one.name, one.link(base)) for one in made]
    if out is None:
        for line in lines:
            typer.echo("\t".join(line))
    else:
        write_text(out, Table("", ("kind", "name", "link"), lines).csv())
        typer.echo(f"{len(lines)} links in {out}")


@study_app.command()
def revoke(
    study: StudyFolder,
    names: Annotated[
        list[str], typer.Argument(help="Raters, or labels of links.", show_default=False)
    ],
) -> None:
    """Shut raters or links out. What they rated is kept, marked, and given to others again.

    Example: duo study revoke runs/st r003
    """
    from sessions.study import people

    typer.echo(f"{people.revoke(opened(study), names)} revoked")


@study_app.command()
def status(
    study: StudyFolder,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, with everything.")] = False,
) -> None:
    """Show progress of raters and items, agreement so far, and what looks odd.

    Example: duo study status runs/st
    """
    from sessions.study.status import status_json, status_tables, study_status

    found = study_status(opened(study))
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
    study: StudyFolder,
    to: Annotated[str, typer.Argument(help="open, paused or closed.", show_default=False)],
) -> None:
    """Pause, close or open a study.

    While it is paused nobody gets a new page; a closed one takes no answers.

    Example: duo study state runs/st paused
    """
    from sessions.study.study import set_state

    set_state(opened(study), to)
    typer.echo(f"{study} is {to}")


@study_app.command()
def export(
    study: StudyFolder,
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
    """Write all that raters gave: ratings (CSV, Parquet, a dictionary of the columns), comments.

    Beside them stand questionnaires.csv and marks.csv, if the design asks for such. With
    --preferences: prompt, chosen and rejected in TRL's conversational form, ties left out.

    Example: duo study export runs/st --out runs/ratings
    Example: duo study export runs/st --preferences overall --out runs/dpo.jsonl
    """
    from sessions.study.exports import export_all, export_preferences
    from sessions.study.votes import export as write

    if preferences is None and (synthetic or by != "majority"):
        raise BadInput("goes with --preferences", field="--synthetic" if synthetic else "--by")
    if preferences is not None and withdrawn:
        raise BadInput("preferences are never of raters who withdrew", field="--withdrawn")
    exported, path = opened(study), out or study / "export"
    if preferences is not None:
        if path.suffix.lower() != ".jsonl":
            path = path / f"preferences-{preferences}.jsonl"
        made = export_preferences(exported, path, preferences, by=by, synthetic=synthetic)
        typer.echo(
            f"{len(made.rows)} preferences in {path}; left out: {made.ties} ties, "
            f"{made.unusable} of dialogues that cannot be used"
        )
    elif path.suffix.lower() == ".csv":
        typer.echo(f"{write(exported, path, withdrawn=withdrawn)} ratings in {path}")
    else:
        for name, rows in export_all(exported, path, withdrawn=withdrawn).items():
            typer.echo(f"{rows} {name.partition('.')[0]} in {path / name}")


@study_app.command(name="import")
def import_(
    study: StudyFolder,
    file: Annotated[Path, typer.Argument(help="CSV file of an export.", show_default=False)],
) -> None:
    """Bring exported ratings of the same items in: all of the file, or nothing.

    Example: duo study import runs/st runs/ratings.csv
    """
    from sessions.study.importing import import_ratings

    typer.echo(f"{import_ratings(opened(study), file)} new ratings")


@study_app.command()
def preregister(
    study: StudyFolder,
    out: Annotated[
        Path | None,
        typer.Option(help="Markdown file [default: preregistration-DATE.md in the study]."),
    ] = None,
) -> None:
    """Write down design, hypotheses, analysis plan, seed and hashes, before the first rating.

    Example: duo study preregister runs/st
    """
    from sessions.study.preregistration import preregister as write

    typer.echo(write(opened(study), out))


@study_app.command()
def serve(
    study: StudyFolder,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Where raters connect to.")] = 8501,
    host: Annotated[
        str, typer.Option(help="Address to listen at; 0.0.0.0 for all of this machine's.")
    ] = "127.0.0.1",
    url: Annotated[
        str | None,
        typer.Option(help="Address by which raters reach it, if a proxy stands before it."),
    ] = None,
    processes: Annotated[
        int,
        typer.Option(
            min=1, max=64, help="Servers, at this and the following ports; a proxy shares raters."
        ),
    ] = 1,
    trial: Annotated[
        bool, typer.Option("--trial", help="Serve although the consent page is not complete.")
    ] = False,
    talk_port: Annotated[
        int | None,
        typer.Option(
            min=1, max=65535, help="Where participants of a live study talk [default: the next]."
        ),
    ] = None,
    talk_url: Annotated[
        str | None, typer.Option(help="As --url, of that port; it may have a path.")
    ] = None,
) -> None:
    """Serve the pages of a study until Ctrl-C. Nothing is lost by stopping and starting again.

    A study whose consent page does not say all that people should know (see `duo study about`) is
    served only with --trial.

    `duo bench raters` says how many raters at once this machine carries with one process, or more.
    Several need a proxy before them, which keeps each rater with one: see docs/nginx.conf.

    Example: duo study serve runs/st --port 8501
    """
    from sessions.study.app import serve as run
    from sessions.study.study import set_address

    served = opened(study)
    if (said := missing_facts(served)) and not trial:
        raise BadInput(f"{said}; --trial serves it all the same", file=study)
    here = f"http://{'localhost' if host in ('127.0.0.1', '0.0.0.0') else host}:{port}"
    public = (url or served.design.address or here).rstrip("/")
    here += urlsplit(public).path

    def ready() -> None:
        set_address(served, public)
        typer.echo(f"{public} ({'' if public == here else f'here {here}; '}Ctrl-C stops)")

    with ExitStack() as stack:
        if served.design.live is not None:
            from sessions.voice.extras import need

            need("session", "whisper", served.design.live.voice)
            from sessions.study.app import check_free
            from sessions.study.talking import serving

            talks = talk_port or port + processes
            check_free(host, talks)
            own = {f"http://{name}:{port}" for name in ("localhost", "127.0.0.1")}
            page = urlsplit(public)
            typer.echo("loading the recogniser, the voice and the models ...", err=True)
            stack.enter_context(
                serving(
                    served,
                    host=host,
                    port=talks,
                    public=(talk_url or f"http://{page.hostname}:{talks}").rstrip("/"),
                    framed_by=sorted(own | {f"{page.scheme}://{page.netloc}"}),
                )
            )
        status = run(served, host=host, port=port, public=public, processes=processes, ready=ready)
    raise typer.Exit(status)


def bench(
    raters: Annotated[
        str, typer.Option(help="Raters at once; several numbers, separated by commas, in turn.")
    ] = "25,50,100",
    pages: Annotated[int, typer.Option(min=1, help="Pages for each.")] = 3,
    think: Annotated[
        float, typer.Option(min=0, help="Mean seconds between two actions of a rater.")
    ] = 3.0,
    processes: Annotated[
        int, typer.Option(min=1, max=64, help="Server processes that share the raters.")
    ] = 1,
    out: Annotated[
        Path | None, typer.Option(help="JSON file for the figures.", show_default=False)
    ] = None,
) -> None:
    """Test the pages under load: how many raters does this machine carry?

    It carries so many if an action has its answer within 1 s (median) and 3 s (95 %), and no click
    is lost or doubled. Servers like those of `duo study serve` are driven over web sockets, with
    the messages of browsers; no browser draws anything. The raters run on this machine, too. It
    takes about (4 + 6 x pages) x think seconds for each number of raters.

    Example: duo bench raters --raters 50,100,200 --out runs/bench-raters.json
    """
    import tempfile

    from duo.table import make_result
    from sessions.study.app.load import LoadBench, carries, load_pages

    def test() -> LoadBench:
        found = []
        for count in numbers(raters, "--raters", 1):
            with tempfile.TemporaryDirectory() as folder:
                one = load_pages(
                    Path(folder), raters=count, pages=pages, think=think, processes=processes
                )
            found.append(one)
            one.table().show()  # at once: the next takes minutes
            if not carries(one):
                break
        return LoadBench(runs=tuple(found))

    bench = make_result(out, test, lambda _: [])
    carried = [one.raters for one in bench.runs if carries(one)]
    most = carried[-1] if carried else 0
    typer.echo(f"this machine carries {most} raters" if most else "not even so many in time")
    if not most:
        raise typer.Exit(1)
