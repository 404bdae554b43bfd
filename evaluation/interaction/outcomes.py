"""What became of each event: the facts that all figures are counted from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from evaluation.interaction.conversation import Answer, Conversation
from evaluation.interaction.events import Part, Wanted, parts_of
from evaluation.interaction.words import Word

#: A turn is taken by output of so many seconds, or of more words than this (Full-Duplex-Bench v1).
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


@dataclass(frozen=True)
class Outcome:
    """One event and what became of it.

    Attributes:
        scenario, file: where it happened.
        utterance, kind, category, wanted: what the event is.
        start, end: of the utterance; of a pause in a query, of the pause.
        overlapped: the system was speaking when it began.
        words: the output that counts for the takeover rate.
        done: see `Done`.
        given_up: an old answer was given up for it.
        premature: the system began to answer before the query was over.
        replied: something was said after the query was over that belongs to it.
        response: from the query's end to its answer's first word.
        stop: from the onset of a query to the old answer's last word, whatever ended it.
        words_after_onset, tokens_after_onset: of the old answer.
        intact: the old answer went on without a break.
        text, context: what was said, and the query before it.
        user_words: the utterance's words.
    """

    scenario: str
    file: str
    utterance: str
    kind: str
    category: str
    wanted: Wanted
    start: float
    end: float
    overlapped: bool
    words: tuple[Word, ...]
    done: Done
    given_up: bool = False
    premature: bool = False
    replied: bool = False
    response: Latency | None = None
    stop: Latency | None = None
    words_after_onset: int | None = None
    tokens_after_onset: int | None = None
    intact: bool = False
    text: str = ""
    context: str = ""
    user_words: tuple[Word, ...] = ()

    @property
    def taken(self) -> bool:
        """Whether the system took the turn; see `takes_turn`."""
        return takes_turn(self.words)

    @property
    def behaviour(self) -> Behaviour | None:
        """Full-Duplex-Bench v1.5's class; None where nothing overlapped, and for pauses.

        Its authors ask a language model; here the transcript says it. RESPOND: a new answer, whole
        or of a turn's length (to a stop request: silence). RESUME: the old answer goes on, or had
        already been completed. UNCERTAIN: a few words that lead nowhere. UNKNOWN: none of these:
        silence, or speech of which nobody says whose answer it is.
        """
        if not self.overlapped or self.wanted == "wait":
            return None
        if self.wanted == "stop" and self.done == "stopped":
            return "RESPOND"
        return _BEHAVIOUR_OF[self.done]


def takes_turn(words: Sequence[Word]) -> bool:
    """Full-Duplex-Bench v1's rule: output of 1 s or longer, or of more than 3 words.

    The length is measured from the first word's start to the last word's end. In Chinese and
    Japanese a character counts as a word.
    """
    if not words:
        return False
    return words[-1].end - words[0].start >= TURN_SECONDS or len(words) > TURN_WORDS


def outcomes_of(conversation: Conversation) -> Iterator[Outcome]:
    """What became of every event of a conversation, in order.

    A query that has pauses in it is also an event of kind `pause`. Queries that were overtaken by
    the next (see `Part.overtaken`) are left out.
    """
    for part in parts_of(conversation):
        if part.overtaken:
            continue
        if part.wanted == "answer" and part.utterance.pauses:
            yield _pause(conversation, part)
        yield _outcome(conversation, part)


def _outcome(conversation: Conversation, part: Part) -> Outcome:
    said, old = part.utterance, part.old
    query = part.wanted == "answer"
    after = said.end if part.kind == "interruption" else said.start
    proper = next((a for a in part.answers if a.start >= said.end), None)
    done = _done(part)
    stops = part.wanted in ("answer", "stop") and done != "talked_on"
    return Outcome(
        scenario=conversation.scenario,
        file=str(conversation.file),
        utterance=said.name,
        kind=part.kind,
        category=said.category,
        wanted=part.wanted,
        start=said.start,
        end=said.end,
        overlapped=old is not None,
        words=tuple(word for answer in part.answers for word in answer.words_from(after)),
        done=done,
        given_up=part.given_up,
        premature=query and any(answer.start < said.end for answer in part.answers),
        replied=query and any(answer.words_from(said.end) for answer in part.answers),
        response=_latency(conversation, said.end, proper.start, proper.tokens[0][1])
        if query and proper is not None and not proper.seamless
        else None,
        stop=_latency(conversation, said.start, old.end, old.end)
        if old is not None and stops
        else None,
        words_after_onset=len(old.words_from(said.start)) if old is not None and stops else None,
        tokens_after_onset=sum(start >= said.start for start, _ in old.tokens)
        if old is not None and stops
        else None,
        intact=done == "went_on"
        and old is not None
        and _unbroken(old, said.start, conversation.breath),
        text=said.text,
        context=part.before,
        user_words=said.words,
    )


def _pause(conversation: Conversation, part: Part) -> Outcome:
    """The event that a query with a pause in it is: nothing may be answered before its end."""
    said = part.utterance
    start, end = max(said.pauses, key=lambda pause: pause[1] - pause[0])
    words = tuple(word for answer in part.answers for word in answer.words if word.start < said.end)
    return Outcome(
        scenario=conversation.scenario,
        file=str(conversation.file),
        utterance=said.name,
        kind="pause",
        category=said.category,
        wanted="wait",
        start=start,
        end=end,
        overlapped=part.old is not None,
        words=words,
        done="answered" if takes_turn(words) else "brief" if words else "silent",
        text=said.text,
        context=part.before,
        user_words=said.words,
    )


def _done(part: Part) -> Done:
    """What the system did about an utterance."""
    new = part.answers
    if part.wanted == "answer":  # what was dropped before the end is no answer
        new = tuple(answer for answer in new if answer.words_from(part.utterance.end))
    if new and new[0].seamless:
        return "talked_on"
    if new:
        said = tuple(word for answer in new for word in answer.words)
        whole = any(answer.ending == "complete" for answer in new)
        return "answered" if whole or takes_turn(said) else "brief"
    if part.old is None:
        return "silent"
    return "stopped" if part.given_up else "went_on"


def _latency(conversation: Conversation, start: float, end: float, computed: float) -> Latency:
    """From `start` to `end`; the passes up to the one that brought the word, `computed`."""
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
    """Whether an answer has no silence of this length in it after a moment."""
    pairs = pairwise(answer.words)
    return all(b.start - a.end < longest for a, b in pairs if b.start > since)
