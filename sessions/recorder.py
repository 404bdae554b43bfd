"""Record every system on every scenario: one transcript each, resumed where it was stopped.

    OUT/<system>/<scenario>.jsonl
    OUT/<system>/<scenario>.flac    # of a spoken one: the user left, the system right
    OUT/manifest.json

A transcript appears under its name only once it is whole. It is kept by a later run that asks for
the same: same system, model, scenario, seed, clock and settings, all of which its header states,
and the same schema, which is another whenever the recorder's user behaves otherwise.
Whatever differs from run to run, such as machine times, is in the manifest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property, partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import JsonValue

from duo.decoding.conversant import Conversant
from duo.decoding.systems import build, check_settings, check_system, is_foreign
from duo.errors import BadInput
from duo.files import check_writable, read_json
from duo.runs import MANIFEST, Stopwatch, as_json, check_same, safe_name, versions, write_manifest
from duo.terminal import progress
from duo.transcript import SCHEMA, Header, Transcript, read_transcript, write_transcript
from sessions.play import MAX_SECONDS, RealTime, Recording, Simulated, cycle_length, play, playing
from sessions.scenario import Scenario
from sessions.voice.recognition import WordErrors, errors_of

if TYPE_CHECKING:
    from rich.console import Console

    from duo.backbone import Backbone
    from duo.decoding.batched import Session
    from sessions.voice.spoken import SpeakingUser
    from sessions.voice.studio import SpeechSettings, Studio

_NO_MODEL = "none"


def is_remote(system: str) -> bool:
    """Tell whether a system is somebody's server: see `sessions.voice.remote`."""
    return system.startswith(("realtime:", "gemini:", "moshi:"))


#: What every system of ours is recorded with where the job does not say otherwise: demonstration,
#: suite and anybody's scenarios. A small model repeats itself without a penalty, and talks on for
#: minutes without a limit.
COMMON: Mapping[str, JsonValue] = {"repetition_penalty": 1.1, "max_answer_seconds": 20.0}


def usual_settings(system: str) -> dict[str, JsonValue]:
    """Return what a system is set to where nobody says otherwise; a foreign one to nothing."""
    return {} if is_foreign(system) else dict(COMMON)


@dataclass(frozen=True)
class Job:
    """A recording to be made.

    Attributes:
        systems: names, or `package.module:factory` of foreign systems.
        models: name of each system's model, by the system's name; only a foreign one may have none.
        settings: of each system, by its name, over what is `COMMON`; what neither says is the
            system's default. A foreign system is given its own alone.
        load_settings: how the model is loaded (see `duo.backbone.load`), where not by default.
        real_time: on the real clock instead of the simulated one.
        max_seconds: a conversation is cut there.
        force: record again what is there but does not match.
        batch: conversations with one of our systems that are held at once, for speed.
        graphs: forward passes of the usual lengths are CUDA graphs, for speed.
        speech: how the user speaks and is heard; None for one who types, but to systems that are
            somebody's server (see `sessions.voice.remote`), to which the user always speaks.
    """

    systems: Sequence[str]
    scenarios: Sequence[Scenario]
    out: Path
    models: Mapping[str, str] = field(default_factory=dict)
    seed: int = 0
    settings: Mapping[str, Mapping[str, JsonValue]] = field(default_factory=dict)
    load_settings: Mapping[str, JsonValue] = field(default_factory=dict)
    real_time: bool = False
    max_seconds: float = MAX_SECONDS
    force: bool = False
    batch: int = 1
    graphs: bool = False
    speech: SpeechSettings | None = None

    def speech_to(self, system: str) -> SpeechSettings | None:
        if self.speech is None and is_remote(system):
            from sessions.voice.studio import SpeechSettings

            return SpeechSettings()
        return self.speech

    def clock_of(self, system: str) -> Literal["simulated", "real-time"]:
        return "real-time" if self.real_time or is_remote(system) else "simulated"

    def settings_of(self, system: str) -> dict[str, JsonValue]:
        return usual_settings(system) | dict(self.settings.get(system, {}))


@dataclass(frozen=True)
class _Pair:
    """One system on one scenario, as a part of a job."""

    job: Job
    system: str
    scenario: Scenario
    path: Path
    identity: Mapping[str, Any]
    studio: Studio | None = None

    @property
    def sound(self) -> Path:
        return self.path.with_suffix(".flac")

    @cached_property
    def user(self) -> SpeakingUser | None:
        """Who speaks in it; None if the user types."""
        if self.studio is None:
            return None
        if is_remote(self.system):
            return self.studio.speaker(self.scenario, self.job.max_seconds)
        return self.studio.user(self.scenario)


def record_all(job: Job, *, console: Console | None = None) -> list[Path]:
    """Record what a job asks for; see `record_jobs`. Transcripts come by system, as given."""
    return record_jobs([job], console=console)


def record_jobs(
    jobs: Sequence[Job],
    *,
    console: Console | None = None,
    when_checked: Callable[[], None] = lambda: None,
) -> list[Path]:
    """Record what jobs ask for and is not there yet; return all transcripts, those kept included.

    System by system, so that each model is loaded once if the jobs have the same.

    Args:
        console: where progress is shown; standard error if not given.
        when_checked: called once everything is checked, before anything is recorded.

    Raises:
        BadInput: unknown system or setting, a folder that cannot be written, a transcript that is
            there and does not match. All this is checked before a model is loaded.
    """
    pairs = [pair for job in jobs for pair in _pairs(job)]
    for job in jobs:
        check_writable(job.out)
    to_record = [pair for pair in pairs if not _is_recorded(pair)]
    when_checked()
    entries = {job.out: _entries(job) for job in jobs}
    watch = Stopwatch()
    done = len(pairs) - len(to_record)
    with progress("recording", len(pairs), done=done, console=console) as bar:
        try:
            for pair, recording in _recordings(to_record, lambda what: bar.update(what=what)):
                job = pair.job
                if pair.user is not None and pair.studio is not None:
                    pair.studio.write(pair.sound, pair.user, recording)
                    vars(pair).pop("user")  # with its sound
                write_transcript(pair.path, recording.transcript)
                entries[job.out][pair.path.relative_to(job.out).as_posix()] = _took(recording)
                _write_manifest(job, watch, entries[job.out])  # so that a kill loses nothing
                bar.advance()
                if not bar.on_terminal:
                    seconds = recording.transcript.seconds
                    took = f"{seconds:.0f} s in {recording.machine_seconds:.1f} s"
                    if misheard := _misheard(recording.transcript):
                        took += ", {word_errors} of {words_said} words misheard".format(**misheard)
                    bar.print(f"{pair.path}: {took}")
        except KeyboardInterrupt:
            bar.print("stopped; the same command goes on from here")
            raise
    for job in jobs:
        if not (job.out / MANIFEST).exists():
            _write_manifest(job, watch, entries[job.out])
    return [pair.path for pair in pairs]


def _pairs(job: Job) -> list[_Pair]:
    """List all pairs, checked as far as that goes without a model."""
    systems = list(dict.fromkeys(job.systems))
    if not systems:
        raise BadInput("no system is given", field="systems")
    if not 0 < job.max_seconds < float("inf"):
        raise BadInput(f"must be positive, not {job.max_seconds}", field="max_seconds")
    if job.batch < 1:
        raise BadInput(f"must be 1 or more, not {job.batch}", field="batch")
    if job.batch > 1 and job.real_time:
        raise BadInput("only one conversation at a time can be in real time", field="batch")
    if job.speech is not None and job.real_time:
        raise BadInput("scenarios are spoken in simulated time", field="real_time")
    folders: dict[str, str] = {}
    for system in systems:
        _check(job, system)
        other = folders.setdefault(safe_name(system).casefold(), system)
        if other != system:
            raise BadInput(f"{system} and {other} would share a folder", field="systems")
    ours = [system for system in systems if not is_foreign(system)]
    if lacking := [system for system in ours if system not in job.models]:
        raise BadInput(f"system {lacking[0]!r} needs a model", field="model")
    for system in systems:
        check_settings(system, job.settings_of(system), seed=job.seed)
    studios = {speech: _studio(job, speech) for speech in map(job.speech_to, systems)}
    return [
        _Pair(
            job,
            system,
            scenario,
            job.out / safe_name(system) / f"{scenario.name}.jsonl",
            _identity(job, system, scenario),
            studios[job.speech_to(system)],
        )
        for system in systems
        for scenario in job.scenarios
    ]


def _check(job: Job, system: str) -> None:
    """Make sure that there is such a system.

    Raises:
        BadInput: there is none, or its address or settings cannot be used; or it is a server and a
            scenario goes on from a dialogue, of which nobody can tell it.
    """
    if not is_remote(system):
        check_system(system)
        return
    from sessions.voice.remote import server_of

    server_of(system, job.settings_of(system))
    for scenario in job.scenarios:
        if scenario.context:
            raise BadInput(
                f"system {system!r} cannot go on from a dialogue held before",
                file=scenario.name,
                field="context",
            )


def _studio(job: Job, speech: SpeechSettings | None) -> Studio | None:
    """Make what a job's scenarios are spoken with, if they are; all systems share it.

    Raises:
        BadInput: they cannot be; see `Studio.check`.
    """
    if speech is None:
        return None
    from sessions.voice.studio import Studio

    studio = Studio(speech, job.seed)
    studio.check(job.scenarios)
    return studio


def _identity(job: Job, system: str, scenario: Scenario) -> dict[str, Any]:
    """Return what must agree for a finished transcript to be kept."""
    given = {**job.settings_of(system), "max_seconds": job.max_seconds}
    if job.load_settings:
        given["backbone"] = dict(job.load_settings)
    if (speech := job.speech_to(system)) is not None:
        given["speech"] = asdict(speech)
    return {
        "schema_version": SCHEMA,
        "system": system,
        "model": job.models.get(system, _NO_MODEL),
        "scenario": scenario.name,
        "scenario_sha256": scenario.sha256,
        "control_of": scenario.control_of,
        "seed": job.seed,
        "clock": job.clock_of(system),
        "settings": as_json(given),
    }


def _is_recorded(pair: _Pair) -> bool:
    """Tell whether the transcript is there and is what would be recorded.

    Raises:
        BadInput: something else is there, and the job does not force a new recording.
    """
    force = pair.job.force
    if not pair.path.exists():
        return False
    way_out = "record it again with --force, or choose another folder"
    try:
        header = read_transcript(pair.path).header.model_dump()
    except BadInput as error:
        if force:
            return False
        raise BadInput(
            f"{error.message}: {way_out}", file=error.file, line=error.line, field=error.field
        ) from error
    there = {name: header[name] for name in pair.identity}
    try:
        check_same(there, pair.identity, file=pair.path, line=1, way_out=way_out)
    except BadInput:
        if force:
            return False
        raise
    return pair.studio is None or pair.sound.exists()


def _recordings(
    pairs: Sequence[_Pair], report: Callable[[str], None]
) -> Iterator[tuple[_Pair, Recording]]:
    """Record pairs, those of a system and a job one after the other or several at once."""
    loaded: tuple[object, Backbone] | None = None
    systems = list(dict.fromkeys(pair.system for pair in pairs))
    by_system = sorted(pairs, key=lambda pair: systems.index(pair.system))
    for (_, system), group in groupby(by_system, key=lambda pair: (pair.job.out, pair.system)):
        own = list(group)
        job = own[0].job
        if is_remote(system):
            for pair in own:
                yield pair, _record_remote(pair, report)
            continue
        name = job.models.get(system)
        wanted = name, job.load_settings
        if name is not None and (loaded is None or loaded[0] != wanted):
            from duo.backbone import load

            loaded = None  # before the next one takes its memory
            loaded = wanted, load(name, **job.load_settings)  # type: ignore[arg-type]
        model = loaded[1] if loaded is not None and name is not None else None
        day = model.chat.shown_day if model is not None else {}
        given: dict[str, Any] = {"seed": job.seed, **job.settings_of(system)}
        foreign = is_foreign(system)
        rows = 1 if foreign else min(job.batch, len(own))
        if foreign or (rows == 1 and not job.graphs):
            built = [build(system, model, **given)]
        else:
            from duo.decoding.batched import build_together

            built = build_together(system, model, rows, graphs=job.graphs, **given)
        if rows == 1:
            for pair in own:
                yield pair, play(**_part(pair, built[0], report, day))
            continue
        from duo.decoding.batched import run_together

        sessions = [partial(_session, pair, report, day) for pair in own]
        for number, recording in run_together(built, sessions):
            yield own[number], recording


def _session(
    pair: _Pair, report: Callable[[str], None], day: Mapping[str, str], conversant: Any
) -> Session[Recording]:
    return playing(**_part(pair, conversant, report, day), steps=conversant.steps)


def _record_remote(pair: _Pair, report: Callable[[str], None]) -> Recording:
    """Record a system that is somebody's server."""
    from sessions.voice.remote import TICK, record, server_of

    assert pair.studio is not None
    assert pair.user is not None
    header = Header(
        **pair.identity, language=pair.scenario.language, cycle_seconds=TICK, versions=versions()
    )
    return record(
        server_of(pair.system, pair.job.settings_of(pair.system)),
        pair.user,
        header,
        pair.studio.decode,
        pair.studio.system_voice,
        max_seconds=pair.job.max_seconds,
        on_tick=_reporter(pair, report),
    )


def _reporter(pair: _Pair, report: Callable[[str], None]) -> Callable[[float], None]:
    where = f"{'/'.join(pair.path.parts[-3:-1])} · {pair.scenario.name}"
    return lambda now: report(f"{where} · {now:.0f} s")


def _part(
    pair: _Pair, conversant: Conversant, report: Callable[[str], None], day: Mapping[str, str]
) -> dict[str, Any]:
    """Return the arguments of `play` for a pair; `day` is what the chat template shows, if any."""
    header = Header(
        **pair.identity,
        language=pair.scenario.language,
        cycle_seconds=cycle_length(conversant),
        versions={**versions(), **day},
    )
    return {
        "scenario": pair.scenario,
        "conversant": conversant,
        "header": header,
        "clock": RealTime() if pair.job.real_time else Simulated(),
        "user": pair.user,
        "max_seconds": pair.job.max_seconds,
        "on_cycle": _reporter(pair, report),
    }


def _entries(job: Job) -> dict[str, Any]:
    """Read what transcripts that are still there took; nothing if the manifest is unreadable."""
    try:
        entries = read_json(job.out / MANIFEST)["transcripts"]
        return {key: value for key, value in entries.items() if (job.out / key).exists()}
    except (BadInput, LookupError, TypeError, AttributeError):
        return {}


def _took(recording: Recording) -> dict[str, Any]:
    """Count what a recording took, for the manifest."""
    cycles = list(recording.transcript.of("cycle"))
    # Time shared with other conversations is no latency of this one, and none is read off it.
    took = "shared_machine_seconds" if recording.shared else "machine_seconds"
    return {
        took: round(recording.machine_seconds, 3),
        "conversation_seconds": recording.transcript.seconds,
        "forward_passes": sum(event.forward_passes or 0 for event in cycles),
        "tokens_processed": sum(event.tokens_processed or 0 for event in cycles),
        "late_cycles": recording.late_cycles,
        "late_seconds": round(recording.late_seconds, 3),
        **_misheard(recording.transcript),
    }


def _misheard(transcript: Transcript) -> dict[str, float]:
    """Count the recogniser's errors, if there was one."""
    if not any(transcript.of("recognised")):
        return {}
    found = WordErrors.together(errors for _, errors in errors_of(transcript))
    return {"words_said": found.words, "word_errors": found.wrong}


def _write_manifest(job: Job, watch: Stopwatch, entries: Mapping[str, Any]) -> None:
    write_manifest(
        job.out / MANIFEST,
        watch=watch,
        models=dict(job.models),
        seed=job.seed,
        clock="real-time" if job.real_time else "simulated",
        real_time=[system for system in job.systems if job.clock_of(system) == "real-time"],
        settings={system: job.settings_of(system) for system in job.systems},
        load_settings=job.load_settings,
        max_seconds=job.max_seconds,
        batch=job.batch,
        graphs=job.graphs,
        speech=None if job.speech is None else asdict(job.speech),
        scenarios={scenario.name: scenario.sha256 for scenario in job.scenarios},
        transcripts=dict(sorted(entries.items())),
    )
