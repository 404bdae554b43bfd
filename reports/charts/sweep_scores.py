"""A sweep's recordings, scored: what `reports.charts.sweep.sweep` draws."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from duo.errors import BadInput
from evaluation.comparison.results import read_json
from evaluation.interaction.results import interaction, read_all


def sweep_scores(folder: Path) -> dict[str, Any]:
    """The interaction figures of every point of a sweep.

    Args:
        folder: of `duo bench sweep`, or its `sweep.json`.

    Returns:
        `systems`; `scenarios`, how many; `intervals`, how they were made; `points`, each with
        `name`, `swept`, `left_out` (transcripts that could not be scored) and `systems`: the
        figures by system, none for a point that was not recorded.

    Raises:
        BadInput: there is no `sweep.json`, or it is not one.
    """
    path = folder / "sweep.json" if folder.is_dir() else folder
    content = read_json(path)
    points = content.get("points") if isinstance(content, dict) else None
    if not isinstance(points, list):
        raise BadInput("is not what duo bench sweep writes", file=path, field="points")
    intervals: dict[str, Any] = {}
    made = []
    for number, point in enumerate(points):
        at = f"points[{number}]"
        if not isinstance(point, dict):
            raise BadInput("is not an object", file=path, field=at)
        name = point.get("name")
        # A name is a folder beside the file, never a way out of it.
        if not isinstance(name, str) or name in ("", ".", "..") or Path(name).name != name:
            raise BadInput("must be the name of a folder beside it", file=path, field=f"{at}.name")
        found: dict[str, Any] = {"systems": {}, "left_out": []}
        if any((path.parent / name).rglob("*.jsonl")):
            result = interaction(*read_all([path.parent / name]))
            found = result.model_dump(mode="json")
            intervals = found["intervals"]
        made.append(
            {
                "name": name,
                "swept": point.get("swept"),
                "left_out": len(found["left_out"]),
                "systems": found["systems"],
            }
        )
    scenarios = content.get("scenarios")
    return {
        "schema": 1,
        "intervals": intervals,
        "systems": content.get("systems") or [],
        "scenarios": len(scenarios) if isinstance(scenarios, dict) else 0,
        "points": made,
    }
