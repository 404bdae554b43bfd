"""Count answers whose words give a failure away, whatever their timing: loops and restatements.

The rules are plain ones that anybody can check by eye, and no judge of quality: an answer that
neither loops nor restates may be wrong, and an answer that goes on with the old one in other words
is not found. Words are compared without case and signs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from duo.speech import Answer, Conversation, Exchange, Utterance
from duo.words import Word
from evaluation.interaction.bootstrap import Sample
from evaluation.interaction.events import wanted_after

#: A loop is a phrase that stands this often in a row, in so many words at least.
LOOP_TIMES = 3
LOOP_WORDS = 9

#: An answer restates another if this share of its sequences of so many words stands in that.
RESTATED = 0.5
SEQUENCE = 3

#: The category of queries whose right answer is the one before.
REPEAT = "repetition_request"


def loops(conversations: Iterable[Conversation]) -> list[Sample]:
    """Share of answers that end in a loop; see `ends_in_loop`."""
    return [(c.scenario, float(ends_in_loop(a.words))) for c in conversations for a in c.answers]


def restated(conversations: Iterable[Conversation]) -> list[Sample]:
    """Share of answers to an interruption that restate the answer that it came into.

    Half or more of their sequences of three words are in that (see `shared`). Left out are
    interruptions without an answer, requests to repeat it, and speech of which nobody knows whose
    answer it is.
    """
    found = []
    for one in conversations:
        for exchange in one.exchanges:
            new = answer_to(exchange)
            if exchange.old is not None and new and exchange.utterance.category != REPEAT:
                found.append((one.scenario, float(shared(new, exchange.old.words) >= RESTATED)))
    return found


def repeated(conversations: Iterable[Conversation]) -> list[Sample]:
    """Share of answers to a request to repeat in which the answer before it is given again.

    Half or more of *its* sequences of three words, as far as it was given, are in them. Left out
    are requests without an answer. One in other words is not found.
    """
    found = []
    for one in conversations:
        for exchange in one.exchanges:
            old, new = answer_before(one, exchange.utterance), answer_to(exchange)
            if exchange.utterance.category == REPEAT and old is not None and new:
                found.append((one.scenario, float(shared(old.words, new) >= RESTATED)))
    return found


def answer_to(exchange: Exchange) -> list[Word] | None:
    """List the words that answer a query.

    None if it wants no words, or it is not known whose answer they are.
    """
    said = exchange.utterance
    if said.label != "query" or exchange.overtaken or wanted_after(said) != "answer":
        return None
    answers = [answer for answer in exchange.answers if answer.words_from(said.end)]
    if answers and answers[0].seamless:
        return None
    return [word for answer in answers for word in answer.words]


def answer_before(conversation: Conversation, said: Utterance) -> Answer | None:
    """Find the last answer that began before an utterance."""
    return next((a for a in reversed(conversation.answers) if a.start < said.start), None)


def ends_in_loop(words: Sequence[Word]) -> bool:
    """Tell whether words end in a phrase three times in a row or more, in nine words or more.

    After that the phrase may begin once more, and the last word may be one that is cut off.

    >>> said = "Cheese is aged and then it is cut and then it is cut and then it is cut and th"
    >>> ends_in_loop([Word(0, 0, word) for word in said.split()])
    True
    """
    every = plain(words)
    return any(
        _repeated(spoken, size) >= max(LOOP_TIMES * size, LOOP_WORDS)
        for spoken in (every, every[:-1])
        for size in range(1, len(spoken) // LOOP_TIMES + 1)
    )


def _repeated(words: Sequence[str], size: int) -> int:
    """Count the words at the end that are a phrase of this size again and again."""
    place = len(words) - 1
    while place >= size and words[place] == words[place - size]:
        place -= 1
    return len(words) - 1 - place + size


def shared(new: Sequence[Word], old: Sequence[Word]) -> float:
    """Find the share of the new sequences of three words that are in the old; 0 if there is none.

    >>> one, other = ([Word(0, 0, w) for w in t.split()] for t in ("so it is red", "It is red!"))
    >>> shared(one, other)
    0.5
    """
    sequences, known = _sequences(new), set(_sequences(old))
    return sum(one in known for one in sequences) / max(len(sequences), 1)


def _sequences(words: Sequence[Word]) -> list[tuple[str, ...]]:
    every = plain(words)
    return list(zip(*(every[start:] for start in range(SEQUENCE)), strict=False))


def plain(words: Iterable[Word]) -> list[str]:
    """Write words without case and signs."""
    return [re.sub(r"[\W_]+", "", word.text).casefold() for word in words]
