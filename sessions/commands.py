"""Parse the commands `record`, `chat`, `bench sweep` and `bench recogniser`.

What a command needs is imported inside it, so that help texts appear at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from duo.decoding.systems import SYSTEM_NAMES
from duo.errors import BadInput
from duo.options import (
    Attention,
    Chat,
    Date,
    Device,
    DType,
    Engine,
    Monitor,
    Prompt,
    Set,
    SystemSet,
    given,
    words,
)
from sessions.files import list_

if TYPE_CHECKING:
    from pydantic import JsonValue

    from sessions.voice.studio import SpeechSettings

#: The systems that --lookahead and --cycle-seconds are for, and their tokens of a cycle.
_PACED = {
    system: "tokens_per_cycle" if system.startswith(("turn-based", "lslm")) else "lookahead"
    for system in SYSTEM_NAMES
    if system != "duplex"
}
_MODEL_HELP = (
    "A hub id, a model or adapter folder, a GGUF file (here, or user/repo:file.gguf of the hub), "
    "or an alias: smollm2, smollm2-duo, smollm2-duplex (embedded), qwen (1.5B) [default: the "
    "embedded one trained for the system]."
)


def _list_scenarios(wanted: bool) -> None:
    if wanted:
        list_()
        raise typer.Exit


#: How the user of a spoken scenario speaks.
Voices = Annotated[
    list[str] | None,
    typer.Option(
        "--voice",
        help="The user's voice: piper, google, or the .onnx file of a voice of piper's, with "
        "#NUMBER for one of its speakers; repeat for more, of which each scenario has one "
        "[default: piper].",
    ),
]
Noise = Annotated[
    float | None,
    typer.Option(
        "--noise", metavar="DB", help="Pink noise, quieter than the speech by so many decibels."
    ),
]
Talker = Annotated[
    float | None,
    typer.Option(
        "--talker", metavar="DB", help="A second talker, quieter than the user by so many decibels."
    ),
]


def record(
    out: Annotated[Path, typer.Option(help="Folder for the transcripts.", show_default=False)],
    systems: Annotated[
        str,
        typer.Option(
            help=f"Systems, separated by commas: {', '.join(SYSTEM_NAMES)}, your own as "
            "package.module:factory, or a speech system of others as realtime:wss://HOST/PATH "
            "(OpenAI's protocol), gemini:MODEL or moshi:ws://HOST:PORT."
        ),
    ] = "duo,duplex,turn-based",
    model: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[SYSTEM=]MODEL",
            help=f"{_MODEL_HELP} SYSTEM=MODEL names one system's; repeat for more. Systems of "
            "your own get one only if it is named.",
        ),
    ] = None,
    scenario: Annotated[
        list[str] | None,
        typer.Option(
            help="A scenario of the library, a YAML file or a folder of such, suite:dev, "
            "suite:report, suite:more-dev or suite:more-report (or the beginning of a name after "
            "suite:), or a file of labelled utterances (.jsonl, .jsonl.gz); repeat for more "
            "[default: the whole library]."
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Record a stable sample of this many scenarios.")
    ] = None,
    control: Annotated[
        bool,
        typer.Option(
            "--control",
            help="Record as well, for each scenario that interrupts an answer, the same words said "
            "without interrupting: `duo eval interaction` compares the answers.",
        ),
    ] = False,
    list_scenarios: Annotated[
        bool,
        typer.Option(
            "--list-scenarios",
            help="Show the library and exit; see also `duo scenario list`.",
            is_eager=True,
            callback=_list_scenarios,
        ),
    ] = False,
    seed: Annotated[int, typer.Option(help="Seed of the systems' random draws.")] = 0,
    lookahead: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Tokens spoken in a cycle of each system but duplex, and looked ahead in one of "
            "duo and duo-sequential [default: 4].",
        ),
    ] = None,
    cycle_seconds: Annotated[
        float | None,
        typer.Option(
            help="Length of a cycle in seconds; duplex keeps its own slices [default: 1.0]."
        ),
    ] = None,
    set_: SystemSet = None,
    device: Device = None,
    dtype: DType = None,
    attention: Attention = None,
    engine: Engine = None,
    monitor: Monitor = None,
    prompt: Prompt = None,
    chat: Chat = None,
    date: Date = None,
    real_time: Annotated[
        bool,
        typer.Option(
            "--real-time", help="Use the real clock: a slow system answers late, as it would live."
        ),
    ] = False,
    max_seconds: Annotated[
        float, typer.Option(min=1, help="Cut a conversation after this many seconds.")
    ] = 180.0,
    force: Annotated[
        bool, typer.Option("--force", help="Record again transcripts that do not match.")
    ] = False,
    batch: Annotated[
        int,
        typer.Option(
            min=1,
            help="Conversations held at once with each built-in system: faster, and the same up "
            "to the rounding of the arithmetic. Their machine time is shared, and not scored.",
        ),
    ] = 1,
    graphs: Annotated[
        bool,
        typer.Option("--graphs", help="Run forward passes as CUDA graphs, for speed on a GPU."),
    ] = False,
    spoken: Annotated[
        bool,
        typer.Option(
            "--spoken",
            help="The user speaks, and systems hear what a recogniser makes of it; the sound is "
            "written beside each transcript. English only.",
        ),
    ] = False,
    voice: Voices = None,
    noise: Noise = None,
    talker: Talker = None,
    recogniser_seconds: Annotated[
        float,
        typer.Option(min=0, help="Time that every decoding of the recogniser is taken to last."),
    ] = 0.0,
) -> None:
    """Record systems on scripted users: a transcript for every system and scenario.

    Transcripts go to OUT/SYSTEM/SCENARIO.jsonl. On the simulated clock the same command writes the
    same bytes. A run that was stopped goes on where it was when the command is given again.

    Example: duo record --systems duo,turn-based --scenario pasta-dinner --out runs/pasta

    Example: duo record --spoken --noise 15 --scenario suite:dev --limit 6 --out runs/spoken
    """
    from duo.decoding.systems import models_for, with_prompt
    from sessions.catalogue import find_scenarios, sample, with_controls
    from sessions.recorder import Job, is_remote, record_all

    names = words(systems, "systems")
    aloud = spoken or any(map(is_remote, names))
    scenarios = find_scenarios(scenario or (_english() if aloud else ()))
    if limit is not None:
        scenarios = sample(scenarios, limit)
    if control:
        scenarios = with_controls(scenarios)
    models = models_for(names, model or ())
    loading = given(
        device=device,
        dtype=dtype,
        attention=attention,
        engine=engine,
        system=prompt,
        chat=chat,
        date=date,
    )
    job = Job(
        systems=names,
        scenarios=scenarios,
        out=out,
        models=models,
        seed=seed,
        settings=settings_of(names, lookahead, cycle_seconds, set_ or (), monitor),
        load_settings=with_prompt(loading, models.values()),
        real_time=real_time,
        max_seconds=max_seconds,
        force=force,
        batch=batch,
        graphs=graphs,
        speech=_speech(spoken, voice or (), noise, talker, recogniser_seconds),
    )
    paths = record_all(job)
    typer.echo(f"{len(paths)} transcript{'s' * (len(paths) != 1)} in {out}")


def chat(
    model: Annotated[
        str | None,
        typer.Option(help=f"{_MODEL_HELP} A system of your own gets one only if it is named."),
    ] = None,
    system: Annotated[
        str, typer.Option(help="The system to talk to; see `duo record --help`.")
    ] = "duo",
    lookahead: Annotated[
        int | None,
        typer.Option(min=1, help="Tokens looked ahead and spoken in a cycle [default: 4]."),
    ] = None,
    cycle_seconds: Annotated[
        float | None, typer.Option(help="Length of a cycle in seconds [default: 1.0].")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the system's random draws.")] = 0,
    style: Chat = None,
    date: Date = None,
    engine: Engine = None,
    monitor: Monitor = None,
    prompt: Prompt = None,
    set_: Set = None,
    save: Annotated[
        Path | None,
        typer.Option(
            help="File for the transcript [default: one in runs/chat, named by date and time].",
            show_default=False,
        ),
    ] = None,
    plain: Annotated[
        bool, typer.Option("--plain", help="Print lines with times instead of a full screen.")
    ] = False,
) -> None:
    """Talk to a system while it talks: words are heard as you type them.

    Esc ends the chat and saves the transcript. With --plain, or where there is no terminal, lines
    "SECONDS TEXT" come in, or just "TEXT", and events go out; an empty line waits for the answer.

    Example: duo chat --system duo --save runs/chat.jsonl
    """
    from sessions.chat import run

    run(
        model=model,
        system=system,
        loading=given(chat=style, date=date, engine=engine, system=prompt),
        seed=seed,
        save=save,
        plain=plain,
        settings=_pace(system, lookahead, cycle_seconds, monitor)
        | settings_of([system], None, None, set_ or (), None)[system],
    )


def sweep(
    file: Annotated[
        Path,
        typer.Argument(
            help="YAML: systems, scenarios, model, base settings, and under sweep lists of values.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path, typer.Option(help="Folder for the points' recordings.", show_default=False)
    ],
    device: Device = None,
    dtype: DType = None,
    attention: Attention = None,
    engine: Engine = None,
    chat: Chat = None,
    date: Date = None,
    force: Annotated[
        bool, typer.Option("--force", help="Record again transcripts that do not match.")
    ] = False,
    batch: Annotated[
        int, typer.Option(min=1, help="Conversations held at once, as in `duo record`.")
    ] = 1,
    graphs: Annotated[
        bool,
        typer.Option("--graphs", help="Run forward passes as CUDA graphs, as in `duo record`."),
    ] = False,
) -> None:
    """Record the same scenarios under many settings, to see what each setting does.

    The file's `sweep` is a list of grids, such as `lookahead: [1, 2, 4, 8]`; each point is recorded
    as by `duo record` into OUT/POINT/SYSTEM, and OUT/sweep.json lists the points. A sweep that was
    stopped goes on where it was when the command is given again; `duo report build OUT` draws what
    was found.

    Example: duo bench sweep evaluation/experiments/sweep.yaml --out runs/sweep --batch 4
    """
    from duo.decoding.systems import with_prompt
    from sessions.sweep import read_sweep, record_sweep

    found = read_sweep(file, out)
    loading = given(
        device=device, dtype=dtype, attention=attention, engine=engine, chat=chat, date=date
    )
    loading = with_prompt(loading, found.job.models.values())
    job = replace(found.job, load_settings=loading, force=force, batch=batch, graphs=graphs)
    folders = record_sweep(replace(found, job=job))
    typer.echo(f"{len(folders)} point{'s' * (len(folders) != 1)} in {out}")


def bench_recogniser(
    scenario: Annotated[
        list[str] | None,
        typer.Option(help="As for `duo record` [default: the library's English ones]."),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Speak a stable sample of this many scenarios.")
    ] = None,
    voice: Voices = None,
    noise: Noise = None,
    talker: Talker = None,
    seed: Annotated[int, typer.Option(help="Seed of the noise and of what is drawn.")] = 0,
    out: Annotated[
        Path | None, typer.Option(help="JSON file for the figures.", show_default=False)
    ] = None,
) -> None:
    """Speak every line of scenarios to the recogniser: how many words does it get wrong, how late?

    In simulated time, so the delays are those of the sound: computing comes on top of them.

    Example: duo bench recogniser --scenario pasta-dinner --noise 15
    """
    from dataclasses import asdict

    from duo.runs import as_json
    from duo.table import make_result
    from sessions.catalogue import find_scenarios, sample
    from sessions.voice.recognition import recognition_of
    from sessions.voice.studio import Studio, hear

    settings = _speech(True, voice or (), noise, talker, 0.0)
    assert settings is not None
    found = find_scenarios(scenario or _english())
    said = as_json(asdict(settings) | {"seed": seed})
    heard = hear(Studio(settings, seed), found if limit is None else sample(found, limit))
    make_result(out, lambda: recognition_of(heard, said), lambda result: result.tables())


def _english() -> list[str]:
    """List the library's English scenarios: those that can be spoken."""
    from sessions.catalogue import library_names, library_scenario

    return [name for name in library_names() if library_scenario(name).language.startswith("en")]


def _speech(
    spoken: bool,
    voices: Sequence[str],
    noise: float | None,
    talker: float | None,
    recogniser_seconds: float,
) -> SpeechSettings | None:
    """Collect how the user speaks.

    Raises:
        BadInput: something is said of the user's speech, and the user is not to speak.
    """
    said = voices or noise is not None or talker is not None or recogniser_seconds
    if not spoken:
        if said:
            raise BadInput("a user who does not speak has no voice and no noise", field="--spoken")
        return None
    from sessions.voice.studio import SpeechSettings

    return SpeechSettings(tuple(voices) or ("piper",), noise, talker, recogniser_seconds)


def settings_of(
    systems: Iterable[str],
    lookahead: int | None,
    cycle_seconds: float | None,
    assignments: Iterable[str],
    monitor: str | None,
) -> dict[str, dict[str, JsonValue]]:
    """Collect each system's settings; later assignments win."""
    from duo.yaml_file import read_scalar

    settings: dict[str, dict[str, JsonValue]] = {
        system: _pace(system, lookahead, cycle_seconds, monitor) if system in _PACED else {}
        for system in systems
    }
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        owner = next((system for system in settings if key.startswith(f"{system}.")), None)
        name = key.removeprefix(f"{owner}.")
        if not equals or not name.isidentifier():
            known = ", ".join(settings)
            raise BadInput(f"{assignment!r} is not [SYSTEM.]NAME=VALUE ({known})", field="--set")
        for system in [owner] if owner is not None else settings:
            settings[system][name] = read_scalar(value)
    return settings


def _pace(
    system: str, lookahead: int | None, cycle_seconds: float | None, monitor: str | None
) -> dict[str, JsonValue]:
    """Collect the settings of a system's pace, and of who decides in it, as far as given."""
    tokens = _PACED.get(system, "lookahead")
    decides = monitor if system == "duo" else None
    return given(**{tokens: lookahead, "cycle_seconds": cycle_seconds, "monitor": decides})
