"""Small studies, and raters who go through them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from sessions.study.blinding import Dialogue, Word
from sessions.study.design import Design
from sessions.study.materials import Item, Materials, SystemDialogue, create_study
from sessions.study.people import invite_raters
from sessions.study.session import Session, open_session
from sessions.study.study import Study
from sessions.study.views import Answer, RatingView, View

CRITERIA = ("speed", "sense")
LEFT = dict.fromkeys(CRITERIA, Answer.of("left"))
QUESTION = {"ask": "?", "options": ["yes", "no"], "answer": "yes", "because": "it is so"}
RIGHT = "yes"


class Clock:
    """Time that passes when it is told to."""

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def pass_(self, seconds: float) -> None:
        self.now += seconds


def design(**changes: Any) -> Design:
    criteria = [
        {"name": name, "question": "?", "definition": "d", "better": "b", "worse": "w"}
        for name in CRITERIA
    ]
    return Design.model_validate(
        {
            "title": "Test",
            "consent": "May we?",
            "instructions": "Do this.",
            "criteria": criteria,
            "raters_per_item": 2,
        }
        | changes
    )


def dialogue(text: str = "one two three four five six seven eight nine") -> Dialogue:
    words = [Word("user", 0.0, 0.5, "Hello?")]
    for number, word in enumerate(text.split()):
        words.append(Word("assistant", 1.0 + number, 1.5 + number, f" {word}"))
    return Dialogue(tuple(words))


def materials(items: int = 4, systems: Sequence[str] = ("duo", "duplex")) -> Materials:
    return Materials(
        tuple(systems),
        tuple(
            Item(
                f"talk-{number}",
                f"talk-{number}",
                0,
                tuple(
                    SystemDialogue(
                        system,
                        dialogue(f"here speaks number {place} of talk {number} and so on to nine"),
                        Path(f"{system}/talk-{number}.jsonl"),
                        "0" * 64,
                    )
                    for place, system in enumerate(systems)
                ),
            )
            for number in range(items)
        ),
    )


class StudyMaker:
    """Makes studies in one folder, and closes their databases in the end."""

    def __init__(self, folder: Path) -> None:
        self._folder, self.made = folder, list[Study]()

    def __call__(
        self,
        *,
        items: int = 4,
        systems: Sequence[str] = ("duo", "duplex"),
        clock: Callable[[], float] | None = None,
        **changes: Any,
    ) -> Study:
        folder = self._folder / f"study{len(self.made)}"
        study = create_study(folder, design(**changes), materials(items, systems))
        if clock is not None:
            object.__setattr__(study, "clock", clock)
        self.made.append(study)
        return study

    def close(self) -> None:
        for study in self.made:
            study.database.close()


def newcomer(study: Study) -> Session:
    """A rater who is about to rate."""
    (invitation,) = invite_raters(study, 1)
    session = open_session(study, invitation.token)
    begin(session)
    return session


def begin(session: Session) -> None:
    session.consent(True)
    session.understood()
    questions = session.study.design.comprehension.questions
    if questions:
        assert session.answer_questions([question.answer for question in questions])


def all_left(view: RatingView) -> Mapping[str, Answer]:
    ranks = tuple(range(1, len(view.dialogues) + 1))
    return {criterion.name: Answer(ranks) for criterion in view.criteria}


def rate_page(
    session: Session, choose: Callable[[RatingView], Mapping[str, Answer]] = all_left
) -> bool:
    """Rate the page where the rater is; False if there is none."""
    view = session.view()
    if not isinstance(view, RatingView):
        return False
    assert session.submit(view.page, choose(view), nonce=view.nonce)
    return True


def rate_all(
    session: Session, choose: Callable[[RatingView], Mapping[str, Answer]] = all_left
) -> int:
    """Rate all that there is; how many pages that was."""
    pages = 0
    while rate_page(session, choose):
        pages += 1
    return pages


def rating(view: View) -> RatingView:
    assert isinstance(view, RatingView)
    return view


def count(study: Study, table: object) -> int:
    with study.database.read() as connection:
        return connection.execute(select(func.count()).select_from(table)).scalar_one()  # type: ignore[arg-type]
