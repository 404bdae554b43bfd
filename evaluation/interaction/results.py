"""Score transcripts and describe the result: all figures of all systems, and every event."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from duo.errors import BadInput
from duo.files import Record, Result
from duo.reading import read_conversation
from duo.speech import Conversation
from duo.spelling import spelling_of
from duo.transcript import transcript_files
from evaluation.interaction import content, control, metrics, panel
from evaluation.interaction.bootstrap import LEVEL, RESAMPLES, SEED, Figure, Resamples, Sample
from evaluation.interaction.events import (
    BEHAVIOURS,
    KINDS,
    Behaviour,
    Done,
    Outcome,
    Wanted,
    outcomes_of,
)
from evaluation.scores import Count


class Quantiles(Record):
    """Of a latency: the median and the 90th percentile."""

    p50: Figure
    p90: Figure


class Times(Quantiles):
    """Of a latency that is published as a mean: that too."""

    mean: Figure


class Panel(Record):
    """The panel of tau-voice, and Full-Duplex-Bench v1.5's stop latency; see `panel`. In seconds.

    Attributes:
        selectivity: by kind of what should be ignored; without a value where there was none.
    """

    response_rate: Figure
    response_latency: Times
    yield_rate: Figure
    yield_latency: Times
    agent_interruptions: Figure
    selectivity: dict[str, Figure]
    overlap_until_stop: Times


class Content(Record):
    """Shares of answers that loop or restate; see `content`."""

    loops: Figure
    restated: Figure
    repeated: Figure


class Controlled(Record):
    """Answers to interruptions beside those of the half-duplex control; see `control`."""

    unanswered: Figure
    to_control: Figure
    to_interrupted: Figure
    of_control: Figure
    nearer_to_interrupted: Figure


class Waste(Record):
    """Ratios of what is computed and said in vain; see `metrics`."""

    tokens_after_onset: Figure
    passes_per_word: Figure
    passes_per_token: Figure
    processed_per_token: Figure
    dropped_per_word: Figure


class SystemFigures(Record):
    """The figures of one system; `metrics`, `panel` and `content` have a function for each.

    Attributes:
        overtaken: queries that are in no figure; see `duo.speech.Exchange`.
        takeover, takeover_latency: by kind of event.
        right: by category of utterance.
        user_waits, gave_up: seconds until the user spoke again after an answer, and how often
            without one; see `duo.waits`.
        limited: answers that the limit on them ended; they count as complete.
        behaviour: by kind of event and class.
        response_latency, stop_latency: by unit.
        confusion: wanted, done, how often.
        controlled: None if no control was recorded. Controls are in no other figure.
    """

    system: str
    model: str
    settings: dict[str, Any]  # with `JsonValue`, writing it would swallow a Ctrl-C
    conversations: Count
    scenarios: Count
    events: Count
    overtaken: Count
    takeover: dict[str, Figure]
    takeover_latency: dict[str, Figure]
    averaged: Figure
    false_interruptions: Figure
    missed_queries: Figure
    premature_answers: Figure
    resumed_intact: Figure
    stops_obeyed: Figure
    right: dict[str, Figure]
    overlap: Figure
    user_waits: Quantiles
    gave_up: Count
    limited: Count
    behaviour: dict[str, dict[Behaviour, Figure]]
    response_latency: dict[metrics.Unit, Quantiles]
    stop_latency: dict[metrics.Unit, Quantiles]
    words_after_onset: Figure
    waste: Waste
    confusion: dict[Wanted, dict[Done, Count]]
    panel: Panel
    content: Content
    controlled: Controlled | None = None


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
        systems: by a name that tells them apart; see `by_name`.
    """

    kind: Literal["interaction"] = "interaction"
    schema_version: Literal[5] = Field(default=5, alias="schema")
    intervals: Intervals = Intervals()
    scored: Count
    left_out: tuple[LeftOut, ...] = ()
    systems: dict[str, SystemFigures]
    events: tuple[Outcome, ...] = ()


def score(paths: Iterable[Path], *, by_spelling: bool = False) -> Interaction:
    """Score transcripts: files, or folders of them.

    Raises:
        BadInput: there is no such file or folder, or not one transcript could be scored.
    """
    conversations, left_out = read_all(paths)
    if not conversations:
        raise nothing_left(left_out)
    return interaction(conversations, left_out, by_spelling=by_spelling)


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
    conversations: Sequence[Conversation],
    left_out: Iterable[BadInput] = (),
    *,
    by_spelling: bool = False,
) -> Interaction:
    """Compute the figures of every system, whatever the order of its conversations."""
    named, pairs = dict[str, list[Conversation]](), dict[str, list[control.Pair]]()
    for name, every in by_name(conversations, by_spelling=by_spelling).items():
        if held := [one for one in every if not one.control_of]:
            named[name], pairs[name] = held, list(control.pairs_of(every))
    outcomes = {name: [o for c in held for o in outcomes_of(c)] for name, held in named.items()}
    return Interaction(
        scored=len(conversations),
        left_out=tuple(
            LeftOut(file=str(error.file), line=error.line, problem=str(error)) for error in left_out
        ),
        systems={name: _figures(held, outcomes[name], pairs[name]) for name, held in named.items()},
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


def by_name(
    conversations: Iterable[Conversation], *, by_spelling: bool = False
) -> dict[str, list[Conversation]]:
    """Group conversations by system, systems and conversations in order of their names.

    One system with several models or settings is several: what differs is added to its name, as in
    `duo (lookahead=2)`; so is, if that is wanted, how the user's words are spelled
    (`duo.spelling`).
    """
    groups: dict[str, dict[str, list[Conversation]]] = {}
    for one in conversations:
        made = {"model": one.model, **one.settings}
        if by_spelling:
            made["spelling"] = spelling_of(" ".join(said.text for said in one.utterances))
        made_of = json.dumps(made, sort_keys=True, default=str)
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


def _figures(
    conversations: Sequence[Conversation],
    outcomes: Sequence[Outcome],
    pairs: Sequence[control.Pair],
) -> SystemFigures:
    draws = Resamples(c.scenario for c in conversations)
    kinds = [*KINDS, *sorted({o.kind for o in outcomes} - set(KINDS))]
    takeovers = {kind: metrics.takeover(outcomes, kind) for kind in kinds}
    first = conversations[0]

    def quantiles(samples: Sequence[Sample]) -> dict[str, Figure]:
        return {"p50": draws.quantile(samples, 0.5), "p90": draws.quantile(samples, 0.9)}

    def latency(
        samples: Callable[[Sequence[Outcome], metrics.Unit], list[tuple[str, float]]],
    ) -> dict[metrics.Unit, Quantiles]:
        return {unit: Quantiles(**quantiles(samples(outcomes, unit))) for unit in metrics.UNITS}

    def times(samples: Sequence[Sample]) -> Times:
        return Times(mean=draws.mean(samples), **quantiles(samples))

    return SystemFigures(
        system=first.system,
        model=first.model,
        settings=dict(first.settings),
        conversations=len(conversations),
        scenarios=len(draws.scenarios),
        events=len(outcomes),
        overtaken=sum(exchange.overtaken for one in conversations for exchange in one.exchanges),
        takeover={kind: draws.share(samples) for kind, samples in takeovers.items()},
        takeover_latency={
            kind: draws.mean(metrics.takeover_latency(outcomes, kind))
            for kind in ("turn_end", "interruption")
        },
        averaged=draws.weighted(metrics.averaged(takeovers)),
        false_interruptions=draws.share(metrics.false_interruptions(outcomes)),
        missed_queries=draws.share(metrics.missed_queries(outcomes)),
        premature_answers=draws.share(metrics.premature_answers(outcomes)),
        resumed_intact=draws.share(metrics.resumed_intact(outcomes)),
        stops_obeyed=draws.share(metrics.stops_obeyed(outcomes)),
        right={
            category: draws.share(samples) for category, samples in metrics.right(outcomes).items()
        },
        overlap=draws.ratio(metrics.overlap(conversations)),
        user_waits=Quantiles(**quantiles(metrics.user_waits(conversations))),
        gave_up=sum(one.user_waits.given_up for one in conversations),
        limited=sum(answer.limited for one in conversations for answer in one.answers),
        behaviour={
            kind: {
                which: draws.share(metrics.behaviour(outcomes, kind, which)) for which in BEHAVIOURS
            }
            for kind in kinds
            if kind not in ("pause", "turn_end")
        },
        response_latency=latency(metrics.response_latency),
        stop_latency=latency(metrics.stop_latency),
        words_after_onset=draws.mean(metrics.words_after_onset(outcomes)),
        waste=Waste(
            tokens_after_onset=draws.mean(metrics.tokens_after_onset(outcomes)),
            passes_per_word=draws.ratio(metrics.passes_per_word(conversations)),
            passes_per_token=draws.ratio(metrics.passes_per_token(conversations)),
            processed_per_token=draws.ratio(metrics.processed_per_token(conversations)),
            dropped_per_word=draws.ratio(metrics.dropped_per_word(conversations)),
        ),
        confusion=metrics.confusion(outcomes),
        panel=Panel(
            response_rate=draws.share(panel.response_rate(conversations)),
            response_latency=times(panel.response_latency(conversations)),
            yield_rate=draws.share(panel.yield_rate(conversations)),
            yield_latency=times(panel.yield_latency(conversations)),
            agent_interruptions=draws.ratio(panel.agent_interruptions(conversations)),
            selectivity={
                kind: draws.share(panel.selectivity(conversations, kind)) for kind in panel.IGNORED
            },
            overlap_until_stop=times(panel.overlap_until_stop(outcomes)),
        ),
        content=Content(
            loops=draws.share(content.loops(conversations)),
            restated=draws.share(content.restated(conversations)),
            repeated=draws.share(content.repeated(conversations)),
        ),
        controlled=_controlled(draws, pairs) if pairs else None,
    )


def _controlled(draws: Resamples, pairs: Sequence[control.Pair]) -> Controlled:
    return Controlled(
        unanswered=draws.share(control.unanswered(pairs)),
        to_control=draws.mean(control.to_control(pairs)),
        to_interrupted=draws.mean(control.to_interrupted(pairs)),
        of_control=draws.mean(control.of_control(pairs)),
        nearer_to_interrupted=draws.share(control.nearer_to_interrupted(pairs)),
    )
