"""What a rater's browser is to show: plain data, and nothing that it must not show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sessions.study.answer import Answer
from sessions.study.blinding import Dialogue, told
from sessions.study.design import Criterion, Design

Closed = Literal["paused", "closed", "declined", "screened_out"]

#: Labels of the dialogues on a page, from left to right.
LABELS = tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ")


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


@dataclass(frozen=True)
class ConsentView:
    """First of all: may we? Answer with `Session.consent`."""

    title: str
    text: str


@dataclass(frozen=True)
class InstructionsView:
    """What to do, with a worked example. Go on with `Session.understood`."""

    title: str
    text: str
    criteria: tuple[Criterion, ...]
    example: tuple[Shown, ...]  # empty if the design has none
    explanation: str


@dataclass(frozen=True)
class Asked:
    """A question about the instructions."""

    text: str
    options: tuple[str, ...]


@dataclass(frozen=True)
class ComprehensionView:
    """Were the instructions understood? Answer with `Session.answer_questions`.

    Attributes:
        mistakes: why the last attempt's wrong answers were wrong, by number of the question.
    """

    title: str
    questions: tuple[Asked, ...]
    attempts_left: int
    mistakes: Mapping[int, str]
    instructions: InstructionsView


@dataclass(frozen=True)
class RatingView:
    """A page: dialogues side by side, and a choice for each criterion.

    Attributes:
        page: its id, for `Session.draft` and the like.
        number: of the page, from 1; `total` is how many there will be, as far as one knows.
        last: the highest number that the rater may go to.
        answers: what was chosen so far, submitted or not, by the criterion's name.
        submitted: whether the page was submitted once; `changed`: whether something was chosen
            since.
        nonce: goes with `Session.submit`; a form keeps the one that it was first shown with.
    """

    page: int
    number: int
    total: int
    last: int
    dialogues: tuple[Shown, ...]
    criteria: tuple[Criterion, ...]
    answers: Mapping[str, Answer]
    comment: str
    submitted: bool
    changed: bool
    nonce: str

    @property
    def missing(self) -> tuple[str, ...]:
        """Names of the criteria without an answer."""
        return tuple(one.name for one in self.criteria if one.name not in self.answers)

    @property
    def seconds(self) -> float:
        """Length of the common time axis."""
        return max((shown.dialogue.seconds for shown in self.dialogues), default=0.0)


@dataclass(frozen=True)
class FinishedView:
    """All done.

    Attributes:
        code: to copy into the panel's page; "" if there is none.
        return_url: where to go back to; "" if nowhere.
        last: pages that may still be looked at and changed, by number from 1.
    """

    title: str
    code: str
    return_url: str
    last: int


@dataclass(frozen=True)
class DoorView:
    """There is nothing to do now: `reason` says why, `message` in words."""

    title: str
    reason: Closed
    message: str


View = ConsentView | InstructionsView | ComprehensionView | RatingView | FinishedView | DoorView

_DOORS = {
    "paused": "The study is paused. Please come back later: your answers are kept.",
    "closed": "The study is closed. Thank you for your interest.",
    "declined": "You chose not to take part. If you change your mind, open your link again.",
    "screened_out": (
        "The questions about the instructions were not answered as needed, so the study ends here. "
        "Thank you for your time."
    ),
}


def door(
    design: Design, reason: Literal["paused", "closed", "declined", "screened_out"]
) -> DoorView:
    return DoorView(design.title, reason, _DOORS[reason])


def instructions(design: Design) -> InstructionsView:
    example = design.example
    shown = (
        ()
        if example is None
        else tuple(
            Shown(label, told(lines))
            for label, lines in zip(LABELS, example.dialogues, strict=False)
        )
    )
    return InstructionsView(
        design.title,
        design.instructions,
        design.criteria,
        shown,
        "" if example is None else example.explanation,
    )


def comprehension(design: Design, attempts: int, mistakes: Mapping[int, str]) -> ComprehensionView:
    check = design.comprehension
    return ComprehensionView(
        design.title,
        tuple(Asked(question.ask, question.options) for question in check.questions),
        check.attempts - attempts,
        mistakes,
        instructions(design),
    )
