"""Find the events of a conversation that a benchmark knows, and what became of each.

An event is an utterance of the user, or a pause in one. Its outcome holds the facts that all
figures are counted from; `duo.speech` says which answer is whose.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

from pydantic import Field

from duo.files import Record
from duo.speech import Answer, Conversation, Exchange, Utterance
from duo.transcript import WANT_SILENCE
from duo.words import Word

#: What is right after an event: to answer, to leave it alone, to fall silent, to wait for the rest.
Wanted = Literal["answer", "ignore", "stop", "wait"]

#: Kinds of event in the order in which they are shown; a non-query of another category is an event
#: of that kind.
KINDS = (
    "pause", "backchannel", "third_party", "background", "self_talk", "statement",
    "turn_end", "interruption", "stop_request",
    "hold_request", "vocal_tic",
)  # fmt: skip
#: Short feedback of a listener, whatever a scenario calls it.
_SAME = {"acknowledgement": "backchannel"}

#: A turn is taken by output of this many seconds, or of more than this many words (as in
#: Full-Duplex-Bench v1).
TURN_SECONDS = 1.0
TURN_WORDS = 3

#: What the system did. "answered": took the turn, or gave a whole short answer; "brief": began to
#: speak and no more; "talked_on": spoke on across a query without saying what it was doing;
#: "went_on": gave the old answer on; "stopped": gave it up and said nothing; "silent": was silent
#: before and remained so.
Done = Literal["answered", "brief", "talked_on", "went_on", "stopped", "silent"]
#: Full-Duplex-Bench v1.5's classes of what follows an overlap.
Behaviour = Literal["RESPOND", "RESUME", "UNCERTAIN", "UNKNOWN"]

BEHAVIOURS: tuple[Behaviour, ...] = ("RESPOND", "RESUME", "UNCERTAIN", "UNKNOWN")
_BEHAVIOUR_OF: dict[Done, Behaviour] = {
    "answered": "RESPOND",
    "brief": "UNCERTAIN",
    "talked_on": "UNKNOWN",
    "went_on": "RESUME",
    "stopped": "UNKNOWN",
    "silent": "UNKNOWN",
}


@dataclass(frozen=True)
class Latency:
    """One stretch of time in four units; None where it was not counted.

    Attributes:
        seconds: on the conversation's clock.
        slices: the same in cycles of the system.
        forward_passes: passes that ran in it.
        machine_ms: what those took, at the recording's mean time of a pass.
    """

    seconds: float
    slices: float | None = None
    forward_passes: float | None = None
    machine_ms: float | None = None


def takes_turn(words: Sequence[Word]) -> bool:
    """Apply Full-Duplex-Bench v1's rule: output of 1 s or longer, or of more than 3 words.

    The length is measured from the first word's start to the last word's end. In Chinese and
    Japanese a character counts as a word.
    """
    if not words:
        return False
    return words[-1].end - words[0].start >= TURN_SECONDS or len(words) > TURN_WORDS


def _behaviour(event: dict[str, Any]) -> Behaviour | None:
    """Find the class of an event from the facts that stand before it; see `Outcome.behaviour`."""
    if not event["overlapped"] or event["wanted"] == "wait":
        return None
    if event["wanted"] == "stop" and event["done"] == "stopped":
        return "RESPOND"
    return _BEHAVIOUR_OF[event["done"]]


def _right(event: dict[str, Any]) -> bool:
    """Tell from the facts that stand before it whether an event came out as was `Wanted`."""
    if event["wanted"] == "answer":
        return bool(event["replied"] and not event["premature"])
    if event["wanted"] == "ignore":
        return not event["taken"] and not event["given_up"]
    return not event["taken"] and event["done"] != "went_on"


class Outcome(Record):
    """One event and what became of it; texts and words are not in the file of the result.

    Attributes:
        system, scenario, file: where it happened.
        utterance, kind, category, wanted: what the event is.
        done: see `Done`.
        start, end: of the utterance; of a pause in a query, of the pause.
        overlapped: the system was speaking when it began.
        behaviour: Full-Duplex-Bench v1.5's class; None where nothing overlapped, and for pauses.
            Its authors ask a language model; here the transcript says it. RESPOND: a new answer,
            whole or of a turn's length (to a stop request: silence). RESUME: the old answer goes
            on, or had already been completed. UNCERTAIN: a few words that lead nowhere. UNKNOWN:
            none of these: silence, or speech of which nobody says whose answer it is.
        words: the output that counts for the takeover rate.
        taken: the system took the turn; see `takes_turn`.
        given_up: an old answer was given up for it.
        premature: the system began to answer before the query was over.
        replied: something was said after the query was over that belongs to it.
        intact: the old answer went on without a break.
        right: what was wanted was done, whatever was said and however late. "answer": something was
            said after the query's end, and nothing of it before. "ignore": no turn was taken, and
            no answer given up. "stop", "wait": no turn was taken, and no old answer went on.
        response: from the query's end to its answer's first word.
        stop: from the onset of a query to the old answer's last word, whatever ended it.
        words_after_onset, tokens_after_onset: of the old answer.
        text, context: what was said, and the query before it.
    """

    system: str = ""
    scenario: str
    file: str = ""
    utterance: str
    kind: str
    category: str
    wanted: Wanted
    done: Done
    start: float
    end: float
    overlapped: bool
    behaviour: Behaviour | None = Field(default_factory=_behaviour)
    words: tuple[Word, ...] = Field(default=(), exclude=True)
    taken: bool = Field(default_factory=lambda event: takes_turn(event["words"]))
    given_up: bool = False
    premature: bool = False
    replied: bool = False
    intact: bool = False
    right: bool = Field(default_factory=_right)
    response: Latency | None = None
    stop: Latency | None = None
    words_after_onset: int | None = None
    tokens_after_onset: int | None = None
    text: str = Field(default="", exclude=True)
    context: str = Field(default="", exclude=True)
    user_words: tuple[Word, ...] = Field(default=(), exclude=True)


def wanted_after(utterance: Utterance) -> Wanted:
    """Say what is right after an utterance."""
    if utterance.label == "query":
        return "stop" if utterance.category in WANT_SILENCE else "answer"
    return "wait" if utterance.category == "pause" else "ignore"


def kind_of(exchange: Exchange) -> str:
    """Name the kind of event of an utterance; a query during an answer is an interruption."""
    category = exchange.utterance.category
    if wanted_after(exchange.utterance) == "answer":
        speaking = category == "interruption" or exchange.old is not None
        return "interruption" if speaking else "turn_end"
    return _SAME.get(category, category) or "non_query"


def outcomes_of(conversation: Conversation) -> Iterator[Outcome]:
    """Say what became of every event of a conversation, in order.

    A query that has pauses in it is also an event of kind `pause`. Left out are queries that were
    overtaken by the next (see `Exchange.overtaken`), and what nobody labelled.
    """
    for exchange in conversation.exchanges:
        said = exchange.utterance
        if exchange.overtaken or said.label is None:
            continue
        if wanted_after(said) == "answer" and said.pauses:
            yield _pause(conversation, exchange)
        yield _outcome(conversation, exchange)


def _outcome(conversation: Conversation, exchange: Exchange) -> Outcome:
    said, old = exchange.utterance, exchange.old
    kind, wanted = kind_of(exchange), wanted_after(said)
    query = wanted == "answer"
    after = said.end if kind == "interruption" else said.start
    done = _done(exchange)
    # The old answer where it should stop, and it is known whether it did.
    stopped = old if wanted in ("answer", "stop") and done != "talked_on" else None
    breath = conversation.breath
    return Outcome(
        **_facts(conversation, exchange),
        kind=kind,
        wanted=wanted,
        start=said.start,
        end=said.end,
        words=tuple(word for answer in exchange.answers for word in answer.words_from(after)),
        done=done,
        given_up=exchange.given_up,
        premature=query and any(answer.start < said.end for answer in exchange.answers),
        replied=query and any(answer.words_from(said.end) for answer in exchange.answers),
        intact=done == "went_on" and old is not None and _unbroken(old, said.start, breath),
        response=_response(conversation, exchange),
        stop=_latency(conversation, said.start, stopped.end, stopped.end) if stopped else None,
        words_after_onset=len(stopped.words_from(said.start)) if stopped else None,
        tokens_after_onset=(
            sum(piece.start >= said.start for piece in stopped.pieces) if stopped else None
        ),
    )


def _facts(conversation: Conversation, exchange: Exchange) -> dict[str, Any]:
    """Collect the facts about an utterance that all its events share."""
    said = exchange.utterance
    return {
        "scenario": conversation.scenario,
        "file": conversation.file,
        "utterance": said.name,
        "category": said.category,
        "overlapped": exchange.old is not None,
        "text": said.text,
        "context": exchange.before,
        "user_words": said.words,
    }


def _response(conversation: Conversation, exchange: Exchange) -> Latency | None:
    """Measure the time to a query's reply; the passes up to the one with its first piece."""
    if exchange.wait is None or exchange.reply is None:
        return None
    return _latency(conversation, *exchange.wait, exchange.reply.pieces[0].end)


def _pause(conversation: Conversation, exchange: Exchange) -> Outcome:
    """Make the event that a query with a pause is: nothing may be answered before its end."""
    said = exchange.utterance
    start, end = max(said.pauses, key=lambda pause: pause[1] - pause[0])
    words = tuple(
        word for answer in exchange.answers for word in answer.words if word.start < said.end
    )
    return Outcome(
        **_facts(conversation, exchange),
        kind="pause",
        wanted="wait",
        start=start,
        end=end,
        words=words,
        done="answered" if takes_turn(words) else "brief" if words else "silent",
    )


def _done(exchange: Exchange) -> Done:
    """Say what the system did about an utterance."""
    new = exchange.answers
    if wanted_after(exchange.utterance) == "answer":  # what was dropped before the end is no answer
        new = tuple(answer for answer in new if answer.words_from(exchange.utterance.end))
    if new and new[0].seamless:
        return "talked_on"
    if new:
        said = tuple(word for answer in new for word in answer.words)
        whole = any(answer.ending == "complete" for answer in new)
        return "answered" if whole or takes_turn(said) else "brief"
    if exchange.old is None:
        return "silent"
    return "stopped" if exchange.given_up else "went_on"


def _latency(conversation: Conversation, start: float, end: float, computed: float) -> Latency:
    """Measure from `start` to `end`; the passes up to the one that brought the word, `computed`."""
    seconds = round(end - start, 6)
    passes = conversation.passes_between(start, computed)
    machine = conversation.seconds_per_pass
    return Latency(
        seconds=seconds,
        slices=round(seconds / conversation.cycle_seconds, 6) if conversation.cycles else None,
        forward_passes=passes,
        machine_ms=None if passes is None or machine is None else round(1000 * passes * machine, 3),
    )


def _unbroken(answer: Answer, since: float, longest: float) -> bool:
    """Tell whether an answer has no silence of this length in it after a moment."""
    pairs = pairwise(answer.words)
    return all(b.start - a.end < longest for a, b in pairs if b.start > since)
