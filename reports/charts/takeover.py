"""How often systems take the turn after each kind of event."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reports.charts.board import Axis, Dot, Dots, dotted
from reports.charts.chart import Chart
from reports.charts.forms import Interaction, checked
from reports.figures.typeset import clean

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: After these a system should take the turn, after the others it should not.
_WANTED = ("turn_end", "interruption")
_COLUMNS = ("kind", "better", "system", "takeover rate", "low", "high", "events")


def takeover(interaction_result: Any) -> Chart | None:
    """Takeover rates by kind of event and system; None if no event was counted.

    Args:
        interaction_result: the JSON of `duo eval interaction`.

    Raises:
        BadInput: it is something else.
    """
    found = checked(Interaction, interaction_result)
    kinds = dict.fromkeys(kind for one in found.systems.values() for kind in one.takeover)
    counted = [k for k in kinds if any(_known(found, name, k) for name in found.systems)]
    # Those that should be answered stand below those that should not.
    counted.sort(key=lambda kind: kind in _WANTED)
    if not counted:
        return None
    rows = [
        (kind, _better(kind), name, one.value, one.low, one.high, one.n)
        for kind in counted
        for name, system in found.systems.items()
        if (one := system.takeover.get(kind)) is not None
    ]
    return Chart(
        name="takeover",
        title="Takeover rate by kind of event",
        caption=clean(
            "Share of events after which the system takes the turn, by kind: low is right after "
            "the upper kinds, high after the lower. " + about(found)
        ),
        columns=_COLUMNS,
        rows=tuple(rows),
        draw=lambda width: _draw(found, counted, width),
    )


def about(found: Interaction) -> str:
    """What a caption says of any figure about interaction."""
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
    return " ".join(said)


def _known(found: Interaction, system: str, kind: str) -> bool:
    one = found.systems[system].takeover.get(kind)
    return one is not None and one.value is not None


def _better(kind: str) -> str:
    return "high" if kind in _WANTED else "low"


def _draw(found: Interaction, kinds: list[str], width: float) -> Figure:
    rows: list[Dots] = []
    before = ""
    for kind in kinds:
        heading = f"the turn should {'' if kind in _WANTED else 'not '}be taken"
        rows.append(Dots(kind.replace("_", " "), _dots(found, kind), heading * (heading != before)))
        before = heading
    axis = Axis(f"takeover rate, {100 * found.intervals.level:g} % intervals", 0, 1, percent=True)
    return dotted(rows, list(found.systems), axis, width, right="events")


def _dots(found: Interaction, kind: str) -> list[Dot]:
    dots = []
    for number, system in enumerate(found.systems.values()):
        one = system.takeover.get(kind)
        if one is None or one.value is None:
            dots.append(Dot(number, None, right="0"))
        else:
            dots.append(Dot(number, one.value, one.low, one.high, str(one.n)))
    return dots
