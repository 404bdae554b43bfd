"""What a rater says about the dialogues of a page on one criterion: a ranking with ties.

The dialogues stand at positions 0, 1 ... (left to right, labelled A, B ...). An answer gives each
position a rank, 1 for the best; equal ranks are a tie. "Both bad" (with more than two: all bad) is
a mark of its own beside the ranking: a tie between good dialogues is another thing than a tie
between bad ones.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

CHOICES = ("left", "right", "tie", "both_bad")
_OF_PAIRS = {"left": (1, 2), "right": (2, 1), "tie": (1, 1), "both_bad": (1, 1)}


@dataclass(frozen=True)
class Answer:
    """A ranking of positions.

    Attributes:
        ranks: of each position, dense: the best is 1, the next 2 ..., without gaps.
        both_bad: none of the dialogues is acceptable.

    Raises:
        ValueError: ranks with gaps, or fewer than two positions.
    """

    ranks: tuple[int, ...]
    both_bad: bool = False

    def __post_init__(self) -> None:
        if len(self.ranks) < 2 or set(self.ranks) != set(range(1, max(self.ranks) + 1)):
            raise ValueError(f"{self.ranks} are not ranks of two or more without gaps")
        if len(self.ranks) == 2 and self.both_bad and len(set(self.ranks)) > 1:
            raise ValueError("both bad, and one better: choose one of the two")

    @classmethod
    def of(cls, choice: str) -> Answer:
        """The answer about a pair: "left", "right", "tie" or "both_bad".

        >>> Answer.of("right")
        Answer(ranks=(2, 1), both_bad=False)
        """
        return cls(_OF_PAIRS[choice], choice == "both_bad")

    @classmethod
    def ranked(cls, order: Sequence[float], *, both_bad: bool = False) -> Answer:
        """The answer that orders positions as these numbers do, the smallest being the best.

        >>> Answer.ranked([3, 1, 3]).ranks
        (2, 1, 2)
        """
        levels = {value: rank for rank, value in enumerate(sorted(set(order)), start=1)}
        return cls(tuple(levels[value] for value in order), both_bad)

    @property
    def choice(self) -> str:
        """What it says about the first two positions: one of `CHOICES`."""
        return self.between(0, 1)

    def between(self, left: int, right: int) -> str:
        """What it says about two positions: one of `CHOICES`."""
        if self.ranks[left] == self.ranks[right]:
            return "both_bad" if self.both_bad else "tie"
        return "left" if self.ranks[left] < self.ranks[right] else "right"

    def pairs(self) -> Iterator[tuple[int, int, str]]:
        """All pairs of positions, left before right, with what it says about them."""
        for right in range(1, len(self.ranks)):
            for left in range(right):
                yield left, right, self.between(left, right)

    def as_json(self) -> str:
        """As it is stored; `from_json` reads it."""
        return json.dumps({"ranks": self.ranks, "both_bad": self.both_bad})

    @classmethod
    def from_json(cls, text: str) -> Answer:
        """
        Raises:
            ValueError: not an answer.
        """
        content: Any = json.loads(text)
        try:
            ranks = tuple(int(rank) for rank in content["ranks"])
            return cls(ranks, bool(content["both_bad"]))
        except (TypeError, KeyError) as error:
            raise ValueError("not an answer") from error
