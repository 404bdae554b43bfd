"""Make dialogues of records: who says what, and which answers were cut off."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from duo.tokens import IDLE

Role = Literal["user", "assistant"]

#: What files call the two sides, in lower case and without a number behind.
_ROLES: Mapping[str, Role] = {
    **dict.fromkeys(
        ("user", "human", "prompter", "customer", "client", "question", "用户", "人类"), "user"
    ),
    **dict.fromkeys(
        (
            "assistant", "gpt", "chatgpt", "bot", "chatbot", "model", "ai", "llm", "agent",
            "answer", "bing", "bard", "claude", "gemini", "llama", "vicuna", "助手",
        ),
        "assistant",
    ),
}  # fmt: skip
#: Whose messages are no speech: they are left out.
_NOT_SPOKEN = frozenset(
    {
        "system", "developer", "tool", "tool_call", "tool_response", "tool_result", "function",
        "function_call", "function_response", "observation", "ipython", "environment",
    }
)  # fmt: skip
#: Fields that may hold a dialogue: the first that is a list with something in it does.
_FIELDS = (
    "output", "messages", "conversations", "conversation", "data", "dialogue", "dialog", "turns",
    "utterances", "contents", "chat_messages",
)  # fmt: skip
#: Fields of a message: whose it is, and what is said. The first that holds something counts.
_WHO = ("role", "from", "speaker", "sender")
_WHAT = ("content", "value", "text", "message", "parts", "utterance")
#: What is no speech in an answer of several parts or channels.
_NOT_SAID = frozenset(
    {"thinking", "redacted_thinking", "reasoning", "analysis", "commentary", "tool_use"}
)
#: Fields of a record that is one question with its answer, which may be after a `history` of pairs:
#: the first of each that is a text, and what the question is about.
_ASKED = ("instruction", "prompt", "question", "query", "inputs", "user", "human", "input")
_ANSWERED = ("output", "response", "completion", "answer", "targets", "target", "assistant", "bot")
_ABOUT = ("input", "context")
_HALVES = ("prompt", "completion")  # that may be lists of messages
#: What a model thought, and did not say, before it answered.
_THOUGHT = re.compile(r"\A(?:.*</think(?:ing)?>|\s*<think(?:ing)?>.*)", re.DOTALL)
_ENDS_SENTENCE = re.compile(r"[.!?…。！？][\"'”’)\]*]*$")
#: Control characters but for tabs and line ends.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_NO_SPACE_BEFORE = re.compile(r"[,.!?;:%)\]}’…。，！？；：、]|n't\b|'(?:s|re|ve|ll|d|m|t)\b")


#: A spoken word, or a character of a script without blanks.
_SPOKEN = re.compile(r"[\u2e80-\u9fff\uff00-\uffef]|[^\s\u2e80-\u9fff\uff00-\uffef]+")


@dataclass(frozen=True)
class Turn:
    """The words of one side until the other speaks; `complete` is False for an answer cut off."""

    role: Role
    text: str
    complete: bool = True


@dataclass(frozen=True)
class Dialogue:
    """Alternating turns, the user's first.

    Attributes:
        id: unique in its source.
        turns: user, assistant, user, assistant ...; never empty.
    """

    id: str
    source: str
    turns: tuple[Turn, ...]

    @property
    def group(self) -> str:
        """The name that all pieces of one conversation share, which a split may not tear apart.

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
    """A record is no dialogue; `field` says where in the record."""

    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


def dialogue_of(record: Any, *, source: str, fallback_id: str) -> Dialogue | None:
    """Make a dialogue of a record of any known form; None if nobody is answered in it.

    Known are lists of messages, each with `role` (or `from`) and `content` (or `value`): as
    `messages` or `conversations`, or as Duplex-UltraChat's `output`, time slices of both sides with
    silence as `<idle>`; UltraChat's `data`, a list of texts, the user's first; and one question
    with its answer, as Alpaca's, each a text or, as TRL's `prompt` and `completion`, a list of
    messages. A content may be a list of parts, as in OpenAI's API. Other keys are passed over.

    Raises:
        NotADialogue: the record has another form.
    """
    if isinstance(record, list):
        record = {"messages": record}
    if not isinstance(record, Mapping):
        raise NotADialogue("must be an object")
    name = record.get("id")
    if not isinstance(name, str | int | float | None):
        raise NotADialogue("must be a string or a number", "id")
    there = [field for field in _FIELDS if field in record]
    lists = [field for field in there if isinstance(record[field], list | tuple)]
    if all(isinstance(record.get(half), list) for half in _HALVES):
        there, lists = [_HALVES[0]], [_HALVES[0]]
    if not lists and (exchange := _exchange(record)):
        there, lists, record = ["data"], ["data"], {"id": name, "data": exchange}
    if not there:
        names = "messages, conversations, output, data"
        raise NotADialogue(f"has none of the fields {names}, but {_names(record)}")
    if not lists:
        raise NotADialogue("must be a list", there[0])
    field = next((field for field in lists if record[field]), lists[0])
    said = [
        (role, clean(text if role == "user" else _THOUGHT.sub("", text)))
        for part in (_HALVES if field == _HALVES[0] else (field,))
        for role, text in _said(record[part], part)
    ]
    ours = record.get("form") == "duplex"
    turns = merge_slices(said, strict=ours) if field == "output" else merge_messages(said)
    name = fallback_id if name is None else str(name)
    return Dialogue(_encodable(name), source, turns) if turns else None


def _said(items: Sequence[Any], field: str) -> Iterator[tuple[Role, str]]:
    """List role and text of each item of a record's list."""
    for place, item in enumerate(items):
        at = f"{field}[{place}]"
        if field == "data" and isinstance(item, str):
            yield ("assistant" if place % 2 else "user"), item
            continue
        if item is None:
            continue
        if not isinstance(item, Mapping):
            raise NotADialogue("must be an object", at)
        who_field = _filled(item, _WHO)
        if who_field is None and item and all(_role(name) for name in item):  # both sides at once
            for name, content in item.items():
                yield _ROLES[_role(name)], _text(content, f"{at}.{name}")
            continue
        if who_field is None:
            raise NotADialogue(f"has none of {', '.join(_WHO)}, but {_names(item)}", at)
        said_by = str(item[who_field])
        name = said_by.strip().lower()
        speaks = (who_field, name) == ("speaker", "system")  # in what people ask of a program
        if item.get("channel") in [*_NOT_SAID] or (name in _NOT_SPOKEN and not speaks):
            continue
        text_field = _filled(item, _WHAT)
        role = "assistant" if speaks else _ROLES.get(_role(said_by))
        if text_field is None:
            there = next((name for name in _WHAT if name in item), None)
            if there is None:
                raise NotADialogue(f"has none of {', '.join(_WHAT)}, but {_names(item)}", at)
            if role == "assistant":  # nothing is said, as beside a call of a tool
                continue
            raise NotADialogue("is not a text", f"{at}.{there}")
        text = _text(item[text_field], f"{at}.{text_field}")
        if role is None:
            raise NotADialogue("must be user, assistant or system", f"{at}.{who_field}")
        yield role, text


def _exchange(record: Mapping[str, Any]) -> list[str]:
    """List the texts of a record that is one question with its answer; none if it is not."""
    query, answer = (
        next((record[name] for name in names if isinstance(record.get(name), str)), None)
        for names in (_ASKED, _ANSWERED)
    )
    if query is None or answer is None:
        return []
    more = [record[name] for name in _ABOUT if isinstance(record.get(name), str)]
    query = "\n".join([query, *(text for text in more if text.strip() and text != query)])
    pairs = [*(record.get("history") or ()), (query, answer)]
    if not all(isinstance(pair, list | tuple) and len(pair) == 2 for pair in pairs):
        return []
    texts = [text for pair in pairs for text in pair]
    return texts if all(isinstance(text, str) for text in texts) else []


def _filled(item: Mapping[str, Any], names: Iterable[str]) -> str | None:
    return next((name for name in names if item.get(name) is not None), None)


def _role(said_by: str) -> str:
    """Find the name in `_ROLES` of what a file calls a side, such as "GPT-4" or "User:"; or ""."""
    name = re.split(r"[\s_-]*\d", said_by.strip().lower())[0].rstrip(":： ")
    return name if name in _ROLES else ""


def _names(item: Mapping[str, Any]) -> str:
    return ", ".join(map(str, list(item)[:4])) or "nothing"


def _text(content: Any, at: str) -> str:
    """Read the content of a message: a text, or a list of parts that are texts."""
    if isinstance(content, Mapping) and isinstance(content.get("parts"), list):
        content, at = content["parts"], f"{at}.parts"
    if not isinstance(content, list):
        content, places = [content], [at]
    else:
        places = [f"{at}[{place}]" for place in range(len(content))]
    texts: list[str] = []
    for part, place in zip(content, places, strict=True):
        text = part.get("text") if isinstance(part, Mapping) else part
        if isinstance(part, Mapping) and part.get("type") in [*_NOT_SAID, *_NOT_SPOKEN]:
            continue
        if not isinstance(text, str):
            raise NotADialogue("is not a text", place)
        texts.append(text)
    return "\n".join(texts)


def clean(text: str) -> str:
    """Remove control characters and unpaired surrogates."""
    return _CONTROL.sub("", _encodable(text.replace("\r\n", "\n")))


def _encodable(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")


def merge_messages(said: Iterable[tuple[Role, str]]) -> tuple[Turn, ...]:
    """Make alternating turns of messages: consecutive ones of one side are joined.

    A greeting of the assistant before the first question, a last question that nobody answers and
    empty messages are left out.
    """
    turns = [Turn(role, text.strip()) for role, text in said if text.strip()]
    return _answered(_joined(turns, "\n"))


def merge_slices(said: Iterable[tuple[Role, str]], *, strict: bool = False) -> tuple[Turn, ...]:
    """Put time slices together to turns (Zhang et al. 2024, section 4).

    The user's words are one turn until the assistant speaks or both are silent for a slice; the
    assistant's are one turn until the user speaks. An answer counts as complete if the assistant
    fell silent before the user spoke, or if its text ends a sentence; otherwise the user cut it
    off. User turns that are not answered are joined to the next.

    Args:
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
    return _answered(_joined(turns, " "))


def join_slices(slices: Sequence[str]) -> str:
    """Put the slices of a turn together to its text.

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


def _joined(turns: Iterable[Turn], blank: str) -> list[Turn]:
    """Join neighbouring turns of one side."""
    merged: list[Turn] = []
    for turn in turns:
        if merged and merged[-1].role == turn.role:
            text = f"{merged[-1].text}{blank}{turn.text}"
            merged[-1] = Turn(turn.role, text, turn.complete)
        else:
            merged.append(turn)
    return merged


def _answered(turns: list[Turn]) -> tuple[Turn, ...]:
    """Keep the turns from the user's first to the last answer."""
    start = 1 if turns and turns[0].role == "assistant" else 0
    end = len(turns) - (1 if turns and turns[-1].role == "user" else 0)
    return tuple(turns[start:end])


def word_spans(text: str) -> list[tuple[int, int]]:
    """Find the words of a text, or the characters of a script without blanks."""
    return [found.span() for found in _SPOKEN.finditer(text)]


def count_words(text: str) -> int:
    """Measure a text in words, or characters of a script without blanks."""
    return sum(1 for _ in _SPOKEN.finditer(text))


def has_wide(text: str) -> bool:
    """Judge whether a text has characters of a script without blanks, such as Chinese."""
    return any(len(found[0]) == 1 and found[0] >= "\u2e80" for found in _SPOKEN.finditer(text))
