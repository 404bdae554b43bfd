"""Show how a study is getting on: progress by rater and item, agreement, and what looks odd.

Nothing here leaves a vote out. Flags say what to look at; who is excluded, and why, is decided by
rules that were written down before (see `preregistration`).
"""

from __future__ import annotations

import json
import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import func, select

from duo.table import Column, Table
from sessions.study.exports import Comment, archive, comments, day_and_time, exported, files_of
from sessions.study.pages import tally, total_pages
from sessions.study.people import check_admin, revoke
from sessions.study.signs import Conduct, Rules, signs
from sessions.study.study import Study, set_state, stored_items
from sessions.study.tables import actions, items, pages, raters
from sessions.study.votes import Vote, votes

#: Slow: the median page took this many times as long as that of the raters in the middle.
_SLOW = 3.0
#: Stopped: not seen for so many seconds, with pages left.
_STOPPED = 86_400.0
#: Actions about a rater that are not the rater's own.
_NOT_SEEN = ("invite", "revoke", "import")


@dataclass(frozen=True)
class RaterStatus:
    """One rater.

    Attributes:
        state: invited, consented, asked, rating, finished, declined, screened_out; or revoked,
            or withdrawn.
        submitted, total: pages.
        seconds: median time on task of the submitted pages that are data; None without any.
        checks, failed: attention checks seen and failed.
        consistency: share of repeated votes that agree with the first; None without any.
        left: share of untied votes for the left side; None without any.
        code: completion code; "" before the end.
        last_seen: time of the last action, seconds since 1970; None if never.
        flags: what to look at, in words: signs of not looking, by which raters would be left out of
            the analysis by the usual rules (`signs`); who is slow; and who stopped.
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
    """One item: raters who submitted it, of how many wanted, and those at it now."""

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


@dataclass(frozen=True)
class Admin:
    """An administrator. Every method checks the token again: it may have been revoked."""

    study: Study
    token: str
    label: str

    def status(self) -> Status:
        """Return progress per rater and item, agreement so far, flags."""
        check_admin(self.study, self.token)
        return study_status(self.study)

    def comments(self) -> list[Comment]:
        """Return what raters wrote, the latest first."""
        check_admin(self.study, self.token)
        return comments(self.study)

    @property
    def exports(self) -> tuple[str, ...]:
        """The files that `export` makes."""
        return tuple(files_of(self.study))

    def export(self, name: str) -> bytes:
        """Return the content of one of `exports`, or of all as a zip for ""."""
        check_admin(self.study, self.token)
        return exported(self.study, name) if name else archive(self.study)

    def set_state(self, state: str) -> None:
        """Open, pause or close the study; see `study.set_state`."""
        check_admin(self.study, self.token)
        set_state(self.study, state)

    def revoke(self, rater: str) -> None:
        """Revoke a rater; their pages are given to others."""
        check_admin(self.study, self.token)
        revoke(self.study, [rater])


def open_admin(study: Study, token: str) -> Admin:
    """Return the administrator whose link has this token.

    Raises:
        Refused: the link is unknown, revoked or expired.
    """
    return Admin(study, token, check_admin(study, token))


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
            select(pages)
            .join(items, pages.c.item_id == items.c.id)
            .where(items.c.study_id == study.id)
        ).all()
        begun = {page.rater_id for page in given}
        synthetic = bool(begun) and all(one.synthetic for one in people if one.id in begun)
        counted = tally(connection, study, synthetic=synthetic)
        named = [item for item in stored_items(connection, study) if item.kind == "item"]
    by_rater: dict[str, list[Vote]] = defaultdict(list)
    for vote in cast:
        by_rater[vote.rater].append(vote)
    pages_by_rater: dict[int, list[Any]] = defaultdict(list)
    for page in given:
        pages_by_rater[page.rater_id].append(page)
    data = [vote for vote in cast if not vote.attention and vote.synthetic == synthetic]
    valid = [vote for vote in data if not vote.revoked]
    found = [
        _rater(study, person, pages_by_rater[person.id], by_rater[person.name]) for person in people
    ]
    times = [one.seconds for one in found if one.seconds is not None]
    usual = statistics.median(times) if len(times) > 2 else math.inf
    now = study.clock()
    return Status(
        study=study.name,
        state=state,
        synthetic=synthetic,
        raters=tuple(replace(one, flags=(*one.flags, *_pace(one, usual, now))) for one in found),
        items=tuple(
            ItemStatus(
                item.name,
                submitted := counted.submitted.get(item.number, 0),
                study.design.raters_per_item,
                counted.raters.get(item.number, 0) - submitted,
            )
            for item in named
        ),
        votes=len(data),
        agreement={
            name: agreement([vote for vote in valid if vote.criterion == name])
            for name in study.design.criterion_names
        },
        comments=len(comments(study)),
    )


def status_tables(status: Status) -> list[Table]:
    """Return what looks odd, agreement, raters and items as tables."""
    share = ".0%"
    flags = [[one.name, flag] for one in status.raters for flag in one.flags]
    people = [
        [
            one.name + (" (synthetic)" if one.synthetic else ""),
            one.state,
            f"{one.submitted} of {one.total}",
            one.seconds,
            f"{one.checks - one.failed} of {one.checks}",
            one.consistency,
            one.left,
            None if one.last_seen is None else day_and_time(one.last_seen),
            one.code or None,
        ]
        for one in status.raters
    ]
    return [
        Table("To look at", ("rater", "flag"), flags),
        Table(
            "Agreement so far",
            ("criterion", Column("alpha", "number", ".2f")),
            list(status.agreement.items()),
            notes=["Krippendorff's alpha, nominal; attention checks and repeats left out."],
        ),
        Table(
            "Raters",
            (
                "rater",
                "state",
                "pages",
                Column("median s", "number", ".0f"),
                "checks passed",
                Column("consistent", "number", share),
                Column("left side", "number", share),
                "last seen",
                "code",
            ),
            people,
        ),
        Table(
            "Items",
            ("item", "rated", "wanted", "open now"),
            [[one.name, one.submitted, one.wanted, one.open] for one in status.items],
        ),
    ]


def status_json(status: Status) -> str:
    """Return everything as JSON, with times as ISO 8601."""
    content = asdict(status) | {"done": status.done}
    for rater in content["raters"]:
        seen = rater["last_seen"]
        rater["last_seen"] = None if seen is None else datetime.fromtimestamp(seen, UTC).isoformat()
    return json.dumps(content, indent=2)


def agreement(cast: Iterable[Vote]) -> float | None:
    """Compute Krippendorff's alpha of the winners, nominal; first time of each pair only.

    Krippendorff (2011), "Computing Krippendorff's alpha-reliability". None if fewer than two raters
    have a pair in common, or all of them always said the same.
    """
    table: dict[tuple[str, str, str], dict[str, str]] = defaultdict(dict)
    for vote in cast:
        if vote.repeat == 0:
            table[vote.item, *vote.pair][vote.rater] = vote.winner
    units = [list(row.values()) for row in table.values() if len(row) > 1]
    values = sorted({value for unit in units for value in unit})
    if len(values) < 2:
        return None
    import krippendorff

    counts = [[unit.count(value) for value in values] for unit in units]
    return float(krippendorff.alpha(value_counts=counts, level_of_measurement="nominal"))


def consistency(cast: Iterable[Vote]) -> float | None:
    """Return the share of a rater's repeated votes with the same winner as the first time."""
    said: dict[tuple[str, str, str, str], dict[int, str]] = defaultdict(dict)
    for vote in cast:
        if not vote.attention:
            said[vote.item, vote.criterion, *vote.pair][vote.repeat] = vote.winner
    both = [times for times in said.values() if len(times) > 1]
    return sum(times[0] == times[1] for times in both) / len(both) if both else None


def _rater(study: Study, person: Any, own: Sequence[Any], cast: Sequence[Vote]) -> RaterStatus:
    done = [page for page in own if page.submitted_at is not None]
    checks = {vote.item: bool(vote.passed) for vote in cast if vote.attention}
    data = [vote for vote in cast if not vote.attention]
    seconds = [vote.seconds for vote in {vote.position: vote for vote in data}.values()]
    sides = Counter(vote.choice for vote in data if vote.choice in ("left", "right"))
    conduct = Conduct(seconds, [vote.choice for vote in data], list(checks.values()))
    return RaterStatus(
        name=person.name,
        state=_state(person),
        synthetic=bool(person.synthetic),
        submitted=len(done),
        total=max(total_pages(study, person.number), len(own)),
        seconds=statistics.median(seconds) if seconds else None,
        checks=len(checks),
        failed=len(checks) - sum(checks.values()),
        consistency=consistency(cast),
        left=sides["left"] / sides.total() if sides else None,
        code=person.code or "",
        last_seen=person.seen,
        flags=signs(conduct, Rules(least_seconds=study.design.checks.least_seconds)),
    )


def _pace(one: RaterStatus, usual: float, now: float) -> Iterator[str]:
    """Say whether a rater is slow, or stopped half-way; `usual` is the median of the medians."""
    if one.seconds is not None and one.seconds > _SLOW * usual:
        yield f"slow: median page took {one.seconds:.0f} s, the usual one takes {usual:.0f} s"
    if one.state == "rating" and one.last_seen is not None and now - one.last_seen > _STOPPED:
        days = (now - one.last_seen) / 86_400
        yield f"stopped: {one.submitted} of {one.total} pages, not seen for {days:.1f} days"


def _state(person: Any) -> str:
    if person.withdrawn_at is not None:
        return "withdrawn"
    return "revoked" if person.revoked_at is not None else str(person.state)
