"""Admit raters, panels and administrators, each by a link with a secret token; let raters withdraw.

A token is 192 random bits. The database has only its SHA-256: who reads the database cannot open
anybody's pages. Links can be revoked and can expire. Nothing about a person is stored: a rater is a
name such as `r007`; a panel's own id of a participant is kept as a hash, to know them again.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import unquote

from sqlalchemy import Connection, delete, func, select

from duo.errors import BadInput
from duo.escape import clean
from sessions.study.store import insert
from sessions.study.study import Study, record
from sessions.study.tables import actions, drafts, marks, pages, raters, ratings, replies, tokens
from sessions.study.wording import words_in

#: Signs that no panel's ids have, but placeholders do: {{%ID%}}, ${ID}, [ID], <ID>, %ID%.
_PLACEHOLDER = re.compile(r"[{}\[\]<>$]|^%.*%$")
#: What some panels and browsers write where they have nothing.
_NOTHING = ("null", "none", "undefined", "nan")
_ID_LIMIT = 200

#: What stays in the history of a rater whose answers are deleted: that they came and left.
_KEPT = ("invite", "import", "consent", "withdraw")

LinkKind = Literal["rater", "panel", "admin"]
Refusal = Literal[
    "unknown", "revoked", "withdrawn", "expired", "panel_id", "placeholder", "closed", "page"
]  # fmt: skip

_TOKEN_BYTES = 24


class Refused(Exception):
    """Somebody may not do this; `reason` and `detail` make the message for their browser."""

    def __init__(self, reason: Refusal, detail: str = "") -> None:
        super().__init__(words_in("en")(f"refused.{reason}", detail=detail))
        self.reason, self.detail = reason, detail


@dataclass(frozen=True)
class Invitation:
    """A new link; its token is here and nowhere else.

    Attributes:
        name: of the rater, or the label of a panel's or administrator's link.
        suffix: what a panel fills in; see `design.Panel`.
    """

    kind: LinkKind
    name: str
    token: str
    suffix: str = ""

    def link(self, base: str) -> str:
        """Return the address to send, for a server at `base`."""
        page = {"rater": "?t=", "panel": "?t=", "admin": "?admin="}[self.kind]
        return f"{base.rstrip('/')}/{page}{self.token}{self.suffix}"


def invite_raters(
    study: Study, count: int, *, valid_seconds: float | None = None, synthetic: bool = False
) -> list[Invitation]:
    """Add raters, each with a link of their own.

    Args:
        valid_seconds: the links expire after this long; None: never.
        synthetic: the raters are programs; said in every row of the export.
    """
    with study.database.write(alone=True) as connection:
        invitations = []
        for _ in range(count):
            rater, name = add_rater(connection, study, synthetic=synthetic)
            invitations.append(
                _new_token(connection, study, "rater", name, valid_seconds, rater=rater)
            )
    return invitations


def invite(
    study: Study, kind: Literal["panel", "admin"], *, label: str, valid_seconds: float | None = None
) -> Invitation:
    """Make a link for a panel (everybody who comes by it is a new rater) or an administrator."""
    with study.database.write(alone=True) as connection:
        return _new_token(connection, study, kind, label, valid_seconds)


def revoke(study: Study, names: Sequence[str]) -> int:
    """Revoke raters by name, or panel and administrator links by label; how many were valid.

    A revoked rater cannot come back; what they rated stays in the data, marked, and their items are
    given to others.

    Raises:
        BadInput: no rater and no link has the name; nobody is revoked then.
    """
    revoked = 0
    with study.database.write(alone=True) as connection:
        study.lock(connection)
        now = study.clock()
        for name in names:
            rater = connection.execute(
                select(raters.c.id).where(raters.c.study_id == study.id, raters.c.name == name)
            ).scalar_one_or_none()
            links = tokens.c.label == name if rater is None else tokens.c.rater_id == rater
            known = connection.execute(
                select(tokens.c.id).where(tokens.c.study_id == study.id, links)
            ).all()
            if rater is None and not known:
                raise BadInput(f"no rater and no link is called {name!r}", field="names")
            still = tokens.c.study_id == study.id, links, tokens.c.revoked_at.is_(None)
            done = connection.execute(tokens.update().where(*still).values(revoked_at=now)).rowcount
            if rater is not None:
                done += connection.execute(
                    raters.update()
                    .where(raters.c.id == rater, raters.c.revoked_at.is_(None))
                    .values(revoked_at=now)
                ).rowcount
            if done:
                revoked += 1
                record(connection, study, "revoke", rater=rater, data={"name": name})
    return revoked


def withdraw(connection: Connection, study: Study, rater: Any, *, erase: bool) -> None:
    """Let a rater withdraw; who has withdrawn already may still have the answers deleted.

    Neither is an answer exported from now on, unless the rater left it and that is asked for.

    Args:
        rater: the row, locked, as the study is.
        erase: delete all that the rater said and did, at once and for good.
    """
    if rater.withdrawn_at is None:
        values = {"withdrawn_at": study.clock()}
        connection.execute(raters.update().where(raters.c.id == rater.id).values(**values))
    if erase:
        _erase(connection, rater.id)
    record(connection, study, "withdraw", rater=rater.id, data={"deleted": erase})


def is_erased(connection: Connection, rater: int) -> bool:
    """Tell whether the answers of a rater who withdrew were deleted."""
    said = select(actions.c.data).where(actions.c.rater_id == rater, actions.c.kind == "withdraw")
    return any(data["deleted"] for data in connection.execute(said).scalars())


def _erase(connection: Connection, rater: int) -> None:
    own = select(pages.c.id).where(pages.c.rater_id == rater)
    for table in (drafts, marks):
        connection.execute(delete(table).where(table.c.page_id.in_(own)))
    connection.execute(delete(ratings).where(ratings.c.rater_id == rater))
    connection.execute(delete(replies).where(replies.c.rater_id == rater))
    mine = actions.c.rater_id == rater
    gone = actions.c.page_id.is_not(None) | actions.c.kind.not_in(_KEPT)
    connection.execute(delete(actions).where(mine, gone))
    connection.execute(delete(pages).where(pages.c.rater_id == rater))
    # The panel's numbers of the session point to the person.
    came = mine, actions.c.kind.in_(("invite", "import"))
    for action in connection.execute(select(actions.c.id, actions.c.data).where(*came)).all():
        data = {name: one for name, one in action.data.items() if name != "panel"}
        connection.execute(actions.update().where(actions.c.id == action.id).values(data=data))


def rater_of(
    connection: Connection, study: Study, token: str, panel_id: str | None = None
) -> int | None:
    """Find the rater whose link this is; None for a panel's participant who comes the first time.

    Raters who were revoked are found: they may still withdraw.

    Raises:
        Refused: unknown, revoked or expired link; a panel's link without the participant's id.
    """
    link = _valid(connection, study, token, ("rater", "panel"))
    if link.rater_id is not None:
        return int(link.rater_id)
    same = raters.c.panel_key == _panel_key(study, link.id, panel_id)
    known = select(raters.c.id).where(raters.c.study_id == study.id, same)
    return connection.execute(known).scalar_one_or_none()


def admit(
    connection: Connection,
    study: Study,
    token: str,
    panel_id: str | None,
    panel: Mapping[str, str | None] | None = None,
) -> int:
    """Return the rater of a panel's participant; add one who comes first, with the panel's ids."""
    study.lock(connection)
    rater = rater_of(connection, study, token, panel_id)
    if rater is not None:
        return rater
    link = _valid(connection, study, token, ("panel",))
    key = _panel_key(study, link.id, panel_id)
    return add_rater(connection, study, panel=panel, panel_key=key)[0]


def check_admin(study: Study, token: str) -> str:
    """Return the label of an administrator's link.

    Raises:
        Refused: it is none, or not valid any more.
    """
    with study.database.read() as connection:
        return str(_valid(connection, study, token, ("admin",)).label)


def add_rater(
    connection: Connection,
    study: Study,
    *,
    name: str = "",
    number: int | None = None,
    synthetic: bool = False,
    action: str = "invite",
    panel: Mapping[str, str | None] | None = None,
    **values: Any,
) -> tuple[int, str]:
    """Add a rater; return the row's id and the name.

    Args:
        name: if not given, it is made of the number.
        number: wanted for the rater; the next one is taken instead if another has it.
        action: what the history calls it.
        panel: the panel's ids of `study` and `session`, for the history.
    """
    study.lock(connection)
    own = raters.c.study_id == study.id
    same = select(raters.c.id).where(own, raters.c.number == number)
    if number is None or number < 0 or connection.execute(same).first():
        last = connection.execute(select(func.max(raters.c.number)).where(own)).scalar_one()
        number = 0 if last is None else last + 1
    name = name or f"{'s' if synthetic else 'r'}{number + 1:03d}"
    facts = {
        "study_id": study.id,
        "number": number,
        "name": name,
        "state": "invited",
        "attempts": 0,
        "synthetic": synthetic,
        "created_at": study.clock(),
    }
    rater = insert(connection, raters, **(facts | values))
    said = {name: clean((text or "").strip())[:_ID_LIMIT] for name, text in (panel or {}).items()}
    ids = {name: text for name, text in said.items() if text and not unfilled(text)}
    data = {"synthetic": synthetic} | ({"panel": ids} if ids else {})
    record(connection, study, action, rater=rater, data=data)
    return rater, name


def hashed(token: str) -> str:
    """Hash a token as it is stored, by SHA-256: 192 random bits need no salt."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def _valid(connection: Connection, study: Study, token: str, kinds: tuple[LinkKind, ...]) -> Any:
    link = connection.execute(
        select(tokens).where(tokens.c.study_id == study.id, tokens.c.sha256 == hashed(token))
    ).one_or_none()
    if link is None or link.kind not in kinds:
        raise Refused("unknown")
    if link.revoked_at is not None and link.rater_id is None:
        raise Refused("revoked")
    if link.expires_at is not None and link.expires_at <= study.clock():
        raise Refused("expired")
    return link


def _new_token(
    connection: Connection,
    study: Study,
    kind: LinkKind,
    label: str,
    valid_seconds: float | None,
    *,
    rater: int | None = None,
) -> Invitation:
    token, now = secrets.token_urlsafe(_TOKEN_BYTES), study.clock()
    connection.execute(
        tokens.insert().values(
            study_id=study.id,
            rater_id=rater,
            kind=kind,
            sha256=hashed(token),
            label=label,
            created_at=now,
            expires_at=None if valid_seconds is None else now + valid_seconds,
        )
    )
    suffix = study.design.panel.suffix if kind == "panel" else ""
    return Invitation(kind, label, token, suffix)


def unfilled(text: str, name: str = "") -> bool:
    """Tell whether a parameter of a link is still a placeholder, and nobody's id.

    Args:
        name: of the parameter; written in its own place, it is one, too.

    >>> unfilled("{{%PROLIFIC_PID%}}"), unfilled("[ID]"), unfilled("5f3a9c")
    (True, True, False)
    """
    text = unquote(text).strip()
    same = text.casefold() in (*_NOTHING, name.casefold())
    return same or _PLACEHOLDER.search(text) is not None


def _panel_key(study: Study, link: int, panel_id: str | None) -> str:
    panel_id, name = (panel_id or "").strip(), study.design.panel.participant
    if not panel_id:
        raise Refused("panel_id")
    if unfilled(panel_id, name):
        raise Refused("placeholder", f"{name}={clean(panel_id)[:60]}")
    return hashed(f"{link} {panel_id}")
