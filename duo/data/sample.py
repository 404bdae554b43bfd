"""Read and write training samples, and read labelled utterances.

Samples are dialogues whose user turns say how to react to them.

A file of samples is JSON Lines, one dialogue a line:

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

A labelled utterance is what one of two people said in their dialogue, and whether it wants an
answer; `spk` is `self`, who says `text`, or `other`:

    {"id": "x-7", "context": [{"spk": "other", "text": "It rains."}], "text": "Oh, really?",
     "label": "backchannel", "needs_response": false}
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from duo.errors import misfit
from duo.files import read_json_lines, validate
from duo.transcript import Text

State = Literal["<1>", "<2>"]


class SystemMessage(BaseModel):
    """Instructions to the assistant before the dialogue."""

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
    """One dialogue; the module says what its fields mean."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(min_length=1)
    source: str = ""
    messages: tuple[Message, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _is_in_order(self) -> Sample:
        for place, message in enumerate(self.messages):
            if message.role == "system" and place > 0:
                raise misfit("a system message can only be the first", "messages", place)
            last = place == len(self.messages) - 1
            if isinstance(message, UserTurn) and message.state is None and not last:
                raise misfit("a turn without a state can only be the last", "messages", place)
        return self


def sample_line(sample: Sample) -> str:
    """Write a sample as a line of a file, without the line end."""
    return json.dumps(sample.model_dump(), ensure_ascii=False)


def read_samples(path: Path) -> Iterator[Sample]:
    """Read the samples of a file one after the other, in constant memory.

    Raises:
        BadInput: the file cannot be read, or a line is no sample.
    """
    for line, content in read_json_lines(path):
        yield validate(content, Sample, file=path, line=line)


class LabelledTurn(BaseModel):
    """A turn before a labelled utterance."""

    model_config = ConfigDict(extra="ignore", strict=True)

    spk: Literal["self", "other"]
    text: Text


class LabelledUtterance(BaseModel):
    """An utterance in its dialogue; the module says what its fields mean."""

    model_config = ConfigDict(extra="ignore", strict=True)

    id: Text | int
    context: list[LabelledTurn] = []
    text: Annotated[Text, Field(pattern=r"\S")]
    label: Text
    needs_response: bool

    @property
    def turns(self) -> list[tuple[Literal["self", "other"], str]]:
        """Speakers and texts of the context; utterances in a row by one speaker are one turn."""
        said = [turn for turn in self.context if turn.text.strip()]
        return [
            (speaker, " ".join(turn.text.strip() for turn in group))
            for speaker, group in groupby(said, key=lambda turn: turn.spk)
        ]
