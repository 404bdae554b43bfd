"""What a reader should know of a run before its numbers, counted from its transcripts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from duo.speech import conversation_of, length
from duo.table import clean
from duo.transcript import Transcript

#: Decisions that are not the model's own, by what they were.
_GROUNDS = {"patience": "silence alone (patience)", "slice": "the time slice alone"}
#: A system that never ends an answer and talks through more of the user's speech than this share,
#: counted from its own first word, does not know when to be silent.
_RESTLESS = 0.8


def cautions(transcripts: Iterable[Transcript]) -> list[str]:
    """Sentences about systems whose model did not do its part, none about the others.

    A model does its part only if it was trained to: to say state tokens, by which it judges whether
    it was asked something, or to fall silent in time slices. Without that, only the clock decides.
    """
    by_system: dict[str, list[Transcript]] = {}
    for transcript in transcripts:
        by_system.setdefault(clean(transcript.header.system), []).append(transcript)
    found = []
    for system, held in by_system.items():
        found += [*_decided_by_the_clock(system, held), *_restless(system, held)]
    return found


def _decided_by_the_clock(system: str, held: Sequence[Transcript]) -> Iterable[str]:
    """A system that looks ahead for state tokens, and decided without them."""
    events = [event for one in held for event in one.of("predicted", "respond", "ignore")]
    counts = Counter(event.by for event in events if event.kind != "predicted")
    clock, tokens = sum(counts[ground] for ground in _GROUNDS), counts["state"]
    if not clock or all(event.kind != "predicted" for event in events):
        return
    grounds = " or ".join(name for ground, name in _GROUNDS.items() if counts[ground])
    if tokens:
        yield (
            f"{system}: {clock} of {clock + tokens} decisions were made by {grounds}, not by the "
            "model's state tokens."
        )
        return
    made = "its one decision was" if clock == 1 else f"all {clock} decisions were"
    yield (
        f"{system}: {made} made by {grounds}. None was made by a state token: in this run the "
        "model itself did not tell queries from other talk; it has to be trained for that."
    )


def _restless(system: str, held: Sequence[Transcript]) -> Iterable[str]:
    """A system that speaks on whatever the user does."""
    lanes = [conversation_of(transcript) for transcript in held]
    answers = [answer for part in lanes for answer in part.answers]
    heard = both = 0.0
    for part in lanes:
        first = min((start for start, _ in part.system_speech), default=part.seconds)
        heard += length((max(start, first), max(end, first)) for start, end in part.user_speech)
        both += length(part.overlaps)
    if answers and all(a.ending == "open" for a in answers) and both > _RESTLESS * heard > 0:
        yield (
            f"{system}: it never ended an answer, and talked through {both / heard:.0%} of what "
            "the user said after its first word. In this run the model did not fall silent by "
            "itself; it has to be trained for that."
        )
