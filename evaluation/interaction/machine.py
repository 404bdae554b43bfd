"""Machine time of a recording, from the manifest beside it: a transcript has none."""

from __future__ import annotations

import json
from pathlib import Path

#: Transcripts lie in OUT/SYSTEM/SCENARIO.jsonl, the manifest in OUT.
_LEVELS = 2


def seconds_per_pass(transcript: Path) -> float | None:
    """Seconds that a forward pass of this recording took on average; None if nobody wrote it down.

    `manifest.json` in the transcript's folder or the one above says how long the system computed in
    each recording (`machine_seconds`) and how many passes that were. Of conversations held at once
    it does not: their time cannot be told apart.
    """
    folder = transcript.resolve().parent
    for _ in range(_LEVELS):
        key = transcript.resolve().relative_to(folder).as_posix()
        try:
            manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
            entry = manifest["transcripts"][key]
            seconds, passes = float(entry["machine_seconds"]), float(entry["forward_passes"])
        except (OSError, ValueError, LookupError, TypeError):
            folder = folder.parent
            continue
        return seconds / passes if passes > 0 and 0 < seconds < float("inf") else None
    return None
