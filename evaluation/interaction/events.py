"""What the user did, as events that a benchmark knows, and which answer is whose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from evaluation.interaction.conversation import Answer, Conversation, Utterance

#: What is right after an event: to answer, to leave it alone, to fall silent, to wait for the rest.
Wanted = Literal["answer", "ignore", "stop", "wait"]

#: Kinds of event in the order in which they are shown; a non-query of another category is an event
#: of that kind.
KINDS = (
    "pause", "backchannel", "third_party", "background", "self_talk", "statement",
    "turn_end", "interruption", "stop_request",
)  # fmt: skip
#: Short feedback of a listener, whatever a scenario calls it.
_SAME = {"acknowledgement": "backchannel"}
#: A query that another follows within so many seconds is answered together with that.
GRACE = 3.0


@dataclass(frozen=True)
class Part:
    """An utterance and what the system made of it.

    Attributes:
        utterance: what the user said.
        answers: the answers that belong to it, in order.
        old: the answer that was being given when it began; None if there was silence.
        given_up: whether that answer was given up for it.
        overtaken: whether it is a query that was not answered before the next, which followed
            within `GRACE` seconds; it is not scored then.
        before: the last query before it; "" if there is none.
    """

    utterance: Utterance
    answers: tuple[Answer, ...]
    old: Answer | None
    given_up: bool
    overtaken: bool
    before: str = ""

    @property
    def wanted(self) -> Wanted:
        """What would be right after it."""
        if self.utterance.label == "query":
            return "stop" if self.utterance.category == "stop_request" else "answer"
        return "wait" if self.utterance.category == "pause" else "ignore"

    @property
    def kind(self) -> str:
        """Its kind of event; a query is an interruption if the system was speaking."""
        category = self.utterance.category
        if self.wanted == "answer":
            speaking = category == "interruption" or self.old is not None
            return "interruption" if speaking else "turn_end"
        return _SAME.get(category, category) or "non_query"


def parts_of(conversation: Conversation) -> list[Part]:
    """Every utterance with the answers that belong to it.

    An answer belongs to the last utterance that began before it. If that one is a non-query while a
    query before it is still waiting (not answered, and not ignored by a decision that the system
    reports), it belongs to the query. What an answer was given up for is found the same way.
    """
    utterances = conversation.utterances
    owned: list[list[Answer]] = [[] for _ in utterances]
    given_up_for: dict[int, int | None] = {}
    replied: set[int] = set()
    moments = [(answer.start, 1, answer) for answer in conversation.answers]
    moments += [
        (answer.ended, 0, answer) for answer in conversation.answers if answer.ending != "complete"
    ]
    for moment, starts, answer in sorted(moments, key=lambda item: item[:2]):
        if not starts:
            given_up_for[id(answer)] = _owner(conversation, moment, replied, stopped=answer)
            continue
        owner = _owner(conversation, moment, replied)
        if owner is not None:
            owned[owner].append(answer)
            if answer.words_from(utterances[owner].end):
                replied.add(owner)
    parts = []
    before = ""
    for number, utterance in enumerate(utterances):
        old = next((a for a in conversation.answers if a.start < utterance.start < a.end), None)
        parts.append(
            Part(
                utterance=utterance,
                answers=tuple(owned[number]),
                old=old,
                given_up=old is not None
                and given_up_for.get(id(old)) == number
                and _gave_up(old, utterance, owned[number]),
                overtaken=utterance.label == "query"
                and number not in replied
                and _followed(utterances, number),
                before=before,
            )
        )
        before = utterance.text if utterance.label == "query" else before
    return parts


def _owner(
    conversation: Conversation, moment: float, replied: set[int], stopped: Answer | None = None
) -> int | None:
    """Whose an answer is that begins at this moment; or for whom one is `stopped` then."""
    begun = [
        number
        for number, utterance in enumerate(conversation.utterances)
        if utterance.start < moment or utterance.start == 0
    ]
    if not begun:
        return None
    last = begun[-1]
    if conversation.utterances[last].label == "query":
        return last
    queries = [n for n in begun if conversation.utterances[n].label == "query"]
    if not queries:
        return last
    query = conversation.utterances[queries[-1]]
    if query.category == "stop_request":  # it waits for no answer, only for the old one's end
        waiting = stopped is not None and stopped.start < query.start < stopped.end
    else:
        waiting = queries[-1] not in replied
    decided = any(query.end <= ignored <= moment for ignored in conversation.ignored)
    return queries[-1] if waiting and not decided else last


def _gave_up(old: Answer, utterance: Utterance, new: Sequence[Answer]) -> bool:
    """Whether an answer that broke off for this utterance was given up, or simply ended.

    Where the system does not say that an answer is cut, it was given up if it stopped before the
    utterance was over (for a query: if it began no word after that), or if another answer took its
    place.
    """
    if old.ending != "open":
        return old.ending == "cut"
    if any(answer.seamless and answer.start >= old.end for answer in new[:1]):
        return False
    stopped = old.words[-1].start if utterance.label == "query" else old.end
    return stopped < utterance.end or bool(new)


def _followed(utterances: Sequence[Utterance], number: int) -> bool:
    """Whether another query follows within `GRACE` seconds."""
    return any(
        later.label == "query" and later.start < utterances[number].end + GRACE
        for later in utterances[number + 1 :]
    )
