"""Compute the panel of tau-voice and the stop latency of Full-Duplex-Bench v1.5, from transcripts.

Definitions and windows are those of tau-voice (sierra-research/tau2-bench,
docs/interaction-metrics.md), for speech in words instead of ticks of 0.2 s. It goes by what is
heard: nothing here depends on what a system reports, nor on why it fell silent. An answer that ends
by itself within a window counts as one that was given up, and an answer that is given up after the
window does not. The system's speech is in *stretches*: silences of a breath (`duo.words.BREATH`) or
less inside an answer do not divide it, any silence between two answers does. *Turns* are queries;
those that were overtaken (`duo.speech.Exchange`) are left out as everywhere. Statements, which are
addressed to the system and want no answer, are in no measure of the panel.

Each function makes samples `(scenario, value)`. Both benchmarks' latencies of yielding stand here,
so that nobody takes one for the other: `yield_latency` is counted of yields alone,
`overlap_until_stop` of every interruption, with a clock that stops when the user does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from duo.speech import SHORTEST_PAUSE, Conversation, Utterance
from duo.transcript import TOLERANCE, WANT_SILENCE
from duo.words import BREATH, Interval, bridge_breaths, merged
from evaluation.interaction.bootstrap import Sample
from evaluation.interaction.events import Outcome
from evaluation.interaction.metrics import Ratios

#: Seconds from an interruption's onset within which silence counts as yielding.
YIELD_WINDOW = 2.0
#: Seconds from the onset of what should be ignored within which silence is an error.
IGNORE_WINDOW = 1.0
#: Seconds from the end of what should be ignored, said in silence, within which speech is an error.
RESPONSE_WINDOW = 2.0

#: What should be ignored: the categories of non-queries that are of each kind.
IGNORED = {
    "backchannel": frozenset({"backchannel", "acknowledgement"}),
    "vocal_tic": frozenset({"vocal_tic"}),
    "non_directed": frozenset({"third_party", "background", "self_talk"}),
}


def response_rate(conversations: Iterable[Conversation]) -> list[Sample]:
    """R_R: share of the user's turns that the system answers before the user's next turn.

    Turns at whose end the system is speaking are left out, and so are requests for silence. Unlike
    tau-voice's, a turn that nothing at all follows counts as unanswered.
    """
    return [(c.scenario, float(wait is not None)) for c in conversations for wait in _waits(c)]


def response_latency(conversations: Iterable[Conversation]) -> list[Sample]:
    """L_R: seconds from a turn's end to the beginning of the speech that answers it."""
    return [(c.scenario, wait) for c in conversations for wait in _waits(c) if wait is not None]


def yield_rate(conversations: Iterable[Conversation]) -> list[Sample]:
    """R_Y: share of interruptions within 2.0 s of whose onset the system is silent.

    An interruption is a query, or a request for silence, that begins while the system is speaking.
    """
    return [(c.scenario, float(s <= YIELD_WINDOW)) for c in conversations for s in _stops(c)]


def yield_latency(conversations: Iterable[Conversation]) -> list[Sample]:
    """L_Y: seconds from the onset of an interruption to silence, of those yielded to."""
    return [(c.scenario, s) for c in conversations for s in _stops(c) if s <= YIELD_WINDOW]


def agent_interruptions(conversations: Iterable[Conversation]) -> Ratios:
    """I_A: how often the system begins to speak while the user does, over turns of `response_rate`.

    Pauses of the user are silence, and what is not said to the system is no speech of the user; it
    can exceed 1.
    """
    return [(c.scenario, _interrupting(c), len(list(_waits(c)))) for c in conversations]


def selectivity(conversations: Iterable[Conversation], kind: str) -> list[Sample]:
    """S_BC, S_VT, S_ND: share of what should be ignored (`IGNORED`) that is ignored.

    If it begins while the system is speaking, silence within 1.0 s of its onset is an error. Else
    speech that begins after its onset and within 2.0 s of its end is one; backchannels in silence
    are not counted.
    """
    found = []
    for one in conversations:
        stretches = _stretches(one)
        for said in one.utterances:
            if said.label != "non_query" or said.category not in IGNORED[kind]:
                continue
            silent = _until_silence(stretches, said.start)
            if silent is not None:
                found.append((one.scenario, float(silent > IGNORE_WINDOW)))
            elif kind != "backchannel":
                until = round(said.end + RESPONSE_WINDOW, 6)
                error = any(said.start <= start <= until for start, _ in stretches)
                found.append((one.scenario, float(not error)))
    return found


def overlap_until_stop(outcomes: Iterable[Outcome]) -> list[Sample]:
    """Stop latency of Full-Duplex-Bench v1.5 (arXiv 2507.23159): how long both speak at most.

    Seconds from the onset of an interruption to the old answer's last word, or to the end of the
    interruption if that is sooner: a system that does not stop gets the length of what was said.
    The events are those of `metrics.stop_latency`, whose clock goes on.
    """
    return [
        (o.scenario, round(min(o.stop.seconds, o.end - o.start), 6))
        for o in outcomes
        if o.stop is not None
    ]


def _stretches(conversation: Conversation) -> list[Interval]:
    return merged(
        stretch
        for answer in conversation.answers
        for stretch in bridge_breaths([(word.start, word.end) for word in answer.words], BREATH)
    )


def _turns(conversation: Conversation) -> Iterator[Utterance]:
    for exchange in conversation.exchanges:
        if exchange.utterance.label == "query" and not exchange.overtaken:
            yield exchange.utterance


def _waits(conversation: Conversation) -> Iterator[float | None]:
    """Say for each turn that counts how long its answer took; None if there was none."""
    stretches = _stretches(conversation)
    queries = [one for one in conversation.utterances if one.label == "query"]
    for said in _turns(conversation):
        if said.category in WANT_SILENCE or _until_silence(stretches, said.end) is not None:
            continue
        begun = min((start for start, _ in stretches if start >= said.end), default=None)
        again = min((one.start for one in queries if one.start >= said.end), default=begun)
        answered = begun is not None and again is not None and begun <= again
        yield round(begun - said.end, 6) if answered and begun is not None else None


def _stops(conversation: Conversation) -> Iterator[float]:
    """Give the seconds until silence for each interruption."""
    stretches = _stretches(conversation)
    found = (_until_silence(stretches, said.start) for said in _turns(conversation))
    return (seconds for seconds in found if seconds is not None)


def _interrupting(conversation: Conversation) -> int:
    """Count stretches that begin in the user's speech."""
    own = [one for one in conversation.utterances if one.category not in IGNORED["non_directed"]]
    spoken = [(word.start, word.end) for one in own for word in one.words]
    speech = bridge_breaths(spoken, SHORTEST_PAUSE - TOLERANCE)
    return sum(any(a < start < b for a, b in speech) for start, _ in _stretches(conversation))


def _until_silence(stretches: Iterable[Interval], moment: float) -> float | None:
    """Count the seconds that the system goes on speaking; None if it is silent at this moment."""
    return next((round(end - moment, 6) for start, end in stretches if start < moment < end), None)
