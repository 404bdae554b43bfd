"""The votes of a study, one for each pair of dialogues that a rater compared on a criterion.

This is what exports, the administrator's page and the statistics are made from. Only submitted
answers are votes; drafts are not.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from sessions.study.answer import Answer
from sessions.study.assignment import orders
from sessions.study.materials import INTACT
from sessions.study.store import dialogues, items, pages, raters, ratings
from sessions.study.study import Study


@dataclass(frozen=True)
class Vote:
    """What one rater says of two dialogues on one criterion.

    Attributes:
        rater, item, scenario: names.
        repeat: 0 for the first time that the rater saw the item, 1 for the second.
        system_left, system_right: of the two dialogues.
        choice: "left", "right", "tie" or "both_bad".
        seconds: time on task of the whole page.
        submitted_at: seconds since 1970.
        attention: the page is an attention check; `passed` is None where it is not.
        position: of the page for this rater, from 1.
        order: the systems on the page, from left to right; `ranking` are their ranks, 1 is best.
        all_bad: the rater marked all dialogues of the page as bad.
        revisions: how often the page was submitted again.
    """

    rater: str
    item: str
    scenario: str
    repeat: int
    criterion: str
    system_left: str
    system_right: str
    choice: str
    seconds: float
    submitted_at: float
    attention: bool
    passed: bool | None
    synthetic: bool
    position: int
    order: tuple[str, ...]
    ranking: tuple[int, ...]
    all_bad: bool
    seed: int
    comment: str
    revisions: int
    rater_number: int
    rater_state: str
    revoked: bool

    @property
    def winner(self) -> str:
        """The name of the system that the rater prefers, "tie" or "both_bad"."""
        sides = {"left": self.system_left, "right": self.system_right}
        return sides.get(self.choice, self.choice)


def votes(study: Study) -> list[Vote]:
    """All votes, by rater, page, criterion (in the design's order) and pair."""
    rank = {name: place for place, name in enumerate(study.design.criterion_names)}
    systems = _systems(study)
    with study.database.read() as connection:
        rows = connection.execute(
            select(
                ratings.c.criterion,
                ratings.c.answer,
                ratings.c.submitted_at,
                ratings.c.revisions,
                pages.c.id.label("page"),
                pages.c.position,
                pages.c.repeat,
                pages.c.placement,
                pages.c.seconds,
                pages.c.comment,
                items.c.id.label("item_id"),
                items.c.name.label("item"),
                items.c.kind,
                items.c.scenario,
                items.c.seed,
                raters.c.name.label("rater"),
                raters.c.number,
                raters.c.state,
                raters.c.synthetic,
                raters.c.revoked_at,
            )
            .join(pages, ratings.c.page_id == pages.c.id)
            .join(items, ratings.c.item_id == items.c.id)
            .join(raters, ratings.c.rater_id == raters.c.id)
            .where(raters.c.study_id == study.id)
        ).all()
    rows = sorted(rows, key=lambda row: (row.number, row.position, rank.get(row.criterion, 99)))
    by_page: dict[int, list[Any]] = defaultdict(list)
    for row in rows:
        by_page[row.page].append(row)
    return [vote for page in by_page.values() for vote in _votes_of(page, systems)]


def passed(answers: dict[str, str], order: tuple[str, ...]) -> bool:
    """Whether an attention check was passed: the intact dialogue wins most criteria.

    Args:
        answers: "left", "right", "tie" or "both_bad" by criterion.
        order: the check's dialogues from left to right.
    """
    side = "left" if order[0] == INTACT else "right"
    return 2 * sum(choice == side for choice in answers.values()) > len(answers)


def _systems(study: Study) -> dict[int, tuple[str, ...]]:
    """The systems of each item, by the item's id."""
    found: dict[int, list[str]] = defaultdict(list)
    with study.database.read() as connection:
        rows = connection.execute(
            select(dialogues.c.item_id, dialogues.c.system)
            .join(items, dialogues.c.item_id == items.c.id)
            .where(items.c.study_id == study.id)
            .order_by(dialogues.c.item_id, dialogues.c.place)
        )
        for row in rows:
            found[row.item_id].append(row.system)
    return {item: tuple(names) for item, names in found.items()}


def _votes_of(page: list[Any], systems: dict[int, tuple[str, ...]]) -> list[Vote]:
    """The votes of one page, of which there is a row for each criterion."""
    names = systems[page[0].item_id]
    order = tuple(names[place] for place in orders(len(names))[page[0].placement])
    answers = {row.criterion: Answer.from_json(row.answer) for row in page}
    attention = page[0].kind == "attention"
    choices = {criterion: answer.choice for criterion, answer in answers.items()}
    return [
        Vote(
            rater=row.rater,
            item=row.item,
            scenario=row.scenario,
            repeat=row.repeat,
            criterion=row.criterion,
            system_left=order[left],
            system_right=order[right],
            choice=choice,
            seconds=row.seconds,
            submitted_at=row.submitted_at,
            attention=attention,
            passed=passed(choices, order) if attention else None,
            synthetic=bool(row.synthetic),
            position=row.position + 1,
            order=order,
            ranking=answers[row.criterion].ranks,
            all_bad=answers[row.criterion].both_bad,
            seed=row.seed,
            comment=row.comment,
            revisions=row.revisions,
            rater_number=row.number,
            rater_state=row.state,
            revoked=row.revoked_at is not None,
        )
        for row in page
        for left, right, choice in answers[row.criterion].pairs()
    ]
