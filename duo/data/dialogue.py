"""Dialogues as they come from a source: who says what, and which answers were cut off."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from duo.tokens import IDLE

Role = Literal["user", "assistant"]

#: What other projects call the two sides.
_ROLES: Mapping[str, Role] = {
    "user": "user",
    "human": "user",
    "prompter": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "bot": "assistant",
    "model": "assistant",
}
_ENDS_SENTENCE = re.compile(r"[.!?…。！？][\"'”’)\]*]*$")
#: Control characters but for tabs and line ends.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_NO_SPACE_BEFORE = re.compile(r"[,.!?;:%)\]}’…。，！？；：、]|n't\b|'(?:s|re|ve|ll|d|m|t)\b")


@dataclass(frozen=True)
class Turn:
    """What one side says until the other speaks; `complete` is False for an answer cut off."""

    role: Role
    text: str
    complete: bool = True


@dataclass(frozen=True)
class Dialogue:
    """Alternating turns, the user's first.

    Attributes:
        id: unique in its source.
        source: name of the source.
        turns: user, assistant, user, assistant ...; never empty.
    """

    id: str
    source: str
    turns: tuple[Turn, ...]

    @property
    def group(self) -> str:
        """What may not be torn apart by a split: all pieces of one conversation.

        Pieces are named `<conversation>_<piece>`, as in ShareGPT's files, with up to four digits:
        longer numbers at the end of a name are those of whole dialogues elsewhere.
        """
        return re.sub(r"_\d{1,4}$", "", self.id)

    @property
    def exchanges(self) -> list[tuple[str, Turn]]:
        """Queries with their answers."""
        return [
            (asked.text, answer)
            for asked, answer in zip(self.turns[::2], self.turns[1::2], strict=True)
        ]


class NotADialogue(ValueError):
    """Why a record is none; `field` is where in the record."""

    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


def dialogue_of(record: Any, *, source: str, fallback_id: str) -> Dialogue | None:
    """The dialogue in a record of any known form, or None if nobody is answered in it.

    Known are `messages` (or `conversations`): a list of `role` and `content` (or `from` and
    `value`); and Duplex-UltraChat's `output`: slices of both sides, silence as `<idle>`. Other
    keys are passed over.

    Raises:
        NotADialogue: the record has another form.
    """
    if not isinstance(record, Mapping):
        raise NotADialogue("must be an object")
    name = record.get("id", fallback_id)
    if not isinstance(name, str | int):
        raise NotADialogue("must be a string or a number", "id")
    for field in ("output", "messages", "conversations"):
        if field in record:
            said = _said(record[field], field)
            ours = record.get("form") == "duplex"
            turns = merge_slices(said, strict=ours) if field == "output" else merge_messages(said)
            return Dialogue(_encodable(str(name)), source, turns) if turns else None
    raise NotADialogue("has none of the fields messages, conversations, output")


def _said(items: Any, field: str) -> list[tuple[Role, str]]:
    """Role and text of each item of a record's list."""
    if not isinstance(items, Sequence) or isinstance(items, str):
        raise NotADialogue("must be a list", field)
    said: list[tuple[Role, str]] = []
    for place, item in enumerate(items):
        at = f"{field}[{place}]"
        if not isinstance(item, Mapping):
            raise NotADialogue("must be an object", at)
        who = item.get("role", item.get("from"))
        text = item.get("content", item.get("value"))
        if not isinstance(text, str):
            raise NotADialogue("is not a text", f"{at}.content")
        if who == "system":
            continue
        if not isinstance(who, str) or who not in _ROLES:
            raise NotADialogue("must be user, assistant or system", f"{at}.role")
        said.append((_ROLES[who], clean(text)))
    return said


def clean(text: str) -> str:
    """Text without control characters and unpaired surrogates."""
    return _CONTROL.sub("", _encodable(text.replace("\r\n", "\n")))


def _encodable(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")


def merge_messages(said: Iterable[tuple[Role, str]]) -> tuple[Turn, ...]:
    """Alternating turns: consecutive messages of one side are joined.

    A greeting of the assistant before the first question, a last question that nobody answers and
    empty messages are left out.
    """
    turns: list[Turn] = []
    for role, text in said:
        text = text.strip()
        if not text or (not turns and role == "assistant"):
            continue
        if turns and turns[-1].role == role:
            turns[-1] = Turn(role, f"{turns[-1].text}\n{text}")
        else:
            turns.append(Turn(role, text))
    return _answered(turns)


def merge_slices(said: Iterable[tuple[Role, str]], *, strict: bool = False) -> tuple[Turn, ...]:
    """Time slices put together to turns (Zhang et al. 2024, section 4).

    The user's words are one turn until the assistant speaks or both are silent for a slice; the
    assistant's are one turn until the user speaks. An answer counts as complete if the assistant
    fell silent before the user spoke, or if its text ends a sentence; otherwise the user cut it
    off. User turns that are not answered are joined to the next.

    Args:
        said: slices of both sides in turn.
        strict: an answer is complete only if silence followed it, whatever its text: for our own
            files, where that is always so.
    """
    turns: list[Turn] = []
    slices: dict[Role, list[str]] = {"user": [], "assistant": []}
    fell_silent = False

    def close(role: Role) -> None:
        text = join_slices(slices[role])
        slices[role].clear()
        if text and role == "assistant":
            done = fell_silent or (not strict and bool(_ENDS_SENTENCE.search(text)))
            turns.append(Turn(role, text, done))
        elif text:
            turns.append(Turn(role, text))

    silent = 0
    for role, text in said:
        quiet = text.strip() in ("", IDLE)
        silent = silent + 1 if quiet else 0
        if role == "user" and not quiet:
            close("assistant")
            slices["user"].append(text)
        elif role == "assistant" and not quiet:
            close("user")
            fell_silent = False
            slices["assistant"].append(text)
        elif role == "assistant":
            fell_silent = True
            if silent > 1:
                close("user")
    fell_silent = True  # nobody interrupts what ends the record
    close("assistant")
    return _answered(_joined(turns))


def join_slices(slices: Sequence[str]) -> str:
    """The text of a turn from its slices.

    Slices that keep the blanks between them are put together as they are. Otherwise they were
    trimmed: a blank goes between two, but not before closing punctuation and not where Chinese
    meets Chinese.
    """
    if any(text[:1].isspace() or text[-1:].isspace() for text in slices):
        return "".join(slices).strip()
    joined = ""
    for text in slices:
        tight = not joined or _NO_SPACE_BEFORE.match(text) or _wide(joined[-1]) or _wide(text[:1])
        joined += text if tight else f" {text}"
    return joined.strip()


def _wide(character: str) -> bool:
    return unicodedata.east_asian_width(character or " ") in "WF"


def _joined(turns: Iterable[Turn]) -> list[Turn]:
    """Turns in which neighbours of one side are one."""
    merged: list[Turn] = []
    for turn in turns:
        if merged and merged[-1].role == turn.role:
            text = f"{merged[-1].text} {turn.text}"
            merged[-1] = Turn(turn.role, text, turn.complete)
        else:
            merged.append(turn)
    return merged


def _answered(turns: list[Turn]) -> tuple[Turn, ...]:
    """From the first user turn to the last answer."""
    start = 1 if turns and turns[0].role == "assistant" else 0
    end = len(turns) - (1 if turns and turns[-1].role == "user" else 0)
    return tuple(turns[start:end])
