"""Read the utterances to be judged, each in its dialogue, from samples or labelled utterances."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Literal

from duo.data.sample import AssistantTurn, Message, Sample, UserTurn
from duo.errors import BadInput
from duo.files import read_json_lines, validate

Outcome = Literal["respond", "ignore", "wait"]
OUTCOMES: tuple[Outcome, ...] = ("respond", "ignore", "wait")

_WANTED: dict[str | None, Outcome] = {"<1>": "respond", "<2>": "ignore", None: "wait"}


@dataclass(frozen=True)
class Case:
    """An utterance and what should happen after it.

    Attributes:
        id: of its line in the data.
        label: what kind of utterance it is.
        context: the turns before it.
        text: what is said.
        wanted: what should follow.
    """

    id: str
    label: str
    context: tuple[Message, ...]
    text: str
    wanted: Outcome


def read_cases(path: Path, *, limit: int | None = None, turns: int = 6) -> list[Case]:
    """Read the cases of a file, plain or gzipped.

    It holds samples (`duo.data.sample`), of which every user turn is a case, or utterances:
    `{"id", "context": [{"spk", "text"}], "text", "label", "needs_response"}`. Of an utterance's
    context, what `self` said becomes the user's turns and what `other` said the assistant's;
    utterances in a row by one speaker are one turn. A user turn that the other answers has `<1>`;
    one that the same speaker goes on after has `<2>`, but before an `interruption` it is the query
    whose answer is being given, so it has `<1>` and an answer that has just begun. An utterance
    that needs a response wants one; an `incomplete` one wants waiting; the others are ignored.

    Args:
        path: JSON Lines.
        limit: how many, drawn from all with a fixed seed and in the file's order; None for all.
        turns: turns of context that are kept, the last ones.

    Raises:
        BadInput: the file cannot be read, or a line is neither, or there are none.
    """
    cases = [
        case
        for line, content in read_json_lines(path)
        for case in _cases(path, line, content, turns)
    ]
    if not cases:
        raise BadInput("no utterances", file=path)
    if limit is not None and limit < len(cases):
        chosen = sorted(random.Random(0).sample(range(len(cases)), limit))
        cases = [cases[place] for place in chosen]
    return cases


def _cases(path: Path, line: int, content: Any, turns: int) -> Iterator[Case]:
    if isinstance(content, dict) and "messages" in content:
        yield from _of_sample(validate(content, Sample, file=path, line=line), turns)
    else:
        try:
            yield _of_utterance(content, turns)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            missing = error.args[0] if isinstance(error, KeyError) else None
            raise BadInput(
                "is neither a sample (messages) nor a labelled utterance",
                file=path,
                line=line,
                field=missing,
            ) from None


def _of_sample(sample: Sample, turns: int) -> Iterator[Case]:
    for place, message in enumerate(sample.messages):
        if isinstance(message, UserTurn):
            before = sample.messages[max(0, place - turns) : place]
            wanted = _WANTED[message.state]
            label = message.kind or {"respond": "query", "ignore": "remark"}.get(
                wanted, "unfinished"
            )
            yield Case(f"{sample.id}:{place}", label, before, message.content, wanted)


def _of_utterance(content: dict[str, Any], turns: int) -> Case:
    label, text, needs = content["label"], content["text"], content["needs_response"]
    if not (isinstance(label, str) and isinstance(text, str) and text.strip()):
        raise ValueError
    UserTurn(content=f"{content['id']} {label} {text}", state=None)  # must be Unicode text
    said = [(turn["spk"], turn["text"]) for turn in content.get("context", ()) if turn["text"]]
    if {speaker for speaker, _ in said} - {"self", "other"}:
        raise ValueError
    context = _context(said, interrupts=label == "interruption")[-turns:] if turns else ()
    wanted: Outcome = "respond" if needs else "wait" if label == "incomplete" else "ignore"
    return Case(str(content["id"]), label, tuple(context), text, wanted)


def _context(said: Sequence[tuple[str, str]], interrupts: bool) -> list[Message]:
    spoken = [
        (speaker, " ".join(text for _, text in group))
        for speaker, group in groupby(said, key=lambda turn: turn[0])
    ]
    turns: list[Message] = []
    for place, (speaker, text) in enumerate(spoken):
        last = place == len(spoken) - 1
        if speaker == "other":
            turns.append(AssistantTurn(content=text, complete=not last))
        else:
            turns.append(UserTurn(content=text, state="<2>" if last and not interrupts else "<1>"))
    if interrupts and spoken and spoken[-1][0] == "self":
        turns.append(AssistantTurn(content="", complete=False))
    return turns
