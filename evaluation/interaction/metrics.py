"""Compute metrics of interaction: from outcomes to samples `(scenario, value)`, one function each.

A share is the mean of zeros and ones, a ratio is `(scenario, numerator, denominator)`. Sources:
FDB v1 is Full-Duplex-Bench (arXiv 2503.04721), v1.5 its successor (arXiv 2507.23159). What is a
*non-query* wants no answer; it may still be about the answer that is being given.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from duo.speech import Conversation
from duo.words import length
from evaluation.interaction.bootstrap import Pair, Sample
from evaluation.interaction.events import Behaviour, Done, Latency, Outcome, Wanted

Ratios = list[Pair]
Unit = Literal["seconds", "slices", "forward_passes", "machine_ms"]
UNITS: tuple[Unit, ...] = ("seconds", "slices", "forward_passes", "machine_ms")

#: The averaged score's parts: weight, and whether more takeovers are better. FDB v1 has two sets of
#: pauses, so that a pause weighs twice.
AVERAGED = {
    "pause": (2, False),
    "backchannel": (1, False),
    "turn_end": (1, True),
    "interruption": (1, True),
}


def takeover(outcomes: Iterable[Outcome], kind: str) -> list[Sample]:
    """Takeover rate (FDB v1, TOR): the share of events after which the system takes the turn.

    TOR = #(new output >= 1 s or > 3 words) / #events. Only words that belong to the event count:
    an old answer that goes on is no turn taken. Of a pause they are those that begin before the
    query is over; of an interruption, those after its end. FDB's backchannel task is another: there
    the system is the listener.
    """
    return [(o.scenario, float(o.taken)) for o in outcomes if o.kind == kind]


def takeover_latency(outcomes: Iterable[Outcome], kind: str) -> list[Sample]:
    """Latency as FDB v1 counts it: max(0, first output word - end of the user's turn), seconds.

    Only where the turn was taken. A premature answer counts as an immediate one, which
    `response_latency` does not let pass.
    """
    return [
        (o.scenario, max(0.0, o.words[0].start - o.end))
        for o in outcomes
        if o.kind == kind and o.taken
    ]


def averaged(takeovers: Mapping[str, Sequence[Sample]]) -> list[tuple[float, Ratios]]:
    """FDB's averaged score: the weighted mean of TOR where it should be high, 1 - TOR where low.

    (2 (1 - TOR pause) + (1 - TOR backchannel) + TOR turn_end + TOR interruption) / 5; without one
    of them there is no score.

    Returns:
        The weight and the pairs of each part, for `Resamples.weighted`.
    """
    total = sum(weight for weight, _ in AVERAGED.values())
    return [
        (weight / total, [(s, v if high else 1 - v, 1.0) for s, v in takeovers[kind]])
        for kind, (weight, high) in AVERAGED.items()
    ]


def behaviour(outcomes: Iterable[Outcome], kind: str, which: Behaviour) -> list[Sample]:
    """Share of events of a kind that overlapped with speech and ended this way (FDB v1.5).

    RESPOND is right after an interruption, RESUME after a backchannel or talk to somebody else.
    See `Outcome.behaviour` for how a transcript tells them apart.
    """
    return [
        (o.scenario, float(o.behaviour == which))
        for o in outcomes
        if o.kind == kind and o.behaviour is not None
    ]


def false_interruptions(outcomes: Iterable[Outcome]) -> list[Sample]:
    """Share of non-queries during an answer for which that answer was given up."""
    return [(o.scenario, float(o.given_up)) for o in outcomes if _ignorable(o)]


def resumed_intact(outcomes: Iterable[Outcome]) -> list[Sample]:
    """Share of non-queries during an answer across which it went on without a break.

    A break is a silence of a second (of a cycle, if that is longer), or words that belong to the
    non-query.
    """
    return [(o.scenario, float(o.intact)) for o in outcomes if _ignorable(o)]


def missed_queries(outcomes: Iterable[Outcome]) -> list[Sample]:
    """Share of queries after whose end nothing is said that belongs to them.

    Stop requests are no such queries: their answer is silence. A short answer counts (the takeover
    rate of FDB v1 leaves out "Paris."), and so does speech that goes on across the query's end if
    the system reports no decisions.
    """
    return [(o.scenario, float(not o.replied)) for o in outcomes if o.wanted == "answer"]


def premature_answers(outcomes: Iterable[Outcome]) -> list[Sample]:
    """Share of queries that the system begins to answer before their end: negative latency."""
    return [(o.scenario, float(o.premature)) for o in outcomes if o.wanted == "answer"]


def stops_obeyed(outcomes: Iterable[Outcome]) -> list[Sample]:
    """Share of requests to stop, or to hold, after which there is silence.

    The old answer does not go on (nor is completed meanwhile), and no turn is taken.
    """
    return [(o.scenario, float(o.right)) for o in outcomes if o.wanted == "stop"]


def right(outcomes: Iterable[Outcome]) -> dict[str, list[Sample]]:
    """Share of utterances after which what was wanted was done (`Outcome.right`), by category.

    Pauses are none: see their takeover rate.
    """
    found: dict[str, list[Sample]] = {}
    for o in outcomes:
        if o.wanted != "wait":
            found.setdefault(o.category or o.kind, []).append((o.scenario, float(o.right)))
    return dict(sorted(found.items()))


def response_latency(outcomes: Iterable[Outcome], unit: Unit = "seconds") -> list[Sample]:
    """From a query's end to the first word of the answer begun after it, where there is one.

    Never negative: what was begun before the end is counted by `premature_answers`.
    """
    return _latencies(((o.scenario, o.response) for o in outcomes), unit)


def stop_latency(outcomes: Iterable[Outcome], unit: Unit = "seconds") -> list[Sample]:
    """From the onset of a query to the last word of the answer being given then.

    Neither of the latencies in `panel`: it has no window, and does not end when the user stops.
    A system that is deaf while it speaks stops late: at its answer's own end. Not known for speech
    that goes on across the query's end if the system reports no decisions.
    """
    return _latencies(((o.scenario, o.stop) for o in outcomes), unit)


def words_after_onset(outcomes: Iterable[Outcome]) -> list[Sample]:
    """Words of the old answer that begin at an interruption's onset or after it."""
    return [
        (o.scenario, float(o.words_after_onset))
        for o in outcomes
        if o.words_after_onset is not None
    ]


def overlap(conversations: Iterable[Conversation]) -> Ratios:
    """Seconds in which both speak, over seconds in which the user speaks."""
    return [(c.scenario, length(c.overlaps), length(c.user_speech)) for c in conversations]


def user_waits(conversations: Iterable[Conversation]) -> list[Sample]:
    """From the end of an answer to the user's next words; see `duo.waits`.

    That is the scripted user's doing: systems whose users wait unequally cannot be compared.
    """
    return [(c.scenario, seconds) for c in conversations for seconds in c.user_waits.seconds]


# What a system computes and says in vain.


def tokens_after_onset(outcomes: Iterable[Outcome]) -> list[Sample]:
    """Tokens that are still spoken after the onset of an interruption that is then answered.

    A token is a piece of speech in the transcript; the recorder writes one for each.
    """
    return [
        (o.scenario, float(o.tokens_after_onset))
        for o in outcomes
        if o.tokens_after_onset is not None and o.wanted == "answer" and o.done == "answered"
    ]


def passes_per_word(conversations: Iterable[Conversation]) -> Ratios:
    """Forward passes over spoken words: comparable across tokenizers."""
    return [(c.scenario, c.forward_passes, c.words_spoken) for c in conversations if c.cycles]


def passes_per_token(conversations: Iterable[Conversation]) -> Ratios:
    """Forward passes over spoken tokens; 1 for plain decoding without listening."""
    return [(c.scenario, c.forward_passes, c.pieces_spoken) for c in conversations if c.cycles]


def processed_per_token(conversations: Iterable[Conversation]) -> Ratios:
    """Tokens that went through the model, of all channels, over spoken tokens."""
    return [(c.scenario, c.tokens_processed, c.pieces_spoken) for c in conversations if c.cycles]


def dropped_per_word(conversations: Iterable[Conversation]) -> Ratios:
    """Words that were predicted of the user and thrown away, over words that the user said.

    Counted in words, as a transcript has the text of a look-ahead and not its tokens.
    """
    return [
        (c.scenario, c.dropped_words, sum(len(u.words) for u in c.utterances))
        for c in conversations
        if c.dropped_words is not None
    ]


def confusion(outcomes: Iterable[Outcome]) -> dict[Wanted, dict[Done, int]]:
    """Count events by what was wanted and what was done: wanted -> done -> count."""
    table: dict[Wanted, dict[Done, int]] = {}
    for outcome in outcomes:
        row = table.setdefault(outcome.wanted, {})
        row[outcome.done] = row.get(outcome.done, 0) + 1
    return table


def _ignorable(outcome: Outcome) -> bool:
    return outcome.overlapped and outcome.wanted == "ignore"


def _latencies(found: Iterable[tuple[str, Latency | None]], unit: Unit) -> list[Sample]:
    values = ((name, getattr(latency, unit)) for name, latency in found if latency is not None)
    return [(name, float(value)) for name, value in values if value is not None]
