"""What every system's settings have in common."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Literal

from duo.decoding.fields import check_types
from duo.decoding.sampling import Sampling
from duo.errors import BadInput


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of a conversation.

    Attributes:
        cycle_seconds: a cycle's length on the conversation's clock.
        max_answer_tokens: an answer is ended there.
        max_tokens: length of the context; None for what the model allows.
        when_full: "drop" the oldest turns to make room, or "refuse" to go on.
        sampling: how output tokens are chosen.

    Raises:
        BadInput: a value of another type or choice, or a number that is not positive.
    """

    cycle_seconds: float = 1.0
    max_answer_tokens: int = 512
    max_tokens: int | None = None
    when_full: Literal["drop", "refuse"] = "drop"
    sampling: Sampling = field(default_factory=Sampling)

    def __post_init__(self) -> None:
        check_types(self)
        for setting in fields(self):
            value = getattr(self, setting.name)
            if isinstance(value, int | float) and not isinstance(value, bool) and value <= 0:
                raise BadInput(f"must be positive, not {value}", field=setting.name)
