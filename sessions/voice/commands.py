"""Parse the commands `talk` and `serve realtime`.

What a command needs is imported inside it, so that help appears at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from duo.errors import BadInput, check_choice
from duo.options import Chat, Date, Engine, Monitor, Prompt, Set, SystemSet, given, words

if TYPE_CHECKING:
    from sessions.chat.live import Builder

Holds = Annotated[
    bool,
    typer.Option(
        "--holds/--talks-on",
        help="At the onset of the user's speech, let the voice pause until the system has "
        "decided, or let it talk on till then.",
    ),
]
Seed = Annotated[int, typer.Option(help="Seed of the systems' random draws.")]
SystemVoice = Annotated[
    str, typer.Option("--voice", help="piper (this machine), google, or none: text alone.")
]


def talk(
    systems: Annotated[
        str,
        typer.Option(
            help="Systems to choose from on the page, separated by commas; see `duo record`."
        ),
    ] = "duo,turn-based",
    model: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[SYSTEM=]MODEL",
            help="As of `duo record`; repeat for more.",
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for what is recorded.")] = Path("runs/talk"),
    voice: SystemVoice = "piper",
    recogniser: Annotated[
        str, typer.Option(help="whisper (this machine, English), or google.")
    ] = "whisper",
    holds: Holds = True,
    monitor: Monitor = None,
    set_: SystemSet = None,
    seed: Seed = 0,
    chat: Chat = None,
    prompt: Prompt = None,
    date: Date = None,
    engine: Engine = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the page.")] = 8600,
) -> None:
    """Talk to a system by voice, on a page that this machine serves to itself alone.

    Needs the extra [voice]. Whether a conversation is recorded is asked on the page; nothing leaves
    this machine unless google is chosen. Ctrl-C ends it.

    Example: duo talk --systems duo,turn-based
    """
    from duo.files import check_writable
    from sessions.voice.extras import CLOUD

    loading = {"chat": chat, "system": prompt, "date": date, "engine": engine}
    spoken = {"voice": voice, "recogniser": recogniser}
    choices, build = prepared(
        words(systems, "systems"), model or (), set_ or (), seed, loading, spoken, monitor
    )
    check_writable(out)

    import socket

    import uvicorn

    from sessions.voice.server import Offer, Talks, make_app
    from sessions.voice.voices import load_voice

    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind(("127.0.0.1", port))
        except OSError as error:
            raise BadInput(f"port {port} cannot be used: {error.strerror}", field="port") from None
    typer.echo("loading the recogniser and the voice ...", err=True)
    leaves = " and ".join(sorted({recogniser, voice} & CLOUD))
    where = f"What you say is sent to {leaves}." if leaves else "Nothing leaves this computer."
    offer = Offer(
        choices=choices,
        build=build,
        voice=load_voice(voice),
        speech=_speech(recogniser),
        holds=holds,
        folder=out,
        about={
            "text": f"{where} Headphones keep the system from hearing itself.",
            "consent": f"your voice and what was said are kept in {out.absolute()}",
        },
    )
    app = make_app(Talks(offer))
    typer.echo(f"talk at http://127.0.0.1:{port} (Ctrl-C ends)")
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning", timeout_graceful_shutdown=5)


def say(
    data: Annotated[
        Path,
        typer.Argument(help="Folder with train.jsonl and validation.jsonl.", show_default=False),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the utterances.", show_default=False)],
    count: Annotated[int, typer.Option(min=1, help="Texts of train.jsonl to say.")] = 1500,
    test: Annotated[int, typer.Option(min=1, help="Other texts, of validation.jsonl.")] = 300,
    takes: Annotated[
        int, typer.Option(min=1, help="Takes of each text to learn from: pitch and noise differ.")
    ] = 2,
    seed: Annotated[int, typer.Option(help="Seed of all that is drawn.")] = 0,
) -> None:
    """Say the users' turns of samples with a voice, and keep what whisper's encoder makes of them.

    For `duo train --recipe frames`. Needs the extra [voice]. No text is in both parts; about those
    of validation.jsonl the recogniser is asked as well.

    Example: duo data say runs/data --out runs/said --count 500 --test 100
    """
    from sessions.voice.frames import say_all

    say_all(data, out, count=count, test=test, takes=takes, seed=seed)
    typer.echo(out)


serve_app = typer.Typer(help="Serve systems to other programs.", no_args_is_help=True)


@serve_app.callback()
def _serves() -> None:
    """Serve systems to other programs."""


@serve_app.command()
def realtime(
    system: Annotated[str, typer.Option(help="The system; see `duo record`.")] = "duo",
    model: Annotated[str | None, typer.Option(help="Its model, as of `duo record`.")] = None,
    voice: SystemVoice = "piper",
    holds: Holds = True,
    monitor: Monitor = None,
    set_: Set = None,
    seed: Seed = 0,
    chat: Chat = None,
    prompt: Prompt = None,
    date: Date = None,
    engine: Engine = None,
    host: Annotated[
        str, typer.Option(help="Address to listen at; one that others can reach needs a key.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 for any.")] = 8700,
    origin: Annotated[
        list[str] | None,
        typer.Option(help="Origin of a page that may connect; repeat for more [default: none]."),
    ] = None,
) -> None:
    """Let programs talk to a system over the OpenAI Realtime protocol, in sound or in text.

    One conversation at a time. If DUO_KEY is set, clients must bring it as their key.
    Ctrl-C ends it.

    Example: duo serve realtime --system duo --port 8700
    """
    import os

    from duo.keys import KEY

    if host not in ("127.0.0.1", "localhost", "::1") and not os.environ.get(KEY):
        raise BadInput(f"others can reach {host}: set {KEY} to a key for them", field="host")
    loading = {"chat": chat, "system": prompt, "date": date, "engine": engine}
    spoken = {"voice": voice, "recogniser": "whisper"}
    named = [] if model is None else [model]
    [(name, its)], build = prepared([system], named, set_ or (), seed, loading, spoken, monitor)

    import asyncio

    from sessions.voice.live import SpokenConversation
    from sessions.voice.realtime_server import Session, serve_realtime
    from sessions.voice.voices import load_voice

    typer.echo("loading the system, the recogniser and the voice ...", err=True)
    says, speech = load_voice(voice), _speech("whisper")
    build(name, its)  # so that the first client need not wait for the model

    def begin(session: Session) -> SpokenConversation:
        # A system of its own: the one before may still be computing, or was cancelled for good.
        conversant, header = build(name, its)
        return SpokenConversation(conversant, header, speech(), says, session, holds=holds)

    serving = serve_realtime(
        begin,
        model=name,
        host=host,
        port=port,
        silent=voice == "none",
        origins=origin or (),
        ready=lambda address: typer.echo(f"{address} (Ctrl-C ends)"),
    )
    try:
        asyncio.run(serving)
    except OSError as error:
        raise BadInput(f"port {port} cannot be used: {error.strerror}", field="port") from None
    except KeyboardInterrupt:
        pass


def prepared(
    names: list[str],
    model: Sequence[str],
    assignments: Sequence[str],
    seed: int,
    loading: dict[str, Any],
    spoken: dict[str, str],
    monitor: str | None = None,
) -> tuple[list[tuple[str, str]], Builder]:
    """Check what was asked for; return the systems with their models, and what builds them.

    Raises:
        BadInput: there is no such system, model, setting or recogniser.
    """
    from sessions.voice.extras import need

    check_choice("recogniser", spoken["recogniser"], ("whisper", "google"))
    need("session", spoken["recogniser"])
    from duo.decoding.systems import check_settings, check_system, models_for, with_prompt
    from sessions.commands import settings_of
    from sessions.recorder import usual_settings

    for name in names:
        check_system(name)
    models = models_for(names, model)
    own = settings_of(names, None, None, assignments, monitor)
    settings = {name: usual_settings(name) | own[name] for name in names}
    for name in names:
        check_settings(name, settings[name], seed=seed)
    loading = with_prompt(given(**loading), models.values())
    return [(name, models.get(name, "none")) for name in names], builder(
        settings, loading, seed, spoken
    )


def _speech(recogniser: str) -> Callable[[], Any]:
    """Load a recogniser; return what begins to hear with it."""
    from sessions.voice.recogniser import RemoteSpeech, SpeechInput, whisper

    return RemoteSpeech if recogniser == "google" else partial(SpeechInput, whisper())


def builder(
    settings: dict[str, dict[str, Any]], loading: dict[str, Any], seed: int, spoken: dict[str, str]
) -> Builder:
    """Make what builds systems that are spoken to; `spoken` names voice and recogniser."""
    from importlib.metadata import version

    from sessions.chat.live import Builder

    versions = {name: version(name) for name in ("faster-whisper", "pipecat-ai", "piper-tts")}
    header = {"scenario": "talk", "clock": "real-time", "settings": spoken, "versions": versions}
    return Builder(settings, loading, seed, header)


def bench_voice(
    model: Annotated[str, typer.Option(help="As of `duo record`.")] = "smollm2-duo",
    system: Annotated[str, typer.Option(help="The system to talk to.")] = "duo",
    exchanges: Annotated[
        int, typer.Option(min=1, max=8, help="Questions that are asked and interrupted.")
    ] = 8,
    holds: Holds = True,
    set_: Set = None,
    chat: Chat = None,
    date: Date = None,
    engine: Engine = None,
    out: Annotated[
        Path | None, typer.Option(help="JSON file for the figures.", show_default=False)
    ] = None,
) -> None:
    """Talk to a system in real time: how long does one wait for it, and how soon does it yield?

    Takes 20 to 60 s an exchange. Times are of this machine as it is: nothing else should run on it.

    Example: duo bench voice --exchanges 2
    """
    from duo.table import make_result
    from sessions.voice.bench import EXCHANGES, VoiceBench, bench
    from sessions.voice.live import SpokenConversation
    from sessions.voice.voices import load_voice

    loading = {"chat": chat, "date": date, "engine": engine}
    spoken = {"voice": "piper", "recogniser": "whisper"}
    [choice], build = prepared([system], [model], set_ or (), 0, loading, spoken)

    def measure() -> VoiceBench:
        conversant, header = build(*choice)
        speech, voice = _speech("whisper")(), load_voice("piper")
        return bench(
            lambda shown: SpokenConversation(conversant, header, speech, voice, shown, holds=holds),
            header,
            voice,
            EXCHANGES[:exchanges],
        )

    make_result(out, measure, lambda result: result.tables())
