"""Script the conversations of the bench: a user who talks while the answer is given.

The user asks, listens for a while, talks over the answer for as long (a remark, to be ignored), is
quiet, and then interrupts the answer with a second question. The quiet twin of this conversation
has the first question alone, so that the same tokens of the same answer are spoken with and without
listening.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import cycle, islice
from typing import Literal

#: Words a second (150 a minute, a common pace of English conversation).
WORDS_PER_SECOND = 2.5
#: Tokens of an answer that a second is planned for: four, the paper's pace.
TOKENS_PER_SECOND = 4
#: A pause long enough that every system has decided, and slices of two seconds stay aligned.
_PAUSE = 4.0

_FIRST = "Could you explain to me how the tides of the sea come about?"
_SECOND = "Sorry, but why are there two of them every day?"
_REMARK = """
I remember that when I was small we used to spend the whole summer at the coast, and in the morning
the water had gone so far out that you could walk to the little island with dry feet, and then my
uncle would tell us to look at the clock and be back before noon because it comes in faster than you
can run, and of course we never believed him until one day we had to wait there until the evening
"""


@dataclass(frozen=True)
class Utterance:
    """Something the user says.

    Attributes:
        words: its words, each with the blank before it.
        start: when its first word begins, in seconds; the words follow evenly.
        state: "respond" to it or "ignore" it.
    """

    words: tuple[str, ...]
    start: float
    state: Literal["respond", "ignore"]

    @property
    def ends(self) -> tuple[float, ...]:
        """When each word has been said, in seconds."""
        return tuple(
            self.start + count / WORDS_PER_SECOND for count in range(1, len(self.words) + 1)
        )


@dataclass(frozen=True)
class Script:
    """A user's side of a conversation that lasts `seconds`."""

    utterances: tuple[Utterance, ...]
    seconds: float

    def heard(self, start: float, end: float) -> str:
        """Join the words that end in [start, end), in seconds."""
        return "".join(
            word
            for utterance in self.utterances
            for word, said in zip(utterance.words, utterance.ends, strict=True)
            if start <= said < end
        )

    def last_heard(self, before: float) -> tuple[Utterance | None, bool]:
        """Find the utterance heard last before a moment, and whether all of it was heard."""
        begun = [utterance for utterance in self.utterances if utterance.ends[0] < before]
        return (begun[-1], begun[-1].ends[-1] < before) if begun else (None, False)


def listening_while_speaking(tokens: int) -> tuple[Script, Script]:
    """Make the conversation, and its quiet twin of the same length.

    Args:
        tokens: of the answer that are spoken before, and about as many during, the long remark.
    """
    window = max(2.0, 2 * round(tokens / TOKENS_PER_SECOND / 2))  # in whole slices of two seconds
    question = _utterance(_FIRST.split(), 0.0, "respond")
    answer = _next_slice(question) + window
    count = max(1, round(window * WORDS_PER_SECOND) - 1)
    remark = _utterance(list(islice(cycle(_REMARK.split()), count)), answer, "ignore")
    second = _utterance(_SECOND.split(), _next_slice(remark) + _PAUSE, "respond")
    seconds = _next_slice(second) + _PAUSE
    return Script((question, remark, second), seconds), Script((question,), seconds)


def _utterance(words: list[str], start: float, state: Literal["respond", "ignore"]) -> Utterance:
    return Utterance((words[0], *(f" {word}" for word in words[1:])), start, state)


def _next_slice(utterance: Utterance) -> float:
    """Find the first even second at which the utterance is over."""
    return 2.0 * (int(utterance.ends[-1] // 2) + 1)
