"""A conversation as metrics see it: what the user said, what the system answered, what it cost."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from evaluation.interaction.words import Interval, Word

#: Silence inside an utterance counts as a pause from this length on (seconds), and so does silence
#: of a system around a query's end, if its cycles are not longer.
SHORTEST_PAUSE = 0.5

#: So long a silence (seconds) is more than breath: it breaks an answer, or ends it where the system
#: does not say when it does. A system whose cycles are longer may be silent for less than one.
BREATH = 1.0

Label = Literal["query", "non_query"]
#: How an answer ended: the system said so ("complete"), gave it up for something that the user said
#: ("cut"), or did not say ("open").
Ending = Literal["complete", "cut", "open"]


@dataclass(frozen=True)
class Utterance:
    """One utterance of the user, in seconds on the conversation's clock."""

    name: str
    start: float
    end: float
    text: str
    label: Label
    category: str
    words: tuple[Word, ...]

    @property
    def pauses(self) -> list[Interval]:
        """Silences between its words that are `SHORTEST_PAUSE` or longer."""
        gaps = [(a.end, b.start) for a, b in pairwise(self.words)]
        return [(a, b) for a, b in gaps if round(b - a, 6) >= SHORTEST_PAUSE]


@dataclass(frozen=True)
class Answer:
    """Words of the system that belong together; at least one.

    Attributes:
        words: what was said.
        tokens: when each piece of it was said; the recorder writes a piece for each token.
        ending: see `Ending`.
        ended: when it ended: its last word's end, or the moment at which it was cut.
        seamless: it is told apart from the words before it only because a query ended there, while
            a system that reports no decisions spoke on.
    """

    words: tuple[Word, ...]
    tokens: tuple[Interval, ...]
    ending: Ending
    ended: float
    seamless: bool = False

    @property
    def start(self) -> float:
        return self.words[0].start

    @property
    def end(self) -> float:
        """When its last word was said."""
        return self.words[-1].end

    def words_from(self, moment: float) -> tuple[Word, ...]:
        """The words that begin at this moment or later."""
        return tuple(word for word in self.words if word.start >= moment)


@dataclass(frozen=True)
class Cycle:
    """What one cycle cost; cycles without a forward pass are not written down."""

    start: float
    end: float
    forward_passes: int
    tokens_processed: int


@dataclass(frozen=True)
class Conversation:
    """One transcript.

    Attributes:
        file: where it stands.
        system, model, scenario, settings, cycle_seconds: of its header.
        utterances: by their start.
        answers: by their start.
        cycles: by their start; empty for a system whose costs nobody counted.
        ignored: when the system decided to ignore something.
        decides: whether the system reports decisions (forks, responses, ignored utterances).
        dropped_words: words that the system expected to hear and then threw away.
        seconds_per_pass: machine time of a forward pass on average, if a manifest says it.
    """

    file: Path
    system: str
    model: str
    scenario: str
    cycle_seconds: float
    utterances: tuple[Utterance, ...]
    answers: tuple[Answer, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    cycles: tuple[Cycle, ...] = ()
    ignored: tuple[float, ...] = ()
    decides: bool = False
    dropped_words: int | None = None
    seconds_per_pass: float | None = None

    @property
    def breath(self) -> float:
        """Silence of this length or longer breaks an answer; see `BREATH`."""
        return max(self.cycle_seconds, BREATH)

    @property
    def user_speech(self) -> list[Interval]:
        """When the user speaks."""
        return [(word.start, word.end) for u in self.utterances for word in u.words]

    @property
    def system_speech(self) -> list[Interval]:
        """When the system speaks."""
        return [(word.start, word.end) for answer in self.answers for word in answer.words]

    def passes_between(self, start: float, end: float) -> float | None:
        """Forward passes from one moment to another; None if they were not counted.

        The passes of a cycle are spread evenly over it.
        """
        if not self.cycles:
            return None
        return round(self._passes_by(end) - self._passes_by(start), 6)

    def _passes_by(self, moment: float) -> float:
        number = bisect_right(self._starts, moment)
        if not number:
            return 0.0
        cycle = self.cycles[number - 1]
        length = cycle.end - cycle.start
        share = min((moment - cycle.start) / length, 1.0) if length > 0 else 1.0
        return self._passes_before[number - 1] + share * cycle.forward_passes

    @cached_property
    def _starts(self) -> list[float]:
        return [cycle.start for cycle in self.cycles]

    @cached_property
    def _passes_before(self) -> list[int]:
        totals = [0]
        for cycle in self.cycles:
            totals.append(totals[-1] + cycle.forward_passes)
        return totals
