"""Show the figures of `duo eval interaction` as a table, one column a system."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from duo.table import Cell, Column, Table
from duo.waits import Spread, unequal
from evaluation.interaction import metrics
from evaluation.interaction.bootstrap import Figure
from evaluation.interaction.events import BEHAVIOURS
from evaluation.interaction.results import Interaction, SystemFigures, Times

_LOW, _HIGH = " (low)", " (high)"
_BETTER = {"turn_end": _HIGH, "interruption": _HIGH}
_SHARES = (
    ("averaged score" + _HIGH, "averaged"),
    ("false interruptions" + _LOW, "false_interruptions"),
    ("missed queries" + _LOW, "missed_queries"),
    ("premature answers" + _LOW, "premature_answers"),
    ("answer resumed intact" + _HIGH, "resumed_intact"),
    ("stop requests obeyed" + _HIGH, "stops_obeyed"),
    ("overlap, of the user's speech", "overlap"),
)
_WASTE = (
    ("tokens after an answered interruption's onset", "tokens_after_onset"),
    ("forward passes per spoken word", "passes_per_word"),
    ("forward passes per spoken token", "passes_per_token"),
    ("tokens processed per spoken token", "processed_per_token"),
    ("words predicted in vain per word heard", "dropped_per_word"),
)
_UNITS: dict[metrics.Unit, str] = {
    "seconds": "s", "slices": "slices", "forward_passes": "passes", "machine_ms": "ms",
}  # fmt: skip

_PANEL = (
    ("response rate" + _HIGH, "response_rate"),
    ("response latency", "response_latency"),
    ("yield rate" + _HIGH, "yield_rate"),
    ("yield latency", "yield_latency"),
    ("agent interruptions per turn" + _LOW, "agent_interruptions"),
)
_SELECTIVITY = {
    "backchannel": "backchannels talked through",
    "vocal_tic": "vocal tics ignored",
    "non_directed": "non-directed speech ignored",
}
_CONTENT = (
    ("answers that end in a loop" + _LOW, "loops"),
    ("answers that restate the interrupted one" + _LOW, "restated"),
    ("requests to repeat answered in the same words" + _HIGH, "repeated"),
)

_CONTROLLED = (
    ("interruptions answered in the control alone" + _LOW, "unanswered"),
    ("overlap with the control's answer" + _HIGH, "to_control"),
    ("overlap with the interrupted answer" + _LOW, "to_interrupted"),
    ("overlap of the control's answer with the interrupted one", "of_control"),
    ("nearer to the interrupted answer than to the control's" + _LOW, "nearer_to_interrupted"),
)

_Row = tuple[str, list[Cell]]


def table(found: Interaction) -> Table:
    """Make a table of the figures, one column a system.

    Figures that no system has are left out; where some have them, the others show a dash.
    """
    systems = list(found.systems.values())
    counts = [
        (head, [Cell(getattr(system, head)) for system in systems])
        for head in ("conversations", "scenarios", "events")
    ]
    groups = [
        [row for row in rows if any(cell.value is not None for cell in row[1])]
        for rows in (
            counts,
            _takeovers(systems),
            [(head, [percent(getattr(s, key)) for s in systems]) for head, key in _SHARES],
            _right(systems),
            _latencies(systems),
            _panel(systems),
            _content(systems),
            _controlled(systems),
            _user(systems),
            _waste(systems),
            _behaviours(systems),
        )
    ]
    rows, starts = list[_Row](), set[int]()
    for group in groups:
        starts.add(len(rows))
        rows += group
    return Table(
        title="Interaction",
        columns=[Column("figure", "text"), *(Column(name, "number") for name in found.systems)],
        rows=[[head, *cells] for head, cells in rows],
        notes=list(_notes(found)),
        sections=frozenset(starts),
    )


def _notes(found: Interaction) -> Iterator[str]:
    """Say what a reader should know: intervals; queries not scored, or met without a decision."""
    yield (
        f"In brackets {found.intervals.level:.0%} intervals by bootstrap over scenarios, of shares "
        "of none or all by Wilson's formula; n events."
    )
    yield f"transcripts scored: {found.scored}, left out: {len(found.left_out)}"
    if undefined := _undefined(found):
        yield f"tau-voice's panel is undefined where no such event was met: {', '.join(undefined)}"
    yield from unequal({name: _waits(system) for name, system in found.systems.items()})
    for name, system in found.systems.items():
        if count := system.overtaken:
            yield (
                f"{name}: not scored are {count} queries that were not answered before the next, "
                "which followed at once"
            )
        if count := system.confusion.get("answer", {}).get("talked_on", 0):
            yield (
                f"{name}: spoke on across the end of {count} queries and reported no decision: "
                "counted as a turn taken, without a latency"
            )


def _undefined(found: Interaction) -> list[str]:
    """Name the selectivities of which no system met an event."""
    panels = [one.panel for one in found.systems.values()]
    return [
        head
        for kind, head in _SELECTIVITY.items()
        if not any(one.selectivity[kind].n for one in panels)
    ]


def _waits(system: SystemFigures) -> Spread | None:
    found = system.user_waits
    if found.p50.value is None or found.p90.value is None:
        return None
    return Spread(found.p50.n, found.p50.value, found.p90.value)


def _takeovers(systems: Sequence[SystemFigures]) -> Iterator[_Row]:
    for kind in dict.fromkeys(kind for system in systems for kind in system.takeover):
        head = f"takeover, {_words(kind)}{_BETTER.get(kind, _LOW)}"
        yield head, [percent(system.takeover.get(kind)) for system in systems]


def _right(systems: Sequence[SystemFigures]) -> Iterator[_Row]:
    for category in sorted({category for system in systems for category in system.right}):
        head = f"did what is right after {_words(category)}{_HIGH}"
        yield head, [percent(system.right.get(category)) for system in systems]


def _latencies(systems: Sequence[SystemFigures]) -> Iterator[_Row]:
    for head, key in (("response latency", "response_latency"), ("stop latency", "stop_latency")):
        for unit, short in _UNITS.items():
            for quantile in ("p50", "p90"):
                found = [getattr(system, key).get(unit) for system in systems]
                cells = [_number(None if one is None else getattr(one, quantile)) for one in found]
                yield f"{head} {quantile}, {short}", cells


def _panel(systems: Sequence[SystemFigures]) -> Iterator[_Row]:
    """Show the panel of tau-voice, and apart from it the other benchmark's latency."""
    for head, key in _PANEL:
        found = [getattr(one.panel, key) for one in systems]
        if key.endswith("latency"):
            yield from _times(f"tau-voice: {head}", found)
        else:
            write = _number if key == "agent_interruptions" else percent
            yield f"tau-voice: {head}", [write(one) for one in found]
    for kind, head in _SELECTIVITY.items():
        shares = [percent(one.panel.selectivity.get(kind)) for one in systems]
        yield f"tau-voice: {head}{_HIGH}", shares
    found = [one.panel.overlap_until_stop for one in systems]
    yield from _times("Full-Duplex-Bench v1.5: stop latency", found)


def _times(head: str, found: Sequence[Times]) -> Iterator[_Row]:
    for part in ("mean", "p50", "p90"):
        yield f"{head} {part}, seconds", [_number(getattr(one, part)) for one in found]


def _content(systems: Sequence[SystemFigures]) -> Iterator[_Row]:
    for head, key in _CONTENT:
        yield head, [percent(getattr(one.content, key)) for one in systems]


def _controlled(systems: Sequence[SystemFigures]) -> Iterator[_Row]:
    for head, key in _CONTROLLED:
        found = [None if s.controlled is None else getattr(s.controlled, key) for s in systems]
        write = percent if key in ("unanswered", "nearer_to_interrupted") else _number
        yield head, [write(one) for one in found]


def _user(systems: Sequence[SystemFigures]) -> Iterator[_Row]:
    """Show what the user did, which no system is judged by: it should be the same for all."""
    for quantile in ("p50", "p90"):
        cells = [_number(getattr(system.user_waits, quantile)) for system in systems]
        yield f"the user's wait after an answer {quantile}, s", cells
    yield "the user gave up waiting, times", [Cell(system.gave_up) for system in systems]
    yield "answers ended by the limit on them", [Cell(system.limited) for system in systems]


def _waste(systems: Sequence[SystemFigures]) -> Iterator[_Row]:
    cells = [_number(system.words_after_onset) for system in systems]
    yield "words after an interruption's onset", cells
    for head, key in _WASTE:
        yield head, [_number(getattr(system.waste, key)) for system in systems]


def _behaviours(systems: Sequence[SystemFigures]) -> Iterator[_Row]:
    """Put the four classes of each kind of event in one row."""
    for kind in dict.fromkeys(kind for system in systems for kind in system.behaviour):
        cells = []
        for system in systems:
            found = system.behaviour.get(kind, {})
            shares = [found[which].value for which in BEHAVIOURS if which in found]
            known = [f"{100 * share:.0f}" for share in shares if share is not None]
            n = found["RESPOND"].n if known else 0
            cells.append(Cell(f"{' / '.join(known)} % n={n}" if known else None))
        yield f"{' / '.join(BEHAVIOURS)} after {_words(kind)} in an answer", cells


def percent(figure: Figure | None) -> Cell:
    """Show a share in per cent, with its interval and n."""
    return _cell(figure, lambda value: f"{100 * value:.1f}", " %")


def _number(figure: Figure | None) -> Cell:
    return _cell(figure, lambda value: f"{value:.0f}" if value >= 100 else f"{value:.2f}")


def _cell(figure: Figure | None, write: Callable[[float], str], unit: str = "") -> Cell:
    """Show a figure with its interval and n."""
    if figure is None or figure.value is None:
        return Cell(None)
    between = ""
    if figure.low is not None and figure.high is not None:
        between = f" [{write(figure.low)}-{write(figure.high)}]"
    parts = {"low": figure.low, "high": figure.high, "n": figure.n}
    return Cell(figure.value, f"{write(figure.value)}{unit}{between} n={figure.n}", parts=parts)


def _words(kind: str) -> str:
    return kind.replace("_", " ")
