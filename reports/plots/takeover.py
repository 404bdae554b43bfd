"""Draw how often systems take the turn after each kind of event."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from evaluation.interaction.results import Interaction
from reports.plots.chart import Chart, make_chart, typed
from reports.plots.panels import dotted

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: After these a system should take the turn, after the others it should not.
_WANTED = ("turn_end", "interruption")
_COLUMNS = ("kind", "better", "system", "takeover rate", "low", "high", "events")


def takeover(interaction_result: Any) -> Chart | None:
    """Draw takeover rates by kind of event and system; None if no event was counted."""
    found = typed(interaction_result, Interaction)
    kinds = dict.fromkeys(kind for one in found.systems.values() for kind in one.takeover)
    counted = [
        kind
        for kind in kinds
        if any(kind in s.takeover and s.takeover[kind].value is not None
               for s in found.systems.values())
    ]  # fmt: skip
    # Those that should be answered stand below those that should not.
    counted.sort(key=lambda kind: kind in _WANTED)
    if not counted:
        return None
    rows = [
        (kind, "high" if kind in _WANTED else "low", name, one.value, one.low, one.high, one.n)
        for kind in counted
        for name, system in found.systems.items()
        if (one := system.takeover.get(kind)) is not None
    ]
    return make_chart(
        "takeover",
        "Takeover rate by kind of event",
        [
            "Share of events after which the system takes the turn, by kind: low is right after "
            "the upper kinds, high after the lower.",
            *about(found),
        ],
        _COLUMNS,
        rows,
        lambda width: _draw(rows, list(found.systems), found.intervals.level, width),
        counts="events",
    )


def about(found: Interaction) -> list[str]:
    """Return what a caption says of any figure about interaction, a sentence each."""
    scenarios = max((one.scenarios for one in found.systems.values()), default=0)
    events = sum(one.events for one in found.systems.values())
    said = [
        f"{found.scored} transcripts of {len(found.systems)} systems, up to {scenarios} scenarios "
        f"each, {events} events in all."
    ]
    if found.left_out:
        said.append(f"{len(found.left_out)} transcripts could not be scored and are left out.")
    method = f" ({found.intervals.method})" if found.intervals.method else ""
    said.append(f"Intervals: {100 * found.intervals.level:g} %{method}.")
    if 0 < scenarios < 2:
        said.append("One scenario only: no intervals.")
    return said


def _draw(rows: list[tuple[Any, ...]], systems: list[str], level: float, width: float) -> Figure:
    import pandas as pd

    found = pd.DataFrame(rows, columns=_COLUMNS)
    dots = pd.DataFrame(
        {
            "heading": found["better"].map(
                {"low": "the turn should not be taken", "high": "the turn should be taken"}
            ),
            "label": found["kind"].str.replace("_", " "),
            "series": found["system"].map(systems.index),
            "value": found["takeover rate"],
            "low": found["low"],
            "high": found["high"],
            "right": found["events"].astype(str),
        }
    )
    axis = f"takeover rate, {100 * level:g} % intervals"
    return dotted(dots, systems, width, label=axis, right="events", share=True)
