"""Small dialogues of our own, and files of them in the form of every source."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

_ASKED = (
    "What is the {0}?",
    "How do I clean a {0} in winter?",
    "Could you tell me something about the {0}, please?",
    "Tell me why people like the {0} so much.",
    "Which {0} is the best for a small garden?",
)
_TOLD = (
    "The {0} is a thing of wood and iron. It stands in most kitchens of the north. People use it "
    "every day, and it lasts for many years when it is kept dry.",
    "You take a soft cloth for the {0}, some warm water and a little soap. Then you wait for an "
    "hour. After that it is as good as new.",
    "Most people like the {0} for its colour. The old ones are blue. The new ones are green.",
)
_WORDS = ("kettle", "ladder", "bridge", "lamp", "boat", "harbour", "violin", "saddle", "mill")


def record(number: int, exchanges: int = 3) -> dict[str, Any]:
    """A dialogue as messages; numbers that differ by little are pieces of one conversation."""
    messages = []
    for turn in range(exchanges):
        word = _WORDS[(number * 5 + turn) % len(_WORDS)]
        asked, told = _ASKED[(number + turn) % len(_ASKED)], _TOLD[(number + turn) % len(_TOLD)]
        messages += [
            {"role": "user", "content": asked.format(word)},
            {"role": "assistant", "content": told.format(f"{word} number {number}")},
        ]
    return {"id": f"talk-{number // 3:03x}g_{number % 3}", "messages": messages}


def records(count: int) -> list[dict[str, Any]]:
    return [record(number, 2 + number % 4) for number in range(count)]


def write_lines(path: Path, items: Iterable[Any]) -> Path:
    """JSON Lines; gzipped if the name says so. Strings are written as they are."""
    lines = [item if isinstance(item, str) else json.dumps(item) for item in items]
    text = "".join(f"{line}\n" for line in lines)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text, encoding="utf-8")
    return path
