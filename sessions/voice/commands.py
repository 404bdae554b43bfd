"""Parse the command `talk`; what it needs is imported inside it, so that help appears at once."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from duo.errors import BadInput
from duo.options import Chat, Date, Engine, words

if TYPE_CHECKING:
    from duo.backbone import Backbone
    from duo.decoding.conversant import Conversant
    from duo.transcript import Header


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
    voice: Annotated[
        str,
        typer.Option(help="piper (this machine), google, or none: captions alone."),
    ] = "piper",
    recogniser: Annotated[
        str, typer.Option(help="whisper (this machine, English), or google.")
    ] = "whisper",
    holds: Annotated[
        bool,
        typer.Option(
            "--holds/--talks-on",
            help="At the onset of your speech, let the voice pause until the system has decided, "
            "or let it talk on till then.",
        ),
    ] = True,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="[SYSTEM.]NAME=VALUE",
            help="Any setting, of one system or of all; repeat for more.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the systems' random draws.")] = 0,
    chat: Chat = None,
    date: Date = None,
    engine: Engine = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the page.")] = 8600,
) -> None:
    """Talk to a system by voice, on a page that this machine serves to itself alone.

    Needs the extra [voice]. Whether a conversation is recorded is asked on the page; nothing leaves
    this machine unless google is chosen. Ctrl-C ends it.

    Example: duo talk --systems duo,turn-based
    """
    from sessions.voice.extras import CLOUD, need

    for field, name, known in (
        ("voice", voice, ("piper", "google", "none")),
        ("recogniser", recogniser, ("whisper", "google")),
    ):
        if name not in known:
            raise BadInput(f"{name!r} is none of {', '.join(known)}", field=field)
    need("session", recogniser, voice)
    from duo.decoding.systems import check_settings, is_foreign, models_for, with_prompt
    from duo.files import check_writable

    names = words(systems, "systems")
    models = models_for(names, model or ())
    settings = _settings(names, set_ or ())
    for name in names:
        if not is_foreign(name):
            check_settings(name, seed=seed, **settings[name])
    loading = {
        name: value
        for name, value in {"chat": chat, "date": date, "engine": engine}.items()
        if value is not None
    }
    check_writable(out)
    loading = with_prompt(loading, models.values())
    _serve(
        choices=[(name, models.get(name, "none")) for name in names],
        build=_Builder(settings, loading, seed, {"voice": voice, "recogniser": recogniser}),
        voice=voice,
        recogniser=recogniser,
        holds=holds,
        out=out,
        leaves=sorted({recogniser, voice} & CLOUD),
        port=port,
    )


def _settings(names: list[str], assignments: list[str] | tuple[()]) -> dict[str, dict[str, Any]]:
    from duo.decoding.systems import is_foreign
    from sessions.commands import settings_of
    from sessions.recorder import COMMON

    given = settings_of(names, None, None, assignments, None)
    return {name: ({} if is_foreign(name) else dict(COMMON)) | given[name] for name in names}


class _Builder:
    """Builds systems, and keeps the model that was loaded last."""

    def __init__(
        self,
        settings: dict[str, dict[str, Any]],
        loading: dict[str, Any],
        seed: int,
        spoken: dict[str, str],
    ) -> None:
        self._settings, self._loading, self._seed, self._spoken = settings, loading, seed, spoken
        self._loaded: tuple[str, Backbone] | None = None

    def __call__(self, system: str, model: str) -> tuple[Conversant, Header]:
        """Build a system with its model, and the header of its transcript."""
        from duo.decoding.systems import build
        from duo.runs import versions
        from duo.transcript import Header

        backbone, day = None, {}
        if model != "none":
            if self._loaded is None or self._loaded[0] != model:
                from duo.backbone import load

                self._loaded = None  # before the next one takes its memory
                self._loaded = model, load(model, **self._loading)
            backbone = self._loaded[1]
            day = backbone.chat.shown_day
        settings = self._settings[system]
        conversant = build(system, backbone, seed=self._seed, **settings)
        header = Header(
            system=system,
            model=model,
            scenario="talk",
            seed=self._seed,
            clock="real-time",
            cycle_seconds=conversant.cycle_seconds,
            settings={**settings, **self._spoken}
            | ({"backbone": self._loading} if self._loading else {}),
            versions=versions() | day,
        )
        return conversant, header


def _serve(
    *,
    choices: list[tuple[str, str]],
    build: _Builder,
    voice: str,
    recogniser: str,
    holds: bool,
    out: Path,
    leaves: list[str],
    port: int,
) -> None:
    """Load what all conversations share, and serve the page until Ctrl-C."""
    import socket

    import uvicorn

    from sessions.voice.recogniser import RemoteSpeech, SpeechInput, whisper
    from sessions.voice.server import Offer, make_app
    from sessions.voice.voices import load_voice

    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind(("127.0.0.1", port))
        except OSError as error:
            raise BadInput(f"port {port} cannot be used: {error.strerror}", field="port") from None
    typer.echo("loading the recogniser and the voice ...", err=True)
    where = (
        f"What you say is sent to {' and '.join(leaves)}."
        if leaves
        else "Nothing leaves this computer."
    )
    speech = RemoteSpeech if recogniser == "google" else partial(SpeechInput, whisper())
    offer = Offer(
        choices=choices,
        build=build,
        speech=speech,
        voice=load_voice(voice),
        holds=holds,
        folder=out,
        about={
            "text": f"{where} Headphones keep the system from hearing itself.",
            "consent": f"your voice and what was said are kept in {out.absolute()}. {where}",
        },
    )
    app = make_app(offer)
    typer.echo(f"talk at http://127.0.0.1:{port} (Ctrl-C ends)")
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning", timeout_graceful_shutdown=5)


def bench_voice(
    model: Annotated[str, typer.Option(help="As of `duo record`.")] = "smollm2-duo",
    system: Annotated[str, typer.Option(help="The system to talk to.")] = "duo",
    exchanges: Annotated[
        int, typer.Option(min=1, max=8, help="Questions that are asked and interrupted.")
    ] = 8,
    holds: Annotated[bool, typer.Option("--holds/--talks-on", help="As of `duo talk`.")] = True,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Any setting.")
    ] = None,
    engine: Engine = None,
    out: Annotated[
        Path | None, typer.Option(help="JSON file for the figures.", show_default=False)
    ] = None,
) -> None:
    """Talk to a system in real time: how long does one wait for it, and how soon does it yield?

    Takes 20 to 60 s an exchange. Times are of this machine as it is: nothing else should run on it.

    Example: duo bench voice --exchanges 2
    """
    from sessions.voice.extras import need

    need("whisper", "piper")
    from duo.decoding.systems import with_prompt
    from duo.table import make_result
    from sessions.voice.bench import EXCHANGES, VoiceBench, bench
    from sessions.voice.live import SpokenConversation
    from sessions.voice.recogniser import SpeechInput, whisper
    from sessions.voice.voices import load_voice

    loading = with_prompt({} if engine is None else {"engine": engine}, [model])
    build = _Builder(_settings([system], set_ or ()), loading, 0, {"voice": "piper"})

    def measure() -> VoiceBench:
        conversant, header = build(system, model)
        speech, voice = SpeechInput(whisper()), load_voice("piper")
        return bench(
            lambda shown: SpokenConversation(conversant, header, speech, voice, shown, holds=holds),
            header,
            load_voice("piper"),
            EXCHANGES[:exchanges],
        )

    make_result(out, measure, lambda result: result.tables())
