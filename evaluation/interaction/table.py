"""The figures on a terminal: systems side by side, what is missing is `-`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from rich.markup import escape
from rich.table import Table

from duo.terminal import printable
from evaluation.interaction.events import BEHAVIOURS

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
_UNITS = {"seconds": "s", "slices": "slices", "forward_passes": "passes", "machine_ms": "ms"}

#: What a row is called, and each system's cell.
Line = tuple[str, list[str]]
Row = tuple[str, Callable[[Mapping[str, Any]], Mapping[str, Any] | None], Callable[[float], str]]


def table(found: Mapping[str, Any]) -> Table:
    """Figures as `evaluation.interaction.report.report` gives them, one column a system.

    Figures that no system has are left out; where some have them, the others show `-`.
    """
    systems = found["systems"]
    shown = Table(title="Interaction", title_justify="left")
    shown.add_column("figure")
    for name in systems:
        shown.add_column(escape(printable(name)), justify="right")
    for head, key in (("conversations", "conversations"), ("scenarios", "scenarios")):
        shown.add_row(head, *(str(system[key]) for system in systems.values()))
    shown.add_row("events", *(str(system["events"]) for system in systems.values()))
    shown.add_section()
    for section in sections(found):
        for head, cells in section:
            shown.add_row(escape(printable(head)), *map(escape, cells))
        shown.add_section()
    level = f"{found['intervals']['level']:.0%} intervals by bootstrap over scenarios; n events"
    left_out = len(found["left_out"])
    scored = f"transcripts scored: {found['scored']}, left out: {left_out}"
    shown.caption = "\n".join([level, scored, *_cautions(systems)])
    return shown


def sections(found: Mapping[str, Any]) -> list[list[Line]]:
    """The rows of the table in groups, as plain text; a row that no system fills is left out."""
    systems = found["systems"]
    made = [
        [
            (head, [_cell(pick(system), write) for system in systems.values()])
            for head, pick, write in rows
        ]
        for rows in (_takeovers(systems), _shares(), _latencies(), _waste())
    ]
    filled = [[row for row in rows if any(cell != "-" for cell in row[1])] for rows in made]
    return [rows for rows in [*filled, list(_behaviours(systems))] if rows]


def _cautions(systems: Mapping[str, Any]) -> Iterator[str]:
    """What a reader should know: queries that are not scored, or were met without a decision."""
    for name, system in systems.items():
        if count := system["overtaken"]:
            yield escape(
                f"{printable(name)}: not scored are {count} queries that were not answered before "
                "the next, which followed at once"
            )
        if count := system["confusion"].get("answer", {}).get("talked_on", 0):
            yield escape(
                f"{printable(name)}: spoke on across the end of {count} queries and reported no "
                "decision: counted as a turn taken, without a latency"
            )


def _takeovers(systems: Mapping[str, Any]) -> Iterator[Row]:
    kinds = dict.fromkeys(kind for system in systems.values() for kind in system["takeover"])
    for kind in kinds:
        head = f"takeover, {_words(kind)}{_BETTER.get(kind, _LOW)}"
        yield head, lambda system, kind=kind: system["takeover"].get(kind), _percent  # type: ignore[misc]


def _shares() -> Iterator[Row]:
    for head, key in _SHARES:
        yield head, lambda system, key=key: system[key], _percent  # type: ignore[misc]


def _behaviours(systems: Mapping[str, Any]) -> Iterator[tuple[str, list[str]]]:
    """The four classes of each kind of event in one row."""
    for kind in dict.fromkeys(kind for system in systems.values() for kind in system["behaviour"]):
        cells = []
        for system in systems.values():
            found = system["behaviour"].get(kind)
            known = found is not None and found["RESPOND"]["n"]
            shares = " / ".join(
                f"{100 * found[which]['value']:.0f}" for which in BEHAVIOURS if known
            )
            cells.append(f"{shares} % n={found['RESPOND']['n']}" if known else "-")
        if any(cell != "-" for cell in cells):
            yield f"{' / '.join(BEHAVIOURS)} after {_words(kind)} in an answer", cells


def _latencies() -> Iterator[Row]:
    for head, key in (("response latency", "response_latency"), ("stop latency", "stop_latency")):
        for unit, short in _UNITS.items():
            for quantile in ("p50", "p90"):
                yield (
                    f"{head} {quantile}, {short}",
                    lambda system, key=key, unit=unit, q=quantile: system[key].get(unit, {}).get(q),  # type: ignore[misc]
                    _number,
                )


def _waste() -> Iterator[Row]:
    yield "words after an interruption's onset", lambda system: system["words_after_onset"], _number
    for head, key in _WASTE:
        yield head, lambda system, key=key: system["waste"][key], _number  # type: ignore[misc]


def _cell(figure: Mapping[str, Any] | None, write: Callable[[float], str]) -> str:
    """A figure with its interval and n."""
    if figure is None or figure["value"] is None:
        return "-"
    low, high = figure["low"], figure["high"]
    between = "" if low is None else f" [{write(low).rstrip(' %')}-{write(high).rstrip(' %')}]"
    return f"{write(figure['value'])}{between} n={figure['n']}"


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.2f}"


def _words(kind: str) -> str:
    return kind.replace("_", " ")
