"""Parse the commands that make a study: `duo study create`, `check` and `about`.

Light: what they need is imported inside.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from duo.errors import BadInput, check_choice
from duo.options import Chat, words
from duo.terminal import printable

if TYPE_CHECKING:
    from sessions.study.materials import SoundOf
    from sessions.study.study import Study

study_app = typer.Typer(no_args_is_help=True)

StudyFolder = Annotated[Path, typer.Argument(help="Folder of the study.", show_default=False)]


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


def opened(folder: Path) -> Study:
    """Open the study in a folder; see `open_study`."""
    from sessions.study.study import open_study

    return open_study(folder)


def missing_facts(study: Study) -> str:
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
    if said := missing_facts(study):
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
    from sessions.study.materials import SOUNDS, create_study, find_materials, live_materials

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
def check(study: StudyFolder) -> None:
    """Check whether the dialogues give the systems away; exit status 1 if they do.

    Looks for control tokens and names in the words, and tests whether the machinery's marks
    (slices, beats, pace) separate the systems. Says too how long the scripted user waited for each
    system, which should not differ.

    Example: duo study check runs/st
    """
    from sessions.study.leaks import find_leaks, leaks_tables, leaks_verdict

    checked = opened(study)
    if checked.design.live is not None:
        typer.echo(
            missing_facts(checked) or "nothing is missing; a live study has no recorded dialogues"
        )
        return
    leaks = find_leaks(checked)
    for table in leaks_tables(leaks):
        table.show()
    for sentence in leaks_verdict(leaks):
        typer.echo(sentence)
    if said := missing_facts(checked):
        typer.echo(said, err=True)
    if not leaks.clean:
        raise typer.Exit(1)


@study_app.command()
def about(
    study: StudyFolder,
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
    from sessions.study.study import set_about

    given = {
        "who": who, "contact": contact, "purpose": purpose, "duration": duration, "pay": pay,
        "data": data, "withdrawal": withdrawal,
    }  # fmt: skip
    said = {name: text for name, text in given.items() if text is not None}
    described = opened(study)
    described = _ask_for_facts(set_about(described, said) if said else described)
    for name, text in described.design.about:
        typer.echo(f"{name}: {'-' if text is None else printable(text)}")
