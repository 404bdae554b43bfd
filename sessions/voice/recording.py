"""Keep spoken conversations: a transcript, the sound of both sides, and what it took.

DIR/<system>/<session>.jsonl
DIR/<system>/<session>.flac    left: the microphone; right: the system's voice
DIR/manifest.json              latencies of every session, by stage
"""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from duo.errors import BadInput
from duo.files import read_json_object
from duo.runs import MANIFEST, Stopwatch, safe_name, write_manifest
from duo.transcript import Transcript, write_transcript
from sessions.voice.live import SpokenConversation
from sessions.voice.mix import write_sound


class SessionFiles:
    """The files of one session; each `save` replaces what was saved before."""

    def __init__(self, folder: Path, system: str, name: str = "") -> None:
        """Choose a name that no session in the folder has: by date and time, if none is given."""
        self._folder, self._watch = folder, Stopwatch()
        home = folder / safe_name(system)
        name = stem = name or datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
        again = 1
        while (path := home / f"{name}.jsonl").exists():
            again += 1
            name = f"{stem}-{again}"
        self.path, self.name = path, name

    def save(self, conversation: SpokenConversation, transcript: Transcript) -> None:
        """Write everything.

        Raises:
            BadInput: it cannot be written.
        """
        write_transcript(self.path, transcript)
        channels = conversation.microphone.sound(), conversation.played.sound()
        write_sound(self.path.with_suffix(".flac"), channels)
        sessions: dict[str, Any] = {}
        with suppress(BadInput):
            there = read_json_object(self._folder / MANIFEST).get("sessions")
            sessions = there if isinstance(there, dict) else {}
        sessions[self.path.relative_to(self._folder).as_posix()] = conversation.costs()
        write_manifest(
            self._folder / MANIFEST, watch=self._watch, sessions=dict(sorted(sessions.items()))
        )
