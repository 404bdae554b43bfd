"""Full-Duplex-Bench v1's published rules, written down once more: folders in, numbers out.

From the description of its layout and rules alone; shares no code with what is tested.
"""

from __future__ import annotations

import json
from pathlib import Path


def scores(root: Path) -> tuple[list[int], list[float]]:
    """Turns taken (0 or 1) and latencies of the samples of one task."""
    turns, latencies = [], []
    for sample in sorted(path for path in root.iterdir() if path.is_dir()):
        chunks = json.loads((sample / "output.json").read_text("utf-8"))["chunks"]
        took = 0
        if chunks:
            first, last = chunks[0]["timestamp"][0], chunks[-1]["timestamp"][1]
            took = 1 if (first if last is None else last) - first >= 1 or len(chunks) > 3 else 0
        turns.append(took)
        if took and (end := _end_of_turn(sample)) is not None:
            latencies.append(max(chunks[0]["timestamp"][0] - end, 0))
    return turns, latencies


def _end_of_turn(sample: Path) -> float | None:
    if (sample / "turn_taking.json").exists():
        return json.loads((sample / "turn_taking.json").read_text("utf-8"))[0]["timestamp"][0]
    if (sample / "interrupt.json").exists():
        return json.loads((sample / "interrupt.json").read_text("utf-8"))[0]["timestamp"][1]
    return None
