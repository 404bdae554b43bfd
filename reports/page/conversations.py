"""Say what conversations cost, what was said in them line by line, and what to know beforehand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass

from duo.decoding.systems import SYSTEMS
from duo.escape import clean
from duo.palette import USER, UTTERANCES
from duo.speech import Conversation
from duo.table import Column, Table
from duo.words import joined, length
from reports.plots.lanes import decision_text

#: The system that others are compared with.
REFERENCE = "turn-based"

_ENDINGS = {"complete": "answer", "cut": "answer, cut short", "open": "answer, not ended"}
#: A system that never ends an answer and talks through more of the user's speech than this share,
#: counted from its own first word, does not know when to be silent.
_RESTLESS = 0.8


@dataclass(frozen=True)
class Costs:
    """Counts of one conversation, or of several together.

    Attributes:
        seconds: length on the conversation's clock.
        forward_passes, tokens_processed: of the model, both channels together.
        answers: answers of which at least a word was spoken.
        cut: answers that were given up for something the user said.
        interruptions: utterances of the user that began while the system spoke.
        waits: seconds of silence between the end of a query and the answer to it, one by one.
    """

    seconds: float = 0.0
    forward_passes: int = 0
    tokens_processed: int = 0
    answers: int = 0
    cut: int = 0
    interruptions: int = 0
    waits: tuple[float, ...] = ()

    @property
    def tokens_per_pass(self) -> float | None:
        """Tokens that a forward pass carried on average; None without a pass."""
        return self.tokens_processed / self.forward_passes if self.forward_passes else None

    @property
    def mean_wait(self) -> float | None:
        """Mean of `waits` in seconds; None if there was none."""
        return sum(self.waits) / len(self.waits) if self.waits else None

    def passes_relative_to(self, reference: Costs | None) -> float | None:
        """Forward passes as a multiple of the reference's; None if that is not known."""
        if reference is None or not reference.forward_passes:
            return None
        return self.forward_passes / reference.forward_passes

    def __add__(self, other: Costs) -> Costs:
        return Costs(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))


def costs_of(found: Conversation) -> Costs:
    """Count one conversation."""
    return Costs(
        seconds=found.seconds,
        forward_passes=found.forward_passes,
        tokens_processed=found.tokens_processed,
        answers=len(found.answers),
        cut=sum(answer.ending == "cut" for answer in found.answers),
        interruptions=len(found.interruptions),
        waits=tuple(round(end - start, 3) for start, end in found.waits),
    )


def costs_by_system(conversations: Iterable[Conversation]) -> dict[str, Costs]:
    """Add up all conversations of each system, systems in the order of their first."""
    totals: dict[str, Costs] = {}
    for one in conversations:
        totals[one.system] = totals.get(one.system, Costs()) + costs_of(one)
    return totals


def costs_table(title: str, costs: Mapping[str, Costs]) -> Table:
    """Tabulate costs by system, for readers."""
    reference = costs.get(REFERENCE)
    return Table(
        title,
        [
            "System", Column("Forward passes", show=",d"),
            Column(f"Relative to {REFERENCE}", "number", "{:.2f}×".format),
            Column("Tokens processed", show=",d"), Column("Tokens per pass", "number", ".2f"),
            "Answers", "Cut short", "Interruptions",
            Column("Mean wait", "number", "{:.1f} s".format),
        ],
        [
            [name, one.forward_passes, one.passes_relative_to(reference), one.tokens_processed,
             one.tokens_per_pass, one.answers, one.cut, one.interruptions, one.mean_wait]
            for name, one in costs.items()
        ],
        [f"{name}: {SYSTEMS[name]}." for name in costs if name in SYSTEMS],
    )  # fmt: skip


def all_costs(conversations: Iterable[Conversation]) -> Table:
    """Tabulate what each conversation cost, also relative to `REFERENCE`, for programs."""
    counted = [(one, costs_of(one)) for one in conversations]
    references = {head.scenario: costs for head, costs in counted if head.system == REFERENCE}
    return Table(
        "Costs of each conversation",
        [
            "scenario", "system", "seconds", "forward_passes", "tokens_processed",
            "tokens_per_pass", f"passes_relative_to_{REFERENCE}", "answers", "cut",
            "interruptions", "mean_wait_seconds",
        ],
        [
            [head.scenario, head.system, round(one.seconds, 3), one.forward_passes,
             one.tokens_processed, _rounded(one.tokens_per_pass),
             _rounded(one.passes_relative_to(references.get(head.scenario))), one.answers,
             one.cut, one.interruptions, _rounded(one.mean_wait)]
            for head, one in counted
        ],
    )  # fmt: skip


@dataclass(frozen=True)
class Line:
    """A line of a transcript for readers: when (seconds), who, what, and the words.

    Attributes:
        who: `duo.palette.USER` or the system's name.
        spoken: whether the words were spoken.
    """

    at: float
    who: str
    what: str
    words: str = ""
    spoken: bool = False

    @property
    def spoken_by_person(self) -> bool:
        return self.who == USER


def lines_of(found: Conversation) -> list[Line]:
    """List all that was said and decided, in the order of time."""
    return sorted(_lines(found), key=lambda line: line.at)


def _lines(found: Conversation) -> Iterator[Line]:
    for one in found.utterances:
        label, kind = UTTERANCES[one.label] or "says", one.category.replace("_", " ")
        what = f"{label} · {kind}" if kind and one.category != one.label else label
        yield Line(one.start, USER, what, joined(one.shown), True)
    for revision in found.revisions:
        yield Line(revision.at, USER, "heard again", revision.text, True)
    for decision in found.decisions:
        expected = f"expected next: {decision.expected}" if decision.expected else ""
        yield Line(decision.at, found.system, decision_text(decision), expected)
    for answer in (*found.answers, *found.wordless):
        what = _ENDINGS[answer.ending] if answer.words else "answer without words"
        what += ", ended by the limit on answers" if answer.limited else ""
        words = joined(found.written(answer))
        yield Line(answer.start, found.system, what, words, bool(words))
    for note in found.notes:
        yield Line(note.at, found.system, "note", note.text)


def cautions(conversations: Iterable[Conversation]) -> list[str]:
    """Say of which systems the model did not do its part; nothing is said of the others.

    A model does its part only if it was trained to: to say state tokens, by which it judges whether
    it was asked something, or to fall silent in time slices. Without that, only the clock decides.
    """
    by_system: dict[str, list[Conversation]] = {}
    for one in conversations:
        by_system.setdefault(clean(one.system), []).append(one)
    found: list[str] = []
    for system, held in by_system.items():
        found += [*_decided_by_the_clock(system, held), *_restless(system, held)]
    return found


def _decided_by_the_clock(system: str, held: Sequence[Conversation]) -> Iterator[str]:
    """Find a system that looks ahead for state tokens, and decided without them."""
    counts = Counter(decision.by for one in held for decision in one.decisions)
    clock, tokens = counts["patience"], counts["state"]
    if not clock or all(one.dropped_words is None for one in held):
        return
    if tokens:
        yield (
            f"{system}: {clock} of {clock + tokens} decisions were made by silence alone "
            "(patience), not by the model's state tokens."
        )
        return
    made = "its one decision was" if clock == 1 else f"all {clock} decisions were"
    yield (
        f"{system}: {made} made by silence alone (patience). None was made by a state token: "
        "in this run the model itself did not tell questions from remarks; it has to be trained "
        "for that."
    )


def _restless(system: str, held: Sequence[Conversation]) -> Iterator[str]:
    """Find a system that speaks on whatever the user does."""
    answers = [answer for part in held for answer in part.answers]
    heard = both = 0.0
    for part in held:
        first = min((start for start, _ in part.system_speech), default=part.seconds)
        heard += length((max(start, first), max(end, first)) for start, end in part.user_speech)
        both += length(part.overlaps)
    if answers and all(a.ending == "open" for a in answers) and both > _RESTLESS * heard > 0:
        yield (
            f"{system}: it never ended an answer, and talked through {both / heard:.0%} of what "
            "the person said after its first word. In this run the model did not fall silent by "
            "itself; it has to be trained for that."
        )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
