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

from duo.words import BREATH, Interval, bridge_breaths

#: Seconds of silence after the user's own words from which on a new utterance means giving up.
GIVEN_UP = 7.0

#: A difference of this many seconds between two systems' medians is one that raters could notice.
#: The mean gaps between turns in ten languages lie within 0.25 s of their mean (Stivers et al.,
#: "Universals and cultural variation in turn-taking in conversation", 2009); this is twice that.
NOTICEABLE = 0.5


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

    def quantile(self, q: float) -> float | None:
        """Return the q-quantile of the waits, interpolated linearly; None without any."""
        import numpy as np

        return float(np.quantile(self.seconds, q)) if self.seconds else None


def unequal(medians: Mapping[str, float | None]) -> Iterator[str]:
    """Say between which systems the user's median waits differ so that raters could notice."""
    for (one, a), (other, b) in combinations(medians.items(), 2):
        if a is not None and b is not None and round(abs(a - b), 3) >= NOTICEABLE:
            yield (
                f"the user waits {a:.1f} s after answers of {one} and {b:.1f} s after those of "
                f"{other} (medians): raters could notice"
            )
