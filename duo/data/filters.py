"""What may not be said in a turn that is to be ignored, with a count of what was dropped for what.

Held-out utterances must never be trained on: no text that equals one of them after folding case
and dropping punctuation is used. Texts of up to three words are exempt from that rule: everybody
says "okay" and "oh I see", and to ban what people say all the time would leave nothing to learn.
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections import Counter, deque
from collections.abc import Iterable
from pathlib import Path

from duo.data.requests import is_command, is_question
from duo.errors import BadInput

#: Texts of so many words count as said by everybody: exempt from the rules about copies.
COMMON_WORDS = 3

_WORD = re.compile(r"\w+(?:['’]\w+)?")


def normalised(text: str) -> str:
    """The words of a text in folded case, without punctuation."""
    return " ".join(_WORD.findall(text.casefold().replace("’", "'")))


class HeldOut:
    """Utterances that are kept for evaluation."""

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self._texts = {text for text in map(normalised, texts) if text.count(" ") >= COMMON_WORDS}

    def __contains__(self, text: str) -> bool:
        return normalised(text) in self._texts

    def __len__(self) -> int:
        return len(self._texts)


def read_held_out(paths: Iterable[Path]) -> HeldOut:
    """Held-out utterances: JSON Lines with `text` (may be gzipped), or a text on each line.

    Raises:
        BadInput: a file cannot be read, or a line of JSON has no `text`.
    """
    texts: list[str] = []
    for path in paths:
        name = path.name.removesuffix(".gz")
        try:
            with (
                gzip.open(path, "rt", encoding="utf-8")
                if path.suffix == ".gz"
                else path.open(encoding="utf-8") as lines
            ):
                for number, line in enumerate(lines, start=1):
                    if not line.strip():
                        continue
                    if name.endswith((".jsonl", ".json")):
                        texts.append(_text(line, path, number))
                    else:
                        texts.append(line)
        except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
            reason = getattr(error, "strerror", None) or "is damaged or not UTF-8 text"
            raise BadInput(f"cannot read: {reason}", file=path) from error
    return HeldOut(texts)


def _text(line: str, path: Path, number: int) -> str:
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
        raise BadInput(f"is not JSON: {error.msg}", file=path, line=number) from None
    text = record.get("text") if isinstance(record, dict) else None
    if not isinstance(text, str):
        raise BadInput("is missing or no text", file=path, line=number, field="text")
    return text


class Filters:
    """Judges texts one after the other, remembers the last few thousand, and counts its reasons.

    Args:
        held_out: utterances never to be used.
        longest: most words of a text.
        memory: how many texts are remembered for the near-duplicate rule.
    """

    #: Kinds of text that may ask: it is somebody else who is asked.
    MAY_ASK = frozenset({"third_party_talk", "third_party_question", "self_talk"})
    #: Kinds that everybody says again and again.
    MAY_REPEAT = frozenset({"backchannel", "acknowledgement"})

    def __init__(self, held_out: HeldOut, *, longest: int = 40, memory: int = 4096) -> None:
        self._held_out = held_out
        self._longest = longest
        self._recent: deque[frozenset[str]] = deque(maxlen=memory)
        self._known: set[frozenset[str]] = set()
        self.dropped: Counter[str] = Counter()

    def keeps(self, text: str, kind: str) -> bool:
        """Whether a text may be used as a non-query of this kind; a text that may is remembered."""
        reason = self._reason(text, kind)
        if reason:
            self.dropped[reason] += 1
        return not reason

    def _reason(self, text: str, kind: str) -> str:
        if not normalised(text):
            return "empty"
        if text in self._held_out:
            return "held_out"
        if len(text.split()) > self._longest:
            return "too_long"
        if kind not in self.MAY_ASK:
            if is_question(text):
                return "question"
            if is_command(text):
                return "command"
        if kind not in self.MAY_REPEAT and self._is_near_duplicate(text):
            return "near_duplicate"
        return ""

    def _is_near_duplicate(self, text: str) -> bool:
        """Whether the same content words, in whatever order, came lately; else remember them."""
        words = normalised(text).split()
        if len(words) <= COMMON_WORDS:
            return False
        key = frozenset(word for word in words if len(word) > 3) or frozenset(words)
        if key in self._known:
            return True
        if len(self._recent) == self._recent.maxlen:
            self._known.discard(self._recent[0])
        self._recent.append(key)
        self._known.add(key)
        return False
