"""Score transcripts and describe the result: all figures of all systems, and every event."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, JsonValue

from duo.errors import BadInput
from duo.files import Record, Result
from duo.speech import Conversation, read_conversation
from duo.table import Cell, Column, Table
from duo.transcript import transcript_files
from duo.waits import Spread, unequal
from evaluation.interaction import metrics
from evaluation.interaction.bootstrap import LEVEL, RESAMPLES, SEED, Estimate, Resamples
from evaluation.interaction.events import (
    BEHAVIOURS,
    KINDS,
    Behaviour,
    Done,
    Outcome,
    Wanted,
    outcomes_of,
)

#: 2: words, answers and shares of none or all as `duo.speech` and `bootstrap` say since then.
#: 3: the user's waits, and answers that the limit ended.
SCHEMA: Literal[3] = 3

Count = Annotated[int, Field(ge=0)]


class Figure(Record):
    """A number with its interval; None where there was nothing to count.

    Attributes:
        value: shares are between 0 and 1.
        n: how many events or conversations it was counted from.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    n: Count = 0


class Quantiles(Record):
    """Of a latency: the median and the 90th percentile."""

    p50: Figure
    p90: Figure


class Waste(Record):
    """Ratios of what is computed and said in vain; see `metrics`."""

    tokens_after_onset: Figure
    passes_per_word: Figure
    passes_per_token: Figure
    processed_per_token: Figure
    dropped_per_word: Figure


class SystemFigures(Record):
    """The figures of one system; `metrics` has a function for each.

    Attributes:
        overtaken: queries that are in no figure; see `duo.speech.Exchange`.
        takeover, takeover_latency: by kind of event.
        user_waits, gave_up: seconds until the user spoke again after an answer, and how often
            without one; see `duo.waits`.
        limited: answers that the limit on them ended; they count as complete.
        behaviour: by kind of event and class.
        response_latency, stop_latency: by unit.
        confusion: wanted, done, how often.
    """

    system: str
    model: str
    settings: dict[str, JsonValue]
    conversations: Count
    scenarios: Count
    events: Count
    overtaken: Count = 0
    takeover: dict[str, Figure]
    takeover_latency: dict[str, Figure]
    averaged: Figure
    false_interruptions: Figure
    missed_queries: Figure
    premature_answers: Figure
    resumed_intact: Figure
    stops_obeyed: Figure
    overlap: Figure
    user_waits: Quantiles | None = None
    gave_up: Count | None = None
    limited: Count | None = None
    behaviour: dict[str, dict[Behaviour, Figure]]
    response_latency: dict[metrics.Unit, Quantiles]
    stop_latency: dict[metrics.Unit, Quantiles]
    words_after_onset: Figure
    waste: Waste
    confusion: dict[Wanted, dict[Done, Count]]


class Intervals(Record):
    """The method of the intervals."""

    method: str = "percentile bootstrap over scenarios; Wilson for shares of none or all"
    level: float = LEVEL
    resamples: Count = RESAMPLES
    seed: Count = SEED


class LeftOut(Record):
    """A transcript that could not be scored."""

    file: str
    line: int | None
    problem: str


class Interaction(Result):
    """The result of `duo eval interaction`.

    Attributes:
        scored: how many transcripts.
        systems: by a name that tells them apart; see `by_name`.
    """

    kind: Literal["interaction"] = "interaction"
    schema_version: Literal[1, 2, 3] = Field(default=SCHEMA, alias="schema")
    intervals: Intervals = Intervals()
    scored: Count
    left_out: tuple[LeftOut, ...] = ()
    systems: dict[str, SystemFigures]
    events: tuple[Outcome, ...] = ()


def score(paths: Iterable[Path]) -> Interaction:
    """Score transcripts.

    Args:
        paths: transcripts, or folders of them.

    Raises:
        BadInput: there is no such file or folder, or not one transcript could be scored.
    """
    conversations, left_out = read_all(paths)
    if not conversations:
        raise nothing_left(left_out)
    return interaction(conversations, left_out)


def read_all(paths: Iterable[Path]) -> tuple[list[Conversation], list[BadInput]]:
    """Read every transcript that can be scored, and say what is wrong with the others.

    Raises:
        BadInput: there is no such file or folder, or a folder without transcripts.
    """
    conversations, left_out = [], []
    for path in transcript_files(paths):
        try:
            conversations.append(read_conversation(path))
        except BadInput as error:
            left_out.append(error)
    return conversations, left_out


def nothing_left(left_out: list[BadInput]) -> BadInput:
    """Make the error for when no transcript can be used: the first problem, and a count."""
    first = left_out[0]
    others = f" (and {len(left_out) - 1} more that cannot be scored)" if len(left_out) > 1 else ""
    return BadInput(first.message + others, file=first.file, line=first.line, field=first.field)


def interaction(
    conversations: Sequence[Conversation], left_out: Iterable[BadInput] = ()
) -> Interaction:
    """Compute the figures of every system, whatever the order of its conversations."""
    named = by_name(conversations)
    outcomes = {name: [o for c in held for o in outcomes_of(c)] for name, held in named.items()}
    return Interaction(
        scored=len(conversations),
        left_out=tuple(
            LeftOut(file=str(error.file), line=error.line, problem=str(error)) for error in left_out
        ),
        systems={name: _figures(held, outcomes[name]) for name, held in named.items()},
        events=tuple(
            outcome.model_copy(update={"system": name})
            for name, own in outcomes.items()
            for outcome in own
        ),
    )


def portable(found: Interaction) -> Interaction:
    """Leave out machine times and paths: the same on every machine, as reports show it."""
    latencies = {"response_latency": {"machine_ms"}, "stop_latency": {"machine_ms"}}
    event = {"file": True, "response": {"machine_ms"}, "stop": {"machine_ms"}}
    machine: Any = {"systems": {"__all__": latencies}, "events": {"__all__": event}}
    return Interaction.model_validate_json(found.model_dump_json(by_alias=True, exclude=machine))


def by_name(conversations: Iterable[Conversation]) -> dict[str, list[Conversation]]:
    """Group conversations by system, systems and conversations in order of their names.

    One system with several models or settings is several: what differs is added to its name, as in
    `duo (lookahead=2)`.
    """
    groups: dict[str, dict[str, list[Conversation]]] = {}
    for one in conversations:
        made_of = json.dumps({"model": one.model, **one.settings}, sort_keys=True, default=str)
        groups.setdefault(one.system, {}).setdefault(made_of, []).append(one)
    named: dict[str, list[Conversation]] = {}
    for system, variants in sorted(groups.items()):
        contents = {made_of: json.loads(made_of) for made_of in variants}
        keys = sorted(set().union(*contents.values()))
        missing = object()
        differing = [
            key
            for key in keys
            if any(c.get(key, missing) != next(iter(contents.values())).get(key, missing)
                   for c in contents.values())
        ]  # fmt: skip
        for made_of, held in sorted(variants.items()):
            known = [key for key in differing if key in contents[made_of]]
            added = ", ".join(f"{key}={_short(contents[made_of][key])}" for key in known)
            name = f"{system} ({added or 'default'})" if len(variants) > 1 else system
            named[name] = sorted(held, key=lambda c: (c.scenario, c.file))
    return named


def _short(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _figures(conversations: Sequence[Conversation], outcomes: Sequence[Outcome]) -> SystemFigures:
    draws = Resamples(c.scenario for c in conversations)
    kinds = [*KINDS, *sorted({o.kind for o in outcomes} - set(KINDS))]
    takeovers = {kind: draws.share(metrics.takeover(outcomes, kind)) for kind in kinds}
    first = conversations[0]

    def latency(
        samples: Callable[[Sequence[Outcome], metrics.Unit], list[tuple[str, float]]],
    ) -> dict[metrics.Unit, Quantiles]:
        return {
            unit: Quantiles(
                p50=_figure(draws.quantile(samples(outcomes, unit), 0.5)),
                p90=_figure(draws.quantile(samples(outcomes, unit), 0.9)),
            )
            for unit in metrics.UNITS
        }

    return SystemFigures(
        system=first.system,
        model=first.model,
        settings=dict(first.settings),
        conversations=len(conversations),
        scenarios=len(draws.scenarios),
        events=len(outcomes),
        overtaken=sum(exchange.overtaken for one in conversations for exchange in one.exchanges),
        takeover={kind: _figure(found) for kind, found in takeovers.items()},
        takeover_latency={
            kind: _figure(draws.mean(metrics.takeover_latency(outcomes, kind)))
            for kind in ("turn_end", "interruption")
        },
        averaged=_figure(metrics.averaged(takeovers)),
        false_interruptions=_figure(draws.share(metrics.false_interruptions(outcomes))),
        missed_queries=_figure(draws.share(metrics.missed_queries(outcomes))),
        premature_answers=_figure(draws.share(metrics.premature_answers(outcomes))),
        resumed_intact=_figure(draws.share(metrics.resumed_intact(outcomes))),
        stops_obeyed=_figure(draws.share(metrics.stops_obeyed(outcomes))),
        overlap=_figure(draws.ratio(metrics.overlap(conversations))),
        user_waits=Quantiles(
            p50=_figure(draws.quantile(metrics.user_waits(conversations), 0.5)),
            p90=_figure(draws.quantile(metrics.user_waits(conversations), 0.9)),
        ),
        gave_up=sum(one.user_waits.given_up for one in conversations),
        limited=sum(answer.limited for one in conversations for answer in one.answers),
        behaviour={
            kind: {
                which: _figure(draws.share(metrics.behaviour(outcomes, kind, which)))
                for which in BEHAVIOURS
            }
            for kind in kinds
            if kind not in ("pause", "turn_end")
        },
        response_latency=latency(metrics.response_latency),
        stop_latency=latency(metrics.stop_latency),
        words_after_onset=_figure(draws.mean(metrics.words_after_onset(outcomes))),
        waste=Waste(
            tokens_after_onset=_figure(draws.mean(metrics.tokens_after_onset(outcomes))),
            passes_per_word=_figure(draws.ratio(metrics.passes_per_word(conversations))),
            passes_per_token=_figure(draws.ratio(metrics.passes_per_token(conversations))),
            processed_per_token=_figure(draws.ratio(metrics.processed_per_token(conversations))),
            dropped_per_word=_figure(draws.ratio(metrics.dropped_per_word(conversations))),
        ),
        confusion=metrics.confusion(outcomes),
    )


def _figure(found: Estimate) -> Figure:
    value, low, high = (
        None if number is None else round(number, 6)
        for number in (found.value, found.low, found.high)
    )
    return Figure(value=value, low=low, high=high, n=found.n)


# The figures as a table.

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

_Row = tuple[str, list[Cell]]


def table(found: Interaction, title: str = "Interaction") -> Table:
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
            [(head, [_percent(getattr(s, key)) for s in systems]) for head, key in _SHARES],
            _latencies(systems),
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
        title=title,
        columns=[Column("figure", "text"), *(Column(name, "number") for name in found.systems)],
        rows=[[head, *cells] for head, cells in rows],
        notes=list(_notes(found)),
        sections=frozenset(starts),
    )


def _notes(found: Interaction) -> Iterator[str]:
    """Say what a reader should know: intervals; queries not scored, or met without a decision."""
    wilson = ", of shares of none or all by Wilson's formula" if found.schema_version > 1 else ""
    yield (
        f"In brackets {found.intervals.level:.0%} intervals by bootstrap over scenarios{wilson}; n "
        "events."
    )
    yield f"transcripts scored: {found.scored}, left out: {len(found.left_out)}"
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


def _waits(system: SystemFigures) -> Spread | None:
    found = system.user_waits
    if found is None or found.p50.value is None or found.p90.value is None:
        return None
    return Spread(found.p50.n, found.p50.value, found.p90.value)


def _takeovers(systems: Sequence[SystemFigures]) -> Iterator[_Row]:
    for kind in dict.fromkeys(kind for system in systems for kind in system.takeover):
        head = f"takeover, {_words(kind)}{_BETTER.get(kind, _LOW)}"
        yield head, [_percent(system.takeover.get(kind)) for system in systems]


def _latencies(systems: Sequence[SystemFigures]) -> Iterator[_Row]:
    for head, key in (("response latency", "response_latency"), ("stop latency", "stop_latency")):
        for unit, short in _UNITS.items():
            for quantile in ("p50", "p90"):
                found = [getattr(system, key).get(unit) for system in systems]
                cells = [_number(None if one is None else getattr(one, quantile)) for one in found]
                yield f"{head} {quantile}, {short}", cells


def _user(systems: Sequence[SystemFigures]) -> Iterator[_Row]:
    """Show what the user did, which no system is judged by: it should be the same for all."""
    for quantile in ("p50", "p90"):
        found = [system.user_waits for system in systems]
        cells = [_number(None if one is None else getattr(one, quantile)) for one in found]
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


def _percent(figure: Figure | None) -> Cell:
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
