"""The administrator's view of a study, behind a token of its own."""

from __future__ import annotations

from dataclasses import dataclass

from duo.errors import check_choice
from sessions.study.people import check_admin, revoke
from sessions.study.status import Status, study_status
from sessions.study.study import STATES, Study, set_state


def open_admin(study: Study, token: str) -> Admin:
    """The administrator whose link has this token.

    Raises:
        Refused: the link is unknown, revoked or expired.
    """
    return Admin(study, token, check_admin(study, token))


@dataclass(frozen=True)
class Admin:
    """An administrator. Every method checks the token again: it may have been revoked.

    Attributes:
        label: of the link.
    """

    study: Study
    token: str
    label: str

    def status(self) -> Status:
        """Progress per rater and item, agreement so far, flags."""
        check_admin(self.study, self.token)
        return study_status(self.study)

    def set_state(self, state: str) -> None:
        """Open, pause or close the study; see `study.set_state`."""
        check_choice("state", state, STATES)
        check_admin(self.study, self.token)
        set_state(self.study, state)

    def revoke(self, rater: str) -> None:
        """Revoke a rater; their pages are given to others."""
        check_admin(self.study, self.token)
        revoke(self.study, [rater])
