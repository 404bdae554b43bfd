"""Parse the commands `duo study ...` and `duo bench raters`.

Light: what they need is imported inside.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any, cast
from urllib.parse import urlsplit

import typer

from duo.errors import BadInput, check_choice
from duo.options import Chat, numbers, words
from duo.terminal import printable

if TYPE_CHECKING:
    from sessions.study.people import Invitation
    from sessions.study.sound import SoundOf
    from sessions.study.study import Study

study_app = typer.Typer(no_args_is_help=True)

_Study = Annotated[Path, typer.Argument(help="Folder of the study.", show_default=False)]


@study_app.callback(help="Have people compare dialogues, recorded or their own, blind.")
def _keep_private(context: typer.Context) -> None:
    """Let all that these commands write be for the user alone: answers of people, and links."""
    before = os.umask(0o077)
    context.call_on_close(lambda: os.umask(before))


#: What people should know before they consent, as it is asked for.
_FACTS = {
    "who": "Who does the study?",
    "contact": "How can they be reached?",
    "purpose": "What is it for?",
    "duration": "How long does taking part last?",
    "pay": "What do people get for it?",
    "data": "What is stored, how long, and who sees it?",
    "withdrawal": "How can one withdraw, also later?",
}


def _missing_facts(study: Study) -> str:
    """Say what the consent page does not say; "" if it says all."""
    missing = ", ".join(study.design.about.missing)
    asks = f"`duo study about {quote(str(study.folder))}` asks for it"
    return missing and f"the consent page does not say: {missing} ({asks})"


def _ask_for_facts(study: Study) -> Study:
    """Ask, in a terminal, for what the consent page does not say; else say what that is."""
    from sessions.study.study import set_about

    if study.design.about.missing and sys.stdin.isatty() and sys.stdout.isatty():
        typer.echo("What people should know before they consent (Enter leaves it open):")
        asked = {
            name: typer.prompt(
                f"  {_FACTS[name]}", default="", show_default=False, prompt_suffix=" "
            ).strip()
            for name in study.design.about.missing
        }
        study = set_about(study, {name: text for name, text in asked.items() if text})
    if said := _missing_facts(study):
        typer.echo(said, err=True)
    return study


@study_app.command()
def create(
    out: Annotated[Path, typer.Option(help="Folder for the study.", show_default=False)],
    transcripts: Annotated[
        Path | None,
        typer.Option(help="Folder of transcripts, such as `duo record` makes.", show_default=False),
    ] = None,
    live: Annotated[
        bool, typer.Option("--live", help="Participants talk to the systems themselves: see docs.")
    ] = False,
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
    language: Annotated[
        str | None,
        typer.Option(help="Of the pages; several, separated by commas: raters choose [en]."),
    ] = None,
    sound: Annotated[
        str,
        typer.Option(
            help="What raters hear: recorded (what lies beside the transcripts, if it does), "
            "one-voice (all words spoken anew, by the same two voices), or none."
        ),
    ] = "recorded",
    topics: Annotated[
        Path | None, typer.Option(help="YAML file of topics, with --live [default: four of ours].")
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(metavar="[SYSTEM=]MODEL", help="As of `duo talk`, with --live."),
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="[SYSTEM.]NAME=VALUE", help="The same.")
    ] = None,
    chat: Chat = None,
) -> None:
    """Make a study: the same scenario and seed by different systems, side by side.

    Example: duo study create --transcripts runs/demo --systems duo,duplex --raters 3 --out runs/st
    Example: duo study create --live --systems duo,turn-based --out runs/live
    """
    from duo.chatformat import STYLES
    from sessions.study.design import read_design
    from sessions.study.materials import create_study, find_materials, live_materials
    from sessions.study.sound import SOUNDS

    check_choice("--sound", sound, SOUNDS)
    check_choice("--chat", chat or STYLES[0], STYLES)
    if live == (transcripts is not None):
        raise BadInput("say --transcripts FOLDER, or --live", field="--transcripts")
    if not live and (given := topics or model or set_ or chat):
        raise BadInput(f"{given}: --topics, --model, --set and --chat go with --live")
    names = [] if systems is None else words(systems, "--systems")
    spoken = [] if language is None else words(language, "--language")
    chosen = read_design(
        design,
        raters_per_item=raters,
        pages_per_rater=pages,
        seed=seed,
        language=spoken or None,
        live=_live(names, topics, model or (), set_ or (), seed or 0, chat) if live else None,
    )
    if transcripts is None:
        materials, sound = live_materials(chosen), "none"
    else:
        materials = find_materials(transcripts, names)
    study = create_study(
        out, chosen, materials, transcripts=transcripts, sound=cast("SoundOf", sound)
    )
    for line in materials.left_out:
        typer.echo(f"left out: {line}", err=True)
    typer.echo(
        f"{study.items} item{'s' * (study.items != 1)} of {', '.join(study.systems)} in {out}; "
        f"{chosen.raters_per_item} raters each"
    )
    _ask_for_facts(study)
    steps = (f"duo study {step} {quote(str(out))}" for step in ("check", "invite", "serve"))
    typer.echo(f"next: {'; '.join(steps)}")


def _live(
    systems: list[str],
    topics: Path | None,
    models: Sequence[str],
    assignments: Sequence[str],
    seed: int,
    chat: str | None,
) -> dict[str, Any]:
    """Return what a live study is told of its systems and topics; both are checked."""
    from sessions.study.design import read_topics
    from sessions.voice.commands import prepared

    if len(set(systems)) < 2 or len(set(systems)) < len(systems):
        raise BadInput("name the systems to compare, two or more", field="--systems")
    spoken = {"voice": "piper", "recogniser": "whisper"}
    choices, build = prepared(systems, models, assignments, seed, {"chat": chat}, spoken)
    told = {name: {"model": model, "settings": build.settings[name]} for name, model in choices}
    given = {"systems": told, "chat": chat, "topics": topics and read_topics(topics)}
    return {name: value for name, value in given.items() if value is not None}


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
    if opened.design.live is not None:
        typer.echo(
            _missing_facts(opened) or "nothing is missing; a live study has no recorded dialogues"
        )
        return
    leaks = find_leaks(opened)
    for table in leaks_tables(leaks):
        table.show()
    for sentence in leaks_verdict(leaks):
        typer.echo(sentence)
    if said := _missing_facts(opened):
        typer.echo(said, err=True)
    if not leaks.clean:
        raise typer.Exit(1)


@study_app.command()
def about(
    study: _Study,
    who: Annotated[str | None, typer.Option(help="Who does the study.")] = None,
    contact: Annotated[str | None, typer.Option(help="How to reach them.")] = None,
    purpose: Annotated[str | None, typer.Option(help="What the study is for.")] = None,
    duration: Annotated[str | None, typer.Option(help="How long taking part lasts.")] = None,
    pay: Annotated[str | None, typer.Option(help="What people get for it.")] = None,
    data: Annotated[
        str | None, typer.Option(help="What is stored, how long, and who sees it.")
    ] = None,
    withdrawal: Annotated[str | None, typer.Option(help="How to withdraw, also later.")] = None,
) -> None:
    """Say what people should know before they consent; a terminal asks for what is missing.

    Without options it shows what is said. What is said anew replaces what was said before.

    Example: duo study about runs/st --who "Jane Doe, University of X" --contact jane@x.org
    """
    from sessions.study.study import open_study, set_about

    given = {
        "who": who, "contact": contact, "purpose": purpose, "duration": duration, "pay": pay,
        "data": data, "withdrawal": withdrawal,
    }  # fmt: skip
    said = {name: text for name, text in given.items() if text is not None}
    opened = open_study(study)
    opened = set_about(opened, said) if said else opened
    opened = _ask_for_facts(opened)
    for name, text in opened.design.about:
        typer.echo(f"{name}: {'-' if text is None else printable(text)}")


@study_app.command()
def invite(
    study: _Study,
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
    base = url or (f"http://localhost:{port}" if port else opened.address)
    lines = [(one.kind, one.name, one.link(base)) for one in made]
    if out is None:
        for line in lines:
            typer.echo("\t".join(line))
    else:
        write_text(out, Table("", ("kind", "name", "link"), lines).csv())
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
    """Write all that raters gave: ratings (CSV, Parquet, a dictionary of the columns), comments.

    Beside them stand questionnaires.csv and marks.csv, if the design asks for such. With
    --preferences: prompt, chosen and rejected in TRL's conversational form, ties left out.

    Example: duo study export runs/st --out runs/ratings
    Example: duo study export runs/st --preferences overall --out runs/dpo.jsonl
    """
    from sessions.study.exports import export_all
    from sessions.study.preferences import export_preferences
    from sessions.study.study import open_study
    from sessions.study.votes import export as write

    if preferences is None and (synthetic or by != "majority"):
        raise BadInput("goes with --preferences", field="--synthetic" if synthetic else "--by")
    if preferences is not None and withdrawn:
        raise BadInput("preferences are never of raters who withdrew", field="--withdrawn")
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
    from sessions.study.study import open_study, set_address

    opened = open_study(study)
    if (said := _missing_facts(opened)) and not trial:
        raise BadInput(f"{said}; --trial serves it all the same", file=study)
    here = f"http://{'localhost' if host in ('127.0.0.1', '0.0.0.0') else host}:{port}"
    public = (url or opened.design.address or here).rstrip("/")
    here += urlsplit(public).path

    def ready() -> None:
        set_address(opened, public)
        typer.echo(f"{public} ({'' if public == here else f'here {here}; '}Ctrl-C stops)")

    with ExitStack() as stack:
        if opened.design.live is not None:
            from sessions.voice.extras import need

            need("session", "whisper", opened.design.live.voice)
            from sessions.study.app import check_free
            from sessions.study.talking import serving

            talks = talk_port or port + processes
            check_free(host, talks)
            own = {f"http://{name}:{port}" for name in ("localhost", "127.0.0.1")}
            page = urlsplit(public)
            typer.echo("loading the recogniser, the voice and the models ...", err=True)
            stack.enter_context(
                serving(
                    opened,
                    host=host,
                    port=talks,
                    public=(talk_url or f"http://{page.hostname}:{talks}").rstrip("/"),
                    framed_by=sorted(own | {f"{page.scheme}://{page.netloc}"}),
                )
            )
        status = run(opened, host=host, port=port, public=public, processes=processes, ready=ready)
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
