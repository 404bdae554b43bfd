"""Plan the suite: which scenarios there are, so that nothing is confounded with anything.

A half has one scenario for every kind of event, speaking rate and recogniser (8 x 4 x 4 = 128).
Where in a conversation the event stands, how long a pause is and what is talked about follow by
Latin squares over rate and recogniser: within a kind every rate and every recogniser meets each of
these equally often, and every topic comes once in each kind, twice at each rate and twice with
each recogniser.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Half = Literal["dev", "report"]
EventKind = Literal[
    "pause", "backchannel", "third_party", "background",
    "turn_end", "interruption", "stop_request", "statement",
]  # fmt: skip
Position = Literal["opening", "during", "after"]
Recogniser = Literal["written", "unpunctuated", "lower", "revised"]

HALVES: tuple[Half, ...] = ("dev", "report")
RATES = (110, 140, 170, 200)  # words a minute
TOPICS = 16  # of a half
PAUSES = (1.2, 1.8, 2.4, 3.0)  # seconds
#: As people write; without marks; in lower case without marks; as people write, but with a word
#: that is first misheard and corrected while the user goes on.
RECOGNISERS: tuple[Recogniser, ...] = ("written", "unpunctuated", "lower", "revised")

#: Where the event stands: before anything else was said, while the answer to a first query is being
#: given, or after it. A quarter of a kind's scenarios each.
POSITIONS: dict[EventKind, tuple[Position, Position, Position, Position]] = {
    "pause": ("opening", "after", "opening", "after"),
    "backchannel": ("during", "during", "during", "after"),
    "third_party": ("opening", "during", "during", "after"),
    "background": ("opening", "during", "during", "after"),
    "turn_end": ("opening", "after", "opening", "after"),
    "interruption": ("during", "during", "during", "during"),
    "stop_request": ("during", "during", "during", "during"),
    "statement": ("opening", "during", "during", "after"),
}
EVENT_KINDS: tuple[EventKind, ...] = tuple(POSITIONS)


@dataclass(frozen=True)
class Cell:
    """One scenario of the plan.

    Attributes:
        half: for tuning or for reporting.
        event: what happens in it.
        words_per_minute: how fast the user speaks.
        recogniser: who writes down what the user says.
        position: where the event stands.
        pause: how long a pause in the event's words is, if there is one, in seconds.
        topic: number of the half's topic.
    """

    half: Half
    event: EventKind
    words_per_minute: int
    recogniser: Recogniser
    position: Position
    pause: float
    topic: int

    @property
    def name(self) -> str:
        """The scenario's name, by which cells can be picked: `dev-pause-110-lower`."""
        return f"{self.half}-{self.event}-{self.words_per_minute}-{self.recogniser}"


def cells() -> Iterator[Cell]:
    """List all scenarios, half by half, kind by kind."""
    for half in HALVES:
        for number, event in enumerate(EVENT_KINDS):
            for rate in range(4):
                for recogniser in range(4):
                    # Each kind shifts the topics by another step of a path on the 4 x 4 board that
                    # visits every row and every column twice.
                    row = (rate - number // 2) % 4
                    column = (recogniser - number // 2 - number % 2) % 4
                    yield Cell(
                        half=half,
                        event=event,
                        words_per_minute=RATES[rate],
                        recogniser=RECOGNISERS[recogniser],
                        position=POSITIONS[event][(rate + recogniser) % 4],
                        pause=PAUSES[(rate - recogniser) % 4],
                        topic=4 * row + column,
                    )
