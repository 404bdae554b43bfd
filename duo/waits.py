"""Find how long the user of a conversation waited for the system, in transcripts and on pages.

A scripted user should wait equally long for all systems (see `sessions.user`), or raters judge the
user. What counts is heard: words and their times. A *wait* lasts from the last word of the system
to the user's next utterance, if the user said nothing between and the system did not go on within
a breath. The user *gave up* where an utterance follows the user's own, the one before it, after
`GIVEN_UP` seconds in which nobody spoke.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

from duo.words import BREATH, Interval, bridge_breaths

#: Seconds of silence after the user's own words from which on a new utterance means giving up.
GIVEN_UP = 7.0

#: Differences of so many seconds between two systems' medians, and between their 90th percentiles,
#: are such that raters could notice: twice and four times 0.25 s. No further from their mean lie
#: the mean gaps between turns in ten languages (Stivers et al., "Universals and cultural variation
#: in turn-taking in conversation", 2009).
NOTICEABLE = {"median": 0.5, "90th percentile": 1.0}

#: Of fewer waits than this there is no 90th percentile to be compared.
ENOUGH = 10


class Spread(NamedTuple):
    """How many waits there were, and quantiles of them in seconds."""

    n: int
    median: float
    p90: float


@dataclass(frozen=True)
class Waits:
    """How long a user waited.

    Attributes:
        seconds: of each wait after an answer.
        given_up: how often the user gave up waiting for one.
    """

    seconds: tuple[float, ...] = ()
    given_up: int = 0

    @classmethod
    def of(cls, user: Iterable[Interval], system: Iterable[Interval]) -> Waits:
        """Find the waits of one conversation.

        Args:
            user: utterances, in seconds from the conversation's start.
            system: words.
        """
        spoken = bridge_breaths(system, BREATH)
        starts = [start for start, _ in spoken]
        seconds, given_up, silent_since = list[float](), 0, None
        for start, end in sorted(user):
            place = bisect_left(starts, start) - 1
            last = spoken[place][1] if place >= 0 else 0.0
            if silent_since is not None and silent_since >= last:
                given_up += start - silent_since >= GIVEN_UP
            elif place >= 0 and last <= start:
                seconds.append(round(start - last, 3))
            silent_since = max(end, silent_since or 0.0)
        return cls(tuple(seconds), given_up)

    @classmethod
    def together(cls, parts: Iterable[Waits]) -> Waits:
        """Unite the waits of several conversations."""
        found = list(parts)
        every = tuple(one for part in found for one in part.seconds)
        return cls(every, sum(part.given_up for part in found))

    @property
    def spread(self) -> Spread | None:
        """Quantiles, interpolated linearly; None without any wait."""
        import numpy as np

        if not self.seconds:
            return None
        median, p90 = np.quantile(self.seconds, [0.5, 0.9])
        return Spread(len(self.seconds), float(median), float(p90))


def unequal(waits: Mapping[str, Spread | None]) -> Iterator[str]:
    """Say between which systems the user's waits differ so that raters could notice."""
    known = {name: found for name, found in waits.items() if found is not None}
    for (one, a), (other, b) in combinations(known.items(), 2):
        pairs = {"median": (a.median, b.median)}
        if min(a.n, b.n) >= ENOUGH:
            pairs["90th percentile"] = a.p90, b.p90
        for what, (x, y) in pairs.items():
            if round(abs(x - y), 3) >= NOTICEABLE[what]:
                yield (
                    f"the user waits {x:.1f} s after answers of {one} and {y:.1f} s after those of "
                    f"{other} ({what}): raters could notice"
                )
