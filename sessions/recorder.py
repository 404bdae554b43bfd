"""Record every system on every scenario: one transcript each, resumed where it was stopped.

    OUT/<system>/<scenario>.jsonl
    OUT/manifest.json

A transcript appears under its name only once it is whole. It is kept by a later run that asks for
the same: same system, model, scenario, seed, clock and settings, all of which its header states.
Whatever differs from run to run, such as machine times, is in the manifest.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from duo.decoding.conversant import Conversant
from duo.decoding.systems import build, check_settings, check_system, is_foreign
from duo.errors import BadInput
from duo.files import check_writable
from duo.manifest import versions
from sessions.clock import RealTime, Simulated
from sessions.job import Job
from sessions.ledger import Ledger
from sessions.play import Recording, cycle_length, play
from sessions.progress import console_or_stderr, progress_shown
from sessions.scenario import Scenario
from sessions.transcript import Header, read_transcript, write_transcript

if TYPE_CHECKING:
    from duo.backbone import Backbone

#: What must agree for a finished transcript to be kept.
_IDENTITY = ("system", "model", "scenario", "scenario_sha256", "seed", "clock", "settings")
_NO_MODEL = "none"


@dataclass(frozen=True)
class _Pair:
    """One system on one scenario."""

    system: str
    scenario: Scenario
    path: Path
    identity: Mapping[str, Any]


def record_all(
    job: Job,
    *,
    backbone: Backbone | None = None,
    console: Console | None = None,
) -> list[Path]:
    """Record what the job asks for and is not there yet.

    Args:
        backbone: the model, if the caller has it already; else it is loaded when first needed.
        console: where progress is shown; standard error if not given.

    Returns:
        The transcripts of all pairs, those kept included: system by system, in the order given.

    Raises:
        BadInput: unknown system or setting, a folder that cannot be written, a transcript that is
            there and does not match. All this is checked before a model is loaded.
    """
    pairs = _pairs(job)
    check_writable(job.out)
    to_record = [pair for pair in pairs if not _is_recorded(pair, force=job.force)]
    ledger = Ledger(job)
    try:
        with progress_shown(console, len(pairs), len(pairs) - len(to_record)) as report:
            for pair, conversant in _conversants(job, to_record, backbone):
                recording = _record(job, pair, conversant, report.doing)
                write_transcript(pair.path, recording.transcript)
                ledger.enter(pair.path, recording)
                report.finished(pair.path, recording)
    except KeyboardInterrupt:
        console_or_stderr(console).print("stopped; the same command goes on from here", style="dim")
        raise
    if not to_record:
        ledger.keep()
    return [pair.path for pair in pairs]


def folder_name(system: str) -> str:
    """A system's name as a folder's: `my.package:make` becomes `my.package-make`."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", system).lstrip(".") or "system"


def _pairs(job: Job) -> list[_Pair]:
    """All pairs, checked as far as that goes without a model."""
    systems = list(dict.fromkeys(job.systems))
    if not systems:
        raise BadInput("no system is given", field="systems")
    if not 0 < job.max_seconds < float("inf"):
        raise BadInput(f"must be positive, not {job.max_seconds}", field="max_seconds")
    folders: dict[str, str] = {}
    for system in systems:
        check_system(system)
        other = folders.setdefault(folder_name(system).casefold(), system)
        if other != system:
            raise BadInput(f"{system} and {other} would share a folder", field="systems")
    ours = [system for system in systems if not is_foreign(system)]
    if ours and job.model is None:
        raise BadInput(f"system {ours[0]!r} needs a model", field="model")
    for system in ours:
        check_settings(system, seed=job.seed, **job.settings.get(system, {}))
    return [
        _Pair(
            system,
            scenario,
            job.out / folder_name(system) / f"{scenario.name}.jsonl",
            _identity(job, system, scenario),
        )
        for system in systems
        for scenario in job.scenarios
    ]


def _identity(job: Job, system: str, scenario: Scenario) -> dict[str, Any]:
    given = {**job.settings.get(system, {}), "max_seconds": job.max_seconds}
    if job.load_settings:
        given["backbone"] = dict(job.load_settings)
    return {
        "system": system,
        "model": job.model or _NO_MODEL,
        "scenario": scenario.name,
        "scenario_sha256": scenario.sha256,
        "seed": job.seed,
        "clock": "real-time" if job.real_time else "simulated",
        "settings": json.loads(json.dumps(given)),
    }


def _is_recorded(pair: _Pair, *, force: bool) -> bool:
    """Whether the transcript is there and is what would be recorded.

    Raises:
        BadInput: something else is there, and `force` does not allow to replace it.
    """
    if not pair.path.exists():
        return False
    way_out = "record it again with --force, or choose another folder"
    try:
        there = read_transcript(pair.path).header.model_dump()
    except BadInput as error:
        if force:
            return False
        raise BadInput(
            f"{error.message}: {way_out}", file=error.file, line=error.line, field=error.field
        ) from error
    for name in _IDENTITY:
        if there[name] != pair.identity[name] and not force:
            change = f"recorded with {there[name]!r}, now {pair.identity[name]!r}"
            raise BadInput(f"{change}: {way_out}", file=pair.path, line=1, field=name)
    return all(there[name] == pair.identity[name] for name in _IDENTITY)


def _conversants(
    job: Job, pairs: Sequence[_Pair], backbone: Backbone | None
) -> Iterator[tuple[_Pair, Conversant]]:
    """Each pair with its system, built once; the model is loaded for the first that needs it."""
    built: tuple[str, Conversant] | None = None
    for pair in pairs:
        if built is None or built[0] != pair.system:
            if backbone is None and job.model is not None:
                from duo.backbone import load

                backbone = load(job.model, **job.load_settings)  # type: ignore[arg-type]
            settings = job.settings.get(pair.system, {})
            built = pair.system, build(pair.system, backbone, seed=job.seed, **settings)
        yield pair, built[1]


def _record(
    job: Job, pair: _Pair, conversant: Conversant, report: Callable[[str], None]
) -> Recording:
    header = Header(
        **pair.identity,
        language=pair.scenario.language,
        cycle_seconds=cycle_length(conversant),
        versions=versions(),
    )
    return play(
        pair.scenario,
        conversant,
        header,
        clock=RealTime() if job.real_time else Simulated(),
        max_seconds=job.max_seconds,
        on_cycle=lambda now: report(
            f"{pair.path.parent.name} · {pair.scenario.name} · {now:.0f} s"
        ),
    )
