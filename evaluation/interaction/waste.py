"""What a system computes and says in vain: ratios `(scenario, numerator, denominator)`."""

from __future__ import annotations

from collections.abc import Iterable

from duo.speech import Conversation
from evaluation.interaction.bootstrap import Sample
from evaluation.interaction.events import Outcome

Ratios = list[tuple[str, float, float]]


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
    return [
        (c.scenario, float(sum(cycle.forward_passes for cycle in c.cycles)), float(_words(c)))
        for c in conversations
        if c.cycles
    ]


def passes_per_token(conversations: Iterable[Conversation]) -> Ratios:
    """Forward passes over spoken tokens; 1 for plain decoding without listening."""
    return [
        (c.scenario, float(sum(cycle.forward_passes for cycle in c.cycles)), float(_tokens(c)))
        for c in conversations
        if c.cycles
    ]


def processed_per_token(conversations: Iterable[Conversation]) -> Ratios:
    """Tokens that went through the model, of all channels, over spoken tokens."""
    return [
        (c.scenario, float(sum(cycle.tokens_processed for cycle in c.cycles)), float(_tokens(c)))
        for c in conversations
        if c.cycles
    ]


def dropped_per_word(conversations: Iterable[Conversation]) -> Ratios:
    """Words that were predicted of the user and thrown away, over words that the user said.

    Counted in words, as a transcript has the text of a look-ahead and not its tokens.
    """
    return [
        (c.scenario, float(c.dropped_words), float(sum(len(u.words) for u in c.utterances)))
        for c in conversations
        if c.dropped_words is not None
    ]


def _words(conversation: Conversation) -> int:
    return sum(len(answer.words) for answer in conversation.answers)


def _tokens(conversation: Conversation) -> int:
    return sum(len(answer.pieces) for answer in conversation.answers)
