"""Define what a rater's browser is to show and what the rater answers: plain data.

A view names nothing that a rater must not know. Texts that are the same for everybody (consent,
instructions, questions) stand in the study's design.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from duo.words import bridge_breaths
from sessions.study.blinding import Dialogue, example_dialogue
from sessions.study.design import Example
from sessions.study.questionnaire import Criterion, Part

CHOICES = ("left", "right", "tie", "both_bad")
_OF_PAIRS = {"left": (1, 2), "right": (2, 1), "tie": (1, 1), "both_bad": (1, 1)}

#: Speech that pauses for no longer than this many seconds is drawn as one piece.
BREATH = 0.4

#: Why there is nothing to do for a rater.
Reason = Literal[
    "paused", "closed", "full", "declined", "screened_out", "withdrawn", "revoked"
]  # fmt: skip

#: Labels of the dialogues on a page, from left to right.
LABELS = tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ")


@dataclass(frozen=True)
class Answer:
    """A ranking, with ties, of a page's dialogues on one criterion.

    The dialogues stand at positions 0, 1 ... (left to right, labelled A, B ...). "Both bad" (with
    more than two: all bad) is a mark of its own beside the ranking: a tie between good dialogues is
    another thing than a tie between bad ones.

    Attributes:
        ranks: of each position, dense: the best is 1, the next 2 ..., without gaps; equal ranks are
            a tie.
        both_bad: none of the dialogues is acceptable.
        strength: of the preference between two, one of the design's levels; "" where it was not
            said.

    Raises:
        ValueError: ranks with gaps, or fewer than two positions; a strength of no preference.
    """

    ranks: tuple[int, ...]
    both_bad: bool = False
    strength: str = ""

    def __post_init__(self) -> None:
        if len(self.ranks) < 2 or set(self.ranks) != set(range(1, max(self.ranks) + 1)):
            raise ValueError(f"{self.ranks} are not ranks of two or more without gaps")
        if len(self.ranks) == 2 and self.both_bad and len(set(self.ranks)) > 1:
            raise ValueError("both bad, and one better: choose one of the two")
        if self.strength and not self.is_preference:
            raise ValueError("a strength goes with a preference between two")

    @classmethod
    def of(cls, choice: str) -> Answer:
        """Return the answer about a pair: "left", "right", "tie" or "both_bad".

        >>> Answer.of("right")
        Answer(ranks=(2, 1), both_bad=False, strength='')
        """
        return cls(_OF_PAIRS[choice], choice == "both_bad")

    @property
    def is_preference(self) -> bool:
        """Whether it prefers one of two dialogues."""
        return len(self.ranks) == 2 and self.ranks[0] != self.ranks[1]

    @classmethod
    def ranked(
        cls, order: Sequence[float], *, both_bad: bool = False, strength: str = ""
    ) -> Answer:
        """Return the answer that orders positions as these numbers do, the smallest being the best.

        >>> Answer.ranked([3, 1, 3]).ranks
        (2, 1, 2)
        """
        levels = {value: rank for rank, value in enumerate(sorted(set(order)), start=1)}
        return cls(tuple(levels[value] for value in order), both_bad, strength)

    @property
    def choice(self) -> str:
        """What it says about the first two positions: one of `CHOICES`."""
        return self.between(0, 1)

    def between(self, left: int, right: int) -> str:
        """Return what it says about two positions: one of `CHOICES`."""
        if self.ranks[left] == self.ranks[right]:
            return "both_bad" if self.both_bad else "tie"
        return "left" if self.ranks[left] < self.ranks[right] else "right"

    def pairs(self) -> Iterator[tuple[int, int, str]]:
        """Yield all pairs of positions, left before right, with what it says about them."""
        for right in range(1, len(self.ranks)):
            for left in range(right):
                yield left, right, self.between(left, right)

    def as_data(self) -> dict[str, Any]:
        """Return it as it is stored; `from_data` reads it."""
        strength = {"strength": self.strength} if self.strength else {}
        return {"ranks": list(self.ranks), "both_bad": self.both_bad} | strength

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Answer:
        """Read what `as_data` wrote.

        Raises:
            ValueError: not an answer.
        """
        try:
            ranks = tuple(int(rank) for rank in data["ranks"])
            return cls(ranks, bool(data["both_bad"]), str(data.get("strength", "")))
        except (TypeError, KeyError) as error:
            raise ValueError("not an answer") from error


@dataclass(frozen=True, order=True)
class Mark:
    """Something that a rater marked at a turn of an assistant.

    Attributes:
        place: of the dialogue on the page, from 0 at the left; `turn` is one of its utterances.
        mark: a name of the design.
    """

    place: int
    turn: int
    mark: str


@dataclass(frozen=True)
class Shown:
    """A dialogue on a page.

    Attributes:
        label: "A" for the leftmost.
        audio: a sound file of it, if there is one.
    """

    label: str
    dialogue: Dialogue
    audio: Path | None = None


def drawn(shown: Shown, sound: str = "") -> dict[str, Any]:
    """Return a dialogue as `player.js` reads it: numbers, in seconds, and plain texts.

    `sound` is the address of its sound, where the page has no player for it.
    """
    dialogue = shown.dialogue
    utterances = dialogue.utterances
    return {
        "label": shown.label,
        "sound": sound or audible(shown),
        "seconds": dialogue.seconds,
        "both": [list(span) for span in dialogue.overlaps],
        "utterances": [
            {
                "who": one.who,
                "in": any(
                    other.start < one.start < other.end
                    for other in utterances
                    if other.who != one.who
                ),
                "start": one.start,
                "end": one.end,
                "bars": bridge_breaths(((w.start, w.end) for w in one.words), BREATH),
                "words": [[word.start, word.end, word.text] for word in one.words],
            }
            for one in utterances
        ],
    }


def audible(shown: Shown) -> bool:
    """Tell whether there is sound of it to be played."""
    return shown.audio is not None and shown.audio.is_file()


def example_dialogues(example: Example) -> tuple[Shown, ...]:
    """Return the dialogues of a design's worked example as a page shows them."""
    pairs = zip(LABELS, example.dialogues, strict=False)
    return tuple(Shown(label, example_dialogue(lines)) for label, lines in pairs)


@dataclass(frozen=True)
class ConsentView:
    """Ask for consent first of all. Answer with `Session.consent`."""


@dataclass(frozen=True)
class QuestionnaireView:
    """Ask about the rater. Answer with `Session.answer_questionnaire`.

    Attributes:
        part: of the design: before the instructions, or after the last page.
        last: pages that may still be looked at and changed, by number from 1.
    """

    part: Part
    last: int = 0


@dataclass(frozen=True)
class InstructionsView:
    """Show the instructions and the worked example. Go on with `Session.understood`."""


@dataclass(frozen=True)
class ComprehensionView:
    """Ask about the instructions. Answer with `Session.answer_questions`.

    `mistakes` says why the last attempt's wrong answers were wrong, by number of the question.
    """

    attempts_left: int
    mistakes: Mapping[int, str]


@dataclass(frozen=True)
class RatingView:
    """Show dialogues side by side, and ask for a choice on each criterion.

    Attributes:
        page: its id, for `Session.draft` and the like.
        number: of the page, from 1; `total` is how many there will be, as far as one knows.
        last: the highest number that the rater may go to.
        answers: what was chosen so far, submitted or not, by the criterion's name.
        marks: what was marked so far.
        submitted: whether the page was submitted once; `changed`: whether something was chosen
            since.
        nonce: goes with `Session.submit`; a form keeps the one that it was first shown with.
        topic: of a live study: what the rater talked about; the dialogues are empty then.
    """

    page: int
    number: int
    total: int
    last: int
    dialogues: tuple[Shown, ...]
    criteria: tuple[Criterion, ...]
    answers: Mapping[str, Answer]
    marks: tuple[Mark, ...]
    comment: str
    submitted: bool
    changed: bool
    nonce: str
    topic: str = ""


@dataclass(frozen=True)
class TalkView:
    """Let a participant talk, by a ticket (`Session.ticket`), before they rate the page.

    Attributes:
        page, number, total: as in `RatingView`.
        label: of the conversation that is due; `first` and `last` are those of the page.
        topic: its name in the design.
        begun: attempts so far; `goes_on`: the last has not ended; `attempts_left` to begin.
    """

    page: int
    number: int
    total: int
    label: str
    first: str
    last: str
    topic: str
    begun: int
    goes_on: bool
    attempts_left: int


@dataclass(frozen=True)
class FinishedView:
    """Thank the rater: all pages are done, or all that the others left.

    Attributes:
        code: to copy into the panel's page; "" if there is none.
        return_url: where to go back to; "" if nowhere. `{participant}` in it is the panel's id of
            the participant, which is not kept.
        last: pages that may still be looked at and changed, by number from 1.
    """

    code: str
    return_url: str
    last: int


@dataclass(frozen=True)
class WaitingView:
    """Say that there is nothing to rate just now: others have reserved all that is left.

    Look again after a while: reservations end by a submission, or expire.

    Attributes:
        submitted, total: pages of this rater.
        seconds: until the next reservation expires.
    """

    submitted: int
    total: int
    seconds: float


@dataclass(frozen=True)
class StoppedView:
    """Say why there is nothing to do, and that the rater is not done either.

    Attributes:
        reason: `full`: all places are taken for good, and this rater had none.
        code, return_url: as in `FinishedView`; of their own for each reason.
        kept: the rater withdrew, but left the answers.
    """

    reason: Reason
    code: str = ""
    return_url: str = ""
    kept: bool = False


View = (
    ConsentView
    | QuestionnaireView
    | InstructionsView
    | ComprehensionView
    | TalkView
    | RatingView
    | WaitingView
    | FinishedView
    | StoppedView
)
