"""Samples as they look to a decoder that forgets what it ignores.

A sample is one row of turns, so that all that comes after an ignored remark sees it. The decoder
with `ignored_utterances="forget"` (`duo.decoding.duo.DuoSettings`, the default) drops the remark
from its context, and nothing that follows sees it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from duo.data.sample import AssistantTurn, Message, Sample, UserTurn


def unremembered(sample: Sample) -> Iterator[tuple[Sample, int]]:
    """The conversation up to each ignored turn, then the one without any of them.

    What a sample teaches is shared out among them: each turn is learned in one of them, and in none
    does anything come after an ignored turn. An answer that goes on after one is in one piece.

    Yields:
        A sample, and how many of its messages, from the first, are context alone.
    """
    kept: list[Message] = []
    for message in sample.messages:
        if isinstance(message, UserTurn) and message.state == "<2>":
            yield _with(sample, [*kept, message]), len(kept)
            continue
        begun = kept[-1] if kept else None
        if (
            isinstance(message, AssistantTurn)
            and isinstance(begun, AssistantTurn)
            and not begun.complete
        ):
            words = f"{begun.content} {message.content}".strip()
            kept[-1] = AssistantTurn(content=words, complete=message.complete)
        else:
            kept.append(message)
    if any(message.role != "system" for message in kept):
        yield _with(sample, kept), 0


def _with(sample: Sample, messages: Sequence[Message]) -> Sample:
    return sample.model_copy(update={"messages": tuple(messages)})
