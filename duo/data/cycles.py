"""Write and read a sample cycle by cycle: what is heard and what is said in each second.

It is the form of the schemes that see the conversation as a stream (`fsm`, `micro-turn`, `lslm-*`),
one dialogue a line (JSON Lines):

    {"id": "x-1", "source": "x", "form": "cycles", "cycles": [
        {"heard": "What is", "said": "", "state": null, "ended": false},
        {"heard": "rain?", "said": "", "state": null, "ended": false},
        {"heard": "", "said": "Water that falls from", "state": "<1>", "ended": false},
        {"heard": "I see.", "said": " the clouds, as", "state": null, "ended": false},
        {"heard": "", "said": " you know.", "state": "<2>", "ended": true}]}

- Words are heard at two to three a second, answers are said four tokens at a time.
- `state` stands in the first silent cycle after an utterance, where `duo` decides as well; after an
  utterance that is not over it is null. After `<1>` the answer begins there, or is `ended` there if
  silence was asked for.
- The last cycles of an answer that a query cuts off are those in which the query is heard: as many
  as it takes, or all that the answer has, and then more words are heard in each. A turn to be
  ignored is heard over the answer that goes on after it.
- Other turns begin after one to three silent cycles, the first of all after none to two: who learns
  to say something in each second has to learn that nothing may be said.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from math import ceil
from pathlib import Path
from random import Random
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from duo.data.dialogue import word_spans
from duo.data.sample import AssistantTurn, Sample, State, UserTurn
from duo.data.slices import answer_slices, tokenizer_of
from duo.files import read_json_lines, validate

#: Words heard in a cycle, and tokens said in one.
USER_WORDS, ANSWER_TOKENS = (2.0, 2.5, 3.0), 4
#: Silent cycles before a turn, beside the one after an answer.
PAUSES = (0, 1, 2)


class Cycle(BaseModel):
    """A second of a conversation; the module says what its fields mean."""

    model_config = ConfigDict(extra="forbid")

    heard: str = ""
    said: str = ""
    state: State | None = None
    ended: bool = False


class CycledSample(BaseModel):
    """One dialogue in cycles."""

    model_config = ConfigDict(extra="forbid")

    id: str = Field(min_length=1)
    source: str = ""
    form: Literal["cycles"]
    cycles: list[Cycle] = Field(min_length=1)


def cycle_form(model: str, seed: int) -> Callable[[Sample], str]:
    """Make the function that writes a sample as a line of a file.

    Args:
        model: whose tokens are counted; see `duo.model_folder.model_folder`.

    Raises:
        BadInput: there is no such model, or its tokenizer cannot say where a token stands.
    """
    tokenizer = tokenizer_of(model)

    def line(sample: Sample) -> str:
        laid = cycles(sample, tokenizer, Random(f"{seed}/cycles/{sample.source}/{sample.id}"))
        whole = CycledSample(id=sample.id, source=sample.source, form="cycles", cycles=laid)
        return json.dumps(whole.model_dump(), ensure_ascii=False)

    return line


def cycles(sample: Sample, tokenizer: Any, random: Random) -> list[Cycle]:
    """Lay a sample out on the clock; the module says how."""
    clock: dict[int, Cycle] = defaultdict(Cycle)
    said_from = 0  # the first cycle that has nothing of the answers so far
    free_from = 0  # the first cycle in which the user may begin
    answered_at = 0  # where an answer to the last query begins
    going_on = False  # an answer broke off
    begun, answer = 0, ""  # where the last answer began, and its words
    messages = [message for message in sample.messages if message.role != "system"]
    for number, message in enumerate(messages):
        if isinstance(message, UserTurn):
            count = ceil(len(word_spans(message.content)) / random.choice(USER_WORDS))
            goes_on = message.state == "<2>" and any(
                isinstance(after, AssistantTurn) for after in messages[number + 1 : number + 2]
            )
            if going_on and goes_on:
                start = max(free_from, said_from)
            elif going_on:
                start = max(free_from, said_from - count)
                count = max(1, min(count, said_from - start)) if start < said_from else count
            else:
                start = max(free_from, said_from + bool(said_from)) + random.choice(PAUSES)
            for place, text in enumerate(spread(message.content, count), start):
                clock[place].heard = text
            answered_at = start + count
            clock[answered_at].state = message.state
            free_from = answered_at + 1
            going_on &= goes_on
        elif isinstance(message, AssistantTurn):
            answer = f"{answer} {message.content.strip()}" if going_on else message.content.strip()
            begun = begun if going_on else max(said_from, answered_at)
            pieces = answer_slices(answer, tokenizer, ANSWER_TOKENS)
            for place, text in enumerate(pieces, begun):
                clock[place].said = text
            said_from = begun + len(pieces)
            clock[max(begun, said_from - 1)].ended = message.complete
            going_on = not message.complete
    return [clock[place] for place in range(max(clock, default=-1) + 1)]


def spread(text: str, count: int) -> list[str]:
    """Cut a text into `count` pieces of about as many words, none of them empty."""
    spans = word_spans(text)
    count = min(count, len(spans))
    ends = [round((place + 1) * len(spans) / count) for place in range(count)]
    starts = [0, *ends[:-1]]
    return [text[spans[a][0] : spans[b - 1][1]] for a, b in zip(starts, ends, strict=True)]


def read_cycles(path: Path) -> Iterator[CycledSample]:
    """Read the samples of a file one after the other, in constant memory.

    Raises:
        BadInput: the file cannot be read, or a line is no sample in cycles.
    """
    for line, content in read_json_lines(path):
        yield validate(content, CycledSample, file=path, line=line)
