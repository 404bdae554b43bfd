"""The manifest of a folder of recordings: what each transcript took, whichever run made it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from duo.runs import Stopwatch, write_manifest
from sessions.job import Job
from sessions.play import Recording


class Ledger:
    """Keeps `manifest.json` of a job's folder."""

    def __init__(self, job: Job) -> None:
        self._job, self._watch = job, Stopwatch()
        self._path = job.out / "manifest.json"
        self._entries = self._entries_there()

    def enter(self, path: Path, recording: Recording) -> None:
        """Add a transcript, and write the manifest, so that a kill loses nothing."""
        counts = list(recording.transcript.of("cycle"))
        # Time shared with other conversations is no latency of this one, and none is read off it.
        took = "shared_machine_seconds" if recording.shared else "machine_seconds"
        self._entries[self._key(path)] = {
            took: round(recording.machine_seconds, 3),
            "conversation_seconds": recording.transcript.seconds,
            "forward_passes": sum(event.forward_passes or 0 for event in counts),
            "tokens_processed": sum(event.tokens_processed or 0 for event in counts),
            "late_cycles": recording.late_cycles,
            "late_seconds": round(recording.late_seconds, 3),
        }
        self._write()

    def keep(self) -> None:
        """Nothing was recorded: the manifest stays as it is, if there is one."""
        if not self._path.exists():
            self._write()

    def _write(self) -> None:
        job = self._job
        write_manifest(
            self._path,
            watch=self._watch,
            models=dict(job.models),
            seed=job.seed,
            clock="real-time" if job.real_time else "simulated",
            settings=job.settings,
            load_settings=job.load_settings,
            max_seconds=job.max_seconds,
            batch=job.batch,
            graphs=job.graphs,
            scenarios={scenario.name: scenario.sha256 for scenario in job.scenarios},
            transcripts=dict(sorted(self._entries.items())),
        )

    def _entries_there(self) -> dict[str, Any]:
        """The entries of transcripts that are still there; an unreadable manifest has none."""
        try:
            entries = json.loads(self._path.read_text(encoding="utf-8"))["transcripts"]
            return {key: value for key, value in entries.items() if (self._job.out / key).exists()}
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            return {}

    def _key(self, path: Path) -> str:
        return path.relative_to(self._job.out).as_posix()
