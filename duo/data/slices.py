"""Write and read the baseline's form of a sample: time slices (Zhang et al. 2024, section 4).

One dialogue a line (JSON Lines), in the form of Duplex-UltraChat:

    {"id": "x-1#0", "source": "x", "form": "duplex", "output": [
        {"role": "user", "content": "Could you tell me what"},
        {"role": "assistant", "content": "<idle>"},
        {"role": "user", "content": "rain is?"},
        {"role": "assistant", "content": "Rain is water that falls from the clouds, as"},
        {"role": "user", "content": "<idle>"},
        {"role": "assistant", "content": " you know."}, ...]}

- Slices come in pairs, the user's first. A pair is two seconds.
- The user's words come four to six at a time, the last of a turn fewer; the assistant answers in
  the pair of the last ones, ten tokens at a time.
- Who says nothing has `<idle>`. After an answer that is complete both are silent for a pair; an
  answer that is cut off is followed at once by the user's words. This is how a reader tells them
  apart.
- A turn to be ignored and a request to stop are answered by `<idle>` and a pair of silence; a turn
  that is not over, by `<idle>` alone.
- Slices of an answer keep the blanks between them: put together they are the answer.

`form` tells our files from the original's, which have other keys at most.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

from duo.data.dialogue import Role, word_spans
from duo.data.sample import AssistantTurn, Sample, UserTurn
from duo.errors import BadInput, first_line
from duo.files import read_json_lines
from duo.tokens import IDLE

#: Words of a user slice, tokens of an answer slice.
USER_WORDS, ANSWER_TOKENS = (4, 5, 6), 10

Pair = tuple[str, str]


def slice_form(model: str, seed: int) -> Callable[[Sample], str]:
    """Make the function that writes a sample as a line of a file.

    Args:
        model: whose tokens are counted; see `duo.model_folder.model_folder`.

    Raises:
        BadInput: there is no such model, or its tokenizer cannot say where a token stands.
    """
    tokenizer = tokenizer_of(model)

    def line(sample: Sample) -> str:
        pairs = slices(sample, tokenizer, Random(f"{seed}/slices/{sample.source}/{sample.id}"))
        output = [
            {"role": role, "content": text}
            for pair in pairs
            for role, text in zip(("user", "assistant"), pair, strict=True)
        ]
        record = {"id": sample.id, "source": sample.source, "form": "duplex", "output": output}
        return json.dumps(record, ensure_ascii=False)

    return line


def slices(sample: Sample, tokenizer: Any, random: Random) -> list[Pair]:
    """Cut a sample to pairs of slices; the module says how."""
    pairs: list[Pair] = []
    waiting: str | None = None  # the user's last words, whose pair has room for an answer
    for message in sample.messages:
        if isinstance(message, UserTurn):
            if waiting is not None:
                pairs += [(waiting, IDLE), (IDLE, IDLE)]
            *first, waiting = user_slices(message.content, random)
            pairs += [(text, IDLE) for text in first]
        elif isinstance(message, AssistantTurn):
            answer = answer_slices(message.content, tokenizer) or [IDLE]
            pairs += [
                (IDLE if place or waiting is None else waiting, text)
                for place, text in enumerate(answer)
            ]
            waiting = None
            if message.complete:
                pairs.append((IDLE, IDLE))
    if waiting is not None:
        last = sample.messages[-1]
        pairs.append((waiting, IDLE))
        if isinstance(last, UserTurn) and last.state is not None:
            pairs.append((IDLE, IDLE))
    return pairs


def user_slices(text: str, random: Random) -> list[str]:
    """Cut the user's words, four to six at a time."""
    spans = word_spans(text)
    cut: list[str] = []
    place = 0
    while place < len(spans):
        size = random.choice(USER_WORDS)
        end = spans[min(place + size, len(spans)) - 1][1]
        cut.append(text[spans[place][0] : end])
        place += size
    return cut


def answer_slices(text: str, tokenizer: Any, size: int = ANSWER_TOKENS) -> list[str]:
    """Cut an answer, `size` tokens at a time; together the slices are the text.

    A character that goes over the border of two slices belongs to the first.
    """
    found = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)[
        "offset_mapping"
    ]
    ends = [end for _, end in found]
    borders = [0]
    for place in range(size - 1, len(ends), size):
        borders.append(max(borders[-1], ends[place]))
    if borders[-1] < len(text):
        borders.append(len(text))
    cut = [text[start:end] for start, end in pairwise(borders)]
    # Blanks alone would read as silence.
    joined: list[str] = []
    for piece in cut:
        if joined and not (piece.strip() and joined[-1].strip()):
            joined[-1] += piece
        elif piece:
            joined.append(piece)
    return joined if text.strip() else []


def form_of(path: Path) -> str:
    """Judge by a file's first line the form that it has: "duo", "duplex" or "cycles"; or ""."""
    try:
        _, first = next(read_json_lines(path), (0, {}))
    except BadInput:
        return ""
    fields = {"messages": "duo", "output": "duplex", "cycles": "cycles"}
    return next((form for field, form in fields.items() if field in first), "")


def read_slices(path: Path) -> Iterator[tuple[int, list[tuple[Role, str]]]]:
    """Read the slices of every dialogue of a file, ours or one of Duplex-UltraChat's, as a stream.

    Yields:
        The number of the line, and role and text of each slice.

    Raises:
        BadInput: a line is no list of slices, naming file, line and field.
    """
    for line, record in read_json_lines(path):

        def bad(message: str, field: str = "", line: int = line) -> BadInput:
            return BadInput(message, file=path, line=line, field=f"output{field}")

        output = record.get("output")
        if not isinstance(output, list):
            raise bad('is no list of {"role", "content"}, as duo data build --form duplex writes')
        slices: list[tuple[Role, str]] = []
        for place, item in enumerate(output):
            if not isinstance(item, dict) or item.get("role") not in ("user", "assistant"):
                raise bad("must be user or assistant", f"[{place}].role")
            if not isinstance(item.get("content"), str):
                raise bad("is not a text", f"[{place}].content")
            slices.append((item["role"], item["content"]))
        yield line, slices


def tokenizer_of(model: str) -> Any:
    """Open the tokenizer of a model, one that says where tokens stand in a text.

    Raises:
        BadInput: there is no such model, or its tokenizer cannot.
    """
    from duo.backbone import open_tokenizer
    from duo.model_folder import model_folder
    from duo.terminal import quiet

    folder = model_folder(model)
    try:
        with quiet():
            tokenizer = open_tokenizer(folder)
    except Exception as error:  # whatever a damaged or foreign folder makes the library raise
        raise BadInput(f"cannot load this tokenizer: {first_line(error)}", file=folder) from error
    if not tokenizer.is_fast:
        raise BadInput("the tokenizer does not say where tokens stand in a text", file=folder)
    return tokenizer
