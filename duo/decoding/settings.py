"""What every system's settings have in common."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args, get_origin, get_type_hints

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
        BadInput: a number that is not positive, or a word that is not one of the choices.
    """

    cycle_seconds: float = 1.0
    max_answer_tokens: int = 512
    max_tokens: int | None = None
    when_full: Literal["drop", "refuse"] = "drop"
    sampling: Sampling = field(default_factory=Sampling)

    def __post_init__(self) -> None:
        hints = get_type_hints(type(self))
        for setting in fields(self):
            _check(setting.name, hints[setting.name], getattr(self, setting.name))


def _check(name: str, hint: Any, value: Any) -> None:
    if get_origin(hint) is Literal and value not in get_args(hint):
        raise BadInput(f"{value!r} is not one of {', '.join(get_args(hint))}", field=name)
    if isinstance(value, int | float) and not isinstance(value, bool) and not 0 < value < 1e9:
        raise BadInput(f"must be positive, not {value}", field=name)
