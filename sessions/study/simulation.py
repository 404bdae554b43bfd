"""Synthetic raters of known preference, for trying a design out and for tests.

They go the way of people: by a link, through consent, instructions and checks, and page by page
through `Session`; and they arrive in random order. Every row of theirs is marked synthetic.

A rater's liking of a dialogue is the system's strength, plus what is the dialogue's own, plus what
is the rater's own, plus chance with a standard Gumbel distribution: without ties and spreads, one
system beats another as in the model of Bradley and Terry (1952), with odds exp(difference of the
strengths). Dialogues that a rater likes nearly the same are tied.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise

from sqlalchemy import select

from duo.errors import BadInput
from sessions.study.answer import Answer
from sessions.study.assignment import orders
from sessions.study.materials import INTACT, SHUFFLED
from sessions.study.people import invite_raters
from sessions.study.session import Session, open_session
from sessions.study.store import dialogues, items, pages
from sessions.study.study import Study
from sessions.study.views import ComprehensionView, ConsentView, InstructionsView, RatingView


@dataclass(frozen=True)
class Taste:
    """What synthetic raters like.

    Attributes:
        strengths: of the systems, in log odds; those not named have 0.
        dialogue_sd, rater_sd: spreads of a dialogue's and of a rater's own liking.
        tie_width: likings closer than this are tied.
        bad: share of the ties that are "both bad".
        left_bias: added to the leftmost dialogue.
        careless: share of the raters who answer at random, and fast.
    """

    strengths: Mapping[str, float] = field(default_factory=dict)
    dialogue_sd: float = 0.5
    rater_sd: float = 0.3
    tie_width: float = 0.4
    bad: float = 0.2
    left_bias: float = 0.0
    careless: float = 0.0


class _Clock:
    """Time that passes as fast as synthetic raters work."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def simulate(study: Study, raters: int, taste: Taste, *, seed: int = 0) -> int:
    """Let synthetic raters rate; returns how many pages they submitted.

    Raises:
        BadInput: a strength for a system that the study does not have.
    """
    for system in taste.strengths:
        if system not in study.systems:
            raise BadInput(f"unknown {system!r}: use {', '.join(study.systems)}", field="--prefer")
    draw = random.Random(f"simulation {seed}")
    clock = _Clock(time.time() - 60.0 * raters * study.pages_wanted)
    study = replace(study, clock=clock)
    active = [
        _Rater(study, open_session(study, invitation.token), taste, f"{seed} {invitation.name}")
        for invitation in invite_raters(study, raters, synthetic=True)
    ]
    submitted = 0
    while active:
        rater = draw.choice(active)
        clock.now += draw.uniform(0, 5)
        if rater.step(clock):
            submitted += 1
        elif rater.done:
            active.remove(rater)
    return submitted


class _Rater:
    """One synthetic rater."""

    def __init__(self, study: Study, session: Session, taste: Taste, seed: str) -> None:
        self._study, self._session, self._taste, self._seed = study, session, taste, seed
        self._draw = random.Random(f"rater {seed}")
        self._careless = self._draw.random() < taste.careless
        self._own = {name: self._draw.gauss(0, taste.rater_sd) for name in study.systems}
        self.done = False

    def step(self, clock: _Clock) -> bool:
        """Do the next thing; whether that was to submit a page."""
        view = self._session.view()
        if isinstance(view, ConsentView):
            self._session.consent(True)
        elif isinstance(view, InstructionsView):
            self._session.understood()
        elif isinstance(view, ComprehensionView):
            questions = self._study.design.comprehension.questions
            self._session.answer_questions([question.answer for question in questions])
        elif isinstance(view, RatingView):
            clock.now += self._draw.lognormvariate(math.log(3 if self._careless else 40), 0.4)
            self._session.submit(view.page, self._answers(view), nonce=view.nonce)
            return True
        else:
            self.done = True
        return False

    def _answers(self, view: RatingView) -> dict[str, Answer]:
        item, systems = self._on(view.page)
        return {criterion.name: self._answer(item, systems) for criterion in view.criteria}

    def _answer(self, item: str, systems: tuple[str, ...]) -> Answer:
        taste = self._taste
        liking = [self._liking(item, system) for system in systems]
        liking[0] += taste.left_bias
        best_first = sorted(range(len(liking)), key=lambda place: -liking[place])
        levels = [0] * len(liking)
        for before, place in pairwise(best_first):
            levels[place] = levels[before] + (liking[before] - liking[place] > taste.tie_width)
        bad = not any(levels) and self._draw.random() < taste.bad
        return Answer.ranked(levels, both_bad=bad)

    def _liking(self, item: str, system: str) -> float:
        chance = -math.log(-math.log(self._draw.uniform(1e-12, 1 - 1e-12)))
        if self._careless:
            return chance
        if system in (INTACT, SHUFFLED):
            return chance + (8.0 if system == INTACT else 0.0)
        of_dialogue = random.Random(f"dialogue {self._seed.split()[0]} {item} {system}")
        return (
            self._taste.strengths.get(system, 0.0)
            + of_dialogue.gauss(0, self._taste.dialogue_sd)
            + self._own[system]
            + chance
        )

    def _on(self, page: int) -> tuple[str, tuple[str, ...]]:
        """The item's name and the systems on a page, which people cannot know."""
        with self._study.database.read() as connection:
            rows = connection.execute(
                select(items.c.name, pages.c.placement, dialogues.c.system)
                .join(items, pages.c.item_id == items.c.id)
                .join(dialogues, dialogues.c.item_id == items.c.id)
                .where(pages.c.id == page)
                .order_by(dialogues.c.place)
            ).all()
        order = orders(len(rows))[rows[0].placement]
        return rows[0].name, tuple(rows[place].system for place in order)
