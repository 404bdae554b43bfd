"""A training sample: one dialogue whose user turns say how to react to them (JSON Lines).

    {"id": "x-1", "source": "x", "messages": [
        {"role": "user", "content": "What is rain?", "state": "<1>"},
        {"role": "assistant", "content": "Water that", "complete": false},
        {"role": "user", "content": "hm, I see", "state": "<2>"},
        {"role": "user", "content": "And what about", "state": null}]}

- `state` of a user turn: `<1>` answer it, `<2>` ignore it, null: it is not over yet, so no state
  token may be predicted; such a turn can only be the last.
- `complete` of an assistant turn: false if it was cut off by the turn after it; it then has no end
  of turn to learn.
- Roles need not alternate: a remark may follow a remark. A leading system message is allowed.
- `kind` says where a user turn comes from (query, backchannel, third_party ...), for statistics.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from duo.errors import BadInput
from duo.terminal import printable

State = Literal["<1>", "<2>"]


class SystemMessage(BaseModel):
    """What the assistant is told before the dialogue."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    role: Literal["system"] = "system"
    content: str = Field(min_length=1)


class UserTurn(BaseModel):
    """An utterance of the user and what it calls for."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    role: Literal["user"] = "user"
    content: str = Field(min_length=1)
    state: State | None
    kind: str = ""


class AssistantTurn(BaseModel):
    """An answer, whole or cut off."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    role: Literal["assistant"] = "assistant"
    content: str  # empty where silence was asked for
    complete: bool = True


Message = Annotated[SystemMessage | UserTurn | AssistantTurn, Field(discriminator="role")]


class Sample(BaseModel):
    """One dialogue; see the module for its form."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(min_length=1)
    source: str = ""
    messages: tuple[Message, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _is_in_order(self) -> Sample:
        for place, message in enumerate(self.messages):
            if message.role == "system" and place > 0:
                raise ValueError(f"messages.{place}: a system message can only be the first")
            last = place == len(self.messages) - 1
            if isinstance(message, UserTurn) and message.state is None and not last:
                raise ValueError(f"messages.{place}: a turn without a state can only be the last")
        return self


def sample_line(sample: Sample) -> str:
    """The sample as a line of a file, without the line end."""
    return json.dumps(sample.model_dump(exclude_defaults=False), ensure_ascii=False)


def no_sample(error: ValidationError, path: Path, line: int) -> BadInput:
    """What makes a line of a file no sample, in one line: the first thing that is wrong."""
    first = error.errors()[0]
    field = printable(".".join(str(part) for part in first["loc"])) or None
    return BadInput(first["msg"], file=path, line=line, field=field)


def read_samples(
    path: Path, *, on_bad: Callable[[BadInput], None] | None = None
) -> Iterator[Sample]:
    """The samples of a file, one after the other, in constant memory.

    Args:
        path: JSON Lines.
        on_bad: called with the error of each line that is no sample, which is then passed over;
            without it such a line raises.

    Raises:
        BadInput: the file cannot be read, or a line is no sample.
    """
    try:
        with Path(path).open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                try:
                    yield Sample.model_validate_json(line)
                except ValidationError as error:
                    bad = no_sample(error, path, number)
                    if on_bad is None:
                        raise bad from error
                    on_bad(bad)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "is not UTF-8 text"
        raise BadInput(f"cannot read: {reason}", file=path) from error
