"""Read the utterances to be judged, each in its dialogue, from samples or labelled utterances.

Apart from the judging, so that results and charts know its outcomes without loading torch.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from duo.data.sample import AssistantTurn, LabelledUtterance, Message, Sample, UserTurn
from duo.errors import BadInput
from duo.files import read_json_lines, validate
from duo.spelling import Spelling, spell

Outcome = Literal["respond", "ignore", "wait"]
OUTCOMES: tuple[Outcome, ...] = ("respond", "ignore", "wait")

WANTED: dict[str | None, Outcome] = {"<1>": "respond", "<2>": "ignore", None: "wait"}


@dataclass(frozen=True)
class Case:
    """An utterance in its dialogue, and what should happen after it."""

    id: str
    label: str
    context: tuple[Message, ...]
    text: str
    wanted: Outcome

    @property
    def over_answer(self) -> bool:
        """Whether it is said while an answer is being given."""
        last = self.context[-1] if self.context else None
        return isinstance(last, AssistantTurn) and not last.complete


def read_cases(
    path: Path, *, limit: int | None = None, turns: int = 6, spelling: Spelling = "written"
) -> list[Case]:
    """Read the cases of a file, plain or gzipped.

    It holds samples, of which every user turn is a case, or labelled utterances (see
    `duo.data.sample`). Of an utterance's context, what `self` said becomes the user's turns and
    what `other` said the assistant's. A user turn that the other answers has `<1>`; one that the
    same speaker goes on after has `<2>`, but before an `interruption` it is the query whose answer
    is being given, so it has `<1>` and an answer that has just begun. An utterance that needs a
    response wants one; an `incomplete` one wants waiting; the others are ignored.

    Args:
        path: JSON Lines.
        limit: how many, drawn from all with a fixed seed and in the file's order; None for all.
        turns: turns of context that are kept, the last ones.
        spelling: of all that the user says.

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
    return [_spelled(case, spelling) for case in cases]


def _spelled(case: Case, spelling: Spelling) -> Case:
    """Spell what the user says as a recogniser would."""
    context = tuple(
        turn.model_copy(update={"content": spell(turn.content, spelling)})
        if isinstance(turn, UserTurn)
        else turn
        for turn in case.context
    )
    return replace(case, context=context, text=spell(case.text, spelling))


def _cases(path: Path, line: int, content: dict[str, Any], turns: int) -> Iterator[Case]:
    if "messages" in content:
        yield from _of_sample(validate(content, Sample, file=path, line=line), turns)
        return
    try:
        yield _of_utterance(validate(content, LabelledUtterance, file=path, line=line), turns)
    except BadInput as error:
        message = f"is neither a sample (messages) nor a labelled utterance: {error.message}"
        raise BadInput(message, file=path, line=line, field=error.field) from None


def _of_sample(sample: Sample, turns: int) -> Iterator[Case]:
    for place, message in enumerate(sample.messages):
        if isinstance(message, UserTurn):
            before = sample.messages[max(0, place - turns) : place]
            wanted = WANTED[message.state]
            label = message.kind or {"respond": "query", "ignore": "remark"}.get(
                wanted, "unfinished"
            )
            yield Case(f"{sample.id}:{place}", label, before, message.content, wanted)


def _of_utterance(said: LabelledUtterance, turns: int) -> Case:
    context = _context(said.turns, interrupts=said.label == "interruption")
    wanted: Outcome = "wait" if said.label == "incomplete" else "ignore"
    return Case(
        id=str(said.id),
        label=said.label,
        context=tuple(context[-turns:] if turns else ()),
        text=said.text,
        wanted="respond" if said.needs_response else wanted,
    )


def _context(said: Sequence[tuple[str, str]], interrupts: bool) -> list[Message]:
    turns: list[Message] = []
    for place, (speaker, text) in enumerate(said):
        last = place == len(said) - 1
        if speaker == "other":
            turns.append(AssistantTurn(content=text, complete=not last))
        else:
            turns.append(UserTurn(content=text, state="<2>" if last and not interrupts else "<1>"))
    if interrupts and said and said[-1][0] == "self":
        turns.append(AssistantTurn(content="", complete=False))
    return turns
