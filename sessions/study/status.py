"""How a study is getting on: progress by rater and item, agreement so far, and what looks odd.

Nothing here leaves a vote out. Flags say what to look at; who is excluded, and why, is decided by
rules that were written down before (see `preregistration`).
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select

from sessions.study.pages import total_pages
from sessions.study.store import actions, items, pages, raters
from sessions.study.study import Study
from sessions.study.votes import Vote, votes

#: Always the same side: so rare by chance (two-sided) among the rater's pages that had a winner.
_SIDE_CHANCE = 0.01
#: Too fast: so many of the rater's pages took less than `checks.least_seconds`.
_FAST_SHARE = 0.2


@dataclass(frozen=True)
class RaterStatus:
    """One rater.

    Attributes:
        state: invited, consented, asked, rating, finished, declined, screened_out; or revoked.
        submitted, total: pages.
        seconds: median time on task of the submitted pages; None without any.
        checks, failed: attention checks seen and failed.
        consistency: share of repeated votes that agree with the first; None without any.
        left: share of pages with a winner that the left side won; None without any.
        code: completion code; "" before the end.
        last_seen: time of the last action, seconds since 1970; None if never.
        flags: what looks odd, in words.
    """

    name: str
    state: str
    synthetic: bool
    submitted: int
    total: int
    seconds: float | None
    checks: int
    failed: int
    consistency: float | None
    left: float | None
    code: str
    last_seen: float | None
    flags: tuple[str, ...]


@dataclass(frozen=True)
class ItemStatus:
    """One item: raters in good standing who submitted it, of how many; those at it now."""

    name: str
    submitted: int
    wanted: int
    open: int


@dataclass(frozen=True)
class Status:
    """A study.

    Attributes:
        synthetic: nobody but synthetic raters has begun, and what follows is theirs; once a person
            has, synthetic raters are listed but count for nothing.
        votes: submitted, one for each criterion and pair of systems; attention checks left out.
        agreement: Krippendorff's alpha (nominal) of each criterion; None where it is not defined.
        comments: how many pages have one.
    """

    study: str
    state: str
    synthetic: bool
    raters: tuple[RaterStatus, ...]
    items: tuple[ItemStatus, ...]
    votes: int
    agreement: dict[str, float | None]
    comments: int

    @property
    def done(self) -> float:
        """Share of the wanted ratings that are in."""
        wanted = sum(item.wanted for item in self.items)
        have = sum(min(item.submitted, item.wanted) for item in self.items)
        return have / wanted if wanted else 0.0


def study_status(study: Study) -> Status:
    """Look at a study; changes nothing."""
    cast = votes(study)
    with study.database.read() as connection:
        state = study.state(connection)
        people = connection.execute(
            select(raters, func.max(actions.c.at).label("seen"))
            .outerjoin(
                actions, (actions.c.rater_id == raters.c.id) & actions.c.kind.not_in(_NOT_SEEN)
            )
            .where(raters.c.study_id == study.id)
            .group_by(raters.c.id)
            .order_by(raters.c.number)
        ).all()
        given = connection.execute(
            select(pages, items.c.kind)
            .join(items, pages.c.item_id == items.c.id)
            .where(items.c.study_id == study.id)
        ).all()
        named = connection.execute(
            select(items).where(items.c.study_id == study.id, items.c.kind == "item")
        ).all()
    by_rater: dict[str, list[Vote]] = defaultdict(list)
    for vote in cast:
        by_rater[vote.rater].append(vote)
    pages_by_rater: dict[int, list[Any]] = defaultdict(list)
    for page in given:
        pages_by_rater[page.rater_id].append(page)
    begun = [person for person in people if pages_by_rater[person.id]]
    synthetic = bool(begun) and all(person.synthetic for person in begun)
    good = {
        person.id
        for person in people
        if person.revoked_at is None and bool(person.synthetic) == synthetic
    }
    counted = [vote for vote in cast if not vote.attention and vote.synthetic == synthetic]
    valid = [vote for vote in counted if not vote.revoked]
    return Status(
        study=study.name,
        state=state,
        synthetic=synthetic,
        raters=tuple(
            _rater(study, person, pages_by_rater[person.id], by_rater[person.name])
            for person in people
        ),
        items=tuple(_item(study, item, given, good) for item in named),
        votes=len(counted),
        agreement={
            name: agreement([vote for vote in valid if vote.criterion == name])
            for name in study.design.criterion_names
        },
        comments=sum(bool(page.comment) for page in given),
    )


#: Actions about a rater that are not the rater's own.
_NOT_SEEN = ("invite", "revoke", "import")


def agreement(cast: Iterable[Vote]) -> float | None:
    """Krippendorff's alpha of the winners, nominal; first time of each pair only.

    Krippendorff (2011), "Computing Krippendorff's alpha-reliability". None if fewer than two raters
    have a pair in common, or all of them always said the same.
    """
    table: dict[tuple[str, str, str], dict[str, str]] = defaultdict(dict)
    for vote in cast:
        if vote.repeat == 0:
            first, second = sorted((vote.system_left, vote.system_right))
            table[vote.item, first, second][vote.rater] = vote.winner
    units = [list(row.values()) for row in table.values() if len(row) > 1]
    values = sorted({value for unit in units for value in unit})
    if len(values) < 2:
        return None
    import krippendorff

    counts = [[unit.count(value) for value in values] for unit in units]
    return float(krippendorff.alpha(value_counts=counts, level_of_measurement="nominal"))


def _rater(study: Study, person: Any, own: Sequence[Any], cast: Sequence[Vote]) -> RaterStatus:
    done = [page for page in own if page.submitted_at is not None]
    checks = {vote.item: vote.passed for vote in cast if vote.attention}
    failed = sum(passed is False for passed in checks.values())
    left, right = _sides(cast)
    seconds = [page.seconds for page in done]
    return RaterStatus(
        name=person.name,
        state="revoked" if person.revoked_at is not None else person.state,
        synthetic=bool(person.synthetic),
        submitted=len(done),
        total=max(total_pages(study, person.number), len(own)),
        seconds=statistics.median(seconds) if seconds else None,
        checks=len(checks),
        failed=failed,
        consistency=consistency(cast),
        left=left / (left + right) if left + right else None,
        code=person.code or "",
        last_seen=person.seen,
        flags=tuple(_flags(study, seconds, failed, left, right)),
    )


def _flags(
    study: Study, seconds: Sequence[float], failed: int, left: int, right: int
) -> Iterable[str]:
    from scipy.stats import binomtest

    least = study.design.checks.least_seconds
    fast = sum(one < least for one in seconds)
    if seconds and fast / len(seconds) >= _FAST_SHARE:
        yield f"too fast: {fast} of {len(seconds)} pages in less than {least:g} s"
    if failed:
        yield f"failed {failed} attention check{'s' * (failed != 1)}"
    if left + right and binomtest(left, left + right).pvalue < _SIDE_CHANCE:
        side, share = ("left", left) if left > right else ("right", right)
        yield f"nearly always the {side} side: {share} of {left + right} pages"


def _sides(cast: Sequence[Vote]) -> tuple[int, int]:
    """On how many pages of two dialogues the left side won most criteria, and the right side."""
    pages_won: dict[int, int] = defaultdict(int)
    for vote in cast:
        if len(vote.order) == 2 and not vote.attention:
            pages_won[vote.position] += {"left": 1, "right": -1}.get(vote.choice, 0)
    values = list(pages_won.values())
    return sum(value > 0 for value in values), sum(value < 0 for value in values)


def consistency(cast: Iterable[Vote]) -> float | None:
    """Share of a rater's repeated votes with the same winner as the first time."""
    said: dict[tuple[str, str, str, str], dict[int, str]] = defaultdict(dict)
    for vote in cast:
        if not vote.attention:
            first, second = sorted((vote.system_left, vote.system_right))
            said[vote.item, vote.criterion, first, second][vote.repeat] = vote.winner
    both = [times for times in said.values() if len(times) > 1]
    return sum(times[0] == times[1] for times in both) / len(both) if both else None


def _item(study: Study, item: Any, given: Sequence[Any], good: set[int]) -> ItemStatus:
    own = [
        page
        for page in given
        if page.item_id == item.id and page.repeat == 0 and page.rater_id in good
    ]
    submitted = sum(page.submitted_at is not None for page in own)
    since = study.clock() - 60 * study.design.reserve_minutes
    waiting = sum(page.submitted_at is None and page.touched_at >= since for page in own)
    return ItemStatus(item.name, submitted, study.design.raters_per_item, waiting)
