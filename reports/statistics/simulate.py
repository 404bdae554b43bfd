"""Simulate rater studies of known truth: votes for statistics, and raters for a real study.

All simulations draw from one model. How rater r likes the answer of system s in dialogue i is

    strength_s + dialogue_is + rater_rs + bias_r (if it stands on the left) + Gumbel noise,

so without the other terms one system beats another as in the model of Bradley and Terry (1952),
with odds exp(difference of strengths), and a vote on a pair is an ordered logit (McCullagh 1980)
with crossed random effects. Answers whose likings differ by no more than the rater's threshold are
tied. Some ties are "both bad", which hangs together within a dialogue.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit, logit

from duo.errors import BadInput
from duo.table import Cell, Column, Table
from reports.statistics.clustered import preference_tests
from reports.statistics.ratings import OUTCOMES

if TYPE_CHECKING:
    from collections.abc import Callable

    from sessions.study.session import Session
    from sessions.study.study import StoredItem, Study
    from sessions.study.views import Answer, RatingView

#: Simulated votes that are held at once.
_BATCH = 1_000_000
#: The quadrature of `truth` holds for spreads up to this.
_WIDEST = 5.0
#: Nodes of that quadrature.
_NODES = 60
#: Where shares of votes are looked for: preferences, and logarithms of thresholds of a tie.
_FARTHEST, _WIDEST_TIE = 60.0, 4.0


@dataclass(frozen=True, kw_only=True)
class Voting:
    """The distributions of raters and dialogues in a simulated study, in log odds.

    Attributes:
        dialogue_sd, rater_sd: how much the preference between two systems varies by dialogue and
            by rater.
        tie: the usual threshold of a tie; `tie_sd` is how much its logarithm varies by rater.
        side: advantage of the left side; `side_sd` how much it varies by rater.
        both_bad: share of ties that are "both bad" in the usual dialogue; `both_bad_sd` how much
            its logit varies by dialogue.
    """

    dialogue_sd: float = 0.8
    rater_sd: float = 0.3
    tie: float = 0.6
    tie_sd: float = 0.4
    side: float = 0.2
    side_sd: float = 0.2
    both_bad: float = 0.25
    both_bad_sd: float = 1.0


#: No side is preferred.
UNBIASED = Voting(side=0.0, side_sd=0.0)


@dataclass(frozen=True)
class Design(Voting):
    """A study of two systems.

    Attributes:
        dialogues, raters: how many.
        votes_each: raters of a dialogue, assigned so that all have about as much to do.
        preference: strength of the first system less that of the second; 0 for none.
        missing: share of votes that never came.
    """

    dialogues: int = 40
    raters: int = 6
    votes_each: int = 3
    preference: float = 0.0
    missing: float = 0.1


@dataclass(frozen=True)
class Crowd:
    """The dialogues and raters of simulated studies: all that votes on them have in common.

    Attributes:
        likings: of each system without noise, shape (studies, dialogues, raters, systems).
        bias: of each rater for the left side, shape (studies, 1, raters).
        threshold: of a tie, same shape.
        bad: share of a dialogue's ties that are "both bad", shape (studies, dialogues, 1).
    """

    likings: np.ndarray
    bias: np.ndarray
    threshold: np.ndarray
    bad: np.ndarray

    @classmethod
    def draw(
        cls,
        voting: Voting,
        strengths: Iterable[float],
        size: tuple[int, int, int],
        rng: np.random.Generator,
    ) -> Crowd:
        """Draw dialogues and raters."""
        own = np.array(list(strengths))
        studies, dialogues, raters = size
        by_dialogue, by_rater = (studies, dialogues, 1), (studies, 1, raters)
        # A difference of two likings varies by sqrt(2) more than each of them.
        of_dialogue = voting.dialogue_sd / math.sqrt(2) * rng.normal(size=(*by_dialogue, len(own)))
        of_rater = voting.rater_sd / math.sqrt(2) * rng.normal(size=(*by_rater, len(own)))
        return cls(
            own + of_dialogue + of_rater,
            voting.side + voting.side_sd * rng.normal(size=by_rater),
            voting.tie * np.exp(voting.tie_sd * rng.normal(size=by_rater)),
            expit(logit(voting.both_bad) + voting.both_bad_sd * rng.normal(size=by_dialogue)),
        )


def ranks(likings: np.ndarray, threshold: np.ndarray) -> np.ndarray:
    """Rank what is liked, 0 for the best; a gap within the threshold is a tie with the next.

    Args:
        likings: of what stands on one page, shape (..., systems).
        threshold: of each page, shape (...).
    """
    order = np.argsort(-likings, axis=-1)
    gaps = -np.diff(np.take_along_axis(likings, order, -1), axis=-1)
    levels = np.cumsum(gaps > threshold[..., None], axis=-1)
    found = np.zeros(likings.shape, dtype=int)
    np.put_along_axis(found, order[..., 1:], levels, -1)
    return found


def draw(design: Design, studies: int, rng: np.random.Generator) -> np.ndarray:
    """Draw the votes of many studies: counts 0 or 1, shape (studies, dialogues, raters, 4).

    The last axis is the outcome, as in `ratings.OUTCOMES`. Sides are drawn by lot.
    """
    size = (studies, design.dialogues, design.raters)
    crowd = Crowd.draw(design, (design.preference, 0.0), size, rng)
    likings = crowd.likings + rng.gumbel(size=crowd.likings.shape)
    first_left = rng.random(size) < 0.5
    likings[..., 0] += crowd.bias * first_left
    likings[..., 1] += crowd.bias * ~first_left
    rank = ranks(likings, np.broadcast_to(crowd.threshold, size))
    tied = rank[..., 0] == rank[..., 1]
    both_bad = tied & (rng.random(size) < crowd.bad)
    asked = _assigned(design, studies, rng) & (rng.random(size) >= design.missing)
    win, loss = rank[..., 0] < rank[..., 1], rank[..., 0] > rank[..., 1]
    return (np.stack([win, tied & ~both_bad, both_bad, loss], -1) & asked[..., None]).astype(float)


def _assigned(design: Design, studies: int, rng: np.random.Generator) -> np.ndarray:
    """Assign raters: each dialogue goes to those who have had fewest so far, ties by lot."""
    load = np.zeros((studies, design.raters))
    asked = np.zeros((studies, design.dialogues, design.raters), dtype=bool)
    row = np.arange(studies)[:, None]
    for dialogue in range(design.dialogues):
        turn = np.argsort(load + rng.random(load.shape), axis=-1)[:, : design.votes_each]
        asked[row, dialogue, turn] = True
        load[row, turn] += 1
    return asked


def truth(design: Design) -> dict[str, float]:
    """Calculate what an endless study of this design would find, by `ratings.ESTIMANDS`.

    By Gauss-Hermite quadrature over dialogues and raters.
    """
    at, weight = np.polynomial.hermite_e.hermegauss(_NODES)
    weight = weight / weight.sum()
    spread = np.sqrt(design.dialogue_sd**2 + design.rater_sd**2 + design.side_sd**2)
    threshold = design.tie * np.exp(design.tie_sd * at[None, :])
    win = loss = 0.0
    for side in (design.side, -design.side):
        latent = design.preference + side + spread * at[:, None]
        each = weight[:, None] * weight[None, :] / 2
        win += float((each * expit(latent - threshold)).sum())
        loss += float((each * expit(-latent - threshold)).sum())
    bad = float((weight * expit(logit(design.both_bad) + design.both_bad_sd * at)).sum())
    tied = 1 - win - loss
    shares = (win, tied * (1 - bad), tied * bad, loss)
    return dict(zip(OUTCOMES, shares, strict=True)) | {
        "net": win - loss,
        "untied": win / (win + loss),
    }


@dataclass(frozen=True)
class Effect:
    """The assumed truth about the votes on two systems.

    Attributes:
        preference: share of the votes that are no ties that go to the better system.
        ties: share of ties ("both bad" are such, too).
        dialogue_sd, rater_sd: see `Voting`.

    Raises:
        BadInput: a share or spread that cannot be.
    """

    preference: float
    ties: float = 0.25
    dialogue_sd: float = 0.5
    rater_sd: float = 0.3

    def __post_init__(self) -> None:
        if not 0.01 <= self.preference <= 0.99:
            raise BadInput("must lie between 0.01 and 0.99", field="preference")
        if not 0 <= self.ties <= 0.95:
            raise BadInput("must lie between 0 and 0.95", field="ties")
        for name in ("dialogue_sd", "rater_sd"):
            if not 0 <= getattr(self, name) <= _WIDEST:
                raise BadInput(f"must be a number from 0 to {_WIDEST:g}", field=name)

    def design(self, dialogues: int, raters: int) -> Design:
        """Design a study with this effect in which every rater votes on every dialogue."""
        return replace(self._usual, dialogues=dialogues, raters=raters, votes_each=raters)

    @cached_property
    def _usual(self) -> Design:
        """Find a design with these shares by `truth`."""
        blank = Design(missing=0.0, dialogue_sd=self.dialogue_sd, rater_sd=self.rater_sd)

        def with_tie(tie: float) -> Design:
            """Find the preference that has the share wanted, the share of ties aside."""
            design = replace(blank, tie=tie)
            found = brentq(
                lambda x: truth(replace(design, preference=x))["untied"] - self.preference,
                -_FARTHEST,
                _FARTHEST,
            )
            return replace(design, preference=float(found))

        def excess(log_tie: float) -> float:
            found = truth(with_tie(math.exp(log_tie)))
            return found["tie"] + found["both_bad"] - self.ties

        return with_tie(math.exp(brentq(excess, -20.0, _WIDEST_TIE)) if self.ties else 0.0)


@dataclass(frozen=True)
class Power:
    """The chance to claim a preference in studies of one size, and its Monte Carlo error (a
    standard error)."""

    dialogues: int
    raters: int
    power: float
    error: float


def power(
    effect: Effect,
    *,
    dialogues: int,
    raters: int,
    level: float = 0.05,
    comparisons: int = 1,
    simulations: int = 2_000,
    seed: int = 0,
    on_done: Callable[[int], None] = lambda studies: None,
) -> Power:
    """Count the simulated studies in which `duo report statistics` would claim the preference.

    That is: in which `clustered.preference_tests`, which the report uses, finds it at `level`.

    Args:
        dialogues: pairs that are rated; each by all `raters`.
        level: of the test; with `comparisons` criteria at once, divided by their number (what the
            strictest step of Holm's correction asks for).
        on_done: called with how many more studies are done.
    """
    design = effect.design(dialogues, raters)
    rng = np.random.default_rng([seed, dialogues, raters])
    hits = 0
    for studies in _batches(simulations, dialogues * raters):
        p = preference_tests(draw(design, studies, rng))["preference"]
        hits += int((p <= level / comparisons).sum())
        on_done(studies)
    share = hits / simulations
    return Power(dialogues, raters, share, math.sqrt(share * (1 - share) / simulations))


def _batches(studies: int, votes_each: int) -> Iterator[int]:
    """Split a number of studies into batches that fit the memory."""
    batch = max(1, _BATCH // votes_each)
    for start in range(0, studies, batch):
        yield min(batch, studies - start)


def power_table(effect: Effect, found: Iterable[Power], *, level: float, criteria: int) -> Table:
    """Lay out powers in %, raters by dialogues, each with its 95 % Monte Carlo error."""
    found = list(found)
    numbers = sorted({one.dialogues for one in found})
    raters = sorted({one.raters for one in found})
    chance = {(one.dialogues, one.raters): one for one in found}
    each = f"{level:g} / {criteria} criteria" if criteria > 1 else f"{level:g}"
    enough = (
        next((f"{k} x {n}" for n in numbers if chance[n, k].power >= 0.8), "") for k in raters
    )
    named = ", ".join(filter(None, enough)) or "none of these"
    alone = ["One rater: the claim is about dialogues only, that others agree is not tested."]
    return Table(
        f"Power (%) to find a preference of {effect.preference:.0%} with {effect.ties:.0%} ties",
        ["raters", *(Column(f"{n} dialogues", "number") for n in numbers)],
        [
            [str(k), *(_with_error(chance[n, k]) for n in numbers)]
            for k in raters
        ],
        [
            f"80 % (raters x dialogues): {named}",
            f"The test is the one by which `duo report statistics` claims a preference, at {each}: "
            "both the sign test of the dialogues and the two-way test, which is about further "
            "raters, too. ± is the error of the simulation.",
            *(alone if 1 in raters else ()),
        ],
    )  # fmt: skip


def _with_error(one: Power) -> Cell:
    return Cell(
        100 * one.power,
        f"{100 * one.power:.0f} ±{196 * one.error:.1f}",
        parts={"error": 100 * one.error},
    )


@dataclass
class _Clock:
    """Time that passes as fast as synthetic raters work."""

    now: float

    def __call__(self) -> float:
        return self.now


def simulate_raters(
    study: Study,
    raters: int,
    strengths: Mapping[str, float],
    *,
    voting: Voting = UNBIASED,
    careless: float = 0.0,
    seed: int = 0,
) -> int:
    """Let synthetic raters rate; return how many pages they submitted.

    They go the way of people: by a link, through consent, instructions and checks, and page by page
    through `Session`; and they arrive in random order. Every row of theirs is marked synthetic.

    Args:
        strengths: of the systems, in log odds; those not named have 0.
        careless: share of the raters who answer at random, and fast.

    Raises:
        BadInput: a strength for a system that the study does not have.
    """
    import time

    from sessions.study.people import invite_raters
    from sessions.study.session import open_session
    from sessions.study.study import need_recorded, stored_items

    need_recorded(study)
    for system in strengths:
        if system not in study.systems:
            raise BadInput(f"unknown {system!r}: use {', '.join(study.systems)}", field="--prefer")
    rng = np.random.default_rng(seed)
    clock = _Clock(time.time() - 60.0 * raters * study.pages_wanted)
    study = replace(study, clock=clock)
    with study.database.read() as connection:
        items = {item.id: item for item in stored_items(connection, study)}
    of_systems = [strengths.get(system, 0.0) for system in study.systems]
    crowd = Crowd.draw(voting, of_systems, (1, study.items, raters), rng)
    active = [
        _Rater(study, open_session(study, invitation.token), items, crowd, number,
               careless=rng.random() < careless, rng=rng)
        for number, invitation in enumerate(invite_raters(study, raters, synthetic=True))
    ]  # fmt: skip
    submitted = 0
    while active:
        rater = active[rng.integers(len(active))]
        clock.now += rng.uniform(0, 5)
        if rater.step(clock):
            submitted += 1
        elif rater.done:
            active.remove(rater)
    return submitted


@dataclass
class _Rater:
    """One synthetic rater of a study."""

    study: Study
    session: Session
    items: Mapping[int, StoredItem]
    crowd: Crowd
    number: int
    careless: bool
    rng: np.random.Generator
    done: bool = False

    def step(self, clock: _Clock) -> bool:
        """Do the next thing; return whether that was to submit a page."""
        from sessions.study.views import (
            ComprehensionView,
            ConsentView,
            InstructionsView,
            Mark,
            QuestionnaireView,
            RatingView,
            WaitingView,
        )

        view = self.session.view()
        if isinstance(view, ConsentView):
            self.session.consent(True)
        elif isinstance(view, QuestionnaireView):
            asked = getattr(self.study.design, view.part)
            draw = random.Random(int(self.rng.integers(2**32)))
            self.session.answer_questionnaire({one.name: one.drawn(draw) for one in asked})
        elif isinstance(view, InstructionsView):
            self.session.understood()
        elif isinstance(view, ComprehensionView):
            questions = self.study.design.comprehension.questions
            self.session.answer_questions([question.answer for question in questions])
        elif isinstance(view, RatingView):
            clock.now += self.rng.lognormal(math.log(3 if self.careless else 40), 0.4)
            if self.study.design.checks.exposure != "none":
                labels = [shown.label for shown in view.dialogues]
                self.session.exposed(view.page, labels, labels)
            if least := self.study.design.marks.least:
                kind = next(iter(self.study.design.marks.kinds))
                turns = [
                    Mark(place, turn, kind)
                    for place, shown in enumerate(view.dialogues)
                    for turn, one in enumerate(shown.dialogue.utterances)
                    if one.who == "assistant"
                ]
                self.session.mark(view.page, turns[:least])
            self.session.submit(view.page, self._answers(view), nonce=view.nonce)
            return True
        else:
            self.done = not isinstance(view, WaitingView)
        return False

    def _answers(self, view: RatingView) -> dict[str, Answer]:
        from sessions.study.views import Answer

        likings, bad = self._likings(view.page)
        likings[0] += self.crowd.bias[0, 0, self.number]
        threshold = self.crowd.threshold[0, 0, self.number]
        found = {}
        for criterion in view.criteria:
            noisy = likings + self.rng.gumbel(size=len(likings))
            rank = ranks(noisy, threshold)
            both_bad = not rank.any() and self.rng.random() < bad
            answer = Answer.ranked(rank.tolist(), both_bad=bool(both_bad))
            if answer.is_preference and (levels := self.study.design.strength.levels):
                answer = replace(answer, strength=self.rng.choice(list(levels)).item())
            found[criterion.name] = answer
        return found

    def _likings(self, page: int) -> tuple[np.ndarray, float]:
        """Look up what people cannot know: which systems stand on a page, from left to right.

        Returns:
            How they are liked without noise, and the share of ties that are "both bad".
        """
        from sqlalchemy import select

        from sessions.study.materials import WANTED
        from sessions.study.pages import orders
        from sessions.study.tables import pages

        with self.study.database.read() as connection:
            of_page = select(pages.c.item_id, pages.c.placement).where(pages.c.id == page)
            row = connection.execute(of_page).one()
        item = self.items[row.item_id]
        systems = [item.systems[place] for place in orders(len(item.systems))[row.placement]]
        if self.careless:
            return np.zeros(len(systems)), 0.0
        if item.kind == "attention":  # an easy one
            return np.array([8.0 * (system == WANTED) for system in systems]), 0.0
        of = [self.study.systems.index(system) for system in systems]
        number = sorted(i for i, one in self.items.items() if one.kind == "item").index(item.id)
        return self.crowd.likings[0, number, self.number, of], float(self.crowd.bad[0, number, 0])
