"""Compare answers to interruptions with those to the same words in a half-duplex control.

In the control (`sessions.scenario.control`) the same user says the same words to the same system,
each utterance when the answer before it is over; so what goes wrong in the interrupted conversation
alone is the interruption's doing. The idea is EchoChain's (arXiv 2604.16456), which has a language
model name the failures: contextual inertia (the old answer goes on), interruption amnesia (what was
said meanwhile is lost) and objective displacement (what was wanted in the first place is lost). See
`evaluation.interaction.judged` for a judge; here words are counted.

Overlap is the F1 of two answers' words as bags (ROUGE-1), without case and signs. It sees what an
answer is about and not whether it is true: two good answers in other words have little of it, and
any two English texts have some. So no overlap means anything alone, only beside the others, and a
system that samples has a control that differs by chance.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from duo.speech import Conversation, Exchange
from duo.words import Word
from evaluation.interaction.bootstrap import Sample
from evaluation.interaction.content import REPEAT, answer_before, answer_to, plain


@dataclass(frozen=True)
class Pair:
    """An interruption, and the same words said when nobody was speaking.

    Attributes:
        conversation, control: in which they were said.
        asked, asked_again: the utterance in both, and what was made of it.
        answer: the words that answer the interruption; none if nothing did.
        control_answer: the words that answer it in the control; at least one.
        whole: the words of the answer before that, which the interrupted one would have become.
    """

    conversation: Conversation
    control: Conversation
    asked: Exchange
    asked_again: Exchange
    answer: Sequence[Word]
    control_answer: Sequence[Word]
    whole: Sequence[Word]


def pairs_of(conversations: Iterable[Conversation]) -> Iterator[Pair]:
    """Find the interruptions whose control was recorded in the same folder, and answered.

    Left out are those of which nobody knows whose answer followed, and where the control was no
    clean one: its answer before was not over, as it had no end. Where a scenario was recorded more
    than once in a folder, its recordings and controls go together in their order.
    """
    every = list(conversations)
    controls = defaultdict[tuple[Path, str], list[Conversation]](list)
    for one in every:
        if one.control_of:
            controls[Path(one.file).parent, one.control_of].append(one)
    recorded = Counter[tuple[Path, str]]()
    for one in every:
        place = Path(one.file).parent, one.scenario
        if not (own := controls.get(place)):
            continue
        control = own[recorded[place] % len(own)]
        recorded[place] += 1
        again = {exchange.utterance.name: exchange for exchange in control.exchanges}
        for asked in one.exchanges:
            asked_again = again.get(asked.utterance.name)
            if asked.old is None or asked_again is None or asked_again.old is not None:
                continue
            answer, control_answer = answer_to(asked), answer_to(asked_again)
            whole = answer_before(control, asked_again.utterance)
            if answer is not None and control_answer and whole is not None:
                yield Pair(one, control, asked, asked_again, answer, control_answer, whole.words)


def unanswered(pairs: Iterable[Pair]) -> list[Sample]:
    """Share of interruptions to which nothing is said, though in the control something is."""
    return [(pair.conversation.scenario, float(not pair.answer)) for pair in pairs]


def to_control(pairs: Iterable[Pair]) -> list[Sample]:
    """Overlap of the answer with the control's."""
    return [(p.conversation.scenario, overlap(p.answer, p.control_answer)) for p in answered(pairs)]


def to_interrupted(pairs: Iterable[Pair]) -> list[Sample]:
    """Overlap of the answer with what the interrupted one would have become."""
    return [(p.conversation.scenario, overlap(p.answer, p.whole)) for p in answered(pairs)]


def of_control(pairs: Iterable[Pair]) -> list[Sample]:
    """Overlap of the control's answer with the one before it: how alike the two are anyway."""
    return [(p.conversation.scenario, overlap(p.control_answer, p.whole)) for p in answered(pairs)]


def nearer_to_interrupted(pairs: Sequence[Pair]) -> list[Sample]:
    """Share of answers that overlap more with the interrupted one than with the control's.

    A sign of contextual inertia.
    """
    both = zip(to_interrupted(pairs), to_control(pairs), strict=True)
    return [(scenario, float(old > new)) for (scenario, old), (_, new) in both]


def answered(pairs: Iterable[Pair]) -> Iterator[Pair]:
    """Select the pairs with two answers to compare; of requests to repeat none is a new one."""
    return (p for p in pairs if p.answer and p.asked.utterance.category != REPEAT)


def overlap(one: Sequence[Word], other: Sequence[Word]) -> float:
    """Compute the F1 of two texts' words as bags; 0 if one has none.

    >>> texts = ("It is red, so red.", "it is blue")
    >>> overlap(*([Word(0, 0, word) for word in text.split()] for text in texts))
    0.5
    """
    bags = Counter(plain(one)), Counter(plain(other))
    total = sum(map(Counter.total, bags))
    return 2 * (bags[0] & bags[1]).total() / total if total else 0.0
